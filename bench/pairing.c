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
    bool speculates; /* transactions work here, and the lock may use them */
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

/* What threads do without interfering with each other, transactions can do. */
static bool
must_speculate(const struct pairing *pairing, int count)
{
    return pairing->speculates && count > 1 && pairing->work == bench_work("disjoint");
}

/* Jain's index of what the threads had done when the first of them had finished: 1 when all had
 * done the same, 1/n when the others had done nothing. */
static double
fairness(const struct bench *b, int count)
{
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < count; i++) {
        double rounds = (double)bench_rounds(b, i);
        sum += rounds;
        squares += rounds * rounds;
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
    if (pairing->speculates && sections != 0) {
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

/* For how many seconds this thread has been ready to run and had no processor; 0 if unknown. Under
 * the emulator it is the host's, and so unknown. */
static double
kept_waiting(void)
{
    unsigned long long ran;
    unsigned long long waited = 0;
    FILE *file = elision_verdict()->emulated ? NULL : fopen("/proc/thread-self/schedstat", "r");
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &ran, &waited) != 2) {
            waited = 0;
        }
        fclose(file);
    }
    return 1e-9 * (double)waited;
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
    const double waited = kept_waiting();
    const uint64_t batch = pairing->work->batch != 0 ? pairing->work->batch : BATCH;
    /* Every lock's sections ask whether a transaction runs them, so that asking, which takes time
     * with the lock held, is the same for all. */
    bench_work_begin(t, pairing->work, bench_thread(b), elision_verdict()->can_elide);
    while (bench_next(b, batch)) {
        for (uint64_t i = 0; i < batch; i++) {
            lock->run(t);
            if (pairing->work->outside != NULL) {
                pairing->work->outside(t);
            }
        }
        if (lock->detach != NULL) {
            lock->detach();
        }
    }
    bench_counter(b, "sections", (double)t->sections, BENCH_RATE);
    bench_counter(b, "kept_waiting", kept_waiting() - waited, BENCH_RATE);
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
    pairing->speculates = lock->speculates && elision_verdict()->can_elide;
    bench_register(&(struct bench_spec){.name = pairing->name,
                                        .run = run_pairing,
                                        .set_up = set_up,
                                        .arg = pairing,
                                        .threads = range});
}

/* All locks in turn on each number of threads, so that what is compared is measured side by side.
 * Four threads at least, and as many as the machine has. */
void
bench_suite_fallback(void)
{
    static const struct bench_lock *const all[] = {&bench_lock_plain,   &bench_lock_fair,
                                                   &bench_lock_pthread, &bench_lock_ticket,
                                                   &bench_lock_mcs,     &bench_lock_gil};
    static const int counts[][2] = {{1}, {2}, {4}, {8}, {16}};
    const struct work *const works[] = {bench_work("empty"), bench_work("bank"),
                                        bench_work("scan"),  bench_work("capacity"),
                                        &bench_work_think,   &bench_work_hold};
    for (size_t w = 0; w < sizeof works / sizeof works[0]; w++) {
        for (size_t n = 0; n < sizeof counts / sizeof counts[0]; n++) {
            for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
                if (counts[n][0] <= bench_processors() || (counts[n][0] <= 4 && !all[i]->spins)) {
                    bench_pairing("fallback", works[w], all[i], all[i]->name, counts[n]);
                }
            }
        }
    }
}

void
bench_suite_locks(void)
{
    static const struct bench_lock *const all[] = {
        &bench_lock_elided, &bench_lock_plain, &bench_lock_pthread, &bench_lock_std_mutex,
        &bench_lock_glibc,  &bench_lock_tbb,   &bench_lock_libitm,  &bench_lock_ck};
    const int *range = bench_thread_range();
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
