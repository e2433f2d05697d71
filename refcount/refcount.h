/* SPDX-License-Identifier: MIT
 *
 * A reference count for embedders that have no layout of their own: biased towards the thread that
 * made the object, and coalesced in sections. coalesce.h has the rules; this header adds the count.
 *
 *     struct thing { elision_ref_t ref; ... };         // anywhere in the object
 *
 *     struct elision_ref_thread *self = elision_ref_thread_enter(&heap);   // once per thread
 *     enum elision_path path = elision_enter(&lock, &site);
 *     elision_ref_begin(self, path, 0);
 *     elision_ref_get(self, &thing->ref);
 *     elision_ref_put(self, &thing->ref);
 *     elision_ref_end(self, ELISION_SETTLE_SECTION);    // destructors run here
 *     elision_leave(&lock);
 *     elision_ref_thread_exit(self);
 *
 * The owner, the thread that made the object, counts in a plain word; every other thread counts in
 * an atomic one, or in its coalescing table while it is in a section. The object's count is the sum
 * of the two words. The owner gives its word up (the words are merged, and everybody counts in the
 * atomic one) when its word falls to zero while others have references, when another thread finds
 * the atomic word too low to drop its reference (it queues the object to the owner), when the owner
 * is asked because the object conflicts, and when the owner has exited.
 *
 *   atomic word:  bits 63..2 count (may be negative until merged)   bits 1..0 state
 *
 *     PLAIN 0 ---------> WEAK 1          the owner's word may be in use; WEAK: weak references may
 *        |  \              |  \          exist, so even the owner must not free without looking
 *        |   +--> QUEUED 2 <---+         in the owner's queue, which has one reference; as WEAK
 *        v          v      v
 *        +------> MERGED 3 <             final; the owner's word is 0; count 0 is dead
 *
 * Immortal: the owner's word is 0xffffffff; nothing is counted and the object is never destroyed.
 * Deferred: references from stacks are not counted (elision_ref_get_stack does nothing), and a
 *   reference of the collector's own keeps the object until elision_ref_undefer, which the embedder
 *   calls when it has looked at all stacks.
 * An object that only its owner uses dies in the put that drops its last reference. Otherwise see
 *   coalesce.h; to that, one queued to its owner dies in the owner's next elision_ref_begin or
 *   elision_ref_merge, at the latest when the owner exits.
 * Fork: elision_ref_child in the child.
 */
#ifndef ELISION_REFCOUNT_REFCOUNT_H
#define ELISION_REFCOUNT_REFCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elision/elision.h"
#include "refcount/coalesce.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In the object; 32 bytes. Members are private. */
struct elision_ref {
    struct elision_ref_thread *owner_; /* NULL: merged. Cleared by the owner, or for a dead one */
    uint32_t local_;                   /* written by the owner only, or for a dead one */
    uint32_t deferred_;
    int64_t shared_;           /* atomic; see above */
    struct elision_ref *next_; /* in the owner's queue, under state QUEUED */
};
typedef struct elision_ref elision_ref_t;

#define ELISION_REF_IMMORTAL UINT32_MAX
#define ELISION_REF_SHIFT 2
#define ELISION_REF_ONE ((int64_t)1 << ELISION_REF_SHIFT)
enum elision_ref_state {
    ELISION_REF_PLAIN = 0,
    ELISION_REF_WEAK = 1,
    ELISION_REF_QUEUED = 2,
    ELISION_REF_MERGED = 3, /* also the mask */
};

/* A static object that is never destroyed. */
#define ELISION_REF_IMMORTAL_INIT                               \
    {                                                           \
        NULL, ELISION_REF_IMMORTAL, 0, ELISION_REF_MERGED, NULL \
    }

/* All threads that share objects, and how these are destroyed. Members are private. */
struct elision_ref_heap {
    void (*destroy_)(elision_ref_t *ref, void *arg);
    void *arg_;
    struct elision_ref_thread *threads_; /* every record, for ever; atomic push, never popped */
};

/* One thread's part. Members are private; the second and third line are written by others. */
struct elision_ref_thread {
    struct elision_coalesce *active_; /* the table, in a section that coalesces; else NULL */
    bool isolated_;                   /* that section is a transaction */
    struct elision_ref_heap *heap_;
    struct elision_ref_thread *next_;           /* in the heap's list; constant */
    struct elision_ref *queue_ ELISION_ALIGNED; /* atomic; of objects to merge, or CLOSED */
    uint32_t busy_ ELISION_ALIGNED;             /* atomic; 1: a living thread has the record */
    uint32_t visitors_;                         /* atomic; merging for the dead owner right now */
    struct elision_coalesce table_;
};

/* Set up a heap. destroy is called when a count has fallen to zero; it frees the object. It runs on
 * the thread that dropped the last reference, inside its section if it is in one. It may use other
 * objects, and must not bring its own back.
 * owner: heap stays the caller's and must outlive all its threads and objects */
ELISION_API void elision_ref_heap_init(struct elision_ref_heap *heap,
                                       void (*destroy)(elision_ref_t *ref, void *arg), void *arg);

/* Free what the heap has of its threads.
 * pre:   all threads have exited, all objects are dead or immortal */
ELISION_API void elision_ref_heap_fini(struct elision_ref_heap *heap);

/* Join the calling thread to the heap. It may get the record of a thread that has exited and is
 * then owner of what that thread left.
 * ret:   never fails but for want of memory: NULL, errno ENOMEM
 * tx:    outside only */
ELISION_API struct elision_ref_thread *elision_ref_thread_enter(struct elision_ref_heap *heap);

/* The calling thread uses the heap no more. Merges and destroys what is queued.
 * pre:   outside sections, or inside one that has been ended by ELISION_SETTLE_DETACH
 * tx:    outside only */
ELISION_API void elision_ref_thread_exit(struct elision_ref_thread *self);

/* In a forked child: all threads but self are gone; their loans are returned, their queues merged.
 * self may be NULL. */
ELISION_API void elision_ref_child(struct elision_ref_heap *heap, struct elision_ref_thread *self);

/* --- Sections ----------------------------------------------------------------------------------*/

/* Merge and destroy what other threads have queued to this one.
 * tx:    safe */
ELISION_API void elision_ref_merge(struct elision_ref_thread *self);

/* A section has begun: changes are coalesced from here on. path is what elision_enter answered,
 * conflicts as for elision_coalesce_begin.
 * tx:    safe */
static inline void
elision_ref_begin(struct elision_ref_thread *self, enum elision_path path, unsigned conflicts)
{
    self->active_ = &self->table_;
    self->isolated_ = path == ELISION_SPECULATIVE;
    elision_coalesce_begin(&self->table_, conflicts);
    if (__builtin_expect(__atomic_load_n(&self->queue_, __ATOMIC_RELAXED) != NULL, 0)) {
        elision_ref_merge(self);
    }
}

/* The section is about to be left: settle. Destroys what dies.
 * ret:   how many objects were destroyed
 * tx:    safe */
static inline unsigned
elision_ref_end(struct elision_ref_thread *self, enum elision_settle what)
{
    unsigned destroyed = elision_coalesce_settle(&self->table_, what);

    self->active_ = NULL;
    return destroyed;
}

/* --- Counting ----------------------------------------------------------------------------------*/

ELISION_API void elision_ref_merge_zero_(struct elision_ref_thread *self, elision_ref_t *ref);
ELISION_API void elision_ref_put_shared_(struct elision_ref_thread *self, elision_ref_t *ref);

/* Begin an object's life with one reference, the caller's.
 * pre:   nobody else knows the object
 * tx:    safe */
static inline void
elision_ref_init(struct elision_ref_thread *self, elision_ref_t *ref)
{
    ref->owner_ = self;
    ref->local_ = 1;
    ref->deferred_ = 0;
    ref->shared_ = 0;
    ref->next_ = NULL;
}

/* Take a reference.
 * pre:   the caller has one, or knows of one that cannot go away (coalesce.h, rule 1)
 * order: none
 * tx:    safe */
static inline void
elision_ref_get(struct elision_ref_thread *self, elision_ref_t *ref)
{
    /* Others read the owner's word to see whether the object is immortal: relaxed, no order. */
    uint32_t local = __atomic_load_n(&ref->local_, __ATOMIC_RELAXED) + 1;

    if (__builtin_expect(local == 0, 0)) {
        return;
    }
    if (__atomic_load_n(&ref->owner_, __ATOMIC_RELAXED) == self) {
        __atomic_store_n(&ref->local_, local, __ATOMIC_RELAXED);
    }
    else if (self->active_ != NULL) {
        elision_coalesce_add(self->active_, ref, 1);
    }
    else {
        /* Relaxed: who takes a reference has one, and hands it on by some other means. */
        __atomic_fetch_add(&ref->shared_, ELISION_REF_ONE, __ATOMIC_RELAXED);
    }
}

/* Give a reference back; destroys the object when it was the last, now or at the section's end.
 * pre:   the caller has one
 * order: release; acquire before destroy [R.D]
 * tx:    safe */
static inline void
elision_ref_put(struct elision_ref_thread *self, elision_ref_t *ref)
{
    uint32_t local = __atomic_load_n(&ref->local_, __ATOMIC_RELAXED);

    if (local == ELISION_REF_IMMORTAL) {
        return;
    }
    if (__atomic_load_n(&ref->owner_, __ATOMIC_RELAXED) == self) {
        __atomic_store_n(&ref->local_, --local, __ATOMIC_RELAXED);
        if (local == 0) {
            elision_ref_merge_zero_(self, ref);
        }
    }
    else if (self->active_ != NULL) {
        elision_coalesce_add(self->active_, ref, -1);
    }
    else {
        elision_ref_put_shared_(self, ref);
    }
}

/* References from stacks, which a deferred object does not count. Contracts as get and put. */
static inline void
elision_ref_get_stack(struct elision_ref_thread *self, elision_ref_t *ref)
{
    if (!ref->deferred_) {
        elision_ref_get(self, ref);
    }
}

static inline void
elision_ref_put_stack(struct elision_ref_thread *self, elision_ref_t *ref)
{
    if (!ref->deferred_) {
        elision_ref_put(self, ref);
    }
}

/* Never destroy the object, and count nothing from here on.
 * pre:   nobody else uses the object yet
 * tx:    safe */
ELISION_API void elision_ref_set_immortal(elision_ref_t *ref);

/* Count no references from stacks from here on, and add one for the collector.
 * pre:   nobody else uses the object yet; no stack but the caller's counts it; not done before
 * tx:    safe */
ELISION_API void elision_ref_defer(struct elision_ref_thread *self, elision_ref_t *ref);

/* The collector gives its reference back.
 * pre:   no stack has the object any more, and no other thread uses it
 * tx:    safe */
ELISION_API void elision_ref_undefer(struct elision_ref_thread *self, elision_ref_t *ref);

/* There may be weak references from here on, so that elision_ref_try_get may be used.
 * pre:   the caller has a reference
 * tx:    safe */
ELISION_API void elision_ref_set_weak(elision_ref_t *ref);

/* Take a reference to an object that one knows only weakly.
 * pre:   the object's memory is still there: its destructor takes weak references back, excluding
 *        this call, before it frees. Without elision_ref_set_weak the answer may be false early
 * ret:   true with a reference; false if the object is dead or dying
 * tx:    safe */
ELISION_API bool elision_ref_try_get(struct elision_ref_thread *self, elision_ref_t *ref);

/* Give up this thread's ownership, or ask the owner to give up its.
 * pre:   the caller has a reference
 * tx:    safe */
ELISION_API void elision_ref_share(struct elision_ref_thread *self, elision_ref_t *ref);

/* ret:   the count as this thread knows it: what its table has is included, what it holds on loan
 *        is not. Exact if no other thread has references or loans
 * tx:    safe */
ELISION_API int64_t elision_ref_count(const struct elision_ref_thread *self,
                                      const elision_ref_t *ref);

/* ret:   true if the caller's reference is the only one: the object may be changed in place, moved
 *        or resized. A loan of another thread makes it false
 * pre:   the caller has a reference
 * tx:    safe */
ELISION_API bool elision_ref_is_unique(struct elision_ref_thread *self, elision_ref_t *ref);

/* ret:   the thread's table, for elision_coalesce_stats and the like */
static inline struct elision_coalesce *
elision_ref_table(struct elision_ref_thread *self)
{
    return &self->table_;
}

#ifdef __cplusplus
}
#endif
#endif
