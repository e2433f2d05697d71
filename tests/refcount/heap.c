/* SPDX-License-Identifier: MIT
 *
 * Random programs of several threads over a heap of objects, checked by tracing.
 *
 *     heap [--seed=N] [--programs=N] [--threads=N] [--sections=N] [--steps=N]
 *
 * Objects refer to each other, and are referred to by shared cells, by the threads' roots, and
 * weakly. In sections of one lock the threads take, pass on, drop, make, follow and revive
 * references; outside sections they count what they hold. Afterwards every count must be the number
 * of references that tracing finds, every object without one must have been destroyed, once, on a
 * thread that was entitled to; and when all is dropped nothing is left. Nobody may touch a
 * destroyed object. Prints TAP; the seed of a program that fails is in its line.
 */
#define _GNU_SOURCE /* barriers */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elision/elision.h"
#include "refcount/refcount.h"

enum { THREADS = 16, CELLS = 24, ROOTS = 6, WEAKS = 8, OBJECTS = 4096 };
enum state { UNUSED = 0, ALIVE = 0x600d, DEAD = 0xdead };

struct object {
    elision_ref_t ref;
    struct object *child;
    struct object **weak; /* the cell that knows it weakly */
    uint32_t state;
    uint32_t destroyed;
    int64_t traced;
} ELISION_ALIGNED;

struct worker {
    uint64_t random;
    uint64_t wrong; /* dead objects met, in sections that were not undone */
    struct object *roots[ROOTS];
    struct object *pool; /* of OBJECTS, not reused: what is dead stays known as such */
    uint32_t used;
    uint32_t number;
    struct elision_ref_thread *self;
    bool exits;
    pthread_t thread;
} ELISION_ALIGNED;

static struct {
    unsigned long seed, programs, threads, sections, steps;
} options = {1, 8, 4, 200, 12};

static elision_lock_t lock = ELISION_LOCK_INIT;
static elision_site_t site = ELISION_SITE_INIT("heap");
static struct elision_ref_heap heap;
static struct object *cells[CELLS] ELISION_ALIGNED;
static struct object *weaks[WEAKS] ELISION_ALIGNED;
static struct worker workers[THREADS];
static pthread_barrier_t barrier;
/* Which worker's reference is being put: what a destructor puts in its turn is put by it. */
static _Thread_local struct worker *current;

static uint32_t
roll(struct worker *w, uint32_t sides)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random >> 33) % sides;
}

static void
destroy(elision_ref_t *ref, void *arg)
{
    struct object *o = (struct object *)ref;

    (void)arg;
    current->wrong += o->state != ALIVE || ++o->destroyed != 1;
    o->state = DEAD;
    if (o->weak != NULL) {
        *o->weak = NULL;
    }
    if (o->child != NULL) {
        struct object *child = o->child;
        o->child = NULL;
        elision_ref_put(current->self, &child->ref);
    }
}

static struct object *
get(struct worker *w, struct object *o)
{
    if (o != NULL) {
        w->wrong += o->state != ALIVE;
        elision_ref_get(w->self, &o->ref);
    }
    return o;
}

static void
put(struct worker *w, struct object *o)
{
    if (o != NULL) {
        w->wrong += o->state != ALIVE;
        elision_ref_put(w->self, &o->ref);
    }
}

static void
replace(struct worker *w, struct object **place, struct object *o)
{
    struct object *old = *place;

    *place = o;
    put(w, old);
}

static struct object *
make(struct worker *w, struct object *child)
{
    if (w->used == OBJECTS) {
        return NULL;
    }
    struct object *o = &w->pool[w->used++];
    o->state = ALIVE;
    elision_ref_init(w->self, &o->ref);
    /* Children are older than parents, so there are no cycles. */
    o->child = get(w, child);
    return o;
}

/* Know the object weakly; it must not be known by another weak cell. */
static void
know_weakly(struct object *o, struct object **weak)
{
    if (o != NULL && o->weak == NULL && *weak == NULL) {
        elision_ref_set_weak(&o->ref);
        o->weak = weak;
        *weak = o;
    }
}

static void
follow_weakly(struct worker *w, struct object *o, struct object **root)
{
    if (o != NULL && elision_ref_try_get(w->self, &o->ref)) {
        w->wrong += o->state != ALIVE;
        replace(w, root, o);
    }
}

/* Who has the only reference may change the object as he likes; a second one would see it. */
static void
use_alone(struct worker *w, struct object *o)
{
    if (o != NULL && elision_ref_is_unique(w->self, &o->ref)) {
        uint32_t others = 0;
        for (int i = 0; i < CELLS; i++) {
            others += cells[i] == o || (cells[i] != NULL && cells[i]->child == o);
        }
        for (int i = 0; i < ROOTS; i++) {
            others += w->roots[i] == o || (w->roots[i] != NULL && w->roots[i]->child == o);
        }
        w->wrong += others != 1;
    }
}

static void
step(struct worker *w)
{
    struct object **root = &w->roots[roll(w, ROOTS)];
    struct object **cell = &cells[roll(w, CELLS)];
    struct object **weak = &weaks[roll(w, WEAKS)];

    switch (roll(w, 12)) {
    case 0:
    case 1:
    case 2: /* what an interpreter does most: look */ put(w, get(w, *cell)); break;
    case 3:
    case 4: replace(w, root, get(w, *cell)); break;
    case 5: replace(w, cell, get(w, *root)); break;
    case 6: replace(w, root, NULL); break;
    case 7: replace(w, cell, NULL); break;
    case 8: replace(w, root, make(w, *cell)); break;
    case 9:
        if (*cell != NULL && (*cell)->child != NULL) {
            replace(w, root, get(w, (*cell)->child));
        }
        break;
    case 10:
        if (roll(w, 2) == 0) {
            know_weakly(*root, weak);
        }
        else {
            follow_weakly(w, *weak, root);
        }
        break;
    default: use_alone(w, *root); break;
    }
}

static void
section(struct worker *w)
{
    bool coalesce = roll(w, 8) != 0;
    enum elision_settle what = roll(w, 20) == 0 ? ELISION_SETTLE_DETACH : ELISION_SETTLE_SECTION;

    enum elision_path path = elision_enter(&lock, &site);
    if (coalesce) {
        elision_ref_begin(w->self, path, roll(w, 4) == 0);
    }
    for (uint32_t steps = roll(w, (uint32_t)options.steps) + 1; steps > 0; steps--) {
        step(w);
    }
    if (roll(w, 64) == 0 && w->roots[0] != NULL) {
        elision_ref_share(w->self, &w->roots[0]->ref);
    }
    if (coalesce) {
        elision_ref_end(w->self, what);
    }
    elision_leave(&lock);
}

static void *
work(void *arg)
{
    struct worker *w = arg;

    current = w;
    w->self = elision_ref_thread_enter(&heap);
    pthread_barrier_wait(&barrier);
    for (unsigned long n = 0; n < options.sections; n++) {
        section(w);
        /* Outside, a thread may count what it has. */
        struct object *o = w->roots[roll(w, ROOTS)];
        if (o != NULL) {
            elision_ref_get(w->self, &o->ref);
            elision_ref_put(w->self, &o->ref);
        }
    }
    enum elision_path path = elision_enter(&lock, &site);
    elision_ref_begin(w->self, path, 0);
    elision_ref_end(w->self, ELISION_SETTLE_DETACH);
    elision_leave(&lock);
    /* Its roots outlive it, in the hands of main. An exiting destroys: only with the lock. */
    pthread_barrier_wait(&barrier);
    elision_enter(&lock, &site);
    elision_ref_thread_exit(w->self);
    elision_leave(&lock);
    return NULL;
}

/* --- Judging -----------------------------------------------------------------------------------*/

static void
trace(struct object *o)
{
    if (o != NULL) {
        o->traced++;
    }
}

/* ret: how many objects are not as tracing says they must be */
static uint64_t
misjudged(void)
{
    uint64_t wrong = 0;

    for (int i = 0; i < CELLS; i++) {
        trace(cells[i]);
    }
    for (unsigned long t = 0; t < options.threads; t++) {
        for (int i = 0; i < ROOTS; i++) {
            trace(workers[t].roots[i]);
        }
        for (uint32_t i = 0; i < workers[t].used; i++) {
            if (workers[t].pool[i].state == ALIVE) {
                trace(workers[t].pool[i].child);
            }
        }
    }
    for (unsigned long t = 0; t < options.threads; t++) {
        for (uint32_t i = 0; i < workers[t].used; i++) {
            struct object *o = &workers[t].pool[i];
            bool alive = o->state == ALIVE;
            wrong += alive != (o->traced != 0) || o->destroyed != !alive;
            wrong += alive && elision_ref_count(current->self, &o->ref) != o->traced;
            o->traced = 0;
        }
    }
    return wrong;
}

static void
drop_all(struct worker *w)
{
    for (int i = 0; i < CELLS; i++) {
        replace(w, &cells[i], NULL);
    }
    for (unsigned long t = 0; t < options.threads; t++) {
        for (int i = 0; i < ROOTS; i++) {
            replace(w, &workers[t].roots[i], NULL);
        }
    }
}

static void
start_worker(struct worker *w, unsigned long number, unsigned long seed)
{
    struct object *pool = w->pool;

    memset(w, 0, sizeof *w);
    w->pool = pool != NULL ? pool : aligned_alloc(64, OBJECTS * sizeof *pool);
    if (w->pool == NULL) {
        fputs("heap: out of memory\n", stderr);
        exit(2);
    }
    memset(w->pool, 0, OBJECTS * sizeof *w->pool);
    w->number = (uint32_t)number;
    w->random = (seed + 1) * 0x9e3779b97f4a7c15u ^ (number + 1) * 0xbf58476d1ce4e5b9u;
}

/* ret: how much was wrong */
static uint64_t
run_program(unsigned long seed, uint64_t *destroyed)
{
    static struct worker judge;
    uint64_t wrong = 0;
    uint64_t alive = 0;

    elision_ref_heap_init(&heap, destroy, NULL);
    memset(cells, 0, sizeof cells);
    memset(weaks, 0, sizeof weaks);
    pthread_barrier_init(&barrier, NULL, (unsigned)options.threads);
    for (unsigned long t = 0; t < options.threads; t++) {
        start_worker(&workers[t], t, seed);
    }
    for (unsigned long t = 0; t < options.threads; t++) {
        pthread_create(&workers[t].thread, NULL, work, &workers[t]);
    }
    for (unsigned long t = 0; t < options.threads; t++) {
        pthread_join(workers[t].thread, NULL);
        wrong += workers[t].wrong;
    }
    pthread_barrier_destroy(&barrier);
    judge = (struct worker){.self = elision_ref_thread_enter(&heap)};
    current = &judge;
    wrong += misjudged();
    drop_all(&judge);
    elision_ref_thread_exit(judge.self);
    wrong += judge.wrong;
    for (unsigned long t = 0; t < options.threads; t++) {
        for (uint32_t i = 0; i < workers[t].used; i++) {
            alive += workers[t].pool[i].state == ALIVE;
            *destroyed += workers[t].pool[i].destroyed;
        }
    }
    elision_ref_heap_fini(&heap);
    return wrong + alive;
}

static bool
parse(const char *arg)
{
    static const struct {
        const char *name;
        unsigned long *value, max;
    } known[] = {
        {"--seed=", &options.seed, -1ul},          {"--programs=", &options.programs, -1ul},
        {"--threads=", &options.threads, THREADS}, {"--sections=", &options.sections, -1ul},
        {"--steps=", &options.steps, 1000},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t length = strlen(known[i].name);
        if (strncmp(arg, known[i].name, length) == 0) {
            char *end;
            *known[i].value = strtoul(arg + length, &end, 10);
            return *end == 0 && *known[i].value > 0 && *known[i].value <= known[i].max;
        }
    }
    return false;
}

int
main(int argc, char **argv)
{
    int status = 0;

    for (int i = 1; i < argc; i++) {
        if (!parse(argv[i])) {
            fprintf(stderr, "heap: bad argument '%s'; see the head of heap.c\n", argv[i]);
            return 2;
        }
    }
    printf("1..%lu\n", options.programs);
    for (unsigned long n = 0; n < options.programs; n++) {
        uint64_t destroyed = 0;
        uint64_t wrong = run_program(options.seed + n, &destroyed);
        bool good = wrong == 0 && destroyed > 0;
        printf("%s %lu - seed %lu, %lu threads: %llu objects destroyed, %llu wrong\n",
               good ? "ok" : "not ok", n + 1, options.seed + n, options.threads,
               (unsigned long long)destroyed, (unsigned long long)wrong);
        fflush(stdout);
        status |= !good;
    }
    for (int t = 0; t < THREADS; t++) {
        free(workers[t].pool);
    }
    return status;
}
