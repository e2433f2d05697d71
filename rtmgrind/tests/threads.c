/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * N threads advance like N cores, make progress while others spin, and come and go.
 */

#include "rtmgrind/tests/team.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

static void *
work(void *p)
{
    long n = 2000000;

    (void)p;
    __asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(n) : : "cc");
    return NULL;
}

static uint64_t
work_on(int n)
{
    const uint64_t start = now();

    run(n, work);
    return now() - start;
}

static void
many_threads_take_the_time_of_one(void **state)
{
    const uint64_t one = work_on(1), eight = work_on(8);

    (void)state;
    assert_true(one >= 4000000);
    assert_in_range(eight, one, one + one / 10);
}

static void *
work_and_note(void *p)
{
    work(p);
    s.at[(intptr_t)p] = now();
    return NULL;
}

/* Nobody runs ahead: equal work ends at nearly equal times. */
static void
equal_work_ends_together(void **state)
{
    uint64_t least = UINT64_MAX, most = 0;
    int i;

    (void)state;
    run(THREADS, work_and_note);
    for (i = 0; i < THREADS; i++) {
        least = s.at[i] < least ? s.at[i] : least;
        most = s.at[i] > most ? s.at[i] : most;
    }
    assert_true(most - least < 4000000 / 10);
}

static void *
spin_until_turn(void *p)
{
    const int me = (int)(intptr_t)p;
    int i;

    for (i = 0; i < 50; i++) {
        while (atomic_load(&s.turn) % 4 != me) {
        }
        atomic_fetch_add(&s.turn, 1);
    }
    return NULL;
}

static void
spinning_threads_make_progress(void **state)
{
    (void)state;
    run(4, spin_until_turn);
    assert_int_equal(atomic_load(&s.turn), 200);
}

static void *
yield_until_turn(void *p)
{
    const int me = (int)(intptr_t)p;
    int i;

    for (i = 0; i < 50; i++) {
        while (atomic_load(&s.turn) % 4 != me) {
            sched_yield();
        }
        atomic_fetch_add(&s.turn, 1);
    }
    return NULL;
}

static void
yielding_threads_make_progress(void **state)
{
    (void)state;
    run(4, yield_until_turn);
    assert_int_equal(atomic_load(&s.turn), 200);
}

static void *
nothing(void *p)
{
    return p;
}

static void
thousand_threads_come_and_go(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < 1000 / THREADS; i++) {
        run(THREADS, nothing);
    }
}

static void *
count_down(void *p)
{
    const intptr_t n = (intptr_t)p;
    pthread_t t;

    if (n > 0 && pthread_create(&t, NULL, count_down, (void *)(n - 1)) == 0) {
        pthread_join(t, NULL);
    }
    return NULL;
}

static void
threads_make_threads(void **state)
{
    pthread_t t;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, count_down, (void *)20), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
}

static void *
detached(void *p)
{
    sem_post(p);
    return NULL;
}

static void
detached_thread(void **state)
{
    pthread_t t;

    (void)state;
    sem_init(&s.sem, 0, 0);
    assert_int_equal(pthread_create(&t, NULL, detached, &s.sem), 0);
    assert_int_equal(pthread_detach(t), 0);
    assert_int_equal(sem_wait(&s.sem), 0);
}

static void *
end_with_the_lock(void *p)
{
    assert_int_equal(pthread_mutex_lock(p), 0);
    note(0);
    sleep_ms(1);
    return NULL;
}

static void *
lock_after_its_owner(void *p)
{
    while (atomic_load(&s.turn) == 0) {
        __asm__ volatile("pause");
    }
    s.count = pthread_mutex_lock(p);
    s.at[0] = now();
    note(1);
    return NULL;
}

/* The kernel marks the lock, and the waiter learns of it while another thread runs. */
static void
owner_of_a_robust_lock_ends(void **state)
{
    const uint64_t start = now();
    void *lock = malloc(sizeof(pthread_mutex_t));
    pthread_mutexattr_t robust;
    pthread_t t[2];

    (void)state;
    atomic_store(&s.turn, 0);
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(lock, &robust);
    assert_int_equal(pthread_create(&t[0], NULL, end_with_the_lock, lock), 0);
    assert_int_equal(pthread_create(&t[1], NULL, lock_after_its_owner, lock), 0);
    while (atomic_load(&s.turn) < 2) {
        __asm__ volatile("pause");
    }
    assert_int_equal(s.count, EOWNERDEAD);
    assert_in_range(s.at[0] - start, MS, MS + OVERHEAD);
    assert_int_equal(pthread_join(t[0], NULL), 0);
    assert_int_equal(pthread_join(t[1], NULL), 0);
    free(lock);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_take_the_time_of_one),
        cmocka_unit_test(equal_work_ends_together),
        cmocka_unit_test(spinning_threads_make_progress),
        cmocka_unit_test(yielding_threads_make_progress),
        cmocka_unit_test(thousand_threads_come_and_go),
        cmocka_unit_test(threads_make_threads),
        cmocka_unit_test(detached_thread),
        cmocka_unit_test(owner_of_a_robust_lock_ends),
    };

    return LITMUS_MAIN(tests);
}
