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

/* Nothing is to be done about the access but to note it: nobody loses the line, which s knows, it
 * need not be moved. A transaction that has seen the line still holds it. */
INLINE Bool
is_usual(const struct rtm_tx *tx, const struct rtm_seen *s, const struct rtm_access x)
{
    const struct rtm_line *l = s->line;
    const ULong mine = 1ULL << tx->core;

    if (s->gen == tx->gen) {
        return !x.write || !(l->readers & ~mine);
    }
    return l->writer < 0 && !(x.write ? l->readers : l->readers & mine) &&
           !rtm_is_elsewhere(l, tx->core) && tx->n_touch < tx->cap_touch;
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

INLINE void
save_line(struct rtm_touch *t, const struct rtm_access x)
{
    if (x.write) {
        /* May fault (the page may be missing): nothing depends on it yet. */
        rtm_copy(t->old, (const void *)rtm_line_at(x.at), RTM_LINE);
    }
}

/* The transaction holds the line from now on. */
INLINE void
hold(struct rtm_tx *tx, struct rtm_line *l, const struct rtm_access x)
{
    if (x.write) {
        l->writer = tx->core;
        count_write(tx, rtm_line_at(x.at));
    }
    else {
        l->readers |= 1ULL << tx->core;
        count_read(tx);
    }
}

/* A line that is new to the transaction; there is room. */
INLINE void
note_line(struct rtm_tx *tx, struct rtm_seen *s, const struct rtm_access x)
{
    struct rtm_touch *t;

    t = &tx->touch[tx->n_touch];
    save_line(t, x);
    t->line = s->line;
    t->addr = rtm_line_at(x.at);
    t->words = (UChar)x.words;
    t->read = !x.write;
    t->write = x.write;
    rtm_note_words(t, x.words);
    s->touch = tx->n_touch++;
    s->words = (UChar)x.words;
    s->written = x.write;
    s->gen = tx->gen;
    if (x.write) {
        s->line->last = tx->core;
    }
    hold(tx, s->line, x);
}

/* i: its place in tx->touch. */
INLINE void
note_words(struct rtm_tx *tx, struct rtm_seen *s, Int i, const struct rtm_access x)
{
    const Bool seen = s->gen == tx->gen;
    struct rtm_touch *t = &tx->touch[i];

    if (!t->write) {
        save_line(t, x);
    }
    if (x.words & ~t->words) {
        rtm_note_words(t, x.words & ~t->words);
        t->words |= (UChar)x.words;
    }
    s->touch = i;
    s->words = (UChar)(x.words | (seen ? s->words : 0));
    s->written = x.write || (seen && s->written);
    s->gen = tx->gen;
    if (x.write) {
        s->line->last = tx->core;
    }
    if (x.write ? !t->write : !t->read) {
        *(x.write ? &t->write : &t->read) = True;
        hold(tx, s->line, x);
    }
}

/* Another core has the line to itself: it is asked for. Requests for a line are served one after
 * the other. Half the time goes by before one reaches the core that has the line, and until then
 * that keeps it; for the other half the line is on its way, and nobody's but the asker's. So the
 * instruction is left, to be begun anew when its request is there; or, if it cannot be begun anew,
 * goes on as if that were now. */
static __attribute__((noinline)) void
await_line(struct rtm_line *l, Long rest)
{
    const ULong cost = (ULong)rtm_opt.cost_line, way = cost - cost / 2, now = rtm_clock();
    struct rtm_thread *t = rtm_cur;
    const Bool asked = t->awaits == l->addr;

    t->awaits = 0;
    if (!asked) {
        l->arrives = (l->arrives > now ? l->arrives : now) + cost;
        rtm_charge_transfer(l->arrives - way - now);
        if (rest >= 0 && rtm_clock() >= t->shadow->deadline) {
            t->awaits = l->addr;
            rtm_leave_insn((ULong)rest);
        }
    }
    rtm_clock_add(way);
}

static __attribute__((noinline)) void
unusual_access(struct rtm_tx *tx, struct rtm_seen *s, const struct rtm_access x, Long rest)
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
    if (rtm_is_elsewhere(l, me)) {
        await_line(l, rest);
    }
    rtm_take(l, me, x); /* before what it puts back is copied */
    if (l->writer == me || (l->readers & 1ULL << me)) {
        i = rtm_touch_of(tx, rtm_line_at(x.at));
    }
    rtm_line_comes(l, me, x.write);
    if (l != s->line) {
        s->line = l;
        s->gen = 0;
    }
    if (i >= 0) {
        note_words(tx, s, i, x);
        return;
    }
    if (tx->n_touch == tx->cap_touch) {
        rtm_grow_touch(tx);
    }
    note_line(tx, s, x);
}

INLINE struct rtm_seen *
seen_at(struct rtm_tx *tx, Addr a)
{
    return &tx->seen[a / RTM_LINE % RTM_SEEN];
}

/* Something new, in a transaction. */
INLINE void
tx_access(struct rtm_tx *tx, const struct rtm_access x, Long rest)
{
    struct rtm_seen *s = seen_at(tx, x.at);

    if (UNLIKELY_(!s->line || s->line->addr != rtm_line_at(x.at) || tx->suspended ||
                  rtm_opt.page_faults || !is_usual(tx, s, x))) {
        unusual_access(tx, s, x, rest);
    }
    else if (s->gen != tx->gen) {
        note_line(tx, s, x);
    }
    else {
        note_words(tx, s, s->touch, x);
    }
}

static __attribute__((noinline)) void
tx_load(struct rtm_tx *tx, Addr at, UInt words, Long rest)
{
    tx_access(tx, (struct rtm_access){at, words, False}, rest);
}

static __attribute__((noinline)) void
tx_store(struct rtm_tx *tx, Addr at, UInt words, Long rest)
{
    tx_access(tx, (struct rtm_access){at, words, True}, rest);
}

/* Outside of transactions, to a line that the table has, l, or, NULL, that it has not. */
static __attribute__((noinline)) void
plain_access(struct rtm_line *l, const struct rtm_access x, Long rest)
{
    const Int me = rtm_cur->core;

    if (l && !rtm_is_idle(l)) {
        if (rtm_is_elsewhere(l, me)) {
            await_line(l, rest);
        }
        if (l->writer >= 0 || (x.write && l->readers)) {
            rtm_take(l, me, x);
        }
        if (!rtm_is_idle(l)) {
            rtm_line_comes(l, me, x.write);
        }
    }
    else if (rtm_opt.coherence && x.write) {
        rtm_find_or_add_line(rtm_line_at(x.at))->last = me;
    }
}

/* Nothing is to be done about an access outside of transactions: nobody loses the line, l or NULL,
 * and it need not be moved. Most are to lines that no transaction used, or that this core has to
 * itself. */
INLINE Bool
is_free(const struct rtm_line *l, Bool write)
{
    if (!l) {
        return !write || !rtm_opt.coherence;
    }
    if (l->writer >= 0 || (write && l->readers)) {
        return False;
    }
    return l->last == rtm_cur->core ||
           (write ? l->last == RTM_UNKNOWN && !rtm_opt.coherence : l->last < 0);
}

/* The words of a line that an access touches. */
INLINE UInt
words_at(Addr a, SizeT n)
{
    const UInt from = a % RTM_LINE / 8, to = (a + n - 1) % RTM_LINE / 8;

    return n > 8 ? (2u << to) - (1u << from) : 1u << from | 1u << to;
}

/* n bytes in one line. Most accesses change nothing in the tables. */
INLINE void
access_line(Addr a, SizeT n, Bool write, Long rest)
{
    struct rtm_tx *tx = &rtm_cur->tx;

    if (tx->state == RTM_TX_NONE) {
        struct rtm_line *l = rtm_find_line(rtm_line_at(a));
        if (UNLIKELY_(!is_free(l, write))) {
            plain_access(l, (struct rtm_access){a, words_at(a, n), write}, rest);
        }
        return;
    }
    const struct rtm_access x = {a, words_at(a, n), write};
    if (is_known(seen_at(tx, a), tx, x)) {
        return;
    }
    if (write) {
        tx_store(tx, a, x.words, rest);
    }
    else {
        tx_load(tx, a, x.words, rest);
    }
}

static __attribute__((noinline)) void
access_range(Addr a, SizeT n, Bool write)
{
    const Addr end = a + n;

    while (a < end) {
        const Addr line_end = rtm_line_at(a) + RTM_LINE;
        access_line(a, (end < line_end ? end : line_end) - a, write, -1);
        a = line_end;
    }
}

INLINE void
access_few(Addr a, SizeT n, Bool write, Long rest)
{
    if (UNLIKELY_(a % RTM_LINE > RTM_LINE - n)) {
        access_range(a, n, write);
    }
    else {
        access_line(a, n, write, rest);
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
VG_REGPARM(3) void rtm_atomic_n(Addr a, SizeT n, Long rest)
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
    access_few(a, n, True, rest);
}

#define RTM_DEFINE(n)                                   \
    VG_REGPARM(2) void rtm_load_##n(Addr a, Long rest)  \
    {                                                   \
        access_few(a, n, False, rest);                  \
    }                                                   \
    VG_REGPARM(2) void rtm_store_##n(Addr a, Long rest) \
    {                                                   \
        access_few(a, n, True, rest);                   \
    }
RTM_ACCESS_LIST(RTM_DEFINE)
