/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which transaction holds which cache line.  One entry per line that some live
 * transaction reads or writes, or did, or whose last atomic access is remembered
 * for the cost of moving it; a hash table with chains.
 *
 * Conflicts are eager and the requester wins, at the granularity of a line, as
 * on the processors with TSX (SDM vol. 1, 16.3.3 and 16.3.7): a read conflicts with another
 * transaction's write, a write with another's read or write, and it does not
 * matter whether the requester is in a transaction.
 */

#include "rtm_touch.h"

struct rtm_line {
    struct rtm_line *next;
    Addr addr;
    ULong readers; /* bit per core */
    Int writer;    /* core, or -1 */
    Int last;      /* core that has it to itself, or: */
};
enum { UNKNOWN = -1, SHARED = -2 };

enum { BUCKET_BITS = 16, BUCKETS = 1 << BUCKET_BITS };

static struct rtm_line *buckets[BUCKETS];
static struct rtm_line *free_lines;
static ULong n_lines;

static inline UInt
hash(Addr line)
{
    return rtm_spread(line) >> (32 - BUCKET_BITS);
}

static inline struct rtm_line *
find(Addr line)
{
    struct rtm_line *l = buckets[hash(line)];

    while (l && l->addr != line) {
        l = l->next;
    }
    return l;
}

static struct rtm_line *
new_lines(void)
{
    enum { BATCH = 1024 };
    struct rtm_line *batch = VG_(malloc)("rtm.lines", BATCH * sizeof *batch);
    Int i;

    for (i = 0; i < BATCH - 1; i++) {
        batch[i].next = &batch[i + 1];
    }
    batch[BATCH - 1].next = NULL;
    return batch;
}

static struct rtm_line *
find_or_add(Addr line)
{
    struct rtm_line *l = find(line);
    const UInt h = hash(line);

    if (l) {
        return l;
    }
    if (!free_lines) {
        free_lines = new_lines();
    }
    l = free_lines;
    free_lines = l->next;
    l->addr = line;
    l->readers = 0;
    l->writer = -1;
    l->last = UNKNOWN;
    l->next = buckets[h];
    buckets[h] = l;
    n_lines++;
    return l;
}

/* Is it in the table only because somebody used it once? */
static inline Bool
is_idle(const struct rtm_line *l)
{
    return !l->readers && l->writer < 0 && l->last == UNKNOWN;
}

/* Takes idle lines out of the table. */
static void
drop_idle(void)
{
    Int i;

    for (i = 0; i < BUCKETS; i++) {
        struct rtm_line **link = &buckets[i], *l;
        while ((l = *link) != NULL) {
            if (!is_idle(l)) {
                link = &l->next;
                continue;
            }
            *link = l->next;
            l->addr = 1; /* no line, for who remembers where it was: line_of() */
            l->next = free_lines;
            free_lines = l;
            n_lines--;
        }
    }
}

void
rtm_lines_trim(void)
{
    enum { MOST = 1 << 17 };
    Int i;

    if (n_lines < MOST) {
        return;
    }
    drop_idle();
    if (n_lines < MOST / 2) {
        return;
    }
    for (i = 0; i < BUCKETS; i++) {
        struct rtm_line *l;
        for (l = buckets[i]; l; l = l->next) {
            l->last = UNKNOWN;
        }
    }
    drop_idle();
}

/* The transaction ends. Its lines stay in the table: it, or one like it, comes back to them. */
void
rtm_lines_release(const struct rtm_tx *tx)
{
    Int i;

    for (i = 0; i < tx->n_touch; i++) {
        const struct rtm_touch *t = &tx->touch[i];
        struct rtm_line *l = t->line;
        l->readers &= ~(1ULL << tx->core);
        if (t->write) {
            l->writer = -1;
        }
        if (l->last == SHARED && !l->readers && l->writer < 0) {
            l->last = UNKNOWN;
        }
    }
}

/* ------------------------------------------------------------------ */

/* An access as the tables see it: part of one line. */
struct access {
    Addr line, at; /* line's address; first byte accessed in it */
    UChar words;   /* bit per 8-byte word of the line */
    Bool write;
};

static inline struct access
part_of(Addr line, Addr a, SizeT n, Bool write)
{
    const Addr from = a > line ? a - line : 0;
    const Addr to = a + n < line + RTM_LINE ? a + n - 1 - line : RTM_LINE - 1;
    const UInt words = (2u << to / 8) - (1u << from / 8);

    return (struct access){line, line + from, (UChar)words, write};
}

/* Average cycles between two transfers, weighted towards the latest: how often
 * threads meet where there are no transactions. */
static ULong gap_avg = 1000, last_transfer;
static ULong last_met; /* when a line was transferred, or a transaction lost one */

static void
note_transfer(ULong now)
{
    const ULong gap = now > last_transfer ? now - last_transfer : 0;

    gap_avg += ((Long)(gap < 100000 ? gap : 100000) - (Long)gap_avg) / 16;
    last_transfer = last_met = now;
}

ULong
rtm_transfer_gap(ULong now)
{
    const ULong gap = now > last_transfer ? now - last_transfer : 0;

    return gap > gap_avg ? gap : gap_avg;
}

/* Have threads used each other's lines lately? */
Bool
rtm_met_lately(ULong now)
{
    return now < last_met + 1000 * 1000;
}

/* Abort the transaction on `core`, which lost the line to another access. */
static void
lose(Int core, const struct access *x)
{
    struct rtm_thread *victim = rtm_on_core[core];

    tl_assert(victim && victim != rtm_cur);
    tl_assert(victim->tx.state == RTM_TX_LIVE);
    {
        const Int i = rtm_touch_of(&victim->tx, x->line);
        rtm_count_conflict(victim, i < 0 ? NULL : &victim->tx.touch[i], x->at, x->words, x->write);
    }
    last_met = rtm_clock();
    rtm_tx_abort_parked(victim, RTM_CONFLICT | RTM_RETRY, RTM_C_CONFLICT, NULL);
}

/* Take l for an access by core `me` (-1: the kernel): whoever holds it in a
 * way that conflicts aborts. */
static void
take(const struct rtm_line *l, Int me, const struct access *x)
{
    ULong readers;

    if (l->writer >= 0 && l->writer != me) {
        lose(l->writer, x);
    }
    if (!x->write) {
        return;
    }
    readers = l->readers & ~(me >= 0 ? 1ULL << me : 0ULL);
    for (; readers; readers &= readers - 1) {
        lose(__builtin_ctzll(readers), x);
    }
}

/* Charge for moving the line here from the core that wrote it last. A read
 * leaves it shared, and reading shared lines is free: what a core pays for the
 * first read of a line in its life is not modelled. */
static void
transfer(struct rtm_line *l, Int me, Bool write)
{
    if (l->last >= 0 && l->last != me) {
        note_transfer(rtm_clock());
        rtm_clock_add(rtm_opt.cost_line);
        l->last = SHARED;
    }
    if (write) {
        l->last = me;
    }
}

/* Does the access conflict with what other cores hold? */
static inline Bool
is_taken(const struct rtm_line *l, Int me, Bool write)
{
    return (l->writer >= 0 && l->writer != me) || (write && (l->readers & ~(1ULL << me)));
}

/* An access that is new to the transaction: first to the line l, first write, or first to a word.
 * i: the line's place in tx->touch, -1: not known. */
static Int
tx_touch(struct rtm_tx *tx, struct rtm_line *l, const struct access *x, Int i)
{
    const Int me = tx->core;
    struct rtm_touch *t;

    if (rtm_opt.page_faults && rtm_page_fault(x->line, x->write)) {
        rtm_tx_page_fault();
    }
    if (is_taken(l, me, x->write)) {
        take(l, me, x);
    }
    if (i < 0 && (l->writer == me || (l->readers & 1ULL << me))) {
        i = rtm_touch_of(tx, x->line);
    }
    if (i < 0) {
        i = rtm_new_touch(tx, l, x->line);
    }
    t = &tx->touch[i];
    if (x->write && !t->write) {
        /* After take(), which may have put the old contents back. May fault
           (the page may be missing): nothing depends on it yet. */
        rtm_copy(t->old, (const void *)x->line, RTM_LINE);
    }
    rtm_note_words(t, x->words);
    transfer(l, me, x->write);
    if (x->write && !t->write) {
        t->write = True;
        l->writer = me;
        rtm_count_write(tx, x->line);
    }
    else if (!x->write && !t->read) {
        t->read = True;
        l->readers |= 1ULL << me;
        rtm_count_read(tx);
    }
    return i;
}

static inline struct rtm_seen *
seen_slot(struct rtm_tx *tx, Addr line)
{
    return &tx->seen[line / RTM_LINE % RTM_SEEN];
}

/* The table's entry, which the slot remembers from this transaction or one before. */
static inline struct rtm_line *
line_of(const struct rtm_seen *s, Addr line)
{
    return s->line && s->line->addr == line ? s->line : find_or_add(line);
}

static inline Bool
is_seen(const struct rtm_seen *s, const struct rtm_tx *tx, Addr line)
{
    return s->gen == tx->gen && s->line->addr == line;
}

/* Nothing new: the transaction has accessed all of these words, and written to the line if this
 * is a write. */
static inline Bool
is_known(const struct rtm_seen *s, const struct rtm_tx *tx, Addr line, UInt words, Bool write)
{
    return is_seen(s, tx, line) && !(words & ~s->words) && (!write || s->written);
}

/* x is not known yet. */
static void
tx_access(struct rtm_tx *tx, const struct access *x)
{
    struct rtm_seen *s = seen_slot(tx, x->line);
    const Bool seen = is_seen(s, tx, x->line);
    struct rtm_line *l = line_of(s, x->line);

    if (tx->suspended && !x->write) {
        /* XSUSLDTRK: the load is not tracked, yet it must not see another
           transaction's uncommitted store. */
        if (l->writer != tx->core) {
            take(l, tx->core, x);
        }
        return;
    }
    s->touch = tx_touch(tx, l, x, seen ? s->touch : -1);
    s->words = x->words | (seen ? s->words : 0);
    s->written = x->write || (seen && s->written);
    s->line = l;
    s->gen = tx->gen;
}

/* l: the table's entry, or NULL */
static void
plain_access(struct rtm_line *l, const struct access *x)
{
    const Int me = rtm_cur->core;

    if (l && !is_idle(l)) {
        if (l->writer >= 0 || (x->write && l->readers)) {
            take(l, me, x);
        }
        if (!is_idle(l)) {
            transfer(l, me, x->write);
        }
    }
    else if (rtm_opt.coherence && x->write) {
        find_or_add(x->line)->last = me;
    }
}

static void
access_line(const struct access *x)
{
    struct rtm_tx *tx = &rtm_cur->tx;

    if (tx->state == RTM_TX_NONE) {
        plain_access(find(x->line), x);
    }
    else if (!is_known(seen_slot(tx, x->line), tx, x->line, x->words, x->write)) {
        tx_access(tx, x);
    }
}

static void
access_range(Addr a, SizeT n, Bool write)
{
    Addr line = VG_ROUNDDN(a, RTM_LINE);
    const Addr last = VG_ROUNDDN(a + n - 1, RTM_LINE);

    if (n == 0) {
        return;
    }
    for (;; line += RTM_LINE) {
        const struct access x = part_of(line, a, n, write);
        access_line(&x);
        if (line == last) {
            break;
        }
    }
}

/* Most accesses are within a line and change nothing in the tables. */
static inline void
access_few(Addr a, SizeT n, Bool write)
{
    struct rtm_tx *tx = &rtm_cur->tx;
    const UInt from = a % RTM_LINE, to = from + (UInt)n - 1;
    const Addr line = a - from;
    struct rtm_line *l;

    if (to >= RTM_LINE) {
        access_range(a, n, write);
    }
    else if (tx->state != RTM_TX_NONE) {
        const UInt words = (2u << to / 8) - (1u << from / 8);
        if (!is_known(seen_slot(tx, line), tx, line, words, write)) {
            const struct access x = {line, a, (UChar)words, write};
            tx_access(tx, &x);
        }
    }
    else if ((l = find(line)) != NULL || rtm_opt.coherence) {
        const struct access x = part_of(line, a, n, write);
        plain_access(l, &x);
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
    const Addr line = VG_ROUNDDN(a, RTM_LINE);

    if (!rtm_cur) {
        return;
    }
    if (rtm_cur->tx.state == RTM_TX_NONE && rtm_sched_threads_live() > 1) {
        struct rtm_line *l = find_or_add(line);
        if (is_idle(l)) {
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

void
rtm_kernel_access(Addr a, SizeT n, Bool write)
{
    Addr line = VG_ROUNDDN(a, RTM_LINE);
    const Addr end = a + n;

    if (rtm_live == 0 || n == 0) {
        return;
    }
    if (n > (1UL << 20)) { /* dearer to walk than to abort */
        rtm_tx_abort_all(RTM_C_CONFLICT, "large kernel access");
        return;
    }
    for (; line < end; line += RTM_LINE) {
        struct rtm_line *l = find(line);
        if (l) {
            /* the kernel works on behalf of the running thread, which has
               no transaction any more */
            const struct access x = part_of(line, a, n, write);
            take(l, -1, &x);
        }
    }
}
