/* SPDX-License-Identifier: MIT */
/* What is measured: registers every suite with bench.h. */
#ifndef ELISION_BENCH_SUITES_H
#define ELISION_BENCH_SUITES_H

#include <hwloc.h>

#include "bench/place.h"

/* Register all suites.
 * pre:   plan and topology live until the benchmarks have run */
void bench_suites_register(const struct place_plan *plan, hwloc_topology_t topology);

#endif
