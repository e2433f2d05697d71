/* SPDX-License-Identifier: MIT */
/* Reference counts compared: the suite refcount.
 *
 *   refcount/pairs-OBJECT/COUNT   sections of 32 pairs of an increment and a decrement
 *   refcount/held-OBJECT/COUNT    the same, and each leaves a reference behind or gives one back
 *
 * OBJECT is one that all threads share (made by none of them) or each thread's own. COUNT is
 * plain (a word, under a lock), atomic (a word, without a lock), shared_ptr (std::shared_ptr,
 * without a lock), biased (refcount.h, without a lock), elided-atomic (a word, in sections that are
 * elided), or coalesced (refcount.h, in sections that are). */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/shared_ptr.h"
#include "bench/suites.h"
#include "refcount/refcount.h"

enum { PAIRS = 32, THREADS = 16, WAYS = 6 };

struct object {
    elision_ref_t ref;
    _Atomic int64_t count;
    int64_t plain;
} ELISION_ALIGNED;

/* One thread's part. */
struct part {
    struct elision_ref_thread *self;
    struct object *object;
    bool holds;
    unsigned number;                   /* of the object */
    unsigned depth;                    /* copies in use */
    struct bench_shared_ptr copies[2]; /* of its shared_ptr */
} ELISION_ALIGNED;

/* A way to count. */
struct way {
    const char *name;
    bool sections; /* in sections of the lock */
    void (*get)(struct part *part);
    void (*put)(struct part *part);
};

struct run {
    char name[64];
    unsigned number;
    const struct way *way;
    bool shared;
    bool held;
};

/* Each run has a lock and a site of its own on each number of threads, so that none starts with
 * what another one taught. */
static struct spot {
    elision_lock_t lock;
    elision_site_t site;
} spots[4 * WAYS][THREADS + 1];
static struct spot *spot; /* of the run under way */
static struct elision_ref_heap heap;
static struct object objects[THREADS + 1];
static struct part parts[THREADS];
static struct elision_stats before;

#define BARRIER() atomic_signal_fence(memory_order_seq_cst)

static void
plain_get(struct part *part)
{
    part->object->plain++;
    BARRIER();
}

static void
plain_put(struct part *part)
{
    if (--part->object->plain == 0) {
        abort();
    }
    BARRIER();
}

static void
atomic_get(struct part *part)
{
    atomic_fetch_add_explicit(&part->object->count, 1, memory_order_relaxed);
}

static void
atomic_put(struct part *part)
{
    if (atomic_fetch_sub_explicit(&part->object->count, 1, memory_order_acq_rel) == 1) {
        abort();
    }
}

static void
ref_get(struct part *part)
{
    elision_ref_get(part->self, &part->object->ref);
    BARRIER();
}

static void
ref_put(struct part *part)
{
    elision_ref_put(part->self, &part->object->ref);
    BARRIER();
}

static void
shared_ptr_get(struct part *part)
{
    bench_shared_ptr_copy(&part->copies[part->depth++], part->number);
    BARRIER();
}

static void
shared_ptr_put(struct part *part)
{
    bench_shared_ptr_drop(&part->copies[--part->depth]);
    BARRIER();
}

static const struct way ways[WAYS] = {
    {"plain", true, plain_get, plain_put},
    {"atomic", false, atomic_get, atomic_put},
    {"shared_ptr", false, shared_ptr_get, shared_ptr_put},
    {"biased", false, ref_get, ref_put},
    {"elided-atomic", true, atomic_get, atomic_put},
    {"coalesced", true, ref_get, ref_put},
};

static void
destroy(elision_ref_t *ref, void *arg)
{
    (void)ref, (void)arg;
    abort();
}

static void
set_up(int count, void *arg)
{
    const struct run *run = arg;
    spot = &spots[run->number][count];
    spot->site.name_ = run->name;
    elision_ref_heap_init(&heap, destroy, NULL);
    for (int i = 0; i <= THREADS; i++) {
        objects[i].count = objects[i].plain = 1;
        bench_shared_ptr_make((unsigned)i);
    }
    elision_ref_init(NULL, &objects[THREADS].ref);
    elision_ref_share(NULL, &objects[THREADS].ref);
    for (int i = 0; i < count; i++) {
        parts[i] = (struct part){.self = elision_ref_thread_enter(&heap)};
        if (parts[i].self == NULL) {
            fputs("bench: out of memory\n", stderr);
            exit(1);
        }
        parts[i].number = (unsigned)(run->shared ? THREADS : i);
        parts[i].object = &objects[parts[i].number];
        elision_ref_init(parts[i].self, &objects[i].ref);
    }
    /* Plain words stand for the lock alone. */
    elision_set_enabled(strcmp(run->way->name, "plain") != 0);
    elision_stats(&before);
}

static void
tear_down(int count, void *arg)
{
    (void)arg;
    elision_set_enabled(true);
    for (int i = 0; i < count; i++) {
        elision_ref_thread_exit(parts[i].self);
    }
    elision_ref_heap_fini(&heap);
}

static void
count_pairs(const struct run *run, struct part *part)
{
    for (int i = 0; i < PAIRS; i++) {
        run->way->get(part);
        run->way->put(part);
    }
    if (run->held && !part->holds) {
        run->way->get(part);
    }
    else if (run->held) {
        run->way->put(part);
    }
    part->holds = run->held && !part->holds;
}

static void
section(const struct run *run, struct part *part)
{
    if (!run->way->sections) {
        count_pairs(run, part);
        return;
    }
    enum elision_path path = elision_enter(&spot->lock, &spot->site);
    if (run->way->get == ref_get) {
        elision_ref_begin(part->self, path, run->held);
    }
    count_pairs(run, part);
    if (run->way->get == ref_get) {
        elision_ref_end(part->self, ELISION_SETTLE_SECTION);
    }
    elision_leave(&spot->lock);
}

/* The section that ends a thread's part: it gives back what it has. */
static void
last_section(const struct run *run, struct part *part)
{
    elision_enter(&spot->lock, &spot->site);
    if (part->holds) {
        run->way->put(part);
        part->holds = false;
    }
    elision_ref_begin(part->self, ELISION_LOCKED, 0);
    elision_ref_end(part->self, ELISION_SETTLE_DETACH);
    elision_leave(&spot->lock);
}

static bool
counts_are_one(int count)
{
    for (int i = 0; i <= THREADS; i++) {
        if ((i < count || i == THREADS) &&
            (objects[i].plain != 1 || objects[i].count != 1 ||
             bench_shared_ptr_count((unsigned)i) != 1 ||
             elision_ref_count(parts[0].self, &objects[i].ref) != 1)) {
            return false;
        }
    }
    return true;
}

/* What does sections must have tried to elide them, and with objects of their own threads must have
 * done so; every count is back where it was. */
static void
judge(struct bench *b, const struct run *run)
{
    struct elision_stats now;
    bool elides = run->way->sections && run->way->get != plain_get;

    elision_stats(&now);
    if (elides) {
        bench_report_elision(b, &before);
    }
    bool tried = now.starts != before.starts || now.skips != before.skips;
    bool done = run->shared ? tried : now.commits != before.commits;
    if (elides && bench_threads(b) > 1 && elision_enabled() && !done) {
        bench_fail(b, "nothing was elided although transactions work here");
    }
    if (!counts_are_one(bench_threads(b))) {
        bench_fail(b, "a count is wrong in the end");
    }
}

static void
measure(struct bench *b, void *arg)
{
    static _Atomic int done;
    const struct run *run = arg;
    struct part *part = &parts[bench_thread(b)];
    uint64_t pairs = 0;

    if (!bench_place(b)) {
        return;
    }
    while (bench_next(b, PAIRS)) {
        section(run, part);
        pairs += PAIRS;
    }
    last_section(run, part);
    bench_counter(b, "pairs", (double)pairs, BENCH_RATE);
    /* The last to come sees what all have left. */
    if (atomic_fetch_add(&done, 1) + 1 == bench_threads(b)) {
        done = 0;
        judge(b, run);
    }
}

void
bench_suite_refcount(void)
{
    static struct run runs[4 * WAYS];
    struct run *run = runs;

    for (size_t i = 0; i < WAYS; i++) {
        for (int kind = 0; kind < 4; kind++, run++) {
            *run = (struct run){.way = &ways[i],
                                .number = (unsigned)(run - runs),
                                .shared = kind % 2 == 0,
                                .held = kind >= 2};
            snprintf(run->name, sizeof run->name, "refcount/%s-%s/%s", run->held ? "held" : "pairs",
                     run->shared ? "shared" : "own", ways[i].name);
            bench_register(&(struct bench_spec){.name = run->name,
                                                .run = measure,
                                                .set_up = set_up,
                                                .tear_down = tear_down,
                                                .arg = run,
                                                .threads = bench_thread_range()});
        }
    }
}
