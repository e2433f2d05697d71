/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * select and poll without descriptors: sleeps, and so in virtual time. With descriptors they are
 * the kernel's.
 */

#define _GNU_SOURCE
#include "rtmgrind/tests/team.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

static void
poll_of_nothing_sleeps(void **state)
{
    const uint64_t start = now();

    (void)state;
    assert_int_equal(poll(NULL, 0, 7), 0);
    LASTED(start, 7 * MS);
}

static void
ppoll_of_nothing_sleeps(void **state)
{
    const struct timespec limit = {0, 7000000};
    const uint64_t start = now();

    (void)state;
    assert_int_equal(ppoll(NULL, 0, &limit, NULL), 0);
    LASTED(start, 7 * MS);
}

static void
select_of_nothing_sleeps(void **state)
{
    struct timeval limit = {3600, 1};
    const uint64_t start = now();

    (void)state;
    assert_int_equal(syscall(SYS_select, 0, NULL, NULL, NULL, &limit), 0);
    LASTED(start, 3600ULL * 1000 * MS + MS / 1000);
    assert_int_equal(limit.tv_sec, 0);
    assert_int_equal(limit.tv_usec, 0);
}

/* The C library's select is one or the other system call. */
static void
pselect_of_nothing_sleeps(void **state)
{
    const struct timespec limit = {0, 7000000};
    struct timeval copied = {0, 7000};
    uint64_t start = now();

    (void)state;
    assert_int_equal(pselect(0, NULL, NULL, NULL, &limit, NULL), 0);
    LASTED(start, 7 * MS);
    start = now();
    assert_int_equal(select(0, NULL, NULL, NULL, &copied), 0);
    LASTED(start, 7 * MS);
}

static void
ignore(int sig)
{
    (void)sig;
}

static void *
interrupt(void *p)
{
    sleep_ms(4);
    pthread_kill(*(pthread_t *)p, SIGUSR1);
    return NULL;
}

/* 10 ms, interrupted after 4: EINTR, even where the handler asks for restarts. */
static void
signal_leaves_the_rest(void **state)
{
    const struct sigaction sa = {.sa_handler = ignore, .sa_flags = SA_RESTART};
    struct timeval limit = {0, 10000};
    struct timespec finer = {0, 10000000};
    pthread_t me = pthread_self(), t;

    (void)state;
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
    assert_int_equal(pthread_create(&t, NULL, interrupt, &me), 0);
    assert_int_equal(syscall(SYS_select, 0, NULL, NULL, NULL, &limit), -1);
    assert_int_equal(errno, EINTR);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(limit.tv_sec, 0);
    assert_in_range(limit.tv_usec, 5900, 6000);

    assert_int_equal(pthread_create(&t, NULL, interrupt, &me), 0);
    assert_int_equal(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &finer, NULL), -1);
    assert_int_equal(errno, EINTR);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_in_range(finer.tv_nsec, 5900000, 6000000);
}

static void
descriptors_are_looked_at(void **state)
{
    struct pollfd ready = {.events = POLLIN};
    struct timeval limit = {100, 0};
    fd_set set;
    int fd[2];

    (void)state;
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], "", 1), 1);
    ready.fd = fd[0];
    assert_int_equal(poll(&ready, 1, 100000), 1);
    FD_ZERO(&set);
    FD_SET(fd[0], &set);
    assert_int_equal(select(fd[0] + 1, &set, NULL, NULL, &limit), 1);
    close(fd[0]);
    close(fd[1]);
}

static void
bad_limits_are_refused(void **state)
{
    struct timespec limit = {0, 1000000000};

    (void)state;
    assert_int_equal(syscall(SYS_ppoll, NULL, 0, &limit, NULL, 8), -1);
    assert_int_equal(errno, EINVAL);
    limit = (struct timespec){-1, 0};
    assert_int_equal(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &limit, NULL), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(syscall(SYS_select, 0, NULL, NULL, NULL, 8), -1);
    assert_int_equal(errno, EFAULT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poll_of_nothing_sleeps),   cmocka_unit_test(ppoll_of_nothing_sleeps),
        cmocka_unit_test(select_of_nothing_sleeps), cmocka_unit_test(pselect_of_nothing_sleeps),
        cmocka_unit_test(signal_leaves_the_rest),   cmocka_unit_test(descriptors_are_looked_at),
        cmocka_unit_test(bad_limits_are_refused),
    };

    return LITMUS_MAIN(tests);
}
