/* SPDX-License-Identifier: MIT */
/* What the benchmarked critical sections do. Each workload counts or sums what it did, so that a
 * lock that loses an update is seen: check() is asked after every run. */
#ifndef ELISION_BENCH_WORK_H
#define ELISION_BENCH_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORK_THREADS = 64, WORK_PAGE = 4096 };

/* One thread's part: on pages of its own, which the thread touches first, so that they are on its
 * node. What sections write is on other lines than what they only read. */
struct work_thread {
    _Alignas(WORK_PAGE) const struct work *work;
    bool asks;                    /* sections look whether they run in a transaction */
    _Alignas(64) uint64_t random; /* state of the generator; never 0 */
    uint64_t sections;            /* run so far, by this thread */
    uint64_t speculative;         /* of those, run by a transaction that committed */
    uint64_t wrong;               /* inconsistencies seen inside sections */
    _Alignas(64) uint64_t own[8]; /* what disjoint work writes */
};

struct work {
    const char *name;
    void (*reset)(void);                    /* by one thread, before a run; touches all memory */
    void (*section)(struct work_thread *t); /* with the lock held */
    bool (*check)(const struct work_thread *threads, int count, uint64_t sections);
    void (*outside)(struct work_thread *t); /* between sections, without the lock; or NULL */
    uint64_t batch; /* sections between two looks whether it is enough; 0: as many as usual */
};

/* All workloads for locks that may speculate; ends with a NULL name. */
extern const struct work bench_works[];

/* For real locks: sleeps with the lock held, so that what waiting costs is seen; and counts under
 * the lock after longer work without it. */
extern const struct work bench_work_hold;
extern const struct work bench_work_think;

/* ret:   the workload of that name, or NULL */
const struct work *bench_work(const char *name);

/* Begin a thread's part, on the thread itself. `asks` needs a processor that has RTM. */
void bench_work_begin(struct work_thread *t, const struct work *work, int number, bool asks);

#endif
