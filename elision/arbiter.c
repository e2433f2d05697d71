/* SPDX-License-Identifier: MIT */
#include "elision/arbiter.h"

#include "elision/core_priv.h"

/* In cycles, all guesses that emulated runs bear out. */
#define WINDOW_MIN 16000u  /* a hundred short sections */
#define WINDOW_MAX 256000u /* a trial that is not clear by now is a tie */
#define IDLE_MAX 64000u    /* between two looks at a site that speculates untroubled */
#define SETTLE 4000u       /* until threads that run follow a new phase, ... */
#define SETTLE_EACH 500u   /* ... and for each that has to be woken or to go to sleep */

#define RESTS 32u
#define TRIAL_MAX 128000u /* a longer one was near a tie, and cost little */
#define DOUBLINGS_MAX 4

/* Fewer aborts than one in this many sections: no trial. Transactions cost little then. */
#define TROUBLE 16u

/* Sections of the slower way that say something, and that say enough. */
#define SECTIONS_MIN 16u
#define SECTIONS_ENOUGH 256u

static void
rest(struct elision_arbiter *arbiter, enum elision_arbiter_phase phase, uint64_t now,
     uint64_t length)
{
    arbiter->phase = phase;
    arbiter->counting = false;
    arbiter->due = now + length;
}

static void
count_from(struct elision_arbiter *arbiter, uint64_t now, const struct elision_arbiter_sums *sums,
           uint64_t window)
{
    arbiter->counting = true;
    arbiter->began = now;
    arbiter->sums = *sums;
    arbiter->due = now + window;
}

static void
begin_trial(struct elision_arbiter *arbiter, enum elision_arbiter_phase phase, uint64_t now,
            uint32_t threads)
{
    arbiter->trial = now;
    arbiter->piece = 0;
    rest(arbiter, phase, now, SETTLE + (uint64_t)threads * SETTLE_EACH);
}

/* The two rates differ by more than chance would have it: by four times the error of a count of
 * independent events. */
static bool
clear(const struct elision_arbiter_count *a, const struct elision_arbiter_count *b)
{
    uint64_t fewer = a->sections < b->sections ? a->sections : b->sections;
    uint64_t low = a->rate < b->rate ? a->rate : b->rate;
    uint64_t apart = a->rate < b->rate ? b->rate - a->rate : a->rate - b->rate;

    /* In 1/64 of the lower rate, at most 4 times it, so that nothing overflows. */
    uint64_t parts = apart >= 4 * low ? 256 : apart * 64 / (low + 1);
    return fewer >= SECTIONS_MIN && parts * parts * fewer > 16 * 64 * 64;
}

/* The better of the two rates has been found out. */
static void
choose(struct elision_arbiter *arbiter, uint64_t now, bool was_locked)
{
    /* The lock must be better by 3 %: a tie is a matter of noise, and speculation scales. */
    bool locked = arbiter->count[1].rate * 100 > arbiter->count[0].rate * 103;

    if (locked != was_locked) {
        arbiter->doubling = 0;
    }
    else if (arbiter->doubling < DOUBLINGS_MAX) {
        arbiter->doubling++;
    }
    uint64_t trial = now - arbiter->trial < TRIAL_MAX ? now - arbiter->trial : TRIAL_MAX;
    rest(arbiter, locked ? ELISION_ARBITER_LOCKED : ELISION_ARBITER_SPECULATING, now,
         (RESTS * trial) << arbiter->doubling);
}

static bool
is_locked(const struct elision_arbiter *arbiter)
{
    return arbiter->phase == ELISION_ARBITER_LOCKED || arbiter->phase == ELISION_ARBITER_TRY_LOCK;
}

/* More aborts than sections: worth a trial, however little else is known. */
static bool
is_hopeless(const struct elision_arbiter *arbiter, const struct elision_arbiter_sums *sums)
{
    uint64_t done = sums->sections - arbiter->sums.sections;

    return arbiter->phase == ELISION_ARBITER_SPECULATING && done >= 4 * SECTIONS_MIN &&
           sums->aborts - arbiter->sums.aborts >= done;
}

/* Speculating has been counted for length. */
static void
look_for_trouble(struct elision_arbiter *arbiter, uint64_t now, uint64_t length,
                 const struct elision_arbiter_sums *sums)
{
    uint64_t done = arbiter->count[0].sections;
    uint64_t aborts = sums->aborts - arbiter->sums.aborts;

    if (aborts * TROUBLE <= done) {
        count_from(arbiter, now, sums, length < IDLE_MAX / 2 ? length * 2 : IDLE_MAX);
    }
    else if (done >= SECTIONS_ENOUGH || length >= IDLE_MAX || is_hopeless(arbiter, sums)) {
        begin_trial(arbiter, ELISION_ARBITER_TRY_LOCK, now, sums->threads);
    }
    else {
        arbiter->due = now + length;
    }
}

/* A piece of a trial has been counted for length. As long as each is better than the one before,
 * threads are still coming; that says nothing against the way that is tried. */
static void
judge_trial(struct elision_arbiter *arbiter, uint64_t now, uint64_t length,
            const struct elision_arbiter_sums *sums)
{
    bool locked = is_locked(arbiter);
    uint64_t rate = arbiter->count[locked].rate;
    bool steady = rate * 8 <= arbiter->piece * 9;

    arbiter->piece = rate;
    if ((clear(&arbiter->count[0], &arbiter->count[1]) &&
         (steady || rate > arbiter->count[!locked].rate)) ||
        length >= WINDOW_MAX) {
        choose(arbiter, now, !locked);
    }
    else if (steady) {
        arbiter->due = now + length; /* the count goes on, twice as long */
    }
    else {
        count_from(arbiter, now, sums, length);
    }
}

/* A piece of the count is complete. */
static void
judge(struct elision_arbiter *arbiter, uint64_t now, const struct elision_arbiter_sums *sums)
{
    uint64_t done = sums->sections - arbiter->sums.sections;
    uint64_t length = now - arbiter->began;

    arbiter->count[is_locked(arbiter)] =
        (struct elision_arbiter_count){.rate = (done << 20) / (length + 1), .sections = done};
    switch (arbiter->phase) {
    case ELISION_ARBITER_SPECULATING: look_for_trouble(arbiter, now, length, sums); break;
    case ELISION_ARBITER_LOCKED:
        begin_trial(arbiter, ELISION_ARBITER_TRY_SPECULATION, now, sums->threads);
        break;
    case ELISION_ARBITER_TRY_LOCK:
    case ELISION_ARBITER_TRY_SPECULATION: judge_trial(arbiter, now, length, sums); break;
    }
}

bool
elision_arbiter_step_(struct elision_arbiter *arbiter, uint64_t now,
                      const struct elision_arbiter_sums *sums)
{
    /* A count during which threads came is void. */
    if (!arbiter->counting ||
        (sums->threads != arbiter->sums.threads && !is_hopeless(arbiter, sums))) {
        count_from(arbiter, now, sums, WINDOW_MIN);
    }
    else {
        judge(arbiter, now, sums);
    }
    return is_locked(arbiter);
}

/* --- One for each site -------------------------------------------------------------------------*/

static struct place {
    _Atomic uint64_t due;   /* a copy, for those who only look */
    _Atomic uint32_t taken; /* guards arbiter */
    struct elision_arbiter arbiter;
} ELISION_ALIGNED places[ELISION_SITES_MAX + 1];

static void
sum(uint32_t index, struct elision_arbiter_sums *sums)
{
    for (struct elision_thread *at = elision_thread_first_(); at != NULL; at = at->next) {
        const struct elision_site_state *state = &at->states[index];
        uint64_t sections = atomic_load_explicit(&state->count.commits, memory_order_relaxed) +
                            atomic_load_explicit(&state->count.locked, memory_order_relaxed) +
                            atomic_load_explicit(&state->granted, memory_order_relaxed) -
                            atomic_load_explicit(&state->credit, memory_order_relaxed);
        sums->sections += sections;
        sums->threads += sections != 0;
        for (unsigned i = 0; i < ELISION_ABORT_REASONS; i++) {
            sums->aborts += atomic_load_explicit(&state->count.aborts[i], memory_order_relaxed);
        }
    }
}

bool
elision_arbiter_ask_(elision_site_t *site, uint64_t now)
{
    uint32_t index = ELISION_INDEX_OF(__atomic_load_n(&site->id_, __ATOMIC_RELAXED));
    struct place *place = &places[index];
    struct elision_arbiter_sums sums = {0, 0, 0};

    /* Signed: clocks of two CPUs may differ a little. Index 0 is shared by sites of all kinds. */
    if (index == 0 ||
        (int64_t)(now - atomic_load_explicit(&place->due, memory_order_relaxed)) < 0
        /* [E.AA] pairs with [E.AR]: the arbiter is seen as last left. */
        || atomic_exchange_explicit(&place->taken, 1, memory_order_acquire) != 0) {
        return false;
    }
    bool changed = false;
    /* Once more: another thread may have been here since. */
    if ((int64_t)(now - place->arbiter.due) >= 0) {
        sum(index, &sums);
        bool locked = elision_arbiter_step_(&place->arbiter, now, &sums);
        changed = elision_site_set_off_(site, ELISION_OFF_ARBITER, locked);
        atomic_store_explicit(&place->due, place->arbiter.due, memory_order_relaxed);
    }
    atomic_store_explicit(&place->taken, 0, memory_order_release); /* [E.AR] */
    return changed;
}

void
elision_arbiter_forked_(void)
{
    uint32_t count = elision_site_count_();

    for (uint32_t index = 1; index <= count && index <= ELISION_SITES_MAX; index++) {
        atomic_store_explicit(&places[index].taken, 0, memory_order_relaxed);
    }
}
