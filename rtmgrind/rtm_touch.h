/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a transaction has touched: its read and write set, line by line.
 */

#ifndef RTM_TOUCH_H
#define RTM_TOUCH_H

#include "rtm_priv.h"

void rtm_new_generation(struct rtm_tx *tx); /* of what is known; at its begin */
void rtm_grow_touch(struct rtm_tx *tx);
Int rtm_touch_of(struct rtm_tx *tx, Addr line); /* its place in tx->touch, or -1 */

static inline Int
rtm_new_touch(struct rtm_tx *tx, struct rtm_line *l, Addr line)
{
    struct rtm_touch *t;

    if (tx->n_touch == tx->cap_touch) {
        rtm_grow_touch(tx);
    }
    t = &tx->touch[tx->n_touch++];
    t->line = l;
    t->addr = line;
    t->words = 0;
    t->read = t->write = False;
    return tx->n_touch - 1;
}

static inline void
rtm_note_words(struct rtm_touch *t, UInt words)
{
    UInt fresh = words & ~t->words;
    const Addr pc = rtm_cur->gs->guest_RIP;

    t->words |= words;
    for (; fresh; fresh &= fresh - 1) {
        t->pc[__builtin_ctz(fresh)] = pc;
    }
}

static inline UShort *
rtm_set_count(struct rtm_tx *tx, Addr line)
{
    return &tx->set_count[line / RTM_LINE & (rtm_opt.sets - 1)];
}

/* One more line, just counted in n_read: dooms the transaction when that is too much. */
static inline void
rtm_check_reads(const struct rtm_tx *tx)
{
    if (tx->n_read > rtm_opt.read_lines) {
        rtm_tx_doom(RTM_CAPACITY, RTM_C_CAPACITY_READ, NULL);
    }
}

/* The same for a line written, by its set. */
static inline void
rtm_check_writes(struct rtm_tx *tx, Addr line)
{
    if (++*rtm_set_count(tx, line) > rtm_opt.ways) {
        rtm_tx_doom(RTM_CAPACITY, RTM_C_CAPACITY_WRITE, NULL);
    }
}

#endif
