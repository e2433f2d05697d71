// SPDX-License-Identifier: MIT
// Locks that exist in C++ only: oneTBB's speculative_spin_mutex and std::mutex.
#include "bench/locks.h"

#include <cstdlib>
#include <mutex>

#if __has_include(<oneapi/tbb/spin_mutex.h>)
#include <oneapi/tbb/spin_mutex.h>

const bool bench_have_tbb = true;

void
bench_tbb_run(work_thread *t)
{
    static tbb::speculative_spin_mutex mutex;
    tbb::speculative_spin_mutex::scoped_lock lock(mutex);
    bench_section(t);
}
#else
const bool bench_have_tbb = false;

void
bench_tbb_run(work_thread *)
{
    std::abort();
}
#endif

void
bench_std_mutex_run(work_thread *t)
{
    alignas(64) static std::mutex mutex;
    std::lock_guard<std::mutex> lock(mutex);
    bench_section(t);
}
