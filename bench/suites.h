/* SPDX-License-Identifier: MIT */
/* What is measured, and what the suites share. */
#ifndef ELISION_BENCH_SUITES_H
#define ELISION_BENCH_SUITES_H

#include <hwloc.h>
#include <stdbool.h>

#include "bench/bench.h"
#include "bench/locks.h"
#include "bench/place.h"
#include "bench/work.h"
#include "elision/elision.h"

/* Register all suites.
 * pre:   plan and topology live until the benchmarks have run */
void bench_suites_register(const struct place_plan *plan, hwloc_topology_t topology);

/* The suites, each in a file of its own. */
void bench_suite_cost(void);
void bench_suite_fallback(void);
void bench_suite_locks(void); /* lock and policy */
void bench_suite_refcount(void);
void bench_suite_capacity(void);

/* Bind the calling thread to its place in the plan.
 * ret:   true; false after bench_fail */
bool bench_place(struct bench *b);

/* ret:   1, 2, 4 ... as far as the plan has places for threads that spin; ends with 0 */
const int *bench_thread_range(void);

/* ret:   how many hardware threads the topology has; under the emulator as many as are wanted */
int bench_processors(void);

/* Put into the report's context that something is left out, and why. */
void bench_skip(const char *what, const char *why);

/* Give what the library counted since `before` as counters. */
void bench_report_elision(struct bench *b, const struct elision_stats *before);

/* Register workload and lock as suite/workload/name; a lock that is missing here is skipped. */
void bench_pairing(const char *suite, const struct work *work, const struct bench_lock *lock,
                   const char *name, const int *range);

#endif
