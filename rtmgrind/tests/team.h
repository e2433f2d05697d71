/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A team of threads and what they share, for wait.c and threads.c.
 */

#ifndef RTMGRIND_TESTS_TEAM_H
#define RTMGRIND_TESTS_TEAM_H

#include "rtmgrind/tests/litmus.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

enum {
    THREADS = 8,
    MS = 3000000,     /* cycles */
    OVERHEAD = 100000 /* cycles for the calls around a wait: far below MS */
};

static struct {
    _Alignas(LINE) atomic_int turn;
    int order[THREADS];
    pthread_mutex_t mutex;
    pthread_cond_t cond, all;
    pthread_barrier_t barrier;
    sem_t sem;
    int count;
    uint64_t at[THREADS];
} s = {.mutex = PTHREAD_MUTEX_INITIALIZER,
       .cond = PTHREAD_COND_INITIALIZER,
       .all = PTHREAD_COND_INITIALIZER};

static inline void
run(int n, void *(*body)(void *))
{
    pthread_t t[THREADS];
    intptr_t i;

    s.count = 0;
    atomic_store(&s.turn, 0);
    memset(s.order, 0, sizeof s.order);
    for (i = 0; i < n; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, body, (void *)i), 0);
    }
    for (i = 0; i < n; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
    }
}

static inline void
note(int who)
{
    s.order[atomic_fetch_add(&s.turn, 1)] = who;
}

static inline void
sleep_ms(int ms)
{
    const struct timespec ts = {ms / 1000, (long)ms % 1000 * 1000000};

    assert_int_equal(nanosleep(&ts, NULL), 0);
}

static inline struct timespec
in_ms(clockid_t clock, long ms)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    ts.tv_nsec += ms * 1000000;
    ts.tv_sec += ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    return ts;
}

#define LASTED(start, cycles)                                                        \
    do {                                                                             \
        const uint64_t lasted_ = now() - (start);                                    \
        assert_in_range(lasted_, (uint64_t)(cycles), (uint64_t)(cycles) + OVERHEAD); \
    } while (0)

#endif
