/* SPDX-License-Identifier: MIT */
/* Benchmarks whose outcome is known, for shim.sh: what bench.h promises, and locks and workloads
 * that must be found out. Takes elision-bench's options of Google Benchmark. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "bench/suites.h"

static _Atomic int set_ups;
static _Atomic int tear_downs;
static _Atomic int inside;

static void
set_up(int threads, void *arg)
{
    set_ups++;
    inside = 0;
    if (arg != &inside || threads < 1) {
        fputs("shim: set_up got something else than was registered\n", stderr);
    }
}

static void
tear_down(int threads, void *arg)
{
    (void)arg;
    tear_downs++;
    if (inside != threads) {
        fputs("shim: tear_down before all threads had finished\n", stderr);
    }
}

/* Rounds asked for are what iterations say; each thread gives 1 for each kind of counter. */
static void
counted(struct bench *b, void *arg)
{
    uint64_t rounds = 0;
    (void)arg;
    while (bench_next(b, 8)) {
        rounds += 8;
    }
    bench_counter(b, "rounds", (double)rounds, BENCH_SUM);
    bench_counter(b, "sum", 1, BENCH_SUM);
    bench_counter(b, "mean", 1, BENCH_MEAN);
    bench_counter(b, "rate", (double)rounds, BENCH_RATE);
    bench_counter(b, "set_ups_less_tear_downs", set_ups - tear_downs, BENCH_MEAN);
    inside++;
}

static void
valued(struct bench *b, void *arg)
{
    (void)arg;
    while (bench_next(b, 1)) {
    }
    bench_counter(b, "value", (double)bench_value(b), BENCH_SUM);
}

/* Thread 0 is slower than the others by far: all must be timed until it is done. */
static void
lopsided(struct bench *b, void *arg)
{
    static _Atomic unsigned long spun;
    double begin = 0;
    double end = 0;
    (void)arg;
    while (bench_next(b, 1)) {
        begin = begin == 0 ? bench_seconds() : begin;
        for (int i = 0; i < 20000 && bench_thread(b) == 0; i++) {
            spun++;
        }
        end = bench_seconds();
    }
    if (bench_thread(b) == 0) {
        bench_counter(b, "seconds", end - begin, BENCH_SUM);
        uint64_t most = 0;
        uint64_t least = UINT64_MAX;
        for (int i = 0; i < bench_threads(b); i++) {
            most = bench_rounds(b, i) > most ? bench_rounds(b, i) : most;
            least = bench_rounds(b, i) < least ? bench_rounds(b, i) : least;
        }
        bench_counter(b, "most_rounds", (double)most, BENCH_SUM);
        bench_counter(b, "least_rounds", (double)least, BENCH_SUM);
    }
}

/* One thread of them leaves without having looped. */
static void
leaving(struct bench *b, void *arg)
{
    (void)arg;
    if (bench_thread(b) == 1) {
        bench_fail(b, "left early");
        return;
    }
    while (bench_next(b, 1)) {
    }
}

/* One thread of them says that it failed. */
static void
failing(struct bench *b, void *arg)
{
    (void)arg;
    if (bench_thread(b) == 0) {
        bench_fail(b, "on purpose");
    }
    while (bench_next(b, 1)) {
    }
}

/* Fails once, in the run with this number. */
static void
failing_once(struct bench *b, void *arg)
{
    static int64_t value;
    static int64_t runs;
    (void)arg;
    if (value != bench_value(b)) {
        value = bench_value(b);
        runs = 0;
    }
    while (bench_next(b, 1)) {
    }
    bench_counter(b, "run", (double)++runs, BENCH_SUM);
    if (runs == value) {
        bench_fail(b, "once");
    }
}

/* --- What the suites' judge must find out ------------------------------------------------------*/

static void
run_unlocked(struct work_thread *t)
{
    bench_section(t);
}

static void
run_nothing(struct work_thread *t)
{
    (void)t;
}

/* Begins transactions, and commits none. */
static void
run_irrevocably(struct work_thread *t)
{
    static elision_lock_t lock = ELISION_LOCK_INIT;
    static elision_site_t site = ELISION_SITE_INIT("irrevocable");
    elision_enter(&lock, &site);
    elision_irrevocable(&lock);
    bench_section(t);
    elision_leave(&lock);
}

static const struct bench_lock no_lock = {.name = "no-lock", .run = run_unlocked};
static const struct bench_lock idle = {.name = "idle", .run = run_nothing};
static const struct bench_lock boaster = {
    .name = "boaster", .run = run_unlocked, .speculates = true};

static const struct bench_lock irrevocable = {
    .name = "irrevocable", .run = run_irrevocably, .elides = true, .speculates = true};

int
main(int argc, char **argv)
{
    static const int threads[] = {1, 3, 0};
    static const int three[] = {3, 0};
    static const int four[] = {4, 0};
    static const int64_t values[] = {5, 500, -1};
    static const int64_t runs[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, -1};
    static struct place_plan plan;
    hwloc_topology_t topology;
    char error[256];
    if (!place_load(&topology, NULL, error, sizeof error) ||
        !place_make(&plan, topology, "none", error, sizeof error) || !bench_flags(&argc, argv)) {
        return 2;
    }
    bench_suites_register(&plan, topology);
    bench_register(&(struct bench_spec){.name = "shim/counted",
                                        .run = counted,
                                        .set_up = set_up,
                                        .tear_down = tear_down,
                                        .arg = &inside,
                                        .threads = threads});
    bench_register(&(struct bench_spec){.name = "shim/valued", .run = valued, .values = values});
    bench_register(&(struct bench_spec){.name = "shim/plain", .run = valued});
    bench_register(
        &(struct bench_spec){.name = "shim/lopsided", .run = lopsided, .threads = three});
    bench_register(
        &(struct bench_spec){.name = "shim/leaving", .run = leaving, .threads = threads});
    bench_register(
        &(struct bench_spec){.name = "shim/failing", .run = failing, .threads = threads});
    bench_register(&(struct bench_spec){.name = "shim/once", .run = failing_once, .values = runs});
    bench_pairing("judge", bench_work("map-write"), &no_lock, "no-lock", four);
    bench_pairing("judge", bench_work("empty"), &idle, "idle", four);
    bench_pairing("judge", bench_work("disjoint"), &boaster, "boaster", four);
    bench_pairing("judge", bench_work("disjoint"), &irrevocable, "irrevocable", four);
    int status = bench_run();
    hwloc_topology_destroy(topology);
    return status;
}
