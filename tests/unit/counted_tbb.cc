// SPDX-License-Identifier: MIT
//
// The same as counted.c for oneTBB's speculative_spin_mutex. C++ because it is.

#include <cstdio>
#include <oneapi/tbb/spin_mutex.h>

#include "rtmgrind/rtmgrind.h"

static const int pairs = 10000;
static tbb::speculative_spin_mutex mutex;

static void
loop_alone()
{
    for (volatile int i = 0; i < pairs; i = i + 1) {
    }
}

static void
loop_with_pairs()
{
    for (volatile int i = 0; i < pairs; i = i + 1) {
        tbb::speculative_spin_mutex::scoped_lock lock(mutex);
    }
}

__attribute__((target("rtm"))) static bool
elides()
{
    tbb::speculative_spin_mutex::scoped_lock lock(mutex);

    return __builtin_ia32_xtest() != 0;
}

static double
count(void (*run)())
{
    run();
    unsigned long before = RTMGRIND_CLOCK();
    run();
    return static_cast<double>(RTMGRIND_CLOCK() - before);
}

int
main()
{
    double pair = (count(loop_with_pairs) - count(loop_alone)) / pairs;

    std::printf("speculative_spin_mutex %.2f %s\n", pair, elides() ? "speculative" : "locked");
    return 0;
}
