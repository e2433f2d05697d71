/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What translated code calls before its accesses to memory, while transactions are live. All that
 * usually happens is here in line, once for loads and once for stores.
 */

#include "rtm_lines.h"

#define INLINE static inline __attribute__((always_inline))
#define UNLIKELY_(x) __builtin_expect(!!(x), 0)

/* Nothing new: the transaction has accessed all of these words, and written to the line if this
 * is a write. */
INLINE Bool
is_known(const struct rtm_seen *s, const struct rtm_tx *tx, const struct rtm_access x)
{
    return s->gen == tx->gen && s->line->addr == rtm_line_at(x.at) && !(x.words & ~s->words) &&
           (!x.write || s->written);
}

/* Nothing is to be done about the access but to note it: the line's entry is at hand, nobody loses
 * it, it need not be moved. A transaction that has seen the line still holds it. */
INLINE Bool
is_usual(const struct rtm_tx *tx, const struct rtm_seen *s, const struct rtm_access x)
{
    const struct rtm_line *l = s->line;
    const ULong mine = 1ULL << tx->core;

    if (UNLIKELY_(!l || l->addr != rtm_line_at(x.at) || tx->suspended || rtm_opt.page_faults)) {
        return False;
    }
    if (s->gen == tx->gen) {
        return !x.write || !(l->readers & ~mine);
    }
    return l->writer < 0 && !(x.write ? l->readers : l->readers & mine) &&
           (l->last < 0 || l->last == tx->core) && tx->n_touch < tx->cap_touch;
}

/* One more line: dooms the transaction when that is too much for the cache. */
INLINE void
count_read(struct rtm_tx *tx)
{
    if (++tx->n_read > rtm_opt.read_lines) {
        rtm_tx_doom(RTM_CAPACITY, RTM_C_CAPACITY_READ, NULL);
    }
}

INLINE void
count_write(struct rtm_tx *tx, Addr line)
{
    tx->n_write++;
    if (++*rtm_set_count(tx, line) > rtm_opt.ways) {
        rtm_tx_doom(RTM_CAPACITY, RTM_C_CAPACITY_WRITE, NULL);
    }
}

/* i: the line's place in tx->touch, -1: it is new. */
INLINE void
note(struct rtm_tx *tx, struct rtm_seen *s, Int i, const struct rtm_access x)
{
    const Bool seen = s->gen == tx->gen;
    struct rtm_line *l = s->line;
    struct rtm_touch *t;

    if (i < 0) {
        i = rtm_new_touch(tx, l, rtm_line_at(x.at));
    }
    t = &tx->touch[i];
    if (x.write && !t->write) {
        /* May fault (the page may be missing): nothing depends on it yet. */
        rtm_copy(t->old, (const void *)rtm_line_at(x.at), RTM_LINE);
    }
    rtm_note_words(t, x.words);
    s->touch = i;
    s->words = (UChar)(x.words | (seen ? s->words : 0));
    s->written = x.write || (seen && s->written);
    s->gen = tx->gen;
    if (x.write) {
        l->last = tx->core;
    }
    if (x.write && !t->write) {
        t->write = True;
        l->writer = tx->core;
        count_write(tx, rtm_line_at(x.at));
    }
    else if (!x.write && !t->read) {
        t->read = True;
        l->readers |= 1ULL << tx->core;
        count_read(tx);
    }
}

static __attribute__((noinline)) void
unusual_access(struct rtm_tx *tx, struct rtm_seen *s, const struct rtm_access x)
{
    const Int me = tx->core;
    struct rtm_line *l = s->line;
    Int i = -1;

    if (!l || l->addr != rtm_line_at(x.at)) {
        l = rtm_find_or_add_line(rtm_line_at(x.at));
    }
    if (tx->suspended && !x.write) {
        /* XSUSLDTRK: the load is not tracked, yet it must not see another
           transaction's uncommitted store. */
        if (l->writer != me) {
            rtm_take(l, me, x);
        }
        return;
    }
    if (rtm_opt.page_faults && rtm_page_fault(rtm_line_at(x.at), x.write)) {
        rtm_tx_page_fault();
    }
    rtm_take(l, me, x); /* before what it puts back is copied */
    if (l->writer == me || (l->readers & 1ULL << me)) {
        i = rtm_touch_of(tx, rtm_line_at(x.at));
    }
    rtm_transfer(l, me, x.write);
    if (l != s->line) {
        s->line = l;
        s->gen = 0;
    }
    note(tx, s, i, x);
}

INLINE void
tx_access(struct rtm_tx *tx, const struct rtm_access x)
{
    struct rtm_seen *s = &tx->seen[rtm_line_at(x.at) / RTM_LINE % RTM_SEEN];

    if (is_known(s, tx, x)) {
        return;
    }
    if (UNLIKELY_(!is_usual(tx, s, x))) {
        unusual_access(tx, s, x);
        return;
    }
    note(tx, s, s->gen == tx->gen ? s->touch : -1, x);
}

/* l: the table's entry, or NULL */
INLINE void
plain_access(struct rtm_line *l, const struct rtm_access x)
{
    const Int me = rtm_cur->core;

    if (l && !rtm_is_idle(l)) {
        if (l->writer >= 0 || (x.write && l->readers)) {
            rtm_take(l, me, x);
        }
        if (!rtm_is_idle(l)) {
            rtm_transfer(l, me, x.write);
        }
    }
    else if (rtm_opt.coherence && x.write) {
        rtm_find_or_add_line(rtm_line_at(x.at))->last = me;
    }
}

INLINE void
access_line(const struct rtm_access x)
{
    struct rtm_tx *tx = &rtm_cur->tx;

    if (tx->state == RTM_TX_NONE) {
        plain_access(rtm_find_line(rtm_line_at(x.at)), x);
    }
    else {
        tx_access(tx, x);
    }
}

static __attribute__((noinline)) void
access_range(Addr a, SizeT n, Bool write)
{
    Addr line = rtm_line_at(a);
    const Addr last = rtm_line_at(a + n - 1);

    if (n == 0) {
        return;
    }
    for (;; line += RTM_LINE) {
        access_line(rtm_part_of(line, a, n, write));
        if (line == last) {
            break;
        }
    }
}

static __attribute__((noinline)) void
load_line(Addr at, UInt words)
{
    access_line((struct rtm_access){at, words, False});
}

static __attribute__((noinline)) void
store_line(Addr at, UInt words)
{
    access_line((struct rtm_access){at, words, True});
}

/* Most accesses are within a line and change nothing in the tables. */
INLINE void
access_few(Addr a, SizeT n, Bool write)
{
    const UInt from = a % RTM_LINE, to = from + (UInt)n - 1;

    if (UNLIKELY_(to >= RTM_LINE)) {
        access_range(a, n, write);
    }
    else if (write) {
        store_line(a, (2u << to / 8) - (1u << from / 8));
    }
    else {
        load_line(a, (2u << to / 8) - (1u << from / 8));
    }
}

VG_REGPARM(2) void rtm_load_n(Addr a, SizeT n)
{
    access_range(a, n, False);
}

VG_REGPARM(2) void rtm_store_n(Addr a, SizeT n)
{
    access_range(a, n, True);
}

/* A locked instruction takes its line for itself even when it stores nothing;
 * called whether or not a transaction is live, so that lines that cores fight
 * over cost what they cost. */
VG_REGPARM(2) void rtm_atomic_n(Addr a, SizeT n)
{
    const Addr line = rtm_line_at(a);

    if (!rtm_cur) {
        return;
    }
    if (rtm_cur->tx.state == RTM_TX_NONE && rtm_sched_threads_live() > 1) {
        struct rtm_line *l = rtm_find_or_add_line(line);
        if (rtm_is_idle(l)) {
            l->last = rtm_cur->core; /* for the next core that wants it */
        }
        if (l->last == rtm_cur->core && l->writer < 0 && !l->readers && a + n <= line + RTM_LINE) {
            return; /* has it to itself already */
        }
    }
    access_range(a, n, True);
}

#define RTM_DEFINE(n)                        \
    VG_REGPARM(1) void rtm_load_##n(Addr a)  \
    {                                        \
        access_few(a, n, False);             \
    }                                        \
    VG_REGPARM(1) void rtm_store_##n(Addr a) \
    {                                        \
        access_few(a, n, True);              \
    }
RTM_ACCESS_LIST(RTM_DEFINE)
