// SPDX-License-Identifier: MIT
// What exists in C++ only: oneTBB's speculative_spin_mutex, std::mutex and std::shared_ptr.
#include "bench/locks.h"
#include "bench/shared_ptr.h"

#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>

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

// Each on lines of its own, together with its count.
struct alignas(64) Padded {
    int value;
};
using Pointer = std::shared_ptr<Padded>;
static_assert(sizeof(Pointer) <= sizeof(bench_shared_ptr), "shared_ptr.h has too little room");
struct alignas(64) Named {
    Pointer pointer;
};
static Named named[BENCH_SHARED_PTRS];

void
bench_shared_ptr_make(unsigned number)
{
    if (named[number].pointer == nullptr) {
        named[number].pointer = std::make_shared<Padded>();
    }
}

long
bench_shared_ptr_count(unsigned number)
{
    return named[number].pointer.use_count();
}

void
bench_shared_ptr_copy(bench_shared_ptr *at, unsigned number)
{
    new (at) Pointer(named[number].pointer);
}

void
bench_shared_ptr_drop(bench_shared_ptr *at)
{
    reinterpret_cast<Pointer *>(at)->~Pointer();
}
