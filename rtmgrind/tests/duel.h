/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A victim that holds a line of `lines` in its transaction, and a peer that touches it.
 */

#ifndef RTMGRIND_TESTS_DUEL_H
#define RTMGRIND_TESTS_DUEL_H

#include "rtmgrind/tests/litmus.h"

/* Neighbours on both sides, and room for FXSAVE. */
static _Alignas(4096) struct line lines[12];

#define AT ((volatile char *)&lines[1])

static inline void
read_word(void *p)
{
    (void)*(volatile uint64_t *)p;
}

static inline void
write_word(void *p)
{
    *(volatile uint64_t *)p = 77;
}

static inline void
nothing(void *p)
{
    (void)p;
}

#endif
