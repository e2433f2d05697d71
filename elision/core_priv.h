/* SPDX-License-Identifier: MIT
 *
 * What elide.c, thread.c, site.c, stats.c and init.c share.
 *
 * Per thread one record, in the list for ever and reused by later threads, so that counters never
 * decrease and are read without stopping anybody: each has one writer, its owner, and is stored by
 * relaxed atomics. Inside a transaction only the owner's record is written, and no counter.
 */
#ifndef ELISION_CORE_PRIV_H
#define ELISION_CORE_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "elision/elision.h"
#include "elision/knobs.h"
#include "elision/policy.h"
#include "fallback/lock.h"

#define likely_(x) __builtin_expect(!!(x), 1)
#define unlikely_(x) __builtin_expect(!!(x), 0)

/* --- Counters ----------------------------------------------------------------------------------*/

/* One struct of them per site and thread. Written by the owner, outside transactions. */
struct elision_counters {
    _Atomic uint64_t commits;
    _Atomic uint64_t aborts[ELISION_ABORT_REASONS];
    _Atomic uint64_t locked, fallbacks, skips, giveups, reprobes, cuts, busy;
    _Atomic uint64_t cycles_speculating, cycles_wasted, cycles_waiting, cycles_holding;
    _Atomic uint64_t max_speculating, max_wasted, max_waiting, max_holding;
};

/* Relaxed on both sides: readers want some recent value and no order. */
static inline void
elision_count_(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void
elision_count_max_(_Atomic uint64_t *counter, uint64_t n)
{
    if (n > atomic_load_explicit(counter, memory_order_relaxed)) {
        atomic_store_explicit(counter, n, memory_order_relaxed);
    }
}

/* --- Threads -----------------------------------------------------------------------------------*/

/* A site as one thread sees it. */
struct elision_site_state {
    _Atomic uint32_t credit;  /* sections that may speculate once without asking the policy */
    _Atomic uint32_t granted; /* what credit was when last set; granted - credit have committed, but
                               * for one that may be under way */
    _Atomic uint32_t version; /* odd while granted and count.commits change */
    bool cut;                 /* its length has been asked for; written in transactions too */
    uint32_t asked;           /* enters that have asked the policy */
    uint32_t again;           /* credit + 1 during a fast section that was begun again at once */
    uint64_t typical;         /* cycles of the last timed transaction that committed */
    struct elision_policy_state policy;
    struct elision_counters count;
} ELISION_ALIGNED;

/* Sections deeper than this in each other end the process with a message. */
#define ELISION_DEPTH_MAX 16

#define ELISION_INSIDE 1u

/* A section the fast paths do not handle. */
struct elision_section {
    struct elision_fallback *lock;   /* NULL until it is entered */
    struct elision_fallback *wanted; /* the lock that is being entered */
    struct elision_site_state *state;
    elision_site_t *site; /* while it is being entered */
    enum elision_path path;
    bool was_inside; /* sections[0]: a handler's, come between two steps of a fast enter */
    bool joined;     /* part of an outer section's transaction */
    bool on_credit;  /* began on the fast path, which has counted it already */
    struct elision_fallback *aux; /* the auxiliary lock it holds, or NULL */
    uint64_t began;               /* TSC; 0: not measured */
    struct elision_policy_attempt attempt;
};

struct elision_thread {
    /* 0: outside. The lock's address: its section is the only one and a fast speculative one.
     * ELISION_INSIDE: any other section, which is holding's or in sections[]; or nobody's. */
    uintptr_t inside;
    struct elision_fallback *holding;    /* lock of the only section, a fast locked one, or NULL */
    struct elision_site_state *state;    /* of either */
    uint32_t depth;                      /* sections in sections[] */
    uint32_t ticks;                      /* checkpoints left before a cut; 0: not yet loaded */
    uint32_t id;                         /* in lock words; 0: the record of nobody */
    uint32_t sample;                     /* locked sections until the next timed one */
    struct elision_fallback *wants_lock; /* the next enter of this lock takes it, ... */
    uint16_t wants_after;                /* ... after so many failed transactions */
    bool transacting;                    /* a slow-path section's transaction is open */
    struct elision_section sections[ELISION_DEPTH_MAX];
    /* On a line of its own, since all above is written in transactions, and reading that would
     * abort them: what other threads look at. */
    struct elision_thread *next ELISION_ALIGNED; /* in the list of all; constant once in it */
    _Atomic uint64_t parks, handovers;           /* of waits by this thread */
    /* Of sections that are cut; see arbiter.h. */
    _Atomic uint64_t progress, progress_alone, lost;
    bool alive; /* under the registry's mutex */
    /* ELISION_SITES_MAX + 1 of them, none in elision_nobody_; index 0 is shared by all sites that
     * got no id of their own. */
    struct elision_site_state states[];
};

_Static_assert(offsetof(struct elision_thread, next) % 64 == 0, "and states on further lines");

/* The calling thread's record; elision_nobody_ until it first enters a section. Initial-exec: no
 * function call inside a transaction. */
extern _Thread_local struct elision_thread *elision_self_
    __attribute__((tls_model("initial-exec")));
extern struct elision_thread elision_nobody_;

/* Make the registry's mutex. Called at load, and in a forked child, whose copy may be locked. */
void elision_thread_init_(void);

/* Give the calling thread a record. Ends the process, with a line, if there is no memory.
 * tx:    outside only */
struct elision_thread *elision_thread_register_(void);

/* Recompute elision_off_; call after anything it depends on has changed. */
void elision_thread_update_(void);

/* The list of all records. order: acquire */
struct elision_thread *elision_thread_first_(void);
uint64_t elision_thread_count_(void);

void elision_thread_prepare_fork_(void);
void elision_thread_parent_forked_(void);
void elision_thread_child_forked_(void);

/* Commits of a site by a thread, those of the fast path included: it counts by using up credit. The
 * last one may be under way and abort yet, so it is left out until its owner accounts for it.
 * ret:   false if the owner changes the counts at this moment: *commits means nothing */
bool elision_commits_(const struct elision_site_state *state, uint64_t *commits);

/* Count what the calling thread's fast path has committed on credit, up to the last one. Does
 * nothing for a thread that is inside a section or has no record. tx: safe */
void elision_account_(struct elision_thread *self);

/* --- Sites -------------------------------------------------------------------------------------*/

/* Give site an id if it has none and there is one left. tx: outside only */
void elision_site_register_(elision_site_t *site);

/* ret:   sites given an id so far; site i (1..n) by elision_site_at_, which may be NULL for a
 *        moment */
uint32_t elision_site_count_(void);
elision_site_t *elision_site_at_(uint32_t index);

/* A site's id_ is the distance in bytes of its state from the first one, so that finding the state
 * costs one addition; index of it: */
#define ELISION_ID_OF(index) ((uint32_t)((index) * sizeof(struct elision_site_state)))
#define ELISION_INDEX_OF(id) ((id) / (uint32_t)sizeof(struct elision_site_state))

static inline struct elision_site_state *
elision_state_of_(struct elision_thread *self, const elision_site_t *site)
{
    /* [E.ID] relaxed: the id is only a distance, published by nothing else; see site.c. */
    uint32_t id = __atomic_load_n(&site->id_, __ATOMIC_RELAXED);

    return (struct elision_site_state *)((char *)self->states + id);
}

/* Why sections of a site may not speculate: bits of its off word, which the fast path reads before
 * all else. Written by atomic or and and; only when they change, and never in a transaction. */
#define ELISION_OFF_PROCESS 1u /* none in this process may */
#define ELISION_OFF_ARBITER 2u /* all threads are better off with the lock; see arbiter.h */
#define ELISION_OFF_TRIAL 4u   /* with that one: it is being found out, so look often */

static inline uint64_t
elision_site_off_(const elision_site_t *site)
{
    return __atomic_load_n(&site->off_, __ATOMIC_RELAXED);
}

/* Set or, of several bits, clear; ret: true if that changes it */
bool elision_site_set_off_(elision_site_t *site, uint64_t bit, bool off);

/* Tell all sites that have an id what elision_off_ and elision_off_cut_ are now. */
void elision_sites_update_(void);

/* The length of the site's sections is asked for, or they are cut: then they are no fixed work, and
 * doing more of them in the same time says nothing; see arbiter.h.
 * tx:    outside only: a line of the site is read by every thread that enters */
void elision_site_cut_(elision_site_t *site);
bool elision_site_is_cut_(const elision_site_t *site);

/* --- Process-wide, set at load -----------------------------------------------------------------*/

/* 0 if sections may speculate now, else 1. Alone on its line, rarely written; every site's off word
 * has a copy. Accessed by atomics. */
extern uint32_t elision_off_;

/* ELISION_OFF_ARBITER if sections that are cut had better hold the lock, else 0. The same. */
extern uint32_t elision_off_cut_;

static inline bool
elision_may_speculate_(void)
{
    return __atomic_load_n(&elision_off_, __ATOMIC_RELAXED) == 0;
}

extern struct elision_knobs elision_knobs_;
extern struct elision_policy_params elision_params_;
extern struct elision_policy_params elision_params_cut_; /* of sites whose sections are cut */

static inline const struct elision_policy_params *
elision_params_for_(const struct elision_site_state *state)
{
    return state->cut ? &elision_params_cut_ : &elision_params_;
}

extern struct elision_verdict elision_verdict_;
extern _Atomic bool elision_enabled_;
extern _Atomic unsigned elision_concurrency_;

/* Load-time set-up; idempotent, called by the constructor and by the first registration. */
void elision_init_(void);

/* Sections between two timed ones. */
#define ELISION_SAMPLE 256u

/* Enters that ask the policy, for one that also looks at the arbiter's clock. */
#define ELISION_CONSULT 4u

/* A line on stderr about misuse; ends the process if fatal, or if ELISION_MISUSE=abort.
 * tx:    outside only */
void elision_misuse_(bool fatal, const char *call, const void *lock, const char *expected,
                     uint32_t word);

/* Cycles for measuring, not for ordering. tx: safe */
#if defined(__x86_64__)
static inline uint64_t
elision_cycles_(void)
{
    return __builtin_ia32_rdtsc();
}
#else
/* Nanoseconds stand in for them where there are no transactions to be timed. Out of line: clocks
 * are no part of C11, and not every file that includes this one asks its C library for more. */
uint64_t elision_cycles_(void);
#endif

#endif
