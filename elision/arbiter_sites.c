/* SPDX-License-Identifier: MIT
 *
 * Arbiters at work: one for each site, and one for all whose sections are cut.
 */
#include "elision/arbiter.h"

#include "elision/core_priv.h"
#include "probes/step.h"

/* The place of all sites whose sections are cut. Their arbiter's clock is slower, since a phase
 * must be long against a thread's sleeping and waking. Guesses: emulated, 16 and 16 found the same,
 * but too late for programs of ten milliseconds. */
#define CUT 0u
#define CUT_SCALE 4u /* cycles */
#define CUT_UNIT 4u  /* checkpoints that count as a section */

static struct place {
    _Atomic uint64_t due;   /* a copy, for those who only look */
    _Atomic uint32_t taken; /* guards arbiter */
    struct elision_arbiter arbiter;
} ELISION_ALIGNED places[ELISION_SITES_MAX + 1];

static void
sum_cut(struct elision_arbiter_sums *sums)
{
    for (struct elision_thread *at = elision_thread_first_(); at != NULL; at = at->next) {
        uint64_t done = atomic_load_explicit(&at->progress, memory_order_relaxed);
        uint64_t alone = atomic_load_explicit(&at->progress_alone, memory_order_relaxed);
        sums->sections += (done + alone) / CUT_UNIT;
        sums->alone += alone / CUT_UNIT;
        sums->threads += done + alone != 0;
        sums->lost += atomic_load_explicit(&at->lost, memory_order_relaxed) / CUT_SCALE;
    }
}

/* ret:   false if some thread's counts cannot be read at this moment */
static bool
sum(uint32_t index, struct elision_arbiter_sums *sums)
{
    for (struct elision_thread *at = elision_thread_first_(); at != NULL; at = at->next) {
        const struct elision_site_state *state = &at->states[index];
        uint64_t sections, aborts = 0;

        if (!elision_commits_(state, &sections)) {
            return false;
        }
        sections += atomic_load_explicit(&state->count.locked, memory_order_relaxed);
        for (unsigned i = 0; i < ELISION_ABORT_REASONS; i++) {
            aborts += atomic_load_explicit(&state->count.aborts[i], memory_order_relaxed);
        }
        sums->sections += sections;
        sums->aborts += aborts;
        sums->threads += sections + aborts != 0;
        sums->lost += atomic_load_explicit(&state->count.cycles_wasted, memory_order_relaxed) +
                      atomic_load_explicit(&state->count.cycles_waiting, memory_order_relaxed);
    }
    return true;
}

/* It is time for a step; ret: as ask. */
static bool
move(struct place *place, elision_site_t *site, uint32_t index, uint64_t now)
{
    struct elision_arbiter_sums sums = {0};

    if (!sum(index, &sums)) {
        return false; /* who asks next will do it */
    }
    bool locked = elision_arbiter_step_(&place->arbiter, now, &sums);
    elision_site_set_off_(site, ELISION_OFF_TRIAL,
                          place->arbiter.phase == ELISION_ARBITER_TRY_LOCK);
    return elision_site_set_off_(site, ELISION_OFF_ARBITER, locked);
}

static bool
move_cut(struct place *place, uint64_t now)
{
    struct elision_arbiter_sums sums = {0};

    sum_cut(&sums);
    place->arbiter.wary = true;
    uint32_t off = elision_arbiter_step_(&place->arbiter, now, &sums) ? ELISION_OFF_ARBITER : 0;
    if (__atomic_load_n(&elision_off_cut_, __ATOMIC_RELAXED) == off) {
        return false;
    }
    __atomic_store_n(&elision_off_cut_, off, __ATOMIC_SEQ_CST);
    elision_sites_update_();
    return true;
}

bool
elision_arbiter_ask_(elision_site_t *site, uint64_t now)
{
    bool cut = elision_site_is_cut_(site);
    uint32_t index = cut ? CUT : ELISION_INDEX_OF(__atomic_load_n(&site->id_, __ATOMIC_RELAXED));
    struct place *place = &places[index];

    now /= cut ? CUT_SCALE : 1;
    /* Signed: clocks of two CPUs may differ a little. A site without an id has none of its own. */
    if ((index == CUT && !cut) ||
        (int64_t)(now - atomic_load_explicit(&place->due, memory_order_relaxed)) < 0
        /* [E.AA] pairs with [E.AR]: the arbiter is seen as last left. */
        || atomic_exchange_explicit(&place->taken, 1, memory_order_acquire) != 0) {
        return false;
    }
    bool changed = false;
    ELISION_STEP("arbiter: taken");
    /* Once more: another thread may have been here since. */
    if ((int64_t)(now - place->arbiter.due) >= 0) {
        changed = cut ? move_cut(place, now) : move(place, site, index, now);
        atomic_store_explicit(&place->due, place->arbiter.due, memory_order_relaxed);
    }
    atomic_store_explicit(&place->taken, 0, memory_order_release); /* [E.AR] */
    return changed;
}

void
elision_arbiter_forked_(void)
{
    uint32_t count = elision_site_count_();

    for (uint32_t index = 0; index <= count && index <= ELISION_SITES_MAX; index++) {
        atomic_store_explicit(&places[index].taken, 0, memory_order_relaxed);
    }
}
