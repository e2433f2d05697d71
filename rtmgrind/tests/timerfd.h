/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Timers that are files, for timerfd.c and descriptor.c.
 */

#ifndef RTMGRIND_TESTS_TIMERFD_H
#define RTMGRIND_TESTS_TIMERFD_H

#include "rtmgrind/tests/team.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

enum { HOUR = 3600 * 1000 }; /* milliseconds */

static inline struct itimerspec
spec_of(long first_ms, long each_ms)
{
    return (struct itimerspec){{each_ms / 1000, each_ms % 1000 * 1000000},
                               {first_ms / 1000, first_ms % 1000 * 1000000}};
}

static inline void
set_timer(int fd, long first_ms, long each_ms)
{
    const struct itimerspec spec = spec_of(first_ms, each_ms);

    assert_int_equal(timerfd_settime(fd, 0, &spec, NULL), 0);
}

static inline int
timer(long first_ms, long each_ms)
{
    const int fd = timerfd_create(CLOCK_MONOTONIC, 0);

    assert_true(fd >= 0);
    set_timer(fd, first_ms, each_ms);
    return fd;
}

/* How often it fired. */
static inline uint64_t
times(int fd)
{
    uint64_t n = 0;

    assert_int_equal(read(fd, &n, sizeof n), sizeof n);
    return n;
}

#endif
