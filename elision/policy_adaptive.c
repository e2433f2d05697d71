/* SPDX-License-Identifier: MIT
 *
 * The default policy. Per site and thread, by reason:
 *
 *     busy         waits, retries up to a cap of its own
 *     conflict     again at once; from the fourth loss on backs off at random, capped, from the
 *                  eighth on queues on the auxiliary lock; the lock when it has cost many times
 *                  what the site's sections usually take, or one attempt more than they ever do: a
 *                  long one among short ones does not win by trying
 *     capacity     halves the length, for a while if it is an exception; one retry where that can
 *                  help, then the lock
 *     unfriendly   one retry, unless the site's retries after it have mostly failed
 *     irrevocable  the lock
 *     debug, nested, other explicit   as the table says
 *
 * Giving up: sections that end on the lock in most of a window, or by conflicts while none has ever
 * committed, make the site skip; twice as long after each probe that fails, from SKIP_MIN to
 * SKIP_MAX sections, back to SKIP_MIN after one that succeeds.
 */
#include "elision/policy_priv.h"

#define SKIP_MIN 4u
#define SKIP_MAX 1024u
#define TRIES_NEW 4              /* of the first section; half as many until one commits */
#define WINDOW 32u               /* sections that needed the policy */
#define LENGTHEN_STREAK 64       /* commits without an abort before a section gets longer */
#define CUT_COST 256u            /* cycles that ending a section and beginning the next one cost */
#define LOST_MAX (64 * CUT_COST) /* cycles lost before a section gets shorter */
#define PROVEN 16    /* commits after which a section that is too large is an exception */
#define DIFFER_MIN 3 /* sections may take by this part longer than usual, if all are alike */

static void
adaptive_setup(const struct elision_policy_params *params, struct elision_policy_state *state)
{
    state->skip_next = SKIP_MIN;
    if (state->weight[ELISION_ABORT_UNFRIENDLY] == 0) {
        state->weight[ELISION_ABORT_UNFRIENDLY] = params->unfriendly;
    }
}

static void
shorten(struct elision_policy_state *state, uint32_t numerator, uint32_t denominator)
{
    uint32_t shorter = (uint32_t)((uint64_t)state->length * numerator / denominator);

    state->length = shorter > 0 ? shorter : 1;
    state->streak = 0;
}

/* Moving average with weight 1/8 of whether retrying after a reason failed. */
static void
learn_weight(struct elision_policy_state *state, unsigned reason, bool failed)
{
    uint32_t weight = state->weight[reason];

    weight = failed ? weight + ((0xffffu - weight) >> 3) : weight - (weight >> 3);
    state->weight[reason] = (uint16_t)weight;
}

/* A hopeless reason is retried all the same once in sixteen times, to notice when it is not. */
static bool
hopeless(struct elision_policy_state *state, enum elision_abort reason)
{
    return state->weight[reason] > ELISION_POLICY_HOPELESS && (policy_random(state) & 15u) != 0;
}

/* Sections of this length usually fit, but this one did not: once more, half as long, since it may
 * have been a little too much. If it or the next one does not fit either, it is one large step, as
 * when a list grows or is sorted, that no length makes smaller.
 * ret:   the lock for such a step */
static enum policy_answer
exceptional(struct elision_policy_state *state)
{
    state->streak = 0;
    if (state->halved == 0 && !hopeless(state, ELISION_ABORT_CAPACITY)) {
        state->halved = 2;
        return POLICY_TABLE;
    }
    if (state->halved != 0) {
        learn_weight(state, ELISION_ABORT_CAPACITY, true);
    }
    state->halved = 0;
    state->proven = 0;
    return POLICY_LOCK;
}

/* ret:   what to do after a section that outgrew the cache */
static enum policy_answer
outgrown(const struct policy_event *event)
{
    struct elision_policy_state *state = event->state;
    bool shortest = state->length == 1;

    if (event->params->cuts && state->proven >= PROVEN) {
        return exceptional(state);
    }
    state->proven = 0;
    shorten(state, 1, 2);
    if (shortest && !event->may_retry) {
        return POLICY_LOCK;
    }
    return hopeless(state, ELISION_ABORT_CAPACITY) ? POLICY_LOCK : POLICY_TABLE;
}

/* count sections have committed. */
static void
fitted(struct elision_policy_state *state, uint32_t count)
{
    if (state->halved == 0) {
        state->proven = count < PROVEN - state->proven ? state->proven + count : PROVEN;
    }
    else if (state->halved > count) {
        state->halved -= count;
    }
    else {
        state->halved = 0;
        state->proven = 0;
        learn_weight(state, ELISION_ABORT_CAPACITY, false);
    }
}

/* Somebody who takes the lock costs a section its cycles so far, the more the longer sections are.
 * The shorter they are the more often they end and begin, at CUT_COST and with the conflicts over
 * data that come with each whatever its length. Their length is right when both cost the same. */
static void
balance(struct elision_policy_state *state, uint64_t to_lock, uint64_t to_cuts)
{
    uint64_t lost = state->lost + to_lock;

    lost -= to_cuts < lost ? to_cuts : lost;
    if (lost > LOST_MAX) {
        shorten(state, 7, 8);
        lost = 0;
    }
    state->lost = (uint32_t)lost;
}

/* Is one more try after a conflict likely to cost more than it gains? A section that runs longer
 * than others of its site before it is aborted will be again; of a site that has never committed
 * nothing is to be expected. */
static bool
costs_too_much(const struct policy_event *event)
{
    const struct elision_policy_params *params = event->params;
    const struct elision_policy_state *state = event->state;

    if (state->usual == 0) {
        return event->attempt->counted >= (state->window_failed == 0 ? TRIES_NEW : TRIES_NEW / 2);
    }
    uint64_t differ = params->longer * state->spread;
    differ = differ > state->usual / DIFFER_MIN ? differ : state->usual / DIFFER_MIN;
    return event->cycles > state->usual + differ ||
           event->attempt->wasted > params->waste * state->usual;
}

static enum policy_answer
adaptive_abort(const struct policy_event *event)
{
    struct elision_policy_state *state = event->state;
    uint64_t to_lock;

    switch (event->reason) {
    case ELISION_ABORT_BUSY: return POLICY_TABLE;
    case ELISION_ABORT_CAPACITY: return outgrown(event);
    case ELISION_ABORT_CONFLICT:
        if (event->params->cuts) {
            to_lock = event->attempt->stopped ? event->cycles : 0;
            balance(state, to_lock, event->cycles - to_lock);
        }
        else if (costs_too_much(event)) {
            return POLICY_LOCK;
        }
        state->streak = 0;
        return hopeless(state, event->reason) ? POLICY_LOCK : POLICY_TABLE;
    case ELISION_ABORT_UNFRIENDLY:
    case ELISION_ABORT_EXPLICIT:
    case ELISION_ABORT_NESTED:
        state->streak = 0;
        return hopeless(state, event->reason) ? POLICY_LOCK : POLICY_TABLE;
    case ELISION_ABORT_IRREVOCABLE:
    case ELISION_ABORT_DEBUG:
    case ELISION_ABORT_REASONS: return POLICY_LOCK;
    }
    return POLICY_LOCK;
}

/* Sections of the window that ended well and badly; a full window starts anew at half weight. */
static void
roll_window(struct elision_policy_state *state)
{
    if (state->window_commits + state->window_failed >= WINDOW) {
        state->window_commits /= 2;
        state->window_failed /= 2;
    }
}

static void
adaptive_commits(const struct elision_policy_params *params, struct elision_policy_state *state,
                 uint32_t count)
{
    state->window_commits += count < WINDOW ? count : WINDOW;
    roll_window(state);
    fitted(state, count);
    if (params->cuts) {
        balance(state, 0, (uint64_t)count * CUT_COST);
    }
    for (uint32_t i = 0; i < state->retried && i < WINDOW; i++) {
        learn_weight(state, ELISION_ABORT_CONFLICT, false);
    }
    state->streak = state->retried > 0 ? 0 : state->streak + count;
    if (state->streak >= LENGTHEN_STREAK && state->length < params->length_max) {
        state->length += state->length / 8 + 1;
        state->length = state->length < params->length_max ? state->length : params->length_max;
        state->streak = 0;
    }
}

static void
adaptive_commit(const struct elision_policy_params *params, struct elision_policy_state *state,
                const struct elision_policy_attempt *attempt, uint64_t cycles)
{
    for (unsigned met = attempt->met; met != 0; met &= met - 1) {
        unsigned reason = (unsigned)__builtin_ctz(met);
        if (reason != ELISION_ABORT_CAPACITY || state->halved == 0) { /* of that fitted() learns */
            learn_weight(state, reason, false);
        }
    }
    if (state->usual == 0) {
        state->usual = cycles;
        state->spread = cycles / 2;
    }
    else if (cycles != 0) {
        uint64_t off = cycles > state->usual ? cycles - state->usual : state->usual - cycles;
        state->spread = state->spread - state->spread / 8 + off / 8;
        state->usual = state->usual - state->usual / 8 + cycles / 8;
    }
    state->skip_next = SKIP_MIN;
    adaptive_commits(params, state, 1);
}

static uint32_t
adaptive_failed(const struct elision_policy_params *params, struct elision_policy_state *state,
                const struct elision_policy_attempt *attempt)
{
    for (unsigned reason = 0; reason < ELISION_ABORT_REASONS; reason++) {
        /* A reason met once and then not retried says nothing about retrying. */
        if (attempt->failed[reason] > 1) {
            learn_weight(state, reason, true);
        }
    }
    if (attempt->failed[ELISION_ABORT_CONFLICT] > 1 ||
        attempt->failed[ELISION_ABORT_UNFRIENDLY] > 1) {
        shorten(state, 3, 4);
    }
    state->window_failed++;
    bool no_use =
        (state->window_failed >= 4 && state->window_failed > 3 * state->window_commits) ||
        (state->usual == 0 && !params->cuts && attempt->failed[ELISION_ABORT_CONFLICT] > 1);
    roll_window(state);
    if (!no_use) {
        return 0;
    }
    uint32_t skip = state->skip_next / 2 + policy_random_below(state, state->skip_next);
    state->skip_next = state->skip_next < SKIP_MAX / 2 ? state->skip_next * 2 : SKIP_MAX;
    return skip;
}

const struct policy_algorithm elision_policy_adaptive_ = {
    .setup = adaptive_setup,
    .abort = adaptive_abort,
    .commit = adaptive_commit,
    .commits = adaptive_commits,
    .failed = adaptive_failed,
    .credit = 1024,
    .hasty = true,
};
