/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Timers in virtual time: their signals come when they are due, to the thread that takes them.
 */

#include "rtmgrind/tests/timer.h"

#include <fcntl.h>
#include <sys/syscall.h>

/* ------------------------------------------------------------------ */
/* What is interrupted                                                 */

static void
alarm_ends_a_sleep(void **state)
{
    const struct timespec long_time = {10, 0};
    struct timespec rest = {0, 0};
    uint64_t start;

    (void)state;
    on_signal(SIGALRM, 0);
    assert_int_equal(alarm(3), 0);
    start = now();
    assert_int_equal(nanosleep(&long_time, &rest), -1);
    assert_int_equal(errno, EINTR);
    LASTED(start - SLACK, 3000ULL * MS);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(seen.code, SI_KERNEL);
    assert_int_equal(rest.tv_sec, 7 - (rest.tv_nsec > 500000000));
}

static void
timer_ends_a_futex_wait(void **state)
{
    struct timespec end = in_ms(CLOCK_REALTIME, 100000);
    uint64_t start;

    (void)state;
    on_signal(SIGALRM, 0);
    sem_init(&s.sem, 0, 0);
    start = every(ITIMER_REAL, 50, 0);
    assert_int_equal(sem_timedwait(&s.sem, &end), -1);
    assert_int_equal(errno, EINTR);
    assert_int_equal(seen.runs, 1);
    assert_in_range(seen.at - start, 50 * MS - SLACK, 50 * MS + SLACK);
}

static void
restarted_call_goes_on_waiting(void **state)
{
    struct timespec end = in_ms(CLOCK_REALTIME, 100);
    const uint64_t start = now();

    (void)state;
    on_signal(SIGALRM, SA_RESTART);
    pthread_mutex_lock(&s.mutex);
    every(ITIMER_REAL, 10, 0);
    assert_int_equal(pthread_cond_timedwait(&s.cond, &s.mutex, &end), ETIMEDOUT);
    pthread_mutex_unlock(&s.mutex);
    assert_int_equal(seen.runs, 1);
    LASTED(start - SLACK, 100 * MS);
}

static void
timer_interrupts_a_computation(void **state)
{
    uint64_t start;

    (void)state;
    on_signal(SIGALRM, 0);
    start = every(ITIMER_REAL, 5, 0);
    while (!seen.runs) {
    }
    assert_in_range(seen.at - start, 5 * MS - SLACK, 5 * MS + SLACK);
}

/* In one round of these its time comes while the thread is in a call. */
static void
timer_that_is_over_in_a_call(void **state)
{
    const int fd = open("/proc/self/exe", O_RDONLY);
    uint64_t start, early;
    long got;
    char c;

    (void)state;
    assert_true(fd >= 0);
    for (early = 0; early < SLACK; early += 37) {
        on_signal(SIGALRM, 0);
        start = every(ITIMER_REAL, 1, 0);
        wait_until(start + MS - early);
        __asm__ volatile("syscall" /* the loop follows with no other block between */
                         : "=a"(got)
                         : "0"((long)SYS_read), "D"((long)fd), "S"(&c), "d"(0L)
                         : "rcx", "r11", "memory");
        while (!seen.runs) {
        }
        assert_int_equal(got, 0);
        assert_in_range(seen.at - start, MS - SLACK, MS + SLACK);
    }
    close(fd);
}

static void
timer_aborts_a_transaction(void **state)
{
    static struct line data;
    unsigned status;
    uint64_t start;

    (void)state;
    on_signal(SIGALRM, 0);
    start = every(ITIMER_REAL, 5, 0);
    wait_until(start + 4 * MS);
    status = IN_TX(data.word[0] = 1; wait_until(start + 6 * MS));
    assert_int_equal(status, 0);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(seen.in_tx, 0);
    assert_int_equal(data.word[0], 0);
    assert_in_range(seen.at - start, 5 * MS - SLACK, 5 * MS + SLACK);
}

static void
ignored_timer_disturbs_nothing(void **state)
{
    const uint64_t start = now();

    (void)state;
    signal(SIGALRM, SIG_IGN);
    every(ITIMER_REAL, 1, 1);
    sleep_ms(10);
    LASTED(start - SLACK, 10 * MS);
    assert_int_equal(IN_TX(wait_until(now() + 3 * MS)), STARTED);
    every(ITIMER_REAL, 0, 0);
}

/* ------------------------------------------------------------------ */
/* Who gets it                                                         */

static void *
compute(void *p)
{
    wait_until(s.at[0] + 20 * MS);
    return p;
}

static void
main_thread_is_woken(void **state)
{
    pthread_t t;

    (void)state;
    on_signal(SIGALRM, 0);
    s.at[0] = every(ITIMER_REAL, 5, 0);
    assert_int_equal(pthread_create(&t, NULL, compute, NULL), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(seen.runs, 1);
    assert_true(pthread_equal(seen.thread, pthread_self()));
    assert_in_range(seen.at - s.at[0], 5 * MS - SLACK, 5 * MS + SLACK);
}

static void
other_thread_gets_what_main_blocks(void **state)
{
    pthread_t t;

    (void)state;
    on_signal(SIGALRM, 0);
    s.at[0] = every(ITIMER_REAL, 5, 0);
    assert_int_equal(pthread_create(&t, NULL, compute, NULL), 0);
    mask(SIG_BLOCK, SIGALRM);
    assert_int_equal(pthread_join(t, NULL), 0);
    mask(SIG_UNBLOCK, SIGALRM);
    assert_int_equal(seen.runs, 1);
    assert_true(pthread_equal(seen.thread, t));
    assert_in_range(seen.at - s.at[0], 5 * MS - SLACK, 5 * MS + SLACK);
}

static void
blocked_timer_waits(void **state)
{
    (void)state;
    on_signal(SIGALRM, 0);
    mask(SIG_BLOCK, SIGALRM);
    every(ITIMER_REAL, 1, 1);
    assert_int_equal(IN_TX(wait_until(now() + 3 * MS)), STARTED);
    sleep_ms(20);
    assert_int_equal(seen.runs, 0);
    every(ITIMER_REAL, 0, 0);
    mask(SIG_UNBLOCK, SIGALRM);
    assert_int_equal(seen.runs, 1);
}

/* ------------------------------------------------------------------ */
/* How often, and what is left                                         */

static void
interval_fires_its_times(void **state)
{
    uint64_t start;

    (void)state;
    on_signal(SIGALRM, SA_RESTART);
    start = every(ITIMER_REAL, 10, 10);
    wait_until(start + 20 * MS);
    while (now() < start + 1005ULL * MS) {
        usleep(1700);
    }
    every(ITIMER_REAL, 0, 0);
    assert_int_equal(seen.runs, 100);
}

static void
processor_time(void **state)
{
    static const int which[] = {ITIMER_VIRTUAL, ITIMER_PROF};
    static const int sig[] = {SIGVTALRM, SIGPROF};
    int i;

    (void)state;
    for (i = 0; i < 2; i++) {
        uint64_t start;
        on_signal(sig[i], 0);
        start = every(which[i], 5, 0);
        sleep_ms(100);
        assert_int_equal(seen.runs, 0);
        while (!seen.runs) {
        }
        assert_in_range(seen.at - start, 105 * MS - 2 * OVERHEAD, 105 * MS + SLACK);
    }
}

static void *
work(void *p)
{
    wait_until(now() + 12 * MS);
    return p;
}

static void
processor_time_of_all_threads(void **state)
{
    uint64_t start;

    (void)state;
    on_signal(SIGPROF, SA_RESTART);
    start = every(ITIMER_PROF, 40, 0);
    run(4, work);
    assert_int_equal(seen.runs, 1);
    assert_in_range(seen.at - start, 10 * MS - 2 * OVERHEAD, 10 * MS + 2 * OVERHEAD);
}

static void
rest_and_interval(void **state)
{
    const struct itimerval tv = {{0, 250000}, {2, 0}};
    struct itimerval left;

    (void)state;
    on_signal(SIGALRM, 0);
    assert_int_equal(setitimer(ITIMER_REAL, &tv, NULL), 0);
    sleep_ms(500);
    assert_int_equal(getitimer(ITIMER_REAL, &left), 0);
    assert_int_equal(left.it_value.tv_sec, 1);
    assert_in_range(left.it_value.tv_usec, 499900, 500000);
    assert_int_equal(left.it_interval.tv_usec, 250000);
    assert_int_equal(alarm(0), 1); /* 1.4998 s, rounded */
    assert_int_equal(getitimer(ITIMER_REAL, &left), 0);
    assert_int_equal(left.it_value.tv_sec + left.it_value.tv_usec, 0);
    assert_int_equal(alarm(9), 0);
    assert_int_equal(alarm(1), 9);
    sleep_ms(900);
    assert_int_equal(alarm(0), 1); /* never 0 while one is set */
    assert_int_equal(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 1000000}}, NULL), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(seen.runs, 0);
}

static void
child_has_none(void **state)
{
    int status;
    pid_t child;

    (void)state;
    on_signal(SIGALRM, 0);
    alarm(5);
    child = fork();
    if (child == 0) {
        const unsigned left = alarm(0);
        _exit(left == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(alarm(0), 5);
}

/* ------------------------------------------------------------------ */
/* With a call of the kernel's                                         */

static void
timer_ends_a_read(void **state)
{
    int ends[2];
    char c;

    (void)state;
    on_signal(SIGALRM, 0);
    assert_int_equal(pipe(ends), 0);
    every(ITIMER_REAL, 50, 0);
    assert_int_equal(read(ends[0], &c, 1), -1);
    assert_int_equal(errno, EINTR);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(alarm(0), 0);
    close(ends[0]);
    close(ends[1]);
}

/* In a child with a timer, whose signal has its default action there. */
static void
is_ended_by_its_timer(void (*body)(void))
{
    const pid_t child = fork();
    int status;

    if (child == 0) {
        signal(SIGALRM, SIG_DFL);
        every(ITIMER_REAL, 50, 0);
        body();
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
}

static void
run_on(void)
{
    for (;;) {
    }
}

static void
execute(void)
{
    execl("/nonexistent", "nonexistent", (char *)NULL); /* and one that fails */
    execl("/bin/sleep", "sleep", "30", (char *)NULL);
}

static void
default_action_ends_the_process(void **state)
{
    (void)state;
    is_ended_by_its_timer(run_on);
}

static void
alarm_outlives_exec(void **state)
{
    (void)state;
    is_ended_by_its_timer(execute);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alarm_ends_a_sleep),
        cmocka_unit_test(timer_ends_a_futex_wait),
        cmocka_unit_test(restarted_call_goes_on_waiting),
        cmocka_unit_test(timer_interrupts_a_computation),
        cmocka_unit_test(timer_that_is_over_in_a_call),
        cmocka_unit_test(timer_aborts_a_transaction),
        cmocka_unit_test(ignored_timer_disturbs_nothing),
        cmocka_unit_test(main_thread_is_woken),
        cmocka_unit_test(other_thread_gets_what_main_blocks),
        cmocka_unit_test(blocked_timer_waits),
        cmocka_unit_test(interval_fires_its_times),
        cmocka_unit_test(processor_time),
        cmocka_unit_test(processor_time_of_all_threads),
        cmocka_unit_test(rest_and_interval),
        cmocka_unit_test(child_has_none),
        cmocka_unit_test(timer_ends_a_read),
        cmocka_unit_test(default_action_ends_the_process),
        cmocka_unit_test(alarm_outlives_exec),
    };

    return LITMUS_MAIN(tests);
}
