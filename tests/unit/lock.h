/* SPDX-License-Identifier: MIT
 *
 * What the tests of the fallback lock share: a lock, threads that wait for it, and waiting until
 * they sleep, by the lock's own count of sleeps.
 */
#ifndef TESTS_UNIT_LOCK_H
#define TESTS_UNIT_LOCK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sigaction */
#endif

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "fallback/lock.h"
#include "tests/unit/tap.h"

static struct elision_fallback lock;
static _Atomic unsigned entered; /* bit per waiter that got in */
static unsigned order[64];
static _Atomic unsigned served;

static int
reset(void **unused)
{
    (void)unused;
    memset(&lock, 0, sizeof(lock));
    entered = 0;
    served = 0;
    elision_fallback_passes_ = 1;
    elision_fallback_spins_ = 10;
    return 0;
}

static void *
acquire_and_release(void *arg)
{
    uint32_t id = (uint32_t)(uintptr_t)arg;

    (void)elision_fallback_acquire_(&lock, id);
    if (atomic_load(&lock.word) != id) {
        abort();
    }
    order[atomic_fetch_add(&served, 1)] = id;
    atomic_fetch_or(&entered, 1u << (id - 1));
    elision_fallback_release_(&lock);
    return NULL;
}

static void
wait_for_sleepers(uint64_t n)
{
    while (atomic_load(&lock.parks) < n) {
        sched_yield();
    }
}

static pthread_t
start(void *(*run)(void *), uintptr_t arg)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run, (void *)arg), 0);
    return thread;
}

static _Atomic bool stopped, go_on;

static inline void
stop(int signal)
{
    (void)signal;
    atomic_store(&stopped, true);
    while (!atomic_load(&go_on)) {
        (void)sched_yield();
    }
}

/* Holds a thread up where it is, so that it has been told something and has not looked yet. */
static inline void
hold_up(pthread_t thread)
{
    const struct sigaction action = {.sa_handler = stop};

    atomic_store(&stopped, false);
    atomic_store(&go_on, false);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
    while (!atomic_load(&stopped)) {
        (void)sched_yield();
    }
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

#endif
