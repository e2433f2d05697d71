/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Signals of timers and what their handler saw, for timer.c and sigwait.c.
 */

#ifndef RTMGRIND_TESTS_TIMER_H
#define RTMGRIND_TESTS_TIMER_H

#include "rtmgrind/tests/team.h"

#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { SLACK = 3000 }; /* cycles that a thread may be late: its signal comes between two blocks */

static struct {
    volatile sig_atomic_t runs;
    volatile uint64_t at;
    volatile int in_tx, code, value, overrun;
    pthread_t thread;
} seen;

static inline void
handler(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    seen.at = now();
    seen.runs++;
    seen.in_tx = tx_test();
    seen.code = info->si_code;
    seen.value = info->si_value.sival_int;
    seen.overrun = info->si_overrun;
    seen.thread = pthread_self();
}

static inline void
on_signal(int sig, int flags)
{
    const struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    memset((void *)&seen, 0, sizeof seen);
    assert_int_equal(sigaction(sig, &sa, NULL), 0);
}

static inline void
mask(int how, int sig)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, sig);
    assert_int_equal(pthread_sigmask(how, &set, NULL), 0);
}

/* A timer, in milliseconds: first, then each. ret: when it was set */
static inline uint64_t
every(int which, int first, int each)
{
    const struct itimerval tv = {{each / 1000, each % 1000 * 1000},
                                 {first / 1000, first % 1000 * 1000}};

    assert_int_equal(setitimer(which, &tv, NULL), 0);
    return now();
}

#endif
