/* SPDX-License-Identifier: MIT */
#include "bench/suites.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const struct place_plan *plan;
static hwloc_topology_t topology;
static char skipped[2048];

bool
bench_place(struct bench *b)
{
    char error[160];
    if (place_bind(plan, topology, (unsigned)bench_thread(b), error, sizeof error)) {
        return true;
    }
    bench_fail(b, error);
    return false;
}

const int *
bench_thread_range(void)
{
    static const int all[] = {1, 2, 4, 8, 16};
    static int range[sizeof all / sizeof all[0] + 1];
    size_t used = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (plan->count == 0 || (unsigned)all[i] <= plan->count) {
            range[used++] = all[i];
        }
    }
    range[used] = 0;
    return range;
}

int
bench_processors(void)
{
    return elision_verdict()->emulated ? INT_MAX : hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
}

void
bench_skip(const char *what, const char *why)
{
    size_t used = strlen(skipped);
    snprintf(skipped + used, sizeof skipped - used, "%s%s: %s", used != 0 ? "; " : "", what, why);
}

void
bench_report_elision(struct bench *b, const struct elision_stats *before)
{
    struct elision_stats now;
    elision_stats(&now);
    uint64_t starts = now.starts - before->starts;
    uint64_t commits = now.commits - before->commits;
    bench_counter(b, "starts", (double)starts, BENCH_SUM);
    bench_counter(b, "commits", (double)commits, BENCH_SUM);
    bench_counter(b, "commit_rate", starts != 0 ? (double)commits / (double)starts : 0, BENCH_SUM);
    for (int reason = 0; reason < ELISION_ABORT_REASONS; reason++) {
        char name[48];
        snprintf(name, sizeof name, "abort_%s", elision_abort_name((enum elision_abort)reason));
        bench_counter(b, name, (double)(now.aborts[reason] - before->aborts[reason]), BENCH_SUM);
    }
    const struct {
        const char *name;
        uint64_t count;
    } others[] = {
        {"fallbacks", now.fallbacks - before->fallbacks},
        {"skips", now.skips - before->skips},
        {"cycles_speculating", now.cycles_speculating - before->cycles_speculating},
        {"cycles_wasted", now.cycles_wasted - before->cycles_wasted},
        {"cycles_waiting", now.cycles_waiting - before->cycles_waiting},
        {"cycles_holding", now.cycles_holding - before->cycles_holding},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        bench_counter(b, others[i].name, (double)others[i].count, BENCH_SUM);
    }
}

void
bench_suites_register(const struct place_plan *chosen, hwloc_topology_t loaded)
{
    plan = chosen;
    topology = loaded;
    bench_suite_cost();
    bench_suite_fallback();
    bench_suite_locks();
    bench_suite_refcount();
    bench_suite_capacity();
    if (skipped[0] != '\0') {
        bench_context("skipped", skipped);
    }
}
