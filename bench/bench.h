/* SPDX-License-Identifier: MIT */
/* Google Benchmark for C.
 *
 * A benchmark is a C function that loops as long as bench_next says so. Threads, timing,
 * repetitions, filters and output formats are Google Benchmark's, with all of its flags; this
 * header only makes them reachable from C, and shim.cc is the one C++ file.
 *
 *     static void
 *     run(struct bench *b, void *arg)
 *     {
 *         while (bench_next(b, 100)) {
 *             for (int i = 0; i < 100; i++) {
 *                 work(arg);
 *             }
 *         }
 *     }
 *
 * It is not a place for policy: what to measure is in the suites, where threads run in place.h. */
#ifndef ELISION_BENCH_BENCH_H
#define ELISION_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench; /* one thread's view of a running benchmark */

/* How the values that the threads give for one counter become one figure. */
enum bench_counter_kind {
    BENCH_SUM = 0,  /* added up */
    BENCH_RATE = 1, /* added up, per second */
    BENCH_MEAN = 2, /* averaged over the threads */
};

/* What there is to register. Strings and arg are kept by pointer and must live until bench_run
 * returns. */
struct bench_spec {
    const char *name;                          /* suite/what/how */
    void (*run)(struct bench *b, void *arg);   /* on each thread */
    void (*set_up)(int threads, void *arg);    /* once before each run, or NULL */
    void (*tear_down)(int threads, void *arg); /* once after each run, or NULL */
    void *arg;
    const int *threads;    /* ends with 0; NULL: one thread */
    const int64_t *values; /* one run for each, which bench_value tells; ends with -1, or NULL */
};

/* Register a benchmark.
 * pre:   bench_run has not been called */
void bench_register(const struct bench_spec *spec);

/* Ask for `batch` more rounds. Timing starts with the first call, when all threads have arrived,
 * and ends for all threads when the last of them asks in vain: each does the same number of rounds,
 * and the time of a run is that of the slowest.
 * ret:   true: do `batch` rounds and ask again. After false all threads have finished theirs */
bool bench_next(struct bench *b, uint64_t batch);

/* ret:   how many rounds a thread of this run had done when the first one had done all of its
 * pre:   bench_next has returned false, and no thread has failed */
uint64_t bench_rounds(const struct bench *b, int thread);

/* ret:   this thread's number, from 0 */
int bench_thread(const struct bench *b);

/* ret:   how many threads run this benchmark */
int bench_threads(const struct bench *b);

/* ret:   which of the spec's values this run is for; -1 if it has none */
int64_t bench_value(const struct bench *b);

/* Give a figure of this thread's; call it after the loop. */
void bench_counter(struct bench *b, const char *name, double value, enum bench_counter_kind kind);

/* End this run as failed: it is reported as an error, on stderr too, and bench_run will say so.
 * Repetitions that would follow fail for the same reason without being run.
 * pre:   called by one thread at least; the others end their rounds */
void bench_fail(struct bench *b, const char *reason);

/* ret:   seconds by a clock that is never set */
double bench_seconds(void);

/* Put a fact about machine or build into the report's context. Strings are copied. */
void bench_context(const char *key, const char *value);

/* Take Google Benchmark's flags out of argv.
 * ret:   true; false after a message on stderr when arguments are left that nobody knows */
bool bench_flags(int *argc, char **argv);

/* Run what matches the filter and report it.
 * ret:   0; 1 if a benchmark failed; 2 if none matched the filter */
int bench_run(void);

#ifdef __cplusplus
}
#endif

#endif
