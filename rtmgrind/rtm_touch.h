/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a transaction has touched: its read and write set, line by line.
 */

#ifndef RTM_TOUCH_H
#define RTM_TOUCH_H

#include "rtm_priv.h"

void rtm_new_generation(struct rtm_tx *tx); /* of what is known; at its begin */
void rtm_grow_touch(struct rtm_tx *tx);

/* Lines written to in the set of this one. */
static inline UShort *
rtm_set_count(struct rtm_tx *tx, Addr line)
{
    return &tx->set_count[line / RTM_LINE & (rtm_opt.sets - 1)];
}

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

#endif
