/* SPDX-License-Identifier: MIT
 *
 * Is it worth it at all? A transaction that commits may still cost more than the lock would have,
 * and no thread can tell from its own aborts: a thread that takes the lock gains at the expense of
 * the others. So for each site that has trouble, all threads together try one way for a while, then
 * the other, and keep the one by which more sections were done, judged by the counts of all.
 *
 *     SPECULATING --due, enough aborts--> TRY_LOCK ---> LOCKED, or back: the better rate
 *     LOCKED      --due-----------------> TRY_SPECULATION ---> SPECULATING, or back
 *
 * A choice that is confirmed lasts twice as long as before, up to a limit; so trials of the worse
 * way cost little, and a change of phase in the program is noticed all the same.
 */
#ifndef ELISION_ARBITER_H
#define ELISION_ARBITER_H

#include <stdbool.h>
#include <stdint.h>

enum elision_arbiter_phase {
    ELISION_ARBITER_SPECULATING = 0,
    ELISION_ARBITER_LOCKED = 1,
    ELISION_ARBITER_TRY_LOCK = 2,
    ELISION_ARBITER_TRY_SPECULATION = 3,
};

/* All zeros is a site never judged. */
struct elision_arbiter {
    enum elision_arbiter_phase phase;
    bool warm;         /* threads have had time to follow the phase: the count is on */
    uint32_t doubling; /* how often the choice was confirmed */
    uint64_t due;      /* cycles; the next step */
    uint64_t began;    /* cycles; of the count */
    uint64_t sections; /* at began */
    uint64_t aborts;   /* at began */
    uint64_t rate[2];  /* sections in 2^20 cycles: speculating, locked */
};

/* One step; pure. Call it when now >= due. sections and aborts are sums over all threads so far.
 * ret:   true if sections should take the lock from now on */
bool elision_arbiter_step_(struct elision_arbiter *arbiter, uint64_t now, uint64_t sections,
                           uint64_t aborts);

/* The site's arbiter is asked what to do, and moved on if it is time and no other thread does so.
 * ret:   true if sections of the site should take the lock
 * tx:    outside only */
bool elision_arbiter_prefers_lock_(uint32_t index, uint64_t now);

/* ret:   what it prefers, without moving it on */
bool elision_arbiter_locked_(uint32_t index);

#endif
