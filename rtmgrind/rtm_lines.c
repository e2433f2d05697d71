/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which transaction holds which cache line.  One entry per line that some live
 * transaction has read or written, or whose last atomic access is remembered
 * for the cost of moving it; a hash table with chains.
 *
 * Conflicts are eager and the requester wins, at the granularity of a line, as
 * on the processors with TSX (SDM vol. 1, 16.3.3 and 16.3.7): a read conflicts with another
 * transaction's write, a write with another's read or write, and it does not
 * matter whether the requester is in a transaction.
 */

#include "rtm_priv.h"

struct rtm_line {
    struct rtm_line *next;
    Addr addr;
    ULong readers; /* bit per core */
    Int writer;    /* core, or -1 */
    Int last;      /* core that owned the line last, or -1 */
};

enum { BUCKET_BITS = 16, BUCKETS = 1 << BUCKET_BITS };

static struct rtm_line *buckets[BUCKETS];
static struct rtm_line *free_lines;
static ULong n_lines;

Addr
rtm_line_addr(const struct rtm_line *l)
{
    return l->addr;
}

ULong
rtm_lines_live(void)
{
    return n_lines;
}

static inline UInt
hash(Addr line)
{
    return (UInt)((line >> 6) * 0x9E3779B97F4A7C15ULL >> (64 - BUCKET_BITS));
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
    l->last = -1;
    l->next = buckets[h];
    buckets[h] = l;
    n_lines++;
    return l;
}

static void
drop_if_unused(struct rtm_line *l)
{
    struct rtm_line **link;

    if (l->readers || l->writer >= 0 || l->last >= 0) {
        return;
    }
    link = &buckets[hash(l->addr)];
    while (*link != l) {
        link = &(*link)->next;
    }
    *link = l->next;
    l->next = free_lines;
    free_lines = l;
    n_lines--;
}

void
rtm_lines_trim(void)
{
    enum { MOST = 1 << 17 };
    Int i;

    if (n_lines < MOST) {
        return;
    }
    for (i = 0; i < BUCKETS; i++) {
        struct rtm_line *l = buckets[i], *next;
        for (; l; l = next) {
            next = l->next;
            l->last = -1;
            drop_if_unused(l);
        }
    }
}

void
rtm_lines_release(struct rtm_tx *tx)
{
    Int i;

    for (i = 0; i < tx->n_touch; i++) {
        struct rtm_line *l = tx->touch[i].line;
        l->readers &= ~(1ULL << tx->core);
        if (l->writer == tx->core) {
            l->writer = -1;
        }
        drop_if_unused(l);
    }
}

/* ------------------------------------------------------------------ */

/* Index of l in the transaction's sets, or -1. */
static Int
touch_of(const struct rtm_tx *tx, const struct rtm_line *l)
{
    const UInt slot = (l->addr >> 6) % RTM_FILTER;
    Int i;

    if (tx->filter_gen[slot] == tx->gen && (tx->filter[slot] & ~1UL) == l->addr) {
        return tx->filter_at[slot];
    }
    for (i = tx->n_touch - 1; i >= 0; i--) {
        if (tx->touch[i].line == l) {
            return i;
        }
    }
    return -1;
}

/* Abort the transaction on `core`, which lost line l to an access to a. */
static void
lose(Int core, const struct rtm_line *l, Addr a, Bool write)
{
    struct rtm_thread *victim = rtm_on_core[core];

    tl_assert(victim && victim != rtm_cur);
    tl_assert(victim->tx.state == RTM_TX_LIVE);
    {
        const Int i = touch_of(&victim->tx, l);
        rtm_count_conflict(victim, i < 0 ? NULL : &victim->tx.touch[i], a, write);
    }
    rtm_tx_abort_parked(victim, RTM_CONFLICT | RTM_RETRY, RTM_C_CONFLICT, NULL);
}

/* Take l for an access by core `me` (-1: the kernel): whoever holds it in a
 * way that conflicts aborts.  l itself may be freed by that. */
static void
take(struct rtm_line *l, Int me, Addr a, Bool write)
{
    const Addr line = l->addr;
    ULong readers;

    if (l->writer >= 0 && l->writer != me) {
        lose(l->writer, l, a, write);
        l = find(line);
    }
    if (!write || !l) {
        return;
    }
    readers = l->readers & ~(me >= 0 ? 1ULL << me : 0ULL);
    while (readers) {
        const Int core = __builtin_ctzll(readers);
        readers &= readers - 1;
        lose(core, l, a, write);
        l = find(line);
        if (!l) {
            return;
        }
    }
}

/* Charge for moving the line here from the core that had it last. */
static void
transfer(struct rtm_line *l, Int me)
{
    if (l->last >= 0 && l->last != me) {
        rtm_clock_add(rtm_opt.cost_line);
    }
    l->last = me;
}

static void
check_capacity(struct rtm_tx *tx, Addr line, Bool write)
{
    if (write) {
        const Int set = (line >> 6) & (rtm_opt.sets - 1);
        if (++tx->set_count[set] > rtm_opt.ways / rtm_opt.smt) {
            rtm_tx_doom(RTM_CAPACITY, RTM_C_CAPACITY_WRITE, NULL);
        }
    } else if (tx->n_read > rtm_opt.read_lines / rtm_opt.smt) {
        rtm_tx_doom(RTM_CAPACITY, RTM_C_CAPACITY_READ, NULL);
    }
}

static Int
new_touch(struct rtm_tx *tx, struct rtm_line *l, Addr a)
{
    struct rtm_touch *t;

    if (tx->n_touch == tx->cap_touch) {
        tx->cap_touch = tx->cap_touch ? 2 * tx->cap_touch : 64;
        tx->touch = VG_(realloc)("rtm.touch", tx->touch,
                                 tx->cap_touch * sizeof *tx->touch);
    }
    t = &tx->touch[tx->n_touch++];
    t->line = l;
    t->pc = VG_(get_IP)(rtm_cur->tid);
    t->offset = a > l->addr ? a - l->addr : 0;
    t->read = t->write = False;
    return tx->n_touch - 1;
}

/* First access of the transaction to this line, or first write to it; the
 * index of the line in the sets. */
static Int
tx_touch(struct rtm_tx *tx, Addr line, Addr a, Bool write)
{
    const Int me = tx->core;
    struct rtm_line *l;
    struct rtm_touch *t;
    UChar old[RTM_LINE];
    Int i;

    l = find_or_add(line);
    take(l, me, a, write);
    l = find_or_add(line);
    if (write) {
        /* After take(), which may have put the old contents back. May fault
           (the page may be missing): nothing depends on it yet. */
        VG_(memcpy)(old, (const void *)line, RTM_LINE);
    }
    i = touch_of(tx, l);
    if (i < 0) {
        i = new_touch(tx, l, a);
    }
    t = &tx->touch[i];
    if (rtm_opt.cost_line) {
        transfer(l, me);
    }
    if (write && !t->write) {
        t->write = True;
        VG_(memcpy)(t->old, old, RTM_LINE);
        l->writer = me;
        tx->n_write++;
        check_capacity(tx, line, True);
    } else if (!write && !t->read) {
        t->read = True;
        l->readers |= 1ULL << me;
        tx->n_read++;
        check_capacity(tx, line, False);
    }
    return i;
}

static void
tx_access(struct rtm_tx *tx, Addr line, Addr a, Bool write)
{
    const UInt slot = (line >> 6) % RTM_FILTER;

    if (tx->filter_gen[slot] == tx->gen
        && (tx->filter[slot] == (line | 1)
            || (!write && tx->filter[slot] == line))) {
        return;
    }
    if (tx->suspended && !write) {
        /* XSUSLDTRK: the load is not tracked, yet it must not see another
           transaction's uncommitted store. */
        struct rtm_line *l = find(line);
        if (l && l->writer != tx->core) {
            take(l, tx->core, a, False);
        }
        return;
    }
    tx->filter_at[slot] = tx_touch(tx, line, a, write);
    tx->filter_gen[slot] = tx->gen;
    tx->filter[slot] = line | (write ? 1 : 0);
}

static void
plain_access(Addr line, Addr a, Bool write)
{
    struct rtm_line *l = find(line);
    const Int me = rtm_cur->core;

    if (l) {
        if (l->writer >= 0 || (write && l->readers)) {
            take(l, me, a, write);
            l = find(line);
        }
        if (l && l->last >= 0 && (write || l->writer >= 0)) {
            transfer(l, me);
        }
    } else if (rtm_opt.coherence && write) {
        find_or_add(line)->last = me;
    }
}

static inline void
access_range(Addr a, SizeT n, Bool write)
{
    struct rtm_tx *tx = &rtm_cur->tx;
    Addr line = VG_ROUNDDN(a, RTM_LINE);
    const Addr last = VG_ROUNDDN(a + n - 1, RTM_LINE);

    if (n == 0) {
        return;
    }
    for (;; line += RTM_LINE) {
        if (tx->state != RTM_TX_NONE) {
            tx_access(tx, line, a, write);
        } else {
            plain_access(line, a, write);
        }
        if (line == last) {
            break;
        }
    }
}

VG_REGPARM(2) void
rtm_load_n(Addr a, SizeT n)
{
    access_range(a, n, False);
}

VG_REGPARM(2) void
rtm_store_n(Addr a, SizeT n)
{
    access_range(a, n, True);
}

/* A locked instruction takes its line for itself even when it stores nothing;
 * called whether or not a transaction is live, so that lines that cores fight
 * over cost what they cost. */
VG_REGPARM(2) void
rtm_atomic_n(Addr a, SizeT n)
{
    const Addr line = VG_ROUNDDN(a, RTM_LINE);

    if (!rtm_cur) {
        return;
    }
    if (rtm_cur->tx.state == RTM_TX_NONE && rtm_opt.cost_line) {
        /* remembered only for lines that two cores use */
        if (rtm_sched_threads_live() > 1) {
            find_or_add(line);
            access_range(a, n, True);
            transfer(find_or_add(line), rtm_cur->core);
            return;
        }
    }
    access_range(a, n, True);
}

#define RTM_DEFINE(n)                                                         \
    VG_REGPARM(1) void rtm_load_##n(Addr a) { access_range(a, n, False); }    \
    VG_REGPARM(1) void rtm_store_##n(Addr a) { access_range(a, n, True); }
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
            take(l, -1, a, write);
        }
    }
}
