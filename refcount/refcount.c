/* SPDX-License-Identifier: MIT
 *
 * The biased count: merging, queues, threads.
 *
 * Orders. [R.D] Every decrement of the atomic word is acq_rel: whoever brings it to zero has seen
 * what all earlier holders did. The owner's own drops are ordered by the merge's CAS, acq_rel too.
 * [R.Q] Queue: pushes release, the owner takes all by an acquire exchange. CLOSED is stored with
 * release by the exiting owner and read with acquire, so who merges for it sees its plain words.
 * [R.V] A visitor counts itself in, then looks again whether the queue is CLOSED; who takes the
 * record over opens the queue, then waits for visitors. Both seq-cst: one of them sees the other,
 * or two threads would use the plain words at once.
 */
#include "refcount/refcount.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#define CLOSED ((struct elision_ref *)&closed_mark)
static const char closed_mark;

_Static_assert(sizeof(struct elision_ref) == 32, "half a line");
_Static_assert(ELISION_REF_MERGED == ELISION_REF_ONE - 1, "states fill the low bits");

static inline int64_t
count_of(int64_t shared)
{
    return shared >> ELISION_REF_SHIFT;
}

static inline int64_t
state_of(int64_t shared)
{
    return shared & ELISION_REF_MERGED;
}

static inline bool
cas(elision_ref_t *ref, int64_t *expected, int64_t wanted)
{
    return __atomic_compare_exchange_n(&ref->shared_, expected, wanted, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static void
destroy_object(const struct elision_ref_thread *self, elision_ref_t *ref)
{
    self->heap_->destroy_(ref, self->heap_->arg_);
}

/* --- Merging -----------------------------------------------------------------------------------*/

/* Move the owner's word into the atomic one and add extra. ret: the count
 * pre:   the caller is the owner, or the owner is dead and the caller alone acts for it */
static int64_t
merge_words(elision_ref_t *ref, int64_t extra)
{
    int64_t local = __atomic_load_n(&ref->local_, __ATOMIC_RELAXED);
    int64_t shared = __atomic_load_n(&ref->shared_, __ATOMIC_ACQUIRE);
    int64_t count;

    /* Before the CAS: after it the object may be gone. */
    __atomic_store_n(&ref->local_, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&ref->owner_, NULL, __ATOMIC_RELAXED);
    do {
        count = count_of(shared) + local + extra;
    } while (!cas(ref, &shared, count * ELISION_REF_ONE + ELISION_REF_MERGED));
    return count;
}

/* The owner's word has become zero. */
void
elision_ref_merge_zero_(struct elision_ref_thread *self, elision_ref_t *ref)
{
    /* Acquire: pairs with the drops of others [R.D]. */
    if (__atomic_load_n(&ref->shared_, __ATOMIC_ACQUIRE) == 0 || merge_words(ref, 0) == 0) {
        destroy_object(self, ref);
    }
}

static void queue_to_owner(struct elision_ref_thread *self, elision_ref_t *ref);

/* Drop one reference from the atomic word. ret: true if the object is dead */
static bool
drop_shared(struct elision_ref_thread *self, elision_ref_t *ref)
{
    int64_t shared = __atomic_load_n(&ref->shared_, __ATOMIC_RELAXED);
    int64_t wanted;
    bool queue;

    do {
        /* The reference is counted in the owner's word: the owner must merge. It gets ours. */
        queue = shared == ELISION_REF_PLAIN || shared == ELISION_REF_WEAK;
        wanted = queue ? ELISION_REF_QUEUED : shared - ELISION_REF_ONE;
    } while (!cas(ref, &shared, wanted));
    if (queue) {
        queue_to_owner(self, ref);
    }
    return wanted == ELISION_REF_MERGED;
}

void
elision_ref_put_shared_(struct elision_ref_thread *self, elision_ref_t *ref)
{
    if (drop_shared(self, ref)) {
        destroy_object(self, ref);
    }
}

/* The caller has put the object in state QUEUED and hands a reference to the queue. */
static void
queue_to_owner(struct elision_ref_thread *self, elision_ref_t *ref)
{
    for (;;) {
        struct elision_ref_thread *owner = __atomic_load_n(&ref->owner_, __ATOMIC_ACQUIRE);
        if (owner == NULL) {
            /* The owner has merged, or is about to. */
            elision_ref_put_shared_(self, ref);
            return;
        }
        struct elision_ref *head = __atomic_load_n(&owner->queue_, __ATOMIC_ACQUIRE);
        while (head != CLOSED) {
            ref->next_ = head;
            if (__atomic_compare_exchange_n(&owner->queue_, &head, ref, false, __ATOMIC_RELEASE,
                                            __ATOMIC_ACQUIRE)) {
                return;
            }
        }
        __atomic_fetch_add(&owner->visitors_, 1, __ATOMIC_SEQ_CST);
        bool alone = __atomic_load_n(&owner->queue_, __ATOMIC_SEQ_CST) == CLOSED;
        bool dead = alone && merge_words(ref, -1) == 0;
        __atomic_fetch_sub(&owner->visitors_, 1, __ATOMIC_SEQ_CST);
        if (dead) {
            destroy_object(self, ref);
        }
        if (alone) {
            return;
        }
    }
}

static void
merge_list(struct elision_ref_thread *self, struct elision_ref *list)
{
    while (list != NULL) {
        struct elision_ref *next = list->next_;
        if (merge_words(list, -1) == 0) {
            destroy_object(self, list);
        }
        list = next;
    }
}

void
elision_ref_merge(struct elision_ref_thread *self)
{
    merge_list(self, __atomic_exchange_n(&self->queue_, NULL, __ATOMIC_ACQUIRE));
}

void
elision_ref_share(struct elision_ref_thread *self, elision_ref_t *ref)
{
    int64_t shared;

    if (__atomic_load_n(&ref->local_, __ATOMIC_RELAXED) == ELISION_REF_IMMORTAL) {
        return;
    }
    if (__atomic_load_n(&ref->owner_, __ATOMIC_RELAXED) == self) {
        merge_words(ref, 0);
        return;
    }
    shared = __atomic_load_n(&ref->shared_, __ATOMIC_RELAXED);
    do {
        if (state_of(shared) >= ELISION_REF_QUEUED) {
            return;
        }
    } while (!cas(ref, &shared, (count_of(shared) + 1) * ELISION_REF_ONE + ELISION_REF_QUEUED));
    queue_to_owner(self, ref);
}

/* --- The table's view --------------------------------------------------------------------------*/

static bool
table_apply(void *object, int32_t delta, void *arg)
{
    elision_ref_t *ref = object;
    bool dead = false;

    if (__atomic_load_n(&ref->local_, __ATOMIC_RELAXED) == ELISION_REF_IMMORTAL) {
        return false;
    }
    if (delta > 0) {
        __atomic_fetch_add(&ref->shared_, delta * ELISION_REF_ONE, __ATOMIC_RELAXED);
    }
    for (; delta < 0; delta++) {
        dead = drop_shared(arg, ref);
    }
    return dead;
}

static void
table_destroy(void *object, void *arg)
{
    destroy_object(arg, object);
}

static int64_t
table_count(const void *object, void *arg)
{
    const elision_ref_t *ref = object;

    (void)arg;
    return (int64_t)__atomic_load_n(&ref->local_, __ATOMIC_RELAXED) +
           count_of(__atomic_load_n(&ref->shared_, __ATOMIC_RELAXED));
}

static void
table_suspect(void *object, void *arg)
{
    elision_ref_share(arg, object);
}

static const struct elision_coalesce_ops table_ops = {
    .apply = table_apply,
    .destroy = table_destroy,
    .count = table_count,
    .suspect = table_suspect,
};

/* --- Kinds of objects --------------------------------------------------------------------------*/

void
elision_ref_set_immortal(elision_ref_t *ref)
{
    ref->owner_ = NULL;
    ref->local_ = ELISION_REF_IMMORTAL;
    ref->shared_ = ELISION_REF_MERGED;
}

void
elision_ref_defer(struct elision_ref_thread *self, elision_ref_t *ref)
{
    elision_ref_get(self, ref);
    ref->deferred_ = 1;
}

void
elision_ref_undefer(struct elision_ref_thread *self, elision_ref_t *ref)
{
    ref->deferred_ = 0;
    elision_ref_put(self, ref);
}

void
elision_ref_set_weak(elision_ref_t *ref)
{
    int64_t shared = __atomic_load_n(&ref->shared_, __ATOMIC_RELAXED);

    while (state_of(shared) == ELISION_REF_PLAIN && !cas(ref, &shared, shared | ELISION_REF_WEAK)) {
    }
}

bool
elision_ref_try_get(struct elision_ref_thread *self, elision_ref_t *ref)
{
    uint32_t local = __atomic_load_n(&ref->local_, __ATOMIC_RELAXED);
    int64_t shared;

    if (local == ELISION_REF_IMMORTAL) {
        return true;
    }
    if (__atomic_load_n(&ref->owner_, __ATOMIC_RELAXED) == self) {
        if (local != 0) {
            __atomic_store_n(&ref->local_, local + 1, __ATOMIC_RELAXED);
        }
        return local != 0;
    }
    shared = __atomic_load_n(&ref->shared_, __ATOMIC_RELAXED);
    do {
        /* PLAIN 0: the owner may be freeing it without another look. */
        if (shared == ELISION_REF_PLAIN || shared == ELISION_REF_MERGED) {
            return false;
        }
        /* Nothing but the word we have just read says that the object lives: only a transaction
         * would notice that somebody outside drops the last reference. */
        if (self->active_ != NULL && self->isolated_) {
            elision_coalesce_add(self->active_, ref, 1);
            return true;
        }
    } while (!cas(ref, &shared, shared + ELISION_REF_ONE));
    return true;
}

int64_t
elision_ref_count(const struct elision_ref_thread *self, const elision_ref_t *ref)
{
    return table_count(ref, NULL) + elision_coalesce_net(&self->table_, ref) -
           elision_coalesce_credit(&self->table_, ref);
}

bool
elision_ref_is_unique(struct elision_ref_thread *self, elision_ref_t *ref)
{
    if (__atomic_load_n(&ref->owner_, __ATOMIC_RELAXED) != self) {
        elision_coalesce_flush(&self->table_, ref);
    }
    /* Acquire: changes by those who dropped theirs come first [R.D]. Owned and QUEUED: the queue
     * has a reference, which is counted. */
    return __atomic_load_n(&ref->local_, __ATOMIC_RELAXED) +
               count_of(__atomic_load_n(&ref->shared_, __ATOMIC_ACQUIRE)) ==
           1;
}

/* --- Threads -----------------------------------------------------------------------------------*/

void
elision_ref_heap_init(struct elision_ref_heap *heap, void (*destroy)(elision_ref_t *, void *),
                      void *arg)
{
    *heap = (struct elision_ref_heap){.destroy_ = destroy, .arg_ = arg};
}

void
elision_ref_heap_fini(struct elision_ref_heap *heap)
{
    while (heap->threads_ != NULL) {
        struct elision_ref_thread *record = heap->threads_;
        heap->threads_ = record->next_;
        free(record);
    }
}

/* Take over the record of a thread that has exited, with the objects it owned. */
static struct elision_ref_thread *
take_over(struct elision_ref_heap *heap)
{
    struct elision_ref_thread *record = __atomic_load_n(&heap->threads_, __ATOMIC_ACQUIRE);

    for (; record != NULL; record = record->next_) {
        uint32_t idle = 0;
        /* Acquire: pairs with the store in exit; what the dead thread owned is ours. */
        if (__atomic_compare_exchange_n(&record->busy_, &idle, 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            __atomic_store_n(&record->queue_, NULL, __ATOMIC_SEQ_CST);
            while (__atomic_load_n(&record->visitors_, __ATOMIC_SEQ_CST) != 0) {
                sched_yield();
            }
            return record;
        }
    }
    return NULL;
}

struct elision_ref_thread *
elision_ref_thread_enter(struct elision_ref_heap *heap)
{
    struct elision_ref_thread *self = take_over(heap);

    if (self != NULL) {
        return self;
    }
    self = aligned_alloc(_Alignof(struct elision_ref_thread), sizeof *self);
    if (self == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    *self = (struct elision_ref_thread){.heap_ = heap, .busy_ = 1};
    elision_coalesce_init(&self->table_, &table_ops, self);
    self->next_ = __atomic_load_n(&heap->threads_, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&heap->threads_, &self->next_, self, false,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
    return self;
}

void
elision_ref_thread_exit(struct elision_ref_thread *self)
{
    struct elision_ref *head;

    do {
        elision_ref_merge(self);
        head = NULL;
    } while (!__atomic_compare_exchange_n(&self->queue_, &head, CLOSED, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    __atomic_store_n(&self->busy_, 0, __ATOMIC_RELEASE);
}

void
elision_ref_child(struct elision_ref_heap *heap, struct elision_ref_thread *self)
{
    for (struct elision_ref_thread *other = heap->threads_; other != NULL; other = other->next_) {
        if (other == self || other->busy_ == 0) {
            continue;
        }
        elision_coalesce_return(&other->table_);
        other->active_ = NULL;
        other->visitors_ = 0;
        elision_ref_thread_exit(other);
    }
}
