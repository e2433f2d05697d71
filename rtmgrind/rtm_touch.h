/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a transaction has touched: its read and write set, line by line.
 */

#ifndef RTM_TOUCH_H
#define RTM_TOUCH_H

#include "rtm_priv.h"

/* Copy n bytes, a multiple of 16: the core's memcpy goes a word at a time. */
typedef ULong rtm_pair __attribute__((vector_size(16), aligned(1), may_alias));
static inline __attribute__((always_inline)) void
rtm_copy(void *to, const void *from, SizeT n)
{
    rtm_pair *t = to;
    const rtm_pair *f = from;
    SizeT i;

#pragma GCC unroll 16
    for (i = 0; i < n / sizeof *t; i++) {
        t[i] = f[i];
    }
}

static inline Bool
rtm_lines_differ(const void *a, const void *b)
{
    const rtm_pair *x = a, *y = b;
    const rtm_pair d = (x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]);

    return (d[0] | d[1]) != 0;
}

void rtm_new_generation(struct rtm_tx *tx); /* of what is known; at its begin */
void rtm_grow_touch(struct rtm_tx *tx);

/* Lines written to in the set of this one. */
static inline UShort *
rtm_set_count(struct rtm_tx *tx, Addr line)
{
    return &tx->set_count[line / RTM_LINE & (rtm_opt.sets - 1)];
}

Int rtm_touch_of(struct rtm_tx *tx, Addr line); /* its place in tx->touch, or -1 */

/* The running thread's access is the first one to these words. */
static inline void
rtm_note_words(struct rtm_touch *t, UInt fresh)
{
    const Addr pc = rtm_cur->gs->guest_RIP;

    do {
        t->pc[__builtin_ctz(fresh)] = pc;
        fresh &= fresh - 1;
    } while (fresh);
}

#endif
