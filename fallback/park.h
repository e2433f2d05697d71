/* SPDX-License-Identifier: MIT
 *
 * Sleeping and waking on a 32-bit word (futex), and a pair of fences of unequal weight.
 *
 * The unequal fences serve a release path that is far hotter than the waiting path. Both sides of
 * Dekker's pattern (store mine, then load yours) need a full fence between store and load. Here
 * the releasing side pays a compiler barrier only, and the waiting side, which is about to sleep
 * anyway, makes the kernel run a full fence on every CPU that runs this process (membarrier).
 */
#ifndef ELISION_FALLBACK_PARK_H
#define ELISION_FALLBACK_PARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Set once at load, before threads: true if membarrier works here, so that the light fence may be
 * a compiler barrier. False is always correct. */
extern bool elision_park_asymmetric_;

/* Ask the kernel for membarrier. Called at load and in a forked child; idempotent. */
void elision_park_init_(void);

/* Sleep while *word == expected, at most timeout_ns nanoseconds (0: no limit). May return early.
 * tx:    outside only   errno: kept */
void elision_park_wait_(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);

/* Wake one thread that sleeps on word. The word may be gone already: then this wakes nobody, or
 * causes a spurious wake-up, which every sleeper here allows for.
 * tx:    outside only   errno: kept */
void elision_park_wake_(_Atomic uint32_t *word);

/* [P.H] The heavy half: every store before it is seen by every load after a light fence [P.L] that
 * has not run yet, on any thread, and the reverse.
 * ret:   false if the kernel refused (a seccomp filter installed after load): the caller must then
 *        not sleep without a timeout
 * tx:    outside only   errno: kept */
bool elision_park_fence_heavy_(void);

/* [P.L] The light half; pairs with [P.H]. Without it a waiter could find the lock held while the
 * releasing thread finds no waiter: a lost wake-up. */
static inline void
elision_park_fence_light_(void)
{
    if (__builtin_expect(elision_park_asymmetric_, 1)) {
        atomic_signal_fence(memory_order_seq_cst);
    }
    else {
        atomic_thread_fence(memory_order_seq_cst);
    }
}

/* Tell the CPU this is a spin loop. */
static inline void
elision_park_pause_(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

#endif
