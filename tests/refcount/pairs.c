/* SPDX-License-Identifier: MIT
 *
 * pairs KIND COUNT: COUNT pairs of an increment and a decrement, for an instruction counter. The
 * loop and the call around a pair are those of kind `none`.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refcount/refcount.h"

#define BARRIER() atomic_signal_fence(memory_order_seq_cst)

/* As an embedder has it: not NULL while this thread's section coalesces. */
static _Thread_local struct elision_coalesce *active;

static struct elision_ref_heap heap;
static struct elision_ref_thread *owner, *other;

struct object {
    elision_ref_t ref;
    _Atomic int64_t count;
    int64_t plain;
};

static __attribute__((noinline)) void
pair_none(struct object *o)
{
    (void)o;
    BARRIER();
}

static __attribute__((noinline)) void
pair_plain(struct object *o)
{
    o->plain++;
    BARRIER();
    if (--o->plain == 0) {
        abort();
    }
}

static __attribute__((noinline)) void
pair_atomic(struct object *o)
{
    atomic_fetch_add_explicit(&o->count, 1, memory_order_relaxed);
    if (atomic_fetch_sub_explicit(&o->count, 1, memory_order_acq_rel) == 1) {
        abort();
    }
}

/* The table alone, behind an embedder's test whether it is active. */
static __attribute__((noinline)) void
pair_table(struct object *o)
{
    if (active != NULL) {
        elision_coalesce_add(active, o, 1);
    }
    BARRIER();
    if (active != NULL) {
        elision_coalesce_add(active, o, -1);
    }
}

static inline __attribute__((always_inline)) void
get_and_put(struct elision_ref_thread *self, struct object *o)
{
    elision_ref_get(self, &o->ref);
    BARRIER();
    elision_ref_put(self, &o->ref);
}

static __attribute__((noinline)) void
pair_owner(struct object *o)
{
    get_and_put(owner, o);
}

static __attribute__((noinline)) void
pair_coalesced(struct object *o)
{
    get_and_put(other, o);
}

static const struct {
    const char *name;
    void (*pair)(struct object *o);
} kinds[] = {
    {"none", pair_none},   {"plain", pair_plain}, {"atomic", pair_atomic},
    {"table", pair_table}, {"owner", pair_owner}, {"coalesced", pair_coalesced},
};

static void
destroy(elision_ref_t *ref, void *arg)
{
    (void)ref, (void)arg;
    abort();
}

int
main(int argc, char **argv)
{
    static struct object object;
    void (*pair)(struct object *) = NULL;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (argc == 3 && strcmp(argv[1], kinds[i].name) == 0) {
            pair = kinds[i].pair;
        }
    }
    if (pair == NULL) {
        fputs("pairs: usage: pairs none|plain|atomic|table|owner|coalesced COUNT\n", stderr);
        return 2;
    }
    elision_ref_heap_init(&heap, destroy, NULL);
    owner = elision_ref_thread_enter(&heap);
    other = elision_ref_thread_enter(&heap);
    elision_ref_init(owner, &object.ref);
    object.count = object.plain = 1;
    elision_ref_begin(other, ELISION_SPECULATIVE, 0);
    active = elision_ref_table(other);
    for (long n = strtol(argv[2], NULL, 10); n > 0; n--) {
        pair(&object);
        BARRIER();
    }
    elision_ref_end(other, ELISION_SETTLE_DETACH);
    elision_ref_thread_exit(other);
    elision_ref_thread_exit(owner);
    elision_ref_heap_fini(&heap);
    return 0;
}
