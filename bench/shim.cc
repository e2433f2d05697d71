// SPDX-License-Identifier: MIT
// The one C++ file: bench.h on top of Google Benchmark.
#include "bench/bench.h"

#include <benchmark/benchmark.h>

#include "rtmgrind/rtmgrind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

// One benchmark on one number of threads, for one of its values: what its threads share.
class Instance {
  public:
    explicit Instance(int threads)
        : threads_(threads), done_(static_cast<size_t>(threads)), snapshot_(done_.size())
    {
    }

    // By one thread, before a run.
    void
    begin()
    {
        finished_ = false;
        for (Rounds &each : done_) {
            each.count = 0;
        }
    }

    // A thread has done so many rounds, which are all of them or not.
    void
    progress(int thread, uint64_t rounds, bool all)
    {
        done_[static_cast<size_t>(thread)].count.store(rounds, std::memory_order_relaxed);
        if (all && !finished_.exchange(true)) {
            for (size_t i = 0; i < done_.size(); i++) {
                snapshot_[i] = done_[i].count.load(std::memory_order_relaxed);
            }
        }
    }

    // How many rounds a thread had done when the first one had done all of its.
    uint64_t
    rounds(int thread) const
    {
        return snapshot_[static_cast<size_t>(thread)];
    }

    // All threads of a run meet here: before the loop, at its end and behind it. A thread that does
    // not stay counts as having come.
    void
    arrive(bool stays = true)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        const unsigned mine = turn_;
        if (++came_ == threads_) {
            came_ = 0;
            turn_++;
            all_came_.notify_all();
        }
        else if (stays) {
            all_came_.wait(lock, [&] { return turn_ != mine; });
        }
    }

    // The first reason stays; ret: whether this is it.
    bool
    fail(const char *reason)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        const bool first = failure_.empty();
        if (first) {
            failure_ = reason;
        }
        return first;
    }

    // Why it failed; empty if it has not.
    std::string
    failure()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return failure_;
    }

  private:
    struct alignas(64) Rounds {
        std::atomic<uint64_t> count;
    };
    const int threads_;
    std::vector<Rounds> done_; // by thread
    std::vector<uint64_t> snapshot_;
    std::atomic<bool> finished_; // one thread has
    int came_ = 0;
    unsigned turn_ = 0;
    std::string failure_;
    std::mutex mutex_;
    std::condition_variable all_came_;
};

// A registered benchmark with its instances, by number of threads and value. Kept until the process
// ends, as what Google Benchmark registers is.
struct Entry {
    bench_spec spec;
    std::map<std::pair<int, int64_t>, Instance> instances;
};

const int64_t no_value = -1;

std::atomic<bool> any_failed;

} // namespace

struct bench {
    benchmark::State *state;
    Instance *instance;
    const char *name;
    int64_t value;
    bool finished; // has met the others at the end of the loop
    benchmark::IterationCount rounds;
};

namespace {

// Under the emulator each run starts at a round virtual time. What came before, such as reading
// what machine this is, may take a few instructions more or less and would shift the interleaving.
void
start_on_the_dot()
{
    const long dot = 1000000; // ns
    timespec now;
    if (RTMGRIND_EMULATED() && clock_gettime(CLOCK_MONOTONIC, &now) == 0) {
        long next = (now.tv_nsec / dot + 2) * dot;
        now.tv_sec += next / 1000000000;
        now.tv_nsec = next % 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &now, nullptr);
    }
}

} // namespace

// Google Benchmark asks for the host's load, and prints it before anything runs. Under the emulator
// it says nothing about the results, and a digit more or less would be felt by what comes after.
extern "C" int
getloadavg(double loads[], int count) noexcept
{
    FILE *file = RTMGRIND_EMULATED() ? nullptr : fopen("/proc/loadavg", "r");
    int found = 0;
    while (file != nullptr && found < count && fscanf(file, "%lf", &loads[found]) == 1) {
        found++;
    }
    if (file != nullptr) {
        fclose(file);
    }
    return found != 0 ? found : -1;
}

namespace {

// Google Benchmark's own set-up hooks carry no argument, so that set-up and tear-down happen here.
//
// A failure is for good: later repetitions fail for the same reason without being run. Google
// Benchmark up to 1.9 works statistics out by a pointer of the first repetition's, which is not set
// if that one failed.
void
run(benchmark::State &state, Entry *entry)
{
    const bench_spec &spec = entry->spec;
    const int64_t value = spec.values != nullptr ? state.range(0) : no_value;
    Instance &instance = entry->instances.at({state.threads(), value});
    const bool first = state.thread_index() == 0;
    const std::string failure = instance.failure();
    bench b = {&state, &instance, spec.name, value, false, 0};
    if (first && failure.empty()) {
        instance.begin();
        if (spec.set_up != nullptr) {
            spec.set_up(state.threads(), spec.arg);
        }
        start_on_the_dot();
    }
    instance.arrive();
    if (!failure.empty()) {
        state.SkipWithError(failure.c_str());
        return;
    }
    spec.run(&b, spec.arg);
    while (!b.finished && bench_next(&b, 1)) { // one that gave up before the loop still meets
    }
    instance.arrive();
    if (first && spec.tear_down != nullptr) {
        spec.tear_down(state.threads(), spec.arg);
    }
}

} // namespace

void
bench_register(const bench_spec *spec)
{
    static std::deque<Entry> entries;
    static const int one_thread[] = {1, 0};
    entries.emplace_back();
    Entry *entry = &entries.back();
    entry->spec = *spec;
    benchmark::internal::Benchmark *made = benchmark::RegisterBenchmark(
        spec->name, [entry](benchmark::State &state) { run(state, entry); });
    made->UseRealTime();
    std::vector<int64_t> values;
    for (const int64_t *value = spec->values; value != nullptr && *value >= 0; value++) {
        values.push_back(*value);
        made->Arg(*value);
    }
    if (values.empty()) {
        values.push_back(no_value);
    }
    for (const int *n = spec->threads != nullptr ? spec->threads : one_thread; *n != 0; n++) {
        made->Threads(*n);
        for (int64_t value : values) {
            entry->instances.try_emplace({*n, value}, *n);
        }
    }
}

bool
bench_next(bench *b, uint64_t batch)
{
    const bool failed = b->state->error_occurred();
    const bool all = failed || b->rounds >= b->state->max_iterations;
    if (!b->finished) {
        b->instance->progress(b->state->thread_index(), static_cast<uint64_t>(b->rounds), all);
    }
    if (!b->finished && all) {
        b->finished = true;
        // Time ends for all when the last one is done, or a lock that lets threads run one after
        // the other would seem to be faster than it is.
        b->instance->arrive(!failed);
    }
    if (!b->state->KeepRunningBatch(static_cast<benchmark::IterationCount>(batch))) {
        return false;
    }
    b->rounds += static_cast<benchmark::IterationCount>(batch);
    return true;
}

uint64_t
bench_rounds(const bench *b, int thread)
{
    return b->instance->rounds(thread);
}

int
bench_thread(const bench *b)
{
    return b->state->thread_index();
}

int
bench_threads(const bench *b)
{
    return b->state->threads();
}

int64_t
bench_value(const bench *b)
{
    return b->value;
}

void
bench_counter(bench *b, const char *name, double value, bench_counter_kind kind)
{
    benchmark::Counter::Flags flags = benchmark::Counter::kDefaults;
    switch (kind) {
    case BENCH_SUM: break;
    case BENCH_RATE: flags = benchmark::Counter::kIsRate; break;
    case BENCH_MEAN: flags = benchmark::Counter::kAvgThreads; break;
    }
    b->state->counters[name] = benchmark::Counter(value, flags);
}

void
bench_fail(bench *b, const char *reason)
{
    any_failed = true;
    // What a format or --benchmark_report_aggregates_only may hide is said in any case.
    if (b->instance->fail(reason)) {
        const bool valued = b->value != no_value;
        fprintf(stderr, "%s: %s%s%s/threads:%d failed: %s\n", program_invocation_short_name,
                b->name, valued ? "/" : "", valued ? std::to_string(b->value).c_str() : "",
                b->state->threads(), reason);
    }
    b->state->SkipWithError(reason);
}

double
bench_seconds(void)
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void
bench_context(const char *key, const char *value)
{
    benchmark::AddCustomContext(key, value);
}

bool
bench_flags(int *argc, char **argv)
{
    benchmark::Initialize(argc, argv);
    return !benchmark::ReportUnrecognizedArguments(*argc, argv);
}

int
bench_run(void)
{
    // Google Benchmark itself says so when nothing matches the filter.
    if (benchmark::RunSpecifiedBenchmarks() == 0) {
        return 2;
    }
    return any_failed ? 1 : 0;
}
