/* SPDX-License-Identifier: MIT
 *
 * How long a thread spins for the fallback lock before it sleeps, and how often it looks. Part of
 * lock.c.
 *
 * Each look that finds the word free takes the lock from a thread that runs well with it, and all
 * the data it guards moves to another cache. So a thread that wants the word looks at ever longer
 * intervals, and a lock remembers whether it was worth while to wait awake: its patience. Native,
 * two threads on two processors, sections that write 300, 1000, 3000, 10000 lines and nothing
 * outside, throughput beside glibc's mutex: 0.8, 0.7, 0.6, 0.6 without patience, 1.4, 1.3, 1.4,
 * 1.05 with it. Emulated, two threads by the lock alone: bank 17.3 to 20.2, map-write 16.3 to 19.9
 * million sections a second; on four the same within 3 %.
 */
#ifndef ELISION_FALLBACK_SPIN_H
#define ELISION_FALLBACK_SPIN_H

#include "fallback/lock.h"

/* A pause takes 40 to 140 cycles. Emulated, 2 to 16 threads on short sections: 14 to 62 differ by a
 * tenth, 6 lose a quarter where sections are long; so few, since a spinning CPU is taken from
 * somebody, and since the policy learns from what waiting costs. */
#define ELISION_FALLBACK_SPINS 14u

/* Where nothing is elided a waiter spins so many times as long, which is about what going to sleep
 * and being woken take. Native, two threads on two processors, throughput beside glibc's mutex
 * (bank, empty, think): 9 times 1.0, 1.1, 1.3; 18 times 1.7, 1.1, 1.3; 36 times 2.4, 1.1, 1.3, but
 * a fifth more CPU time where the holder sleeps. */
#define ELISION_FALLBACK_ALONE 18u

/* The most patience: eight times as long. Where nothing is elided that is about as long as a sleep
 * that counts as short, being woken included. */
#define ELISION_FALLBACK_PATIENCE 3u
#define ELISION_FALLBACK_SHORT_NS 100000u

/* The most pauses between two looks, so that a free lock does not lie idle for long. */
#define ELISION_FALLBACK_LOOK 128u

/* A watcher only wants to see the word free; it looks all the time, and for longer than a locker:
 * where sections speculate the lock is held rarely and briefly. */
#define ELISION_FALLBACK_WATCH 4u

/* A wait for the word is over, and was short or not. Races lose a step.
 * tx:    outside only, as all of this header */
static inline void
elision_fallback_learn_(struct elision_fallback *lock, bool was_short)
{
    uint32_t patience = atomic_load_explicit(&lock->patience, memory_order_relaxed);

    if (was_short ? patience < ELISION_FALLBACK_PATIENCE : patience > 0) {
        patience += was_short ? 1u : -1u;
        atomic_store_explicit(&lock->patience, patience, memory_order_relaxed);
    }
}

/* Look for the word to be free, or until told is not 0 (NULL: nobody tells): for so many pauses,
 * and after ever more of them, up to the longest step.
 * ret:   true if worth another try
 * order: none */
static inline bool
elision_fallback_look_(const struct elision_fallback *lock, const _Atomic uint32_t *told,
                       uint32_t pauses, uint32_t longest)
{
    for (uint32_t step = 1, done = 0; done < pauses;) {
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 ||
            (told != NULL && atomic_load_explicit(told, memory_order_relaxed) != 0)) {
            return true;
        }
        for (uint32_t i = 0; i < step; i++) {
            elision_park_pause_();
        }
        done += step;
        step = step < longest ? 2 * step : step;
    }
    return atomic_load_explicit(&lock->word, memory_order_relaxed) == 0;
}

/* Spin for the word to take it. Contract of elision_fallback_look_. */
static inline bool
elision_fallback_spin_(const struct elision_fallback *lock, const _Atomic uint32_t *told)
{
    uint32_t patience = atomic_load_explicit(&lock->patience, memory_order_relaxed);

    return elision_fallback_look_(lock, told, elision_fallback_spins_ << patience,
                                  ELISION_FALLBACK_LOOK);
}

/* Spin to see the word free, without meaning to take it. Contract of elision_fallback_look_. */
static inline bool
elision_fallback_spin_watching_(const struct elision_fallback *lock)
{
    return elision_fallback_look_(lock, NULL, ELISION_FALLBACK_WATCH * elision_fallback_spins_, 1);
}

#endif
