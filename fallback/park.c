/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fallback/park.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* From linux/futex.h and linux/membarrier.h, which some C libraries' header sets lack. */
#define FUTEX_WAIT_PRIVATE (0 | 128)
#define FUTEX_WAKE_PRIVATE (1 | 128)
#define MEMBARRIER_QUERY 0
#define MEMBARRIER_PRIVATE_EXPEDITED (1 << 3)
#define MEMBARRIER_REGISTER_PRIVATE_EXPEDITED (1 << 4)

bool elision_park_asymmetric_ = false;

static long
membarrier_call(int command)
{
#ifdef SYS_membarrier
    return syscall(SYS_membarrier, command, 0, 0);
#else
    (void)command;
    errno = ENOSYS;
    return -1;
#endif
}

void
elision_park_init_(void)
{
    int saved = errno;
    long commands = membarrier_call(MEMBARRIER_QUERY);
    long needed = MEMBARRIER_PRIVATE_EXPEDITED | MEMBARRIER_REGISTER_PRIVATE_EXPEDITED;

    /* Tried once for real: sandboxes that answer the query but refuse the command exist. */
    elision_park_asymmetric_ = commands >= 0 && (commands & needed) == needed &&
                               membarrier_call(MEMBARRIER_REGISTER_PRIVATE_EXPEDITED) == 0 &&
                               membarrier_call(MEMBARRIER_PRIVATE_EXPEDITED) == 0;
    errno = saved;
}

bool
elision_park_fence_heavy_(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (!elision_park_asymmetric_) {
        return true;
    }
    int saved = errno;
    bool done = membarrier_call(MEMBARRIER_PRIVATE_EXPEDITED) == 0;
    errno = saved;
    return done;
}

void
elision_park_wait_(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    int saved = errno;
    struct timespec limit = {
        .tv_sec = (time_t)(timeout_ns / 1000000000u),
        .tv_nsec = (long)(timeout_ns % 1000000000u),
    };

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns == 0 ? NULL : &limit, NULL,
            0);
    errno = saved;
}

void
elision_park_wake_(_Atomic uint32_t *word)
{
    int saved = errno;

    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved;
}
