// SPDX-License-Identifier: MIT
// The one C++ file: bench.h on top of Google Benchmark.
#include "bench/bench.h"

#include <benchmark/benchmark.h>

#include <pthread.h>

#include <deque>
#include <map>
#include <memory>

struct bench {
    benchmark::State *state;
    bool has_value;
};

namespace {

// All threads of one run meet here, before and after the loop.
class Meeting {
  public:
    explicit Meeting(int threads)
    {
        pthread_barrier_init(&barrier_, nullptr, static_cast<unsigned>(threads));
    }
    Meeting(const Meeting &) = delete;
    Meeting &operator=(const Meeting &) = delete;

    void
    wait()
    {
        pthread_barrier_wait(&barrier_);
    }

  private:
    pthread_barrier_t barrier_;
};

// A registered benchmark with a meeting for each number of threads it runs on. Kept until the
// process ends, as what Google Benchmark registers is.
struct Entry {
    bench_spec spec;
    std::map<int, Meeting> meetings;
};

// Google Benchmark's own set-up hooks carry no argument, so that set-up and tear-down happen here.
void
run(benchmark::State &state, Entry *entry)
{
    const bench_spec &spec = entry->spec;
    Meeting &meeting = entry->meetings.at(state.threads());
    bench b = {&state, spec.values != nullptr};
    if (state.thread_index() == 0 && spec.set_up != nullptr) {
        spec.set_up(state.threads(), spec.arg);
    }
    meeting.wait();
    spec.run(&b, spec.arg);
    meeting.wait();
    if (state.thread_index() == 0 && spec.tear_down != nullptr) {
        spec.tear_down(state.threads(), spec.arg);
    }
}

// Shows what the chosen reporter shows, and remembers whether a run failed.
class Watch : public benchmark::BenchmarkReporter {
  public:
    Watch() : shown_(benchmark::CreateDefaultDisplayReporter())
    {
    }

    bool
    ReportContext(const Context &context) override
    {
        return shown_->ReportContext(context);
    }

    void
    ReportRuns(const std::vector<Run> &runs) override
    {
        for (const Run &one : runs) {
            failed_ |= one.error_occurred;
        }
        shown_->ReportRuns(runs);
    }

    void
    Finalize() override
    {
        shown_->Finalize();
    }

    bool
    failed() const
    {
        return failed_;
    }

  private:
    std::unique_ptr<benchmark::BenchmarkReporter> shown_;
    bool failed_ = false;
};

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
    for (const int *n = spec->threads != nullptr ? spec->threads : one_thread; *n != 0; n++) {
        entry->meetings.try_emplace(*n, *n);
        made->Threads(*n);
    }
    for (const int64_t *value = spec->values; value != nullptr && *value >= 0; value++) {
        made->Arg(*value);
    }
}

bool
bench_next(bench *b, uint64_t batch)
{
    return b->state->KeepRunningBatch(static_cast<benchmark::IterationCount>(batch));
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
    return b->has_value ? b->state->range(0) : -1;
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
    b->state->SkipWithError(reason);
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
    Watch watch;
    // Google Benchmark itself says so when nothing matches the filter.
    if (benchmark::RunSpecifiedBenchmarks(&watch) == 0) {
        return 2;
    }
    return watch.failed() ? 1 : 0;
}
