/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a transaction has touched: its read and write set, line by line.
 */

#include "rtm_lines.h"

static UInt
spread(Addr line)
{
    return (UInt)((line >> 6) * 0x9E3779B97F4A7C15ULL >> 32);
}

static void
index_touch(struct rtm_tx *tx, Int i)
{
    const UInt mask = 2 * (UInt)tx->cap_touch - 1;
    UInt h = spread(tx->touch[i].addr) & mask;

    while (tx->index[h] >> 32 == tx->gen) {
        h = (h + 1) & mask;
    }
    tx->index[h] = (ULong)tx->gen << 32 | (UInt)i;
}

/* The index is made when somebody looks for a line that another has taken the place of in `seen`:
 * most transactions end without. */
Int
rtm_touch_of(struct rtm_tx *tx, Addr line)
{
    const struct rtm_seen *s = &tx->seen[line / RTM_LINE % RTM_SEEN];
    const UInt mask = 2 * (UInt)tx->cap_touch - 1;
    UInt h;

    if (tx->n_touch == 0) {
        return -1;
    }
    if (s->gen == tx->gen && s->line->addr == line) {
        return s->touch;
    }
    for (; tx->n_indexed < tx->n_touch; tx->n_indexed++) {
        index_touch(tx, tx->n_indexed);
    }
    for (h = spread(line) & mask; tx->index[h] >> 32 == tx->gen; h = (h + 1) & mask) {
        const Int i = (Int)(UInt)tx->index[h];
        if (tx->touch[i].addr == line) {
            return i;
        }
    }
    return -1;
}

void
rtm_grow_touch(struct rtm_tx *tx)
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
rtm_new_generation(struct rtm_tx *tx)
{
    tx->n_indexed = 0;
    if (++tx->gen == 0) { /* what is marked with the first ones would count again */
        VG_(memset)(tx->seen, 0, sizeof tx->seen);
        VG_(memset)(tx->index, 0, 2 * tx->cap_touch * sizeof *tx->index);
        tx->gen = 1;
    }
}
