/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fallback/lock.h"

#include <sched.h>
#include <time.h>

#include "fallback/spin.h"
#include "probes/step.h"

_Static_assert(sizeof(struct elision_fallback) == 192, "size is part of the ABI");
_Static_assert(offsetof(struct elision_fallback, attention) == 64, "the word is alone on its line");

/* How a waiter learns its fate. */
enum waiter_state {
    WAITER_WAITING = 0, /* in the queue; may sleep */
    WAITER_WOKEN = 1,   /* a locker: still in the queue, may try; a watcher: out of it */
    WAITER_HANDED = 2,  /* a locker: out of the queue and holds the lock */
    WAITER_SENT = 3,    /* a locker: out of the queue without the lock, to decide anew */
};

/* Lives on the waiter's stack while in the queue; all but state under queue_lock. */
struct elision_fallback_waiter_ {
    struct elision_fallback_waiter_ *next;
    _Atomic uint32_t state; /* enum waiter_state; written under queue_lock, read by its owner */
    uint32_t id;            /* of a locker; 0: a watcher */
    bool may_be_sent;       /* constant */
};

uint32_t elision_fallback_spins_ = ELISION_FALLBACK_SPINS;
uint32_t elision_fallback_passes_ = ELISION_FALLBACK_PASSES;

/* Counts forks on the way from the first process to this one. A queue last locked in an older
 * generation belongs to threads that do not exist here. */
static _Atomic uint32_t generation;

/* A waiter whose heavy fence was refused sleeps no longer than this, so a missed release costs a
 * delay and no more. */
#define UNFENCED_SLEEP_NS 1000000u

void
elision_fallback_forked_(void)
{
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
}

/* The queue lock is held for a few dozen instructions and never across a sleep. */
static void
queue_enter(struct elision_fallback *lock)
{
    uint32_t now = atomic_load_explicit(&generation, memory_order_relaxed) << 1;

    for (unsigned round = 0;; round++) {
        uint32_t seen = atomic_load_explicit(&lock->queue_lock, memory_order_relaxed);
        bool stale = (seen & ~1u) != now;
        if (stale || (seen & 1u) == 0) {
            /* [F.QA] pairs with [F.QR]: the queue's fields are seen as last left. */
            if (atomic_compare_exchange_weak_explicit(&lock->queue_lock, &seen, now | 1u,
                                                      memory_order_acquire, memory_order_relaxed)) {
                if (stale) {
                    lock->head = NULL;
                    lock->losses = 0;
                    atomic_store_explicit(&lock->attention, 0, memory_order_relaxed);
                    atomic_store_explicit(&lock->handover, 0, memory_order_relaxed);
                }
                return;
            }
        }
        if (round < 64) {
            elision_park_pause_();
        }
        else {
            sched_yield();
        }
    }
}

static void
queue_leave(struct elision_fallback *lock)
{
    uint32_t now = atomic_load_explicit(&lock->queue_lock, memory_order_relaxed);

    /* [F.QR] pairs with [F.QA]. */
    atomic_store_explicit(&lock->queue_lock, now & ~1u, memory_order_release);
}

/* Under queue_lock. waiter is new: all zeros but for its constants. */
static void
queue_append(struct elision_fallback *lock, struct elision_fallback_waiter_ *waiter)
{
    if (lock->head == NULL) {
        lock->head = waiter;
    }
    else {
        lock->tail->next = waiter;
    }
    lock->tail = waiter;
}

/* Under queue_lock. Does nothing for a waiter that is not in the queue. If there is a new head, it
 * was asleep all the time and has not been told anything. */
static void
queue_remove(struct elision_fallback *lock, struct elision_fallback_waiter_ *waiter)
{
    struct elision_fallback_waiter_ *before = NULL;

    for (struct elision_fallback_waiter_ *at = lock->head; at != waiter; at = at->next) {
        if (at == NULL) {
            return;
        }
        before = at;
    }
    if (lock->tail == waiter) {
        lock->tail = before;
    }
    if (before != NULL) {
        before->next = waiter->next;
        return;
    }
    lock->head = waiter->next;
    lock->losses = 0;
    atomic_store_explicit(&lock->handover, 0, memory_order_relaxed);
    /* [F.N] The new head has set no attention for itself. Every caller holds the lock, passes it
     * on, or looks at the queue once more, so that a release still comes that sees this. */
    atomic_store_explicit(&lock->attention, lock->head != NULL, memory_order_relaxed);
}

/* Under queue_lock. Sets a waiter's state; ret: the word to wake, or NULL if it does not sleep. */
static _Atomic uint32_t *
tell(struct elision_fallback_waiter_ *waiter, enum waiter_state state)
{
    /* [F.TR] pairs with [F.TA]: the waiter sees the lock's data as the releasing thread left it.
     * After this store a watcher, or a locker that was handed the lock, may be gone. */
    uint32_t old = atomic_exchange_explicit(&waiter->state, state, memory_order_acq_rel);

    return old == WAITER_WAITING ? &waiter->state : NULL;
}

/* How many sleepers are woken between two looks at the queue. */
#define WAKES_MAX 16

/* Under queue_lock, the word having been freed: takes watchers off the head and tells the first
 * locker. ret: how many of sleepers to wake. */
static unsigned
tell_head(struct elision_fallback *lock, _Atomic uint32_t **sleepers)
{
    unsigned sleeping = 0;

    while (lock->head != NULL && sleeping < WAKES_MAX) {
        struct elision_fallback_waiter_ *head = lock->head;
        bool locker = head->id != 0;
        if (!locker) {
            queue_remove(lock, head);
        }
        _Atomic uint32_t *sleeper = tell(head, WAITER_WOKEN);
        if (sleeper != NULL) {
            sleepers[sleeping++] = sleeper;
        }
        if (locker) {
            /* It is awake now; it sets attention again if it loses. */
            atomic_store_explicit(&lock->attention, 0, memory_order_relaxed);
            break;
        }
    }
    return sleeping;
}

/* One round of a release: gives the word to the head or frees it, and wakes up to WAKES_MAX.
 * ret:   true if more may be left to wake */
static bool
release_round(struct elision_fallback *lock, bool released)
{
    _Atomic uint32_t *sleepers[WAKES_MAX];
    unsigned sleeping = 0;

    queue_enter(lock);
    struct elision_fallback_waiter_ *head = lock->head;
    bool forced = atomic_load_explicit(&lock->handover, memory_order_relaxed) != 0;
    if (!released && head != NULL && head->id != 0 &&
        (forced || lock->losses >= elision_fallback_passes_)) {
        ELISION_STEP("release: hand-over");
        queue_remove(lock, head);
        atomic_fetch_add_explicit(&lock->handovers, 1, memory_order_relaxed);
        /* [F.R] for a lock that changes hands without becoming free. */
        atomic_store_explicit(&lock->word, head->id, memory_order_release);
        sleepers[0] = tell(head, WAITER_HANDED);
        sleeping = sleepers[0] != NULL;
    }
    else {
        if (!released) {
            atomic_store_explicit(&lock->word, 0, memory_order_release); /* [F.R] */
        }
        sleeping = tell_head(lock, sleepers);
    }
    queue_leave(lock);
    for (unsigned i = 0; i < sleeping; i++) {
        ELISION_STEP("release: wake");
        elision_park_wake_(sleepers[i]);
    }
    return sleeping == WAKES_MAX;
}

void
elision_fallback_release_slow_(struct elision_fallback *lock, bool released)
{
    ELISION_STEP("release: slow");
    while (release_round(lock, released)) {
        released = true;
    }
}

void
elision_fallback_send_away_(struct elision_fallback *lock)
{
    _Atomic uint32_t *sleepers[WAKES_MAX];
    unsigned told, sleeping;
    bool others;

    do {
        told = sleeping = 0;
        queue_enter(lock);
        for (struct elision_fallback_waiter_ *at = lock->head, *next; at != NULL; at = next) {
            next = at->next;
            if (!at->may_be_sent || told == WAKES_MAX) {
                continue;
            }
            queue_remove(lock, at);
            _Atomic uint32_t *sleeper = tell(at, WAITER_SENT);
            told++;
            if (sleeper != NULL) {
                sleepers[sleeping++] = sleeper;
            }
        }
        others = lock->head != NULL;
        queue_leave(lock);
        for (unsigned i = 0; i < sleeping; i++) {
            ELISION_STEP("send away: wake");
            elision_park_wake_(sleepers[i]);
        }
    } while (told == WAKES_MAX);
    if (others) {
        /* [F.N]: a holder's release may have told one that is gone now. */
        elision_fallback_release_slow_(lock, true);
    }
}

/* --- Waiting -----------------------------------------------------------------------------------*/

/* What a waiter knows about itself between two looks at the queue. */
struct waiting {
    struct elision_fallback_waiter_ waiter;
    struct elision_fallback_wait wait;
    bool fenced;    /* a heavy fence has run since attention was last set for us */
    uint64_t limit; /* longest sleep, ns; 0: none */
    uint64_t since; /* ns; has slept since then and was told nothing; 0: does not, or no interval */
};

/* Put a waiter into the queue. */
static void
enqueue(struct elision_fallback *lock, struct waiting *self)
{
    ELISION_STEP("wait: enqueue");
    queue_enter(lock);
    queue_append(lock, &self->waiter);
    if (lock->head == &self->waiter) {
        atomic_store_explicit(&lock->attention, 1, memory_order_relaxed);
    }
    queue_leave(lock);
}

/* Before the first sleep after attention was set for us: make sure that every later release sees
 * it. The caller looks at the word again afterwards. */
static void
publish(struct waiting *self)
{
    ELISION_STEP("wait: fence");
    self->fenced = true;
    /* [F.H] pairs with [F.W]. */
    if (!elision_park_fence_heavy_()) {
        self->limit = UNFENCED_SLEEP_NS;
    }
}

static uint64_t
nanoseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The head asks for a hand-over when its switch interval is over. By the clock, since a sleep may
 * be cut short again and again, by signals or by self's limit.
 * ret:   ns that are left of the interval */
static uint64_t
ask_when_due(struct elision_fallback *lock, struct waiting *self, uint64_t interval)
{
    uint64_t now = nanoseconds();

    self->since = self->since != 0 ? self->since : now;
    if (now - self->since < interval) {
        return interval - (now - self->since);
    }
    self->since = now;
    queue_enter(lock);
    if (lock->head == &self->waiter) {
        atomic_store_explicit(&lock->handover, 1, memory_order_relaxed);
    }
    queue_leave(lock);
    return interval;
}

/* Sleep until told something; may return early. */
static void
sleep_until_told(struct elision_fallback *lock, struct waiting *self)
{
    uint64_t interval = atomic_load_explicit(&lock->interval, memory_order_relaxed);
    uint64_t limit = self->limit;
    uint64_t left = interval != 0 ? ask_when_due(lock, self, interval) : 0;

    ELISION_STEP("wait: sleep");
    self->wait.parks++;
    atomic_fetch_add_explicit(&lock->parks, 1, memory_order_relaxed);
    elision_park_wait_(&self->waiter.state, WAITER_WAITING,
                       left != 0 && (limit == 0 || left < limit) ? left : limit);
    ELISION_STEP("wait: awake");
}

/* sleep_until_told, by a head: it is the next release that ends the sleep. */
static void
sleep_and_learn(struct elision_fallback *lock, struct waiting *self)
{
    uint64_t before = nanoseconds();

    sleep_until_told(lock, self);
    elision_fallback_learn_(lock, nanoseconds() - before <= ELISION_FALLBACK_SHORT_NS);
}

/* A locker that has just failed to take the word looks at what it was told.
 * ret:   true if it is out of the queue */
static bool
look(struct elision_fallback *lock, struct waiting *self)
{
    bool lost = false;

    queue_enter(lock);
    uint32_t state = atomic_load_explicit(&self->waiter.state, memory_order_relaxed);
    bool head = lock->head == &self->waiter;
    if (state == WAITER_WOKEN) {
        lost = true;
        state = WAITER_WAITING;
        atomic_store_explicit(&self->waiter.state, state, memory_order_relaxed);
        lock->losses++;
        atomic_store_explicit(&lock->attention, 1, memory_order_relaxed);
    }
    queue_leave(lock);
    if (state == WAITER_HANDED || state == WAITER_SENT) {
        return true;
    }
    if (lost) {
        self->fenced = false;
        self->since = 0;
        if (elision_fallback_spin_(lock, &self->waiter.state)) {
            return false;
        }
    }
    if (head && !self->fenced) {
        publish(self);
    }
    else if (head) {
        sleep_and_learn(lock, self);
    }
    else {
        sleep_until_told(lock, self);
    }
    return false;
}

/* From entering the queue to holding the lock, or being sent away. */
static void
wait_in_queue(struct elision_fallback *lock, struct waiting *self)
{
    enqueue(lock, self);
    for (;;) {
        ELISION_STEP("acquire: try");
        if (elision_fallback_try_(lock, self->waiter.id)) {
            queue_enter(lock);
            queue_remove(lock, &self->waiter); /* [F.N]: we hold the lock */
            queue_leave(lock);
            return;
        }
        /* [F.TA] pairs with [F.TR]. */
        if (look(lock, self) ||
            atomic_load_explicit(&self->waiter.state, memory_order_acquire) >= WAITER_HANDED) {
            uint32_t state = atomic_load_explicit(&self->waiter.state, memory_order_acquire);
            self->wait.handed = state == WAITER_HANDED;
            self->wait.sent = state == WAITER_SENT;
            return;
        }
    }
}

struct elision_fallback_wait
elision_fallback_acquire_slow_(struct elision_fallback *lock, uint32_t id, bool may_be_sent)
{
    struct waiting self = {.waiter = {.id = id, .may_be_sent = may_be_sent}};

    /* Behind one who sleeps, so that not all spin. */
    if (atomic_load_explicit(&lock->attention, memory_order_relaxed) == 0 &&
        elision_fallback_spin_(lock, NULL) && elision_fallback_try_(lock, id)) {
        return self.wait;
    }
    wait_in_queue(lock, &self);
    if (self.wait.parks == 0) {
        elision_fallback_learn_(lock, true);
    }
    return self.wait;
}

struct elision_fallback_wait
elision_fallback_watch_(struct elision_fallback *lock)
{
    struct waiting self = {.waiter = {.id = 0}};

    if (elision_fallback_spin_watching_(lock)) {
        return self.wait;
    }
    enqueue(lock, &self);
    publish(&self);
    while (atomic_load_explicit(&lock->word, memory_order_relaxed) != 0) {
        if (atomic_load_explicit(&self.waiter.state, memory_order_acquire) != WAITER_WAITING) {
            return self.wait; /* [F.TA]; out of the queue already */
        }
        sleep_until_told(lock, &self);
    }
    queue_enter(lock);
    queue_remove(lock, &self.waiter);
    bool others = lock->head != NULL;
    queue_leave(lock);
    if (others) {
        /* [F.N]: we saw the word free but do not take it, so nobody need come to release it. */
        elision_fallback_release_slow_(lock, true);
    }
    return self.wait;
}
