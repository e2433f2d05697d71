/* SPDX-License-Identifier: MIT
 *
 * The real lock. Its word is alone on a cache line, because transactions subscribe to it; waiters
 * live on another line, so that waiting disturbs no transaction. Not recursive, not fair in the
 * strict sense, but of bounded unfairness; misuse is the caller's to diagnose (elision/elide.c).
 *
 * The word:
 *     0            free
 *     id (1..)     held by the thread with that id, or handed to it while it still sleeps
 *
 * Waiters are of two kinds in one first-in first-out queue: lockers want the word; watchers only
 * want to see it free, since they mean to speculate, and never write it. Releases look at one word,
 * attention, and do more than store a 0 only if it is set: when the head sleeps, or is awake and
 * has lost the lock to a barging thread.
 *
 * Such a release
 *     head is a watcher     wakes it and all watchers behind it up to the first locker
 *     head is a locker      wakes it, leaves the word free (a running thread may barge in) and
 *                           clears attention: nothing more to do until the head has run
 *     head has lost ELISION_PASSES times, or its switch interval is over
 *                           hand-over: the word goes from the old id to the head's, never free
 *
 * A head that was woken and lost sets attention again and spins a little before it sleeps: with
 * short sections the hand-over then costs no system call. A locker with k lockers ahead holds the
 * lock after at most (k + 1) * (ELISION_PASSES + 1) releases that found attention set.
 */
#ifndef ELISION_FALLBACK_LOCK_H
#define ELISION_FALLBACK_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fallback/park.h"

struct elision_fallback_waiter_;

/* may_alias: the public header declares the storage as plain words. */
struct __attribute__((may_alias)) elision_fallback {
    _Atomic uint32_t word; /* see above; read inside transactions */
    uint32_t line[15];
    _Atomic uint32_t attention;  /* 1: releases must look; may be stale-set, never stale-clear;
                                  * written under queue_lock */
    _Atomic uint32_t queue_lock; /* fork generation << 1 | taken */
    _Atomic uint32_t handover;   /* 1: head's switch interval is over; may be stale-set */
    uint32_t losses;             /* times the head was woken and lost; under queue_lock */
    struct elision_fallback_waiter_ *head; /* oldest waiter; under queue_lock */
    struct elision_fallback_waiter_ *tail; /* newest; under queue_lock; junk if head is NULL */
    _Atomic uint64_t interval;             /* ns; 0: none */
    _Atomic uint64_t parks;                /* sleeps */
    _Atomic uint64_t handovers;
    _Atomic uint32_t patience; /* of who spins for the word; a hint, see spin.h */
    uint32_t spare[17];
};

/* A lock as the embedder allocates it: the real one, and the auxiliary one that losers of conflicts
 * queue on before they speculate again. Transactions subscribe to the first only. */
struct __attribute__((may_alias)) elision_fallback_pair {
    struct elision_fallback real;
    struct elision_fallback auxiliary;
};

/* ret:   the auxiliary lock of lock, which is the real one of a pair */
static inline struct elision_fallback *
elision_fallback_aux_(struct elision_fallback *lock)
{
    return &((struct elision_fallback_pair *)lock)->auxiliary;
}

/* How often a woken head may lose. Each hand-over to a sleeper leaves the lock idle until it runs.
 * Native, two threads whose sections sleep 300 us, throughput beside glibc's mutex: 0 times 0.88, 4
 * times 0.95, 8 times 0.98, 16 and 32 times 0.99; with short sections, native and emulated, all the
 * same. nsync lets a waiter lose 30 times. */
#define ELISION_FALLBACK_PASSES 16u

/* Set once at load: how often a woken head may lose (0: strict hand-over), and how many pauses to
 * spin before sleeping (spin.h). */
extern uint32_t elision_fallback_passes_;
extern uint32_t elision_fallback_spins_;

/* What waiting took. */
struct elision_fallback_wait {
    uint32_t parks; /* times it slept */
    bool handed;    /* the lock was handed over */
    bool sent;      /* not acquired: sent away */
};

/* Slow halves; contracts with the inline functions below. */
struct elision_fallback_wait elision_fallback_acquire_slow_(struct elision_fallback *lock,
                                                            uint32_t id, bool may_be_sent);
void elision_fallback_release_slow_(struct elision_fallback *lock, bool released);

/* ret:   true if the word was free and is now id's
 * order: acquire on success [F.A], pairs with [F.R]; none on failure
 * tx:    outside only */
static inline bool
elision_fallback_try_(struct elision_fallback *lock, uint32_t id)
{
    uint32_t free_word = 0;

    return atomic_compare_exchange_strong_explicit(&lock->word, &free_word, id,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Acquire for thread id; spins briefly, then parks. id is not 0 and does not hold the lock.
 * order: acquire   tx: outside only */
static inline struct elision_fallback_wait
elision_fallback_acquire_(struct elision_fallback *lock, uint32_t id)
{
    if (__builtin_expect(elision_fallback_try_(lock, id), 1)) {
        return (struct elision_fallback_wait){.parks = 0};
    }
    return elision_fallback_acquire_slow_(lock, id, false);
}

/* Send all waiting lockers away that allowed it: they come back from acquiring without the lock.
 * For when they had better do something else now, all at once and not one after the other.
 * tx:    outside only */
void elision_fallback_send_away_(struct elision_fallback *lock);

/* Release. The calling thread holds the lock.
 * order: release [F.R], pairs with [F.A] and with the subscription in elision/elide.c [E.S].
 *        Without it the next holder could miss what this one wrote
 * tx:    outside only
 * The lock may be taken, released and its storage reused by others before this returns; so storage
 * must outlive every thread that is still inside a release. */
static inline void
elision_fallback_release_(struct elision_fallback *lock)
{
    if (__builtin_expect(atomic_load_explicit(&lock->attention, memory_order_relaxed) != 0, 0)) {
        elision_fallback_release_slow_(lock, false);
        return;
    }
    atomic_store_explicit(&lock->word, 0, memory_order_release);
    elision_park_fence_light_();
    /* [F.W] pairs with [F.H] in lock.c: either we see the waiter or it sees 0. */
    if (__builtin_expect(atomic_load_explicit(&lock->attention, memory_order_relaxed) != 0, 0)) {
        elision_fallback_release_slow_(lock, true);
    }
}

/* Wait until the word has been seen free, without writing it: for threads that will speculate. The
 * word may be taken again when this returns.
 * tx:    outside only */
struct elision_fallback_wait elision_fallback_watch_(struct elision_fallback *lock);

/* In a forked child: forget every queue of every lock, since its threads are gone. */
void elision_fallback_forked_(void);

#endif
