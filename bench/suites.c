/* SPDX-License-Identifier: MIT */
#include "bench/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/locks.h"
#include "bench/work.h"
#include "elision/elision.h"
#include "elision/tx.h"

enum { BATCH = 64 };

/* One lock with one workload. */
struct pairing {
    char name[64];
    const struct bench_lock *lock;
    const struct work *work;
};

static const struct place_plan *plan;
static hwloc_topology_t topology;
static struct work_thread threads[WORK_THREADS]; /* of the run under way */
static struct elision_stats before;              /* the library's counters when it began */

static const int one_to_eight[] = {1, 2, 4, 8, 0};

/* Threads that spin do not share a processor well: as many as the plan has places. */
static const int *
thread_range(void)
{
    static int range[sizeof one_to_eight / sizeof one_to_eight[0]];
    size_t used = 0;
    for (size_t i = 0; one_to_eight[i] != 0; i++) {
        if (plan->count == 0 || (unsigned)one_to_eight[i] <= plan->count) {
            range[used++] = one_to_eight[i];
        }
    }
    range[used] = 0;
    return range;
}

/* --- A lock under a workload -------------------------------------------------------------------*/

static void
set_up(int count, void *arg)
{
    const struct pairing *pairing = arg;
    for (int i = 0; i < count; i++) {
        memset(&threads[i], 0, sizeof threads[i]);
        threads[i].random = 0x9e3779b97f4a7c15U * (uint64_t)(i + 1);
    }
    pairing->lock->reset(pairing->work->name);
    pairing->work->reset();
    elision_stats(&before);
}

static void
report_elision(struct bench *b, const struct elision_stats *now)
{
    uint64_t starts = now->starts - before.starts;
    uint64_t commits = now->commits - before.commits;
    bench_counter(b, "starts", (double)starts, BENCH_SUM);
    bench_counter(b, "commits", (double)commits, BENCH_SUM);
    bench_counter(b, "commit_rate", starts != 0 ? (double)commits / (double)starts : 0, BENCH_SUM);
    for (int reason = 0; reason < ELISION_ABORT_REASONS; reason++) {
        char name[48];
        snprintf(name, sizeof name, "abort_%s", elision_abort_name((enum elision_abort)reason));
        bench_counter(b, name, (double)(now->aborts[reason] - before.aborts[reason]), BENCH_SUM);
    }
    bench_counter(b, "fallbacks", (double)(now->fallbacks - before.fallbacks), BENCH_SUM);
}

/* By one thread, when all have finished: was the work done, and done right? */
static void
judge(struct bench *b, const struct pairing *pairing)
{
    struct elision_stats now;
    uint64_t sections = 0;
    int count = bench_threads(b);
    for (int i = 0; i < count; i++) {
        sections += threads[i].sections;
    }
    elision_stats(&now);
    if (pairing->lock->elides) {
        report_elision(b, &now);
    }
    if (sections == 0) {
        bench_fail(b, "no section was run");
    }
    else if (!pairing->work->check(threads, count, sections)) {
        bench_fail(b, "the result is wrong: an update was lost or a half-done section was seen");
    }
    else if (pairing->lock->elides && count > 1 && elision_enabled() &&
             now.starts == before.starts && now.skips == before.skips) {
        bench_fail(b, "nothing was elided although transactions work here");
    }
}

static void
run_pairing(struct bench *b, void *arg)
{
    const struct pairing *pairing = arg;
    const struct bench_lock *lock = pairing->lock;
    struct work_thread *t = &threads[bench_thread(b)];
    char error[160];
    if (!place_bind(plan, topology, (unsigned)bench_thread(b), error, sizeof error)) {
        bench_fail(b, error);
        return;
    }
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            lock->enter();
            pairing->work->section(t);
            t->sections++;
            lock->leave();
        }
        lock->detach();
    }
    bench_counter(b, "sections", (double)t->sections, BENCH_RATE);
    if (bench_thread(b) == 0) {
        judge(b, pairing);
    }
}

static void
register_pairing(const char *suite, const struct bench_lock *lock, const struct work *work,
                 const int *range)
{
    struct pairing *pairing = malloc(sizeof *pairing);
    if (pairing == NULL) {
        fputs("bench: out of memory\n", stderr);
        exit(1);
    }
    snprintf(pairing->name, sizeof pairing->name, "%s/%s/%s", suite, work->name, lock->name);
    pairing->lock = lock;
    pairing->work = work;
    bench_register(&(struct bench_spec){.name = pairing->name,
                                        .run = run_pairing,
                                        .set_up = set_up,
                                        .arg = pairing,
                                        .threads = range});
}

/* --- What single steps cost --------------------------------------------------------------------*/

static elision_lock_t cost_lock = ELISION_LOCK_INIT;
static elision_site_t cost_site = ELISION_SITE_INIT("cost");

static void
set_up_elision(int count, void *arg)
{
    (void)count;
    elision_set_enabled(arg != NULL);
    elision_set_concurrency(arg != NULL ? 2 : 0);
}

static void
tear_down_elision(int count, void *arg)
{
    (void)count, (void)arg;
    elision_set_concurrency(0);
}

static void
run_pair(struct bench *b, void *arg)
{
    (void)arg;
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            elision_enter(&cost_lock, &cost_site);
            elision_leave(&cost_lock);
        }
    }
}

static void
run_checkpoint(struct bench *b, void *arg)
{
    (void)arg;
    while (bench_next(b, BATCH)) {
        elision_enter(&cost_lock, &cost_site);
        for (int i = 0; i < BATCH; i++) {
            elision_checkpoint(&cost_lock, &cost_site);
        }
        elision_leave(&cost_lock);
    }
}

static ELISION_TX void
run_commit(struct bench *b, void *arg)
{
    uint64_t commits = 0;
    (void)arg;
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            if (elision_tx_begin_() == ELISION_TX_STARTED) {
                elision_tx_commit_();
                commits++;
            }
        }
    }
    bench_counter(b, "commits", (double)commits, BENCH_SUM);
    if (commits == 0) {
        bench_fail(b, "no transaction committed");
    }
}

static ELISION_TX void
run_abort(struct bench *b, void *arg)
{
    uint64_t aborts = 0;
    (void)arg;
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            uint32_t status = elision_tx_begin_();
            if (status == ELISION_TX_STARTED) {
                elision_tx_abort_(1);
            }
            aborts += (status & ELISION_TX_EXPLICIT) != 0;
        }
    }
    bench_counter(b, "aborts", (double)aborts, BENCH_SUM);
    if (aborts == 0) {
        bench_fail(b, "no transaction aborted");
    }
}

static void
register_cost(const char *name, void (*run)(struct bench *, void *), bool elided)
{
    static char on;
    bench_register(&(struct bench_spec){.name = name,
                                        .run = run,
                                        .set_up = set_up_elision,
                                        .tear_down = tear_down_elision,
                                        .arg = elided ? &on : NULL});
}

static void
register_costs(void)
{
    static const int one[] = {1, 0};
    static const struct bench_lock *const locks[] = {&bench_lock_plain, &bench_lock_pthread,
                                                     &bench_lock_ticket, &bench_lock_mcs};
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++) {
        register_pairing("cost", locks[i], bench_work("empty"), one);
    }
    register_cost("cost/pair/locked", run_pair, false);
    register_cost("cost/checkpoint/locked", run_checkpoint, false);
    if (!elision_verdict()->can_elide) {
        bench_context("skipped", "cost/.../speculative: no transactions on this machine");
        return;
    }
    register_cost("cost/pair/speculative", run_pair, true);
    register_cost("cost/checkpoint/speculative", run_checkpoint, true);
    register_cost("cost/begin-commit/speculative", run_commit, true);
    register_cost("cost/begin-abort/speculative", run_abort, true);
}

void
bench_suites_register(const struct place_plan *chosen, hwloc_topology_t loaded)
{
    static const struct bench_lock *const plain[] = {&bench_lock_plain, &bench_lock_pthread,
                                                     &bench_lock_ticket, &bench_lock_mcs,
                                                     &bench_lock_gil};
    plan = chosen;
    topology = loaded;
    const int *range = thread_range();
    register_costs();
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        register_pairing("fallback", plain[i], bench_work("empty"), range);
        register_pairing("fallback", plain[i], bench_work("counter"), range);
        register_pairing("fallback", plain[i], bench_work("bank"), range);
    }
    for (const struct work *work = bench_works; work->name != NULL; work++) {
        register_pairing("lock", &bench_lock_elided, work, range);
        register_pairing("lock", &bench_lock_plain, work, range);
        register_pairing("lock", &bench_lock_pthread, work, range);
    }
}
