/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Waiting for signals in virtual time, those of timer_create too.
 */

#include "rtmgrind/tests/timer.h"

#include <sys/resource.h>
#include <sys/times.h>

/* ------------------------------------------------------------------ */
/* Waiting                                                             */

static void
pause_ends(void **state)
{
    uint64_t start;

    (void)state;
    on_signal(SIGALRM, 0);
    start = every(ITIMER_REAL, 40, 0);
    assert_int_equal(pause(), -1);
    assert_int_equal(errno, EINTR);
    LASTED(start - SLACK, 40 * MS);
    assert_int_equal(seen.runs, 1);
}

static void
blocked_until_sigsuspend(void **state)
{
    sigset_t none;
    uint64_t start;

    (void)state;
    on_signal(SIGALRM, 0);
    mask(SIG_BLOCK, SIGALRM);
    sigemptyset(&none);
    start = every(ITIMER_REAL, 10, 20);
    sleep_ms(15);
    assert_int_equal(seen.runs, 0);
    assert_int_equal(sigsuspend(&none), -1); /* the one of 10 ms is there */
    assert_int_equal(seen.runs, 1);
    LASTED(start - SLACK, 15 * MS);
    sleep_ms(20);
    assert_int_equal(seen.runs, 1); /* that of 30 ms is blocked again */
    assert_int_equal(sigsuspend(&none), -1);
    assert_int_equal(seen.runs, 2);
    LASTED(start - SLACK, 35 * MS);
    assert_int_equal(sigsuspend(&none), -1);
    assert_int_equal(seen.runs, 3);
    LASTED(start - SLACK, 50 * MS);
    every(ITIMER_REAL, 0, 0);
    mask(SIG_UNBLOCK, SIGALRM);
    assert_int_equal(seen.runs, 3);
}

static void *
suspend(void *p)
{
    sigset_t none;

    sigemptyset(&none);
    pthread_kill(pthread_self(), SIGALRM);
    s.at[0] = now();
    sigsuspend(&none);
    return p;
}

/* Before other threads go on. */
static void
sigsuspend_sees_what_is_there(void **state)
{
    pthread_t t;

    (void)state;
    on_signal(SIGALRM, 0);
    mask(SIG_BLOCK, SIGALRM);
    assert_int_equal(pthread_create(&t, NULL, suspend, NULL), 0);
    sleep_ms(10000);
    assert_int_equal(seen.runs, 1);
    assert_in_range(seen.at - s.at[0], 0, OVERHEAD);
    assert_int_equal(pthread_join(t, NULL), 0);
    mask(SIG_UNBLOCK, SIGALRM);
}

static void
sigwait_gets_it(void **state)
{
    sigset_t set;
    uint64_t start;
    int sig, i;

    (void)state;
    on_signal(SIGALRM, 0);
    mask(SIG_BLOCK, SIGALRM);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    start = every(ITIMER_REAL, 10, 10);
    for (i = 1; i <= 5; i++) {
        assert_int_equal(sigwait(&set, &sig), 0);
        LASTED(start - SLACK, (uint64_t)i * 10 * MS);
    }
    every(ITIMER_REAL, 0, 0);
    mask(SIG_UNBLOCK, SIGALRM);
    assert_int_equal(seen.runs, 0);
}

static void
sigwait_times_out(void **state)
{
    const struct timespec limit = {0, 30000000};
    const uint64_t start = now();
    sigset_t set;

    (void)state;
    mask(SIG_BLOCK, SIGALRM);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    assert_int_equal(sigtimedwait(&set, NULL, &limit), -1);
    assert_int_equal(errno, EAGAIN);
    LASTED(start, 30 * MS);
    mask(SIG_UNBLOCK, SIGALRM);
}

static void *
wait_for_signal(void *p)
{
    sigset_t set;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    note(1);
    assert_int_equal(sigwait(&set, &sig), 0);
    s.at[0] = now();
    return p;
}

/* Sent to one thread, while others run its code. */
static void
thread_waits_for_another(void **state)
{
    uint64_t sent;
    pthread_t t;

    (void)state;
    mask(SIG_BLOCK, SIGUSR2);
    assert_int_equal(pthread_create(&t, NULL, wait_for_signal, NULL), 0);
    wait_until(now() + 5 * MS);
    sent = now();
    pthread_kill(t, SIGUSR2);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_in_range(s.at[0] - sent, 0, OVERHEAD);
    mask(SIG_UNBLOCK, SIGUSR2);
}

/* Virtual time does not jump past a child's end. */
static void
child_comes_before_the_alarm(void **state)
{
    int ends[2], status, i;
    pid_t child;

    (void)state;
    on_signal(SIGALRM, 0);
    on_signal(SIGCHLD, 0);
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        write_late(ends[1]);
    }
    alarm(1000);
    while (seen.runs == 0) {
        pause();
    }
    assert_int_equal(waitpid(child, &status, WNOHANG), child);
    child = fork();
    if (child == 0) {
        write_late(ends[1]);
    }
    for (i = 0; i < 1000 && waitpid(child, &status, WNOHANG) == 0; i++) {
        usleep(10000);
    }
    assert_in_range(i, 1, 999);
    assert_in_range(alarm(0), 900, 1000);
    signal(SIGCHLD, SIG_DFL);
    close(ends[0]);
    close(ends[1]);
}

/* ------------------------------------------------------------------ */
/* timer_create                                                        */

static void
posix_timer(void **state)
{
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 77};
    const struct itimerspec spec = {{0, 10000000}, {0, 5000000}};
    struct itimerspec left;
    uint64_t start;
    timer_t id;
    int i;

    (void)state;
    on_signal(SIGRTMIN + 1, 0);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &id), 0);
    assert_int_equal(timer_settime(id, 0, &spec, NULL), 0);
    start = now();
    for (i = 0; i < 4; i++) {
        assert_int_equal(pause(), -1);
        assert_in_range(seen.at - start, (5 + (uint64_t)i * 10) * MS - SLACK,
                        (5 + (uint64_t)i * 10) * MS + SLACK);
    }
    assert_int_equal(seen.runs, 4);
    assert_int_equal(seen.code, SI_TIMER);
    assert_int_equal(seen.value, 77);
    assert_int_equal(timer_gettime(id, &left), 0);
    assert_in_range(left.it_value.tv_nsec, 9900000, 10000000);
    assert_int_equal(left.it_interval.tv_nsec, 10000000);
    assert_int_equal(timer_delete(id), 0);
    sleep_ms(100);
    assert_int_equal(seen.runs, 4);
    assert_int_equal(timer_gettime(id, &left), -1);
}

static void
posix_timer_at_a_time_of_day(void **state)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec spec = {.it_interval = {0, 0}};
    timer_t id;
    uint64_t start;

    (void)state;
    on_signal(SIGUSR1, 0);
    assert_int_equal(timer_create(CLOCK_REALTIME, &event, &id), 0);
    start = now();
    spec.it_value = in_ms(CLOCK_REALTIME, 50);
    assert_int_equal(timer_settime(id, TIMER_ABSTIME, &spec, NULL), 0);
    assert_int_equal(pause(), -1);
    assert_in_range(seen.at - start, 50 * MS, 50 * MS + SLACK);
    assert_int_equal(timer_delete(id), 0);
}

/* A blocked timer's signal waits once, however often it fires. */
static void
posix_timer_waits_once(void **state)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    const struct itimerspec spec = {{0, 1000000}, {0, 1000000}}, off = {{0, 0}, {0, 0}};
    timer_t id;

    (void)state;
    on_signal(SIGRTMIN + 1, 0);
    mask(SIG_BLOCK, SIGRTMIN + 1);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &id), 0);
    assert_int_equal(timer_settime(id, 0, &spec, NULL), 0);
    sleep_ms(20);
    assert_int_equal(timer_settime(id, 0, &off, NULL), 0);
    assert_int_equal(seen.runs, 0);
    mask(SIG_UNBLOCK, SIGRTMIN + 1);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(timer_delete(id), 0);
}

static void
notified(union sigval value)
{
    s.at[value.sival_int] = now();
    sem_post(&s.sem);
}

/* The C library's helper thread waits for the signals of these. */
static void
posix_timer_that_calls(void **state)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD,
                             .sigev_notify_function = notified,
                             .sigev_value.sival_int = 3};
    const struct itimerspec spec = {{0, 20000000}, {0, 20000000}};
    timer_t id;
    uint64_t start;

    (void)state;
    sem_init(&s.sem, 0, 0);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &id), 0);
    assert_int_equal(timer_settime(id, 0, &spec, NULL), 0);
    start = now();
    sem_wait(&s.sem);
    assert_in_range(s.at[3] - start, 20 * MS - SLACK, 20 * MS + 2 * OVERHEAD);
    sem_wait(&s.sem);
    assert_in_range(s.at[3] - start, 40 * MS - SLACK, 40 * MS + 2 * OVERHEAD);
    assert_int_equal(timer_delete(id), 0);
}

/* Times that come while its signal waits are counted, and send no other. */
static void
posix_timer_overruns(void **state)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    const struct itimerspec spec = {{0, 1000000}, {0, 1000000}};
    timer_t id;
    uint64_t start;

    (void)state;
    on_signal(SIGRTMIN + 1, 0);
    mask(SIG_BLOCK, SIGRTMIN + 1);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &id), 0);
    assert_int_equal(timer_settime(id, 0, &spec, NULL), 0);
    start = now();
    wait_until(start + 10 * MS + MS / 2);
    mask(SIG_UNBLOCK, SIGRTMIN + 1);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(seen.overrun, 9);
    assert_int_equal(timer_getoverrun(id), 9);
    wait_until(start + 10 * MS + 3 * MS / 4);
    assert_int_equal(seen.runs, 1);
    wait_until(start + 11 * MS + MS / 4);
    assert_int_equal(seen.runs, 2);
    assert_int_equal(seen.overrun, 0);
    assert_int_equal(timer_getoverrun(id), 0);
    assert_int_equal(timer_delete(id), 0);
}

/* ------------------------------------------------------------------ */
/* Processor time of a thread                                          */

static uint64_t
reads(clockid_t clock)
{
    struct timespec ts;

    assert_int_equal(clock_gettime(clock, &ts), 0);
    return ((uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec) * (MS / 1000000);
}

static void *
work(void *p)
{
    wait_until(now() + 30 * MS);
    sem_post(&s.sem);
    sleep_ms(50);
    return p;
}

/* Only what the thread itself runs counts. */
static void
timer_of_a_threads_time(void **state)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    const struct itimerspec spec = {{0, 0}, {0, 10000000}};
    struct itimerspec left;
    uint64_t start;
    timer_t id;

    (void)state;
    on_signal(SIGUSR1, SA_RESTART);
    assert_int_equal(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &id), 0);
    assert_int_equal(timer_settime(id, 0, &spec, NULL), 0);
    start = reads(CLOCK_THREAD_CPUTIME_ID);
    sem_init(&s.sem, 0, 0);
    run(2, work);
    assert_int_equal(seen.runs, 0);
    assert_int_equal(timer_gettime(id, &left), 0);
    assert_in_range(left.it_value.tv_nsec, 9000000, 10000000);
    while (!seen.runs) {
    }
    assert_in_range(reads(CLOCK_THREAD_CPUTIME_ID) - start, 10 * MS - OVERHEAD, 10 * MS + OVERHEAD);
    assert_int_equal(timer_delete(id), 0);
}

static void
clock_of_another_thread(void **state)
{
    clockid_t clock, process;
    pthread_t t;

    (void)state;
    sem_init(&s.sem, 0, 0);
    assert_int_equal(pthread_create(&t, NULL, work, NULL), 0);
    assert_int_equal(pthread_getcpuclockid(t, &clock), 0);
    sem_wait(&s.sem);
    assert_in_range(reads(clock), 30 * MS, 30 * MS + OVERHEAD);
    assert_int_equal(clock_getcpuclockid(getpid(), &process), 0);
    assert_in_range(reads(CLOCK_PROCESS_CPUTIME_ID) - reads(process), (uint64_t)-SLACK, ~0ULL);
    assert_int_equal(pthread_join(t, NULL), 0);
}

/* The other calls that tell it, the last one by hundredths of a second. */
static void
other_calls_tell_it(void **state)
{
    struct rusage usage;
    struct tms tms;
    uint64_t time;
    clock_t at;

    (void)state;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    time = (uint64_t)usage.ru_utime.tv_sec * 1000 * MS + (uint64_t)usage.ru_utime.tv_usec * 3000;
    assert_in_range(reads(CLOCK_PROCESS_CPUTIME_ID) - time, 0, MS);
    assert_int_equal(usage.ru_stime.tv_sec + usage.ru_stime.tv_usec, 0);
    at = times(&tms);
    assert_in_range((uint64_t)tms.tms_utime, time / (10 * MS), time / (10 * MS) + 1);
    sleep_ms(1000);
    assert_in_range(times(NULL) - at, 100, 101);
}

static void
childs_time_begins(void **state)
{
    int status;
    pid_t child;

    (void)state;
    wait_until(now() + 30 * MS);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(reads(CLOCK_PROCESS_CPUTIME_ID) > 10 * MS ||
              reads(CLOCK_THREAD_CPUTIME_ID) > 10 * MS);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pause_ends),
        cmocka_unit_test(blocked_until_sigsuspend),
        cmocka_unit_test(sigsuspend_sees_what_is_there),
        cmocka_unit_test(sigwait_gets_it),
        cmocka_unit_test(sigwait_times_out),
        cmocka_unit_test(thread_waits_for_another),
        cmocka_unit_test(child_comes_before_the_alarm),
        cmocka_unit_test(posix_timer),
        cmocka_unit_test(posix_timer_at_a_time_of_day),
        cmocka_unit_test(posix_timer_waits_once),
        cmocka_unit_test(posix_timer_that_calls),
        cmocka_unit_test(posix_timer_overruns),
        cmocka_unit_test(timer_of_a_threads_time),
        cmocka_unit_test(clock_of_another_thread),
        cmocka_unit_test(other_calls_tell_it),
        cmocka_unit_test(childs_time_begins),
    };

    return LITMUS_MAIN(tests);
}
