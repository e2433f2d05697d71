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

#include "rtm_lines.h"

struct rtm_line *rtm_buckets[RTM_BUCKETS];
ULong rtm_n_lines, rtm_last_met;
static struct rtm_line *free_lines;

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

struct rtm_line *
rtm_find_or_add_line(Addr line)
{
    struct rtm_line *l = rtm_find_line(line), **bucket;

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
    l->last = RTM_UNKNOWN;
    l->arrives = 0;
    bucket = rtm_bucket(line);
    l->next = *bucket;
    *bucket = l;
    rtm_n_lines++;
    return l;
}

/* Takes idle lines out of the table. */
static void
drop_idle(void)
{
    Int i;

    for (i = 0; i < RTM_BUCKETS; i++) {
        struct rtm_line **link = &rtm_buckets[i], *l;
        while ((l = *link) != NULL) {
            if (!rtm_is_idle(l)) {
                link = &l->next;
                continue;
            }
            *link = l->next;
            l->addr = 1; /* no line, for who remembers where it was: line_of() */
            l->next = free_lines;
            free_lines = l;
            rtm_n_lines--;
        }
    }
}

void
rtm_lines_trim(void)
{
    Int i;

    drop_idle();
    if (rtm_n_lines < RTM_MOST_LINES / 2) {
        return;
    }
    for (i = 0; i < RTM_BUCKETS; i++) {
        struct rtm_line *l;
        for (l = rtm_buckets[i]; l; l = l->next) {
            l->last = RTM_UNKNOWN;
        }
    }
    drop_idle();
}

/* The transaction ends. Its lines stay in the table: it, or one like it, comes back to them. */
void
rtm_lines_release(struct rtm_tx *tx)
{
    Int i;

    for (i = 0; i < tx->n_touch; i++) {
        const struct rtm_touch *t = &tx->touch[i];
        struct rtm_line *l = t->line;
        l->readers &= ~(1ULL << tx->core);
        if (t->write) {
            l->writer = -1;
            *rtm_set_count(tx, t->addr) = 0;
        }
        if (l->last == RTM_SHARED && !l->readers && l->writer < 0) {
            l->last = RTM_UNKNOWN;
        }
    }
    tx->n_touch = tx->n_read = tx->n_write = 0;
}

/* ------------------------------------------------------------------ */

/* Average cycles between two transfers, weighted towards the latest: how often
 * threads meet where there are no transactions. */
static ULong gap_avg = 1000, last_transfer;

void
rtm_charge_transfer(ULong cycles)
{
    const ULong now = rtm_clock();
    const ULong gap = now > last_transfer ? now - last_transfer : 0;

    gap_avg += ((Long)(gap < 100000 ? gap : 100000) - (Long)gap_avg) / 16;
    last_transfer = rtm_last_met = now;
    rtm_clock_add(cycles);
}

ULong
rtm_transfer_gap(ULong now)
{
    const ULong gap = now > last_transfer ? now - last_transfer : 0;

    return gap > gap_avg ? gap : gap_avg;
}

static const struct rtm_touch *
touch_at(struct rtm_tx *tx, Addr line)
{
    const Int i = rtm_touch_of(tx, line);

    return i < 0 ? NULL : &tx->touch[i];
}

/* Abort the transaction on `core`, which lost the line to another access. */
static void
lose(Int core, const struct rtm_access x)
{
    struct rtm_thread *victim = rtm_on_core[core];

    tl_assert(victim && victim != rtm_cur);
    rtm_count_conflict(victim, touch_at(&victim->tx, rtm_line_at(x.at)), x.at, x.words, x.write);
    rtm_last_met = rtm_clock();
    rtm_tx_abort_parked(victim, RTM_CONFLICT | RTM_RETRY, RTM_C_CONFLICT, NULL);
}

void
rtm_take(const struct rtm_line *l, Int me, struct rtm_access x)
{
    ULong readers;

    if (l->writer >= 0 && l->writer != me) {
        lose(l->writer, x);
    }
    if (!x.write) {
        return;
    }
    readers = l->readers & ~(me >= 0 ? 1ULL << me : 0ULL);
    for (; readers; readers &= readers - 1) {
        lose(__builtin_ctzll(readers), x);
    }
}
