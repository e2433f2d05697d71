/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Timers that are files fire in virtual time.
 */

#include "rtmgrind/tests/timerfd.h"

#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>

static long
rest_ms(const struct itimerspec *spec)
{
    return spec->it_value.tv_sec * 1000 + spec->it_value.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ */

static void
read_waits_until_it_fires(void **state)
{
    const uint64_t start = now();
    const int fd = timer(HOUR, 0);

    (void)state;
    assert_int_equal(times(fd), 1);
    LASTED(start, (uint64_t)HOUR * MS);
    close(fd);
}

static void
each_interval_counts(void **state)
{
    const uint64_t start = now();
    const int fd = timer(10 * HOUR, HOUR);

    (void)state;
    sleep_ms(12 * HOUR + HOUR / 2);
    assert_int_equal(times(fd), 3);
    assert_int_equal(times(fd), 1);
    LASTED(start, 13ULL * HOUR * MS);
    assert_int_equal(times(fd), 1);
    LASTED(start, 14ULL * HOUR * MS);
    close(fd);
}

static void
times_of_clocks(void **state)
{
    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        const int fd = timerfd_create(clocks[i], 0);
        const struct itimerspec spec = {{0, 0}, in_ms(clocks[i], HOUR)};
        const uint64_t start = now();
        assert_int_equal(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL), 0);
        assert_int_equal(times(fd), 1);
        LASTED(start, (uint64_t)HOUR * MS - OVERHEAD / 2);
        close(fd);
    }
}

static void
what_is_left(void **state)
{
    const struct itimerspec stop = spec_of(0, 0);
    const int fd = timer(10 * HOUR, 4 * HOUR);
    struct itimerspec spec;

    (void)state;
    sleep_ms(9 * HOUR);
    assert_int_equal(timerfd_gettime(fd, &spec), 0);
    assert_in_range(rest_ms(&spec), HOUR - 1, HOUR);
    assert_int_equal(spec.it_interval.tv_sec, 4 * HOUR / 1000);
    assert_int_equal(spec.it_interval.tv_nsec, 0);
    sleep_ms(6 * HOUR); /* nobody has read it, and it goes on */
    assert_int_equal(timerfd_settime(fd, 0, &stop, &spec), 0);
    assert_in_range(rest_ms(&spec), 3 * HOUR - 1, 3 * HOUR);
    assert_int_equal(timerfd_gettime(fd, &spec), 0);
    assert_int_equal(rest_ms(&spec), 0);
    close(fd);
}

/* Setting it anew, or stopping it, takes back that it has fired. */
static void
set_anew_it_is_not_ready(void **state)
{
    const int fd = timer(1, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    (void)state;
    sleep_ms(2);
    assert_int_equal(poll(&p, 1, 0), 1);
    set_timer(fd, HOUR, 0);
    assert_int_equal(poll(&p, 1, 0), 0);
    set_timer(fd, 1, 0);
    sleep_ms(2);
    assert_int_equal(poll(&p, 1, 0), 1);
    set_timer(fd, 0, 0);
    assert_int_equal(poll(&p, 1, 2 * HOUR), 0);
    close(fd);
}

static void
nonblocking_read(void **state)
{
    const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    uint64_t n;

    (void)state;
    set_timer(fd, 5, 0);
    assert_int_equal(read(fd, &n, sizeof n), -1);
    assert_int_equal(errno, EAGAIN);
    sleep_ms(6);
    assert_int_equal(times(fd), 1);
    assert_int_equal(read(fd, &n, sizeof n), -1);
    assert_int_equal(errno, EAGAIN);
    close(fd);
}

/* ------------------------------------------------------------------ */
/* With other threads                                                  */

static void *
set_in_an_hour(void *fd)
{
    sleep_ms(HOUR);
    set_timer(*(int *)fd, HOUR, 0);
    return NULL;
}

static void
another_thread_sets_it(void **state)
{
    int fd = timer(0, 0);
    const uint64_t start = now();
    pthread_t t;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, set_in_an_hour, &fd), 0);
    assert_int_equal(times(fd), 1);
    LASTED(start, 2ULL * HOUR * MS);
    assert_int_equal(pthread_join(t, NULL), 0);
    close(fd);
}

static volatile uint64_t fired_at;

static void *
read_it(void *fd)
{
    assert_int_equal(times(*(int *)fd), 1);
    fired_at = now();
    return NULL;
}

static void
it_fires_while_others_run(void **state)
{
    const uint64_t start = now();
    int fd = timer(5, 0);
    pthread_t t;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, read_it, &fd), 0);
    wait_until(start + 10 * MS);
    assert_in_range(fired_at - start, 5 * MS, 5 * MS + OVERHEAD);
    assert_int_equal(pthread_join(t, NULL), 0);
    close(fd);
}

static volatile sig_atomic_t handled;

static void
on_signal(int sig)
{
    handled = sig;
}

static void *
interrupt(void *thread)
{
    sleep_ms(HOUR);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    return NULL;
}

static void
interrupted(int flags, int result, int error)
{
    const struct sigaction sa = {.sa_handler = on_signal, .sa_flags = flags};
    const int fd = timer(2 * HOUR, 0);
    const uint64_t start = now();
    pthread_t me = pthread_self(), t;
    uint64_t n;

    handled = 0;
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
    assert_int_equal(pthread_create(&t, NULL, interrupt, &me), 0);
    errno = 0;
    assert_int_equal(read(fd, &n, sizeof n), result);
    assert_int_equal(errno, error);
    LASTED(start, (result > 0 ? 2ULL : 1ULL) * HOUR * MS);
    assert_int_equal(handled, SIGUSR1);
    assert_int_equal(pthread_join(t, NULL), 0);
    close(fd);
}

static void
signal_ends_a_read(void **state)
{
    (void)state;
    interrupted(0, -1, EINTR);
}

static void
or_restarts_it(void **state)
{
    (void)state;
    interrupted(SA_RESTART, sizeof(uint64_t), 0);
}

/* ------------------------------------------------------------------ */
/* Descriptors                                                         */

static void
its_descriptor_may_change(void **state)
{
    const uint64_t start = now();
    const int first = timer(HOUR, HOUR), fd = dup(first);
    int other;

    (void)state;
    close(first);
    other = timer(10 * HOUR, 0);
    assert_int_equal(other, first);
    assert_int_equal(times(fd), 1);
    LASTED(start, (uint64_t)HOUR * MS);
    assert_int_equal(times(other), 1);
    LASTED(start, 10ULL * HOUR * MS);
    close(other);
    close(fd);
}

static void
closed_it_does_nothing(void **state)
{
    const uint64_t start = now();

    (void)state;
    close(timer(1, 1));
    sleep_ms(HOUR);
    LASTED(start, (uint64_t)HOUR * MS);
    close(timer(HOUR, 0));
}

/* Read in a way that is not known here, it goes on. */
static void
read_otherwise(void **state)
{
    const uint64_t start = now();
    const int fd = timer(HOUR, HOUR);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint64_t n;
    struct iovec v = {&n, sizeof n};
    int i;

    (void)state;
    for (i = 1; i <= 3; i++) {
        assert_int_equal(poll(&p, 1, -1), 1);
        assert_int_equal(readv(fd, &v, 1), sizeof n);
        assert_int_equal(n, 1);
        LASTED(start, (uint64_t)i * HOUR * MS);
    }
    close(fd);
}

static void
child_has_its_own(void **state)
{
    const uint64_t start = now();
    const int old = timer(HOUR, 0);
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
        const struct itimerspec spec = spec_of(20, 0);
        uint64_t n = 0;
        timerfd_settime(fd, 0, &spec, NULL);
        _exit(read(fd, &n, sizeof n) != sizeof n || n != 1 || now() - start < 20 * MS);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(times(old), 1);
    assert_true(now() - start >= (uint64_t)HOUR * MS);
    close(old);
}

static void
what_a_child_sets_is_the_childs(void **state)
{
    const int fd = timer(HOUR, 0);
    const struct itimerspec spec = spec_of(20, 0);
    struct itimerspec got;
    int next, status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        uint64_t n = 0;
        timerfd_settime(fd, 0, &spec, NULL);
        _exit(read(fd, &n, sizeof n) != sizeof n || n != 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    next = timer(HOUR, 0);
    assert_int_equal(timerfd_gettime(fd, &got), 0);
    assert_int_equal(rest_ms(&got), 0);
    close(next);
    close(fd);
}

static void
bad_calls_are_refused(void **state)
{
    const struct itimerspec bad = {{0, 0}, {0, 1000000000}}, good = spec_of(1, 0);
    const int fd = timer(1, 0), event = eventfd(0, 0);
    struct itimerspec spec;
    uint32_t small;

    (void)state;
#define REFUSED(call, error)            \
    do {                                \
        errno = 0;                      \
        assert_int_equal(call, -1);     \
        assert_int_equal(errno, error); \
    } while (0)
    REFUSED(timerfd_settime(fd, 0, &bad, NULL), EINVAL);
    REFUSED(timerfd_settime(fd, 64, &good, NULL), EINVAL);
    REFUSED(timerfd_settime(event, 0, &good, NULL), EINVAL);
    REFUSED(timerfd_settime(-1, 0, &good, NULL), EBADF);
    REFUSED(syscall(SYS_timerfd_settime, fd, 0, 8, NULL), EFAULT);
    REFUSED(timerfd_gettime(event, &spec), EINVAL);
    REFUSED(syscall(SYS_timerfd_gettime, fd, 8), EFAULT);
    REFUSED(read(fd, &small, sizeof small), EINVAL);
    sleep_ms(2);
    REFUSED(syscall(SYS_read, fd, 8, 8), EFAULT);
    close(event);
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_waits_until_it_fires),
        cmocka_unit_test(each_interval_counts),
        cmocka_unit_test(times_of_clocks),
        cmocka_unit_test(what_is_left),
        cmocka_unit_test(set_anew_it_is_not_ready),
        cmocka_unit_test(nonblocking_read),
        cmocka_unit_test(another_thread_sets_it),
        cmocka_unit_test(it_fires_while_others_run),
        cmocka_unit_test(signal_ends_a_read),
        cmocka_unit_test(or_restarts_it),
        cmocka_unit_test(its_descriptor_may_change),
        cmocka_unit_test(closed_it_does_nothing),
        cmocka_unit_test(read_otherwise),
        cmocka_unit_test(child_has_its_own),
        cmocka_unit_test(what_a_child_sets_is_the_childs),
        cmocka_unit_test(bad_calls_are_refused),
    };

    return LITMUS_MAIN(tests);
}
