/* SPDX-License-Identifier: MIT */
/* Locks under workloads: the suites fallback, lock and policy. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/suites.h"

enum { BATCH = 64 };

/* One lock with one workload. */
struct pairing {
    char name[64];
    const struct bench_lock *lock;
    const struct work *work;
    bool asks; /* sections count whether a transaction runs them */
};

static struct work_thread threads[WORK_THREADS]; /* of the run under way */
static struct elision_stats before;              /* the library's counters when it began */

static void
set_up(int count, void *arg)
{
    const struct pairing *pairing = arg;
    if (pairing->lock->reset != NULL) {
        pairing->lock->reset(pairing->work->name, count);
    }
    pairing->work->reset();
    elision_stats(&before);
}

/* What one thread does without others' interference, a transaction can do. */
static bool
must_speculate(const struct pairing *pairing, int count)
{
    return pairing->asks && !pairing->lock->elides && count > 1 &&
           pairing->work == bench_work("disjoint");
}

/* Jain's index of the threads' own speeds: 1 when all are equal, 1/n when one has it all. */
static double
fairness(const struct bench *b, int count)
{
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < count; i++) {
        double speed = (double)threads[i].sections / bench_busy_seconds(b, i);
        sum += speed;
        squares += speed * speed;
    }
    return squares > 0 ? sum * sum / (count * squares) : 0;
}

/* By one thread, when all have finished: was the work done, and done right? */
static void
judge(struct bench *b, const struct pairing *pairing)
{
    struct elision_stats now;
    uint64_t sections = 0;
    uint64_t speculative = 0;
    int count = bench_threads(b);
    for (int i = 0; i < count; i++) {
        sections += threads[i].sections;
        speculative += threads[i].speculative;
    }
    elision_stats(&now);
    bench_counter(b, "fairness", fairness(b, count), BENCH_SUM);
    if (pairing->lock->elides) {
        bench_report_elision(b, &before);
    }
    if (pairing->asks && sections != 0) {
        bench_counter(b, "speculative", (double)speculative / (double)sections, BENCH_SUM);
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
    else if (must_speculate(pairing, count) && speculative == 0) {
        bench_fail(b, "no section was run by a transaction although transactions work here");
    }
}

static void
run_pairing(struct bench *b, void *arg)
{
    const struct pairing *pairing = arg;
    const struct bench_lock *lock = pairing->lock;
    struct work_thread *t = &threads[bench_thread(b)];
    if (!bench_place(b)) {
        return;
    }
    bench_work_begin(t, pairing->work, bench_thread(b), pairing->asks);
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            lock->run(t);
        }
        if (lock->detach != NULL) {
            lock->detach();
        }
    }
    bench_counter(b, "sections", (double)t->sections, BENCH_RATE);
    if (bench_thread(b) == 0) {
        judge(b, pairing);
    }
}

void
bench_pairing(const char *suite, const struct work *work, const struct bench_lock *lock,
              const char *name, const int *range)
{
    const char *missing = lock->missing != NULL ? lock->missing() : NULL;
    if (missing != NULL) {
        return;
    }
    struct pairing *pairing = malloc(sizeof *pairing);
    if (pairing == NULL) {
        fputs("bench: out of memory\n", stderr);
        exit(1);
    }
    snprintf(pairing->name, sizeof pairing->name, "%s/%s/%s", suite, work->name, name);
    pairing->lock = lock;
    pairing->work = work;
    pairing->asks = lock->speculates && elision_verdict()->can_elide;
    bench_register(&(struct bench_spec){.name = pairing->name,
                                        .run = run_pairing,
                                        .set_up = set_up,
                                        .arg = pairing,
                                        .threads = range});
}

void
bench_suite_locks(void)
{
    static const struct bench_lock *const plain[] = {&bench_lock_plain, &bench_lock_pthread,
                                                     &bench_lock_ticket, &bench_lock_mcs,
                                                     &bench_lock_gil};
    static const struct bench_lock *const all[] = {
        &bench_lock_elided, &bench_lock_plain, &bench_lock_pthread, &bench_lock_std_mutex,
        &bench_lock_glibc,  &bench_lock_tbb,   &bench_lock_libitm,  &bench_lock_ck};
    static const char *const fallback[] = {"empty", "counter", "bank"};
    const int *range = bench_thread_range();
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        for (size_t k = 0; k < sizeof fallback / sizeof fallback[0]; k++) {
            bench_pairing("fallback", bench_work(fallback[k]), plain[i], plain[i]->name, range);
        }
    }
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const char *missing = all[i]->missing != NULL ? all[i]->missing() : NULL;
        if (missing != NULL) {
            bench_skip(all[i]->name, missing);
        }
    }
    for (const struct work *work = bench_works; work->name != NULL; work++) {
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
            bench_pairing("lock", work, all[i], all[i]->name, range);
        }
        bench_pairing("policy", work, &bench_lock_elided, elision_verdict()->policy, range);
    }
}
