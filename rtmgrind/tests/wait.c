/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Waits in virtual time: durations and orders are exact, whatever the host does.
 */

#include "rtmgrind/tests/team.h"

#include <errno.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------ */
/* Clocks and sleeping                                                 */

static void
sleep_lasts_its_time(void **state)
{
    const uint64_t start = now();

    (void)state;
    sleep_ms(7);
    LASTED(start, 7 * MS);
}

static void
hour_long_sleep_is_over_at_once(void **state)
{
    const uint64_t start = now();

    (void)state;
    sleep_ms(3600 * 1000);
    LASTED(start, 3600ULL * 1000 * MS);
}

static void
absolute_sleep(void **state)
{
    const struct timespec end = in_ms(CLOCK_MONOTONIC, 5);
    const uint64_t start = now();

    (void)state;
    assert_int_equal(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL), 0);
    assert_in_range(now() - start, 5 * MS - OVERHEAD, 5 * MS + OVERHEAD);
}

/* Whatever the time at which the sleep began. */
static void
absolute_sleeps_end_to_the_cycle(void **state)
{
    struct timespec end = in_ms(CLOCK_MONOTONIC, 2);
    uint64_t last = 0;
    int i;

    (void)state;
    end.tv_nsec -= end.tv_nsec % 1000000;
    for (i = 0; i < 7; i++) {
        uint64_t woke;
        assert_int_equal(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL), 0);
        woke = now();
        assert_true(last == 0 || woke - last == MS);
        last = woke;
        while (now() - woke < (uint64_t)(1000 + i)) {
        }
        end.tv_nsec += 1000000;
        end.tv_sec += end.tv_nsec / 1000000000;
        end.tv_nsec %= 1000000000;
    }
}

static void
clocks_agree(void **state)
{
    struct timespec a, b;
    uint64_t ns, start;

    (void)state;
    start = now();
    clock_gettime(CLOCK_MONOTONIC, &a);
    sleep_ms(10);
    clock_gettime(CLOCK_MONOTONIC, &b);
    ns = (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000 + (uint64_t)(b.tv_nsec - a.tv_nsec);
    assert_in_range(now() - start, ns * 3, ns * 3 + OVERHEAD); /* 3 GHz */
}

static void
cpu_time_does_not_count_sleep(void **state)
{
    struct timespec a, b;

    (void)state;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    sleep_ms(500);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    assert_int_equal(b.tv_sec - a.tv_sec, b.tv_nsec < a.tv_nsec ? 1 : 0);
    assert_true((b.tv_nsec - a.tv_nsec + 1000000000) % 1000000000 < 1000000);
}

static void *
sleeper(void *p)
{
    static const int ms[] = {40, 10, 30, 20};

    sleep_ms(ms[(intptr_t)p]);
    note((int)(intptr_t)p);
    return NULL;
}

static void
sleeps_end_in_order(void **state)
{
    const int wanted[] = {1, 3, 2, 0};
    const uint64_t start = now();

    (void)state;
    run(4, sleeper);
    assert_memory_equal(s.order, wanted, sizeof wanted);
    LASTED(start, 40 * MS);
}

/* ------------------------------------------------------------------ */
/* Locks                                                               */

static void *
add_under_mutex(void *p)
{
    int i;

    (void)p;
    for (i = 0; i < 300; i++) {
        pthread_mutex_lock(&s.mutex);
        s.count++;
        pthread_mutex_unlock(&s.mutex);
    }
    return NULL;
}

static void
mutex_excludes(void **state)
{
    (void)state;
    run(THREADS, add_under_mutex);
    assert_int_equal(s.count, THREADS * 300);
}

static void *
sleep_under_mutex(void *p)
{
    (void)p;
    pthread_mutex_lock(&s.mutex);
    sleep_ms(5);
    pthread_mutex_unlock(&s.mutex);
    return NULL;
}

static void
mutex_serialises_in_virtual_time(void **state)
{
    const uint64_t start = now();

    (void)state;
    run(4, sleep_under_mutex);
    LASTED(start, 20 * MS);
}

static void *
ping_pong(void *p)
{
    const int me = (int)(intptr_t)p;
    int i;

    pthread_mutex_lock(&s.mutex);
    for (i = 0; i < 100; i++) {
        while (s.count % 2 != me) {
            pthread_cond_wait(&s.cond, &s.mutex);
        }
        s.count++;
        pthread_cond_signal(&s.cond);
    }
    pthread_mutex_unlock(&s.mutex);
    return NULL;
}

static void
condition_variable(void **state)
{
    (void)state;
    run(2, ping_pong);
    assert_int_equal(s.count, 200);
}

static void *
wait_for_broadcast(void *p)
{
    pthread_mutex_lock(&s.mutex);
    if ((intptr_t)p == THREADS - 1) {
        pthread_mutex_unlock(&s.mutex);
        sleep_ms(10);
        pthread_mutex_lock(&s.mutex);
        s.count = 1;
        pthread_cond_broadcast(&s.all);
    }
    while (s.count == 0) {
        pthread_cond_wait(&s.all, &s.mutex);
    }
    pthread_mutex_unlock(&s.mutex);
    return NULL;
}

static void
broadcast_wakes_all(void **state)
{
    const uint64_t start = now();

    (void)state;
    run(THREADS, wait_for_broadcast);
    LASTED(start, 10 * MS);
}

static void *
meet(void *p)
{
    const int me = (int)(intptr_t)p;

    sleep_ms(me);
    pthread_barrier_wait(&s.barrier);
    s.at[me] = now();
    return NULL;
}

static void
barrier_waits_for_the_last(void **state)
{
    const uint64_t start = now();
    int i;

    (void)state;
    pthread_barrier_init(&s.barrier, NULL, THREADS);
    run(THREADS, meet);
    for (i = 0; i < THREADS; i++) {
        assert_in_range(s.at[i], start + (THREADS - 1) * MS,
                        start + (THREADS - 1) * MS + 2 * OVERHEAD);
    }
}

static void *
take_semaphore(void *p)
{
    sem_wait(&s.sem);
    sleep_ms(10);
    note((int)(intptr_t)p);
    sem_post(&s.sem);
    return NULL;
}

/* Two at a time: six take three times as long as one. */
static void
semaphore_admits_two(void **state)
{
    const uint64_t start = now();

    (void)state;
    sem_init(&s.sem, 0, 2);
    run(6, take_semaphore);
    LASTED(start, 30 * MS);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void *
read_side(void *p)
{
    (void)p;
    pthread_rwlock_rdlock(&rwlock);
    sleep_ms(10);
    pthread_rwlock_unlock(&rwlock);
    return NULL;
}

static void
readers_share(void **state)
{
    const uint64_t start = now();

    (void)state;
    run(THREADS, read_side);
    LASTED(start, 10 * MS);
}

/* ------------------------------------------------------------------ */
/* Waits with an end                                                   */

static void
condition_times_out(void **state)
{
    const struct timespec end = in_ms(CLOCK_REALTIME, 15);
    const uint64_t start = now();

    (void)state;
    pthread_mutex_lock(&s.mutex);
    assert_int_equal(pthread_cond_timedwait(&s.cond, &s.mutex, &end), ETIMEDOUT);
    pthread_mutex_unlock(&s.mutex);
    assert_in_range(now() - start, 15 * MS - OVERHEAD, 15 * MS + OVERHEAD);
}

static void
semaphore_times_out(void **state)
{
    const struct timespec end = in_ms(CLOCK_REALTIME, 15);
    const uint64_t start = now();

    (void)state;
    sem_init(&s.sem, 0, 0);
    assert_int_equal(sem_timedwait(&s.sem, &end), -1);
    assert_int_equal(errno, ETIMEDOUT);
    assert_in_range(now() - start, 15 * MS - OVERHEAD, 15 * MS + OVERHEAD);
}

static void *
hold_long(void *p)
{
    (void)p;
    pthread_mutex_lock(&s.mutex);
    sleep_ms(50);
    pthread_mutex_unlock(&s.mutex);
    return NULL;
}

static void
mutex_times_out(void **state)
{
    struct timespec end;
    pthread_t t;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, hold_long, NULL), 0);
    sleep_ms(10);
    end = in_ms(CLOCK_REALTIME, 10);
    assert_int_equal(pthread_mutex_timedlock(&s.mutex, &end), ETIMEDOUT);
    end = in_ms(CLOCK_REALTIME, 100);
    assert_int_equal(pthread_mutex_timedlock(&s.mutex, &end), 0);
    pthread_mutex_unlock(&s.mutex);
    assert_int_equal(pthread_join(t, NULL), 0);
}

static void
join_times_out(void **state)
{
    struct timespec end;
    pthread_t t;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, hold_long, NULL), 0);
    end = in_ms(CLOCK_REALTIME, 10);
    assert_int_equal(pthread_timedjoin_np(t, NULL, &end), ETIMEDOUT);
    assert_int_equal(pthread_join(t, NULL), 0);
}

/* ------------------------------------------------------------------ */
/* Virtual time does not jump past what comes in real time             */

static int outside[2];

static void *
read_from_outside(void *p)
{
    char c;

    (void)p;
    assert_int_equal(read(outside[0], &c, 1), 1);
    sem_post(&s.sem);
    return NULL;
}

static void
time_out_waits_for_another_process(void **state)
{
    struct timespec end;
    pthread_t reader;
    pid_t child;

    (void)state;
    sem_init(&s.sem, 0, 0);
    assert_int_equal(pipe(outside), 0);
    child = fork();
    if (child == 0) {
        write_late(outside[1]);
    }
    assert_int_equal(pthread_create(&reader, NULL, read_from_outside, NULL), 0);
    end = in_ms(CLOCK_REALTIME, 100000);
    assert_int_equal(sem_timedwait(&s.sem, &end), 0);
    pthread_join(reader, NULL);
    waitpid(child, NULL, 0);
}

/* ------------------------------------------------------------------ */
/* Signals                                                             */

static int word;

static void
ignore(int sig)
{
    (void)sig;
}

/* ret: 0, or what went wrong with a wait for `word`; p: when it is to end */
static void *
wait_for_word(void *p)
{
    return (void *)(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, p, NULL, 0) == 0
                        ? 0
                        : (intptr_t)errno);
}

/* ret: what a wait for `word` ended with, interrupted 1 ms after it began, woken after 2 */
static intptr_t
interrupted_wait(struct timespec *end)
{
    pthread_t waiter;
    void *result;

    assert_int_equal(pthread_create(&waiter, NULL, wait_for_word, end), 0);
    sleep_ms(1);
    pthread_kill(waiter, SIGUSR1);
    sleep_ms(1);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
    assert_int_equal(pthread_join(waiter, &result), 0);
    return (intptr_t)result;
}

/* SA_RESTART begins it again only if it has no end (the kernel's futex_wait). */
static void
signal_ends_a_wait_that_has_an_end(void **state)
{
    struct sigaction sa = {.sa_handler = ignore, .sa_flags = SA_RESTART};
    struct timespec ms20 = {.tv_nsec = 20000000};

    (void)state;
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
    assert_int_equal(interrupted_wait(&ms20), EINTR);
    assert_int_equal(interrupted_wait(NULL), 0);
    sa.sa_flags = 0;
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
    assert_int_equal(interrupted_wait(NULL), EINTR);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sleep_lasts_its_time),
        cmocka_unit_test(hour_long_sleep_is_over_at_once),
        cmocka_unit_test(absolute_sleep),
        cmocka_unit_test(absolute_sleeps_end_to_the_cycle),
        cmocka_unit_test(clocks_agree),
        cmocka_unit_test(cpu_time_does_not_count_sleep),
        cmocka_unit_test(sleeps_end_in_order),
        cmocka_unit_test(mutex_excludes),
        cmocka_unit_test(mutex_serialises_in_virtual_time),
        cmocka_unit_test(condition_variable),
        cmocka_unit_test(broadcast_wakes_all),
        cmocka_unit_test(barrier_waits_for_the_last),
        cmocka_unit_test(semaphore_admits_two),
        cmocka_unit_test(readers_share),
        cmocka_unit_test(condition_times_out),
        cmocka_unit_test(semaphore_times_out),
        cmocka_unit_test(mutex_times_out),
        cmocka_unit_test(join_times_out),
        cmocka_unit_test(time_out_waits_for_another_process),
        cmocka_unit_test(signal_ends_a_wait_that_has_an_end),
    };

    return LITMUS_MAIN(tests);
}
