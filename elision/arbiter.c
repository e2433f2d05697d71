/* SPDX-License-Identifier: MIT */
#include "elision/arbiter.h"

#include "elision/core_priv.h"

/* In cycles, all guesses that emulated runs bear out: long enough for a few hundred short sections
 * a thread, short enough that a trial of the worse way is lost in what follows. */
#define WARM 60000u
#define TRIAL 200000u
#define PERIOD (10u * TRIAL)
#define DOUBLINGS_MAX 6

/* Fewer aborts than one in this many sections: no trial. Transactions cost little then. */
#define TROUBLE 64u

static void
start(struct elision_arbiter *arbiter, enum elision_arbiter_phase phase, uint64_t now,
      uint64_t length)
{
    arbiter->phase = phase;
    arbiter->warm = false;
    arbiter->due = now + length;
}

static void
start_count(struct elision_arbiter *arbiter, uint64_t now, uint64_t sections, uint64_t aborts)
{
    arbiter->began = now;
    arbiter->sections = sections;
    arbiter->aborts = aborts;
}

/* The better of the two rates has been found out. */
static void
choose(struct elision_arbiter *arbiter, uint64_t now, bool was_locked)
{
    /* The lock must be better by 3 %: a tie is a matter of noise, and speculation scales. */
    bool locked = arbiter->rate[1] * 100 > arbiter->rate[0] * 103;

    if (locked != was_locked) {
        arbiter->doubling = 0;
    }
    else if (arbiter->doubling < DOUBLINGS_MAX) {
        arbiter->doubling++;
    }
    start(arbiter, locked ? ELISION_ARBITER_LOCKED : ELISION_ARBITER_SPECULATING, now,
          (uint64_t)PERIOD << arbiter->doubling);
}

bool
elision_arbiter_step_(struct elision_arbiter *arbiter, uint64_t now, uint64_t sections,
                      uint64_t aborts)
{
    bool trial = arbiter->phase == ELISION_ARBITER_TRY_LOCK ||
                 arbiter->phase == ELISION_ARBITER_TRY_SPECULATION;
    uint64_t done = sections - arbiter->sections;

    if (arbiter->began == 0) {
        start_count(arbiter, now, sections, aborts);
        start(arbiter, ELISION_ARBITER_SPECULATING, now, TRIAL);
    }
    else if (trial && !arbiter->warm) {
        start_count(arbiter, now, sections, aborts);
        arbiter->warm = true;
        arbiter->due = now + TRIAL;
    }
    else {
        bool count_locked =
            arbiter->phase == ELISION_ARBITER_LOCKED || arbiter->phase == ELISION_ARBITER_TRY_LOCK;
        uint64_t elapsed = now - arbiter->began + 1;
        arbiter->rate[count_locked] = (done << 20) / elapsed;
        switch (arbiter->phase) {
        case ELISION_ARBITER_SPECULATING:
            if ((aborts - arbiter->aborts) * TROUBLE > done) {
                start(arbiter, ELISION_ARBITER_TRY_LOCK, now, WARM);
            }
            else {
                start(arbiter, ELISION_ARBITER_SPECULATING, now, PERIOD);
            }
            break;
        case ELISION_ARBITER_LOCKED:
            start(arbiter, ELISION_ARBITER_TRY_SPECULATION, now, WARM);
            break;
        case ELISION_ARBITER_TRY_LOCK: choose(arbiter, now, false); break;
        case ELISION_ARBITER_TRY_SPECULATION: choose(arbiter, now, true); break;
        }
        start_count(arbiter, now, sections, aborts);
    }
    return arbiter->phase == ELISION_ARBITER_LOCKED || arbiter->phase == ELISION_ARBITER_TRY_LOCK;
}

/* --- One for each site -------------------------------------------------------------------------*/

static struct place {
    _Atomic uint64_t due; /* a copy, for those who only look */
    _Atomic uint32_t locked;
    _Atomic uint32_t taken; /* guards arbiter */
    struct elision_arbiter arbiter;
} ELISION_ALIGNED places[ELISION_SITES_MAX + 1];

bool
elision_arbiter_locked_(uint32_t index)
{
    return atomic_load_explicit(&places[index].locked, memory_order_relaxed) != 0;
}

static void
sum(uint32_t index, uint64_t *sections, uint64_t *aborts)
{
    *sections = 0;
    *aborts = 0;
    for (struct elision_thread *at = elision_thread_first_(); at != NULL; at = at->next) {
        const struct elision_site_state *state = &at->states[index];
        *sections += atomic_load_explicit(&state->count.commits, memory_order_relaxed) +
                     atomic_load_explicit(&state->count.locked, memory_order_relaxed) +
                     atomic_load_explicit(&state->granted, memory_order_relaxed) -
                     atomic_load_explicit(&state->credit, memory_order_relaxed);
        for (unsigned i = 0; i < ELISION_ABORT_REASONS; i++) {
            *aborts += atomic_load_explicit(&state->count.aborts[i], memory_order_relaxed);
        }
    }
}

bool
elision_arbiter_prefers_lock_(uint32_t index, uint64_t now)
{
    struct place *place = &places[index];

    /* Signed: clocks of two CPUs may differ a little. */
    if ((int64_t)(now - atomic_load_explicit(&place->due, memory_order_relaxed)) >= 0
        /* [E.AA] pairs with [E.AR]: the arbiter is seen as last left. */
        && atomic_exchange_explicit(&place->taken, 1, memory_order_acquire) == 0) {
        uint64_t sections, aborts;
        sum(index, &sections, &aborts);
        bool locked = elision_arbiter_step_(&place->arbiter, now, sections, aborts);
        atomic_store_explicit(&place->locked, locked, memory_order_relaxed);
        atomic_store_explicit(&place->due, place->arbiter.due, memory_order_relaxed);
        atomic_store_explicit(&place->taken, 0, memory_order_release); /* [E.AR] */
    }
    return elision_arbiter_locked_(index);
}
