/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who waits for nothing but timers and eventfds waits in virtual time. Where something else can
 * come, the call is the kernel's.
 */

#include "rtmgrind/tests/timerfd.h"

#include <sys/epoll.h>
#include <sys/select.h>

static int
epoll_on(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    const int e = epoll_create1(0);

    assert_int_equal(epoll_ctl(e, EPOLL_CTL_ADD, fd, &event), 0);
    return e;
}

static void
who_polls_waits_until_it_fires(void **state)
{
    const uint64_t start = now();
    const int fd = timer(HOUR, HOUR), e = epoll_on(fd);
    const struct timespec long_time = {10 * HOUR, 0};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct epoll_event event = {0};
    fd_set set;

    (void)state;
    assert_int_equal(poll(&p, 1, -1), 1);
    LASTED(start, (uint64_t)HOUR * MS);
    assert_int_equal(times(fd), 1);
    assert_int_equal(ppoll(&p, 1, &long_time, NULL), 1);
    LASTED(start, 2ULL * HOUR * MS);
    assert_int_equal(times(fd), 1);
    FD_ZERO(&set);
    FD_SET(fd, &set);
    assert_int_equal(select(fd + 1, &set, NULL, NULL, NULL), 1);
    LASTED(start, 3ULL * HOUR * MS);
    assert_int_equal(times(fd), 1);
    assert_int_equal(epoll_wait(e, &event, 1, -1), 1);
    assert_int_equal(event.data.fd, fd);
    LASTED(start, 4ULL * HOUR * MS);
    close(e);
    close(fd);
}

static void
who_polls_waits_no_longer_than_it_says(void **state)
{
    const int fd = timer(10 * HOUR, 0), e = epoll_on(fd);
    struct pollfd p[] = {{.fd = fd, .events = POLLIN, .revents = 77}, {.fd = -1, .revents = 77}};
    struct timeval tv = {HOUR / 1000, 0};
    uint64_t start = now();
    struct epoll_event event = {0};
    fd_set set;

    (void)state;
    assert_int_equal(poll(p, 2, HOUR), 0);
    LASTED(start, (uint64_t)HOUR * MS);
    assert_int_equal(p[0].revents, 0);
    assert_int_equal(p[1].revents, 0);
    FD_ZERO(&set);
    FD_SET(fd, &set);
    start = now();
    assert_int_equal(syscall(SYS_select, fd + 1, &set, NULL, NULL, &tv), 0);
    LASTED(start, (uint64_t)HOUR * MS);
    assert_false(FD_ISSET(fd, &set));
    assert_int_equal(tv.tv_sec, 0);
    start = now();
    assert_int_equal(epoll_wait(e, &event, 1, HOUR), 0);
    LASTED(start, (uint64_t)HOUR * MS);
    close(e);
    close(fd);
}

static void *
write_in_an_hour(void *fd)
{
    const uint64_t one = 1;

    sleep_ms(HOUR);
    assert_int_equal(write(*(int *)fd, &one, sizeof one), sizeof one);
    return NULL;
}

static void
another_thread_makes_an_eventfd_ready(void **state)
{
    const int fd = timer(10 * HOUR, 0), e = epoll_on(fd), event = eventfd(0, 0);
    struct epoll_event got = {.events = EPOLLIN, .data.fd = event};
    const uint64_t start = now();
    pthread_t t;

    (void)state;
    assert_int_equal(epoll_ctl(e, EPOLL_CTL_ADD, event, &got), 0);
    assert_int_equal(pthread_create(&t, NULL, write_in_an_hour, (void *)&event), 0);
    assert_int_equal(epoll_wait(e, &got, 1, -1), 1);
    assert_int_equal(got.data.fd, event);
    LASTED(start, (uint64_t)HOUR * MS);
    assert_int_equal(times(event), 1);
    assert_int_equal(pthread_join(t, NULL), 0);
    close(event);
    close(e);
    close(fd);
}

static int epoll_of_main;

static void *
add_in_an_hour(void *fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = *(int *)fd};

    sleep_ms(HOUR);
    assert_int_equal(epoll_ctl(epoll_of_main, EPOLL_CTL_ADD, *(int *)fd, &event), 0);
    return NULL;
}

static void
another_thread_adds_a_descriptor(void **state)
{
    const int fd = timer(10 * HOUR, 0), event = eventfd(1, 0);
    struct epoll_event got = {0};
    const uint64_t start = now();
    pthread_t t;

    (void)state;
    epoll_of_main = epoll_on(fd);
    assert_int_equal(pthread_create(&t, NULL, add_in_an_hour, (void *)&event), 0);
    assert_int_equal(epoll_wait(epoll_of_main, &got, 1, -1), 1);
    assert_int_equal(got.data.fd, event);
    LASTED(start, (uint64_t)HOUR * MS);
    assert_int_equal(pthread_join(t, NULL), 0);
    close(epoll_of_main);
    close(event);
    close(fd);
}

/* A pipe may become ready at any time: the kernel's timer runs, in real time. */
static void
beside_a_pipe(void **state)
{
    const uint64_t start = now();
    const int fd = timer(20, 10), e = epoll_on(fd);
    struct epoll_event event = {.events = EPOLLIN};
    int ends[2], i;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(epoll_ctl(e, EPOLL_CTL_ADD, ends[0], &event), 0);
    for (i = 0; i < 3; i++) {
        assert_int_equal(epoll_wait(e, &event, 1, -1), 1);
        assert_int_equal(event.data.fd, fd);
        assert_in_range(times(fd), 1, 1000);
    }
    assert_true(now() - start >= 40ULL * MS);
    close(ends[0]);
    close(ends[1]);
    close(e);
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_polls_waits_until_it_fires),
        cmocka_unit_test(who_polls_waits_no_longer_than_it_says),
        cmocka_unit_test(another_thread_makes_an_eventfd_ready),
        cmocka_unit_test(another_thread_adds_a_descriptor),
        cmocka_unit_test(beside_a_pipe),
    };

    return LITMUS_MAIN(tests);
}
