/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a transaction has touched: its read and write set, line by line.
 */

#include "rtm_priv.h"

static void
index_touch(struct rtm_tx *tx, Int i)
{
    const UInt mask = 2 * (UInt)tx->cap_touch - 1;
    UInt h = rtm_spread(tx->touch[i].addr) & mask;

    while (tx->index[h] >> 32 == tx->gen) {
        h = (h + 1) & mask;
    }
    tx->index[h] = (ULong)tx->gen << 32 | (UInt)i;
}

/* The index is made when somebody looks: most transactions end without. */
Int
rtm_touch_of(struct rtm_tx *tx, Addr line)
{
    const UInt mask = 2 * (UInt)tx->cap_touch - 1;
    UInt h;

    if (tx->n_touch == 0) {
        return -1;
    }
    for (; tx->n_indexed < tx->n_touch; tx->n_indexed++) {
        index_touch(tx, tx->n_indexed);
    }
    for (h = rtm_spread(line) & mask; tx->index[h] >> 32 == tx->gen; h = (h + 1) & mask) {
        const Int i = (Int)(UInt)tx->index[h];
        if (tx->touch[i].addr == line) {
            return i;
        }
    }
    return -1;
}

static void
grow(struct rtm_tx *tx)
{
    SizeT bytes;

    tx->cap_touch = tx->cap_touch ? 2 * tx->cap_touch : 64;
    tx->touch = VG_(realloc)("rtm.touch", tx->touch, tx->cap_touch * sizeof *tx->touch);
    bytes = 2 * tx->cap_touch * sizeof *tx->index;
    tx->index = VG_(realloc)("rtm.index", tx->index, bytes);
    VG_(memset)(tx->index, 0, bytes); /* generation 0 is none */
    tx->n_indexed = 0;
}

void
rtm_begin_touch(struct rtm_tx *tx)
{
    tx->gen++;
    tx->n_touch = tx->n_indexed = tx->n_read = tx->n_write = 0;
}

static Int
set_of(Addr line)
{
    return line / RTM_LINE & (rtm_opt.sets - 1);
}

void
rtm_end_touch(struct rtm_tx *tx)
{
    Int i;

    for (i = 0; i < tx->n_touch; i++) {
        tx->set_count[set_of(tx->touch[i].addr)] = 0;
    }
    tx->n_touch = tx->n_read = tx->n_write = 0;
}

void
rtm_check_capacity(struct rtm_tx *tx, Addr line, Bool write)
{
    if (write) {
        if (++tx->set_count[set_of(line)] > rtm_opt.ways / rtm_opt.smt) {
            rtm_tx_doom(RTM_CAPACITY, RTM_C_CAPACITY_WRITE, NULL);
        }
    }
    else if (tx->n_read > rtm_opt.read_lines / rtm_opt.smt) {
        rtm_tx_doom(RTM_CAPACITY, RTM_C_CAPACITY_READ, NULL);
    }
}

Int
rtm_new_touch(struct rtm_tx *tx, struct rtm_line *l, Addr line)
{
    struct rtm_touch *t;

    if (tx->n_touch == tx->cap_touch) {
        grow(tx);
    }
    t = &tx->touch[tx->n_touch++];
    t->line = l;
    t->addr = line;
    t->words = 0;
    t->read = t->write = False;
    return tx->n_touch - 1;
}

void
rtm_note_words(struct rtm_touch *t, UChar words)
{
    UChar fresh = words & ~t->words;
    const Addr pc = rtm_cur->gs->guest_RIP;

    t->words |= words;
    for (; fresh; fresh &= fresh - 1) {
        t->pc[__builtin_ctz(fresh)] = pc;
    }
}
