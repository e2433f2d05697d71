/* SPDX-License-Identifier: MIT
 *
 * The policy engine: what all presets share. The algorithms are in policy_adaptive.c and
 * policy_learned.c, the table of presets in policy_presets.c.
 */
#include "elision/policy.h"

#include "elision/policy_priv.h"

/* A site whose section has just failed an attempt is asked again soon; each time it then commits at
 * once, twice as many sections go by before the next question. */
#define GRANT_MIN 32u

/* Failures that do not count in the budget still end somewhere: no section tries more often. */
#define ATTEMPTS_MAX 1000

enum elision_abort
elision_policy_classify_(uint32_t status)
{
    if (status & ELISION_TX_EXPLICIT) {
        switch (ELISION_TX_CODE(status)) {
        case ELISION_CODE_BUSY: return ELISION_ABORT_BUSY;
        case ELISION_CODE_IRREVOCABLE:
        case ELISION_CODE_MISUSE: return ELISION_ABORT_IRREVOCABLE;
        }
        return ELISION_ABORT_EXPLICIT;
    }
    /* Capacity before conflict: it will happen again, whatever the other thread does. */
    if (status & ELISION_TX_CAPACITY) {
        return ELISION_ABORT_CAPACITY;
    }
    if (status & ELISION_TX_CONFLICT) {
        return ELISION_ABORT_CONFLICT;
    }
    if (status & ELISION_TX_DEBUG) {
        return ELISION_ABORT_DEBUG;
    }
    if (status & ELISION_TX_NESTED) {
        return ELISION_ABORT_NESTED;
    }
    return ELISION_ABORT_UNFRIENDLY;
}

static void
setup(const struct elision_policy_params *params, struct elision_policy_state *state)
{
    state->ready = 1;
    if (state->random == 0) {
        state->random = params->seed | 1u;
    }
    state->length = params->length;
    if (params->algorithm->setup != NULL) {
        params->algorithm->setup(params, state);
    }
}

struct elision_policy_decision
elision_policy_enter_(const struct elision_policy_params *params,
                      struct elision_policy_state *state, struct elision_policy_attempt *attempt)
{
    struct elision_policy_decision decision = {.action = ELISION_ACTION_LOCK};
    const struct policy_algorithm *algorithm = params->algorithm;

    *attempt = (struct elision_policy_attempt){0};
    if (!state->ready) {
        setup(params, state);
    }
    if (params->budget == ELISION_BUDGET_NONE) {
        return decision;
    }
    if (state->skip > 0) {
        state->skip--;
        state->probing = state->skip == 0;
        decision.skipped = true;
        return decision;
    }
    if (algorithm->refuse != NULL && algorithm->refuse(params, state)) {
        decision.skipped = true;
        return decision;
    }
    decision.action = ELISION_ACTION_SPECULATE;
    decision.wait = params->waits;
    decision.reprobe = state->probing != 0;
    state->probing = 0;
    return decision;
}

struct elision_policy_decision
elision_policy_overrule_(struct elision_policy_state *state)
{
    state->ready = 0; /* set up anew; what is not set there stays */
    state->skip = 0;
    state->window_commits = 0;
    state->window_failed = 0;
    return (struct elision_policy_decision){.action = ELISION_ACTION_LOCK, .skipped = true};
}

/* What the preset's table says about one more try. */
static bool
table_allows(const struct policy_event *event)
{
    const struct elision_policy_params *params = event->params;
    struct elision_policy_attempt *attempt = event->attempt;

    if (event->reason == ELISION_ABORT_BUSY && params->busy_budget != ELISION_BUDGET_UNLIMITED) {
        return attempt->failed[ELISION_ABORT_BUSY] < params->busy_budget;
    }
    if (params->needs_retry[event->reason] && !event->may_retry) {
        return false;
    }
    return attempt->failed[event->reason] < params->limit[event->reason] &&
           attempt->counted < params->budget;
}

static uint32_t
backoff_pauses(const struct policy_event *event)
{
    const struct elision_policy_params *params = event->params;
    unsigned tries = event->attempt->total < 24 ? event->attempt->total : 24;
    uint64_t pauses = 0;

    if (event->reason != ELISION_ABORT_CONFLICT && event->reason != ELISION_ABORT_BUSY) {
        return 0;
    }
    switch (params->backoff) {
    case ELISION_BACKOFF_NONE: return 0;
    case ELISION_BACKOFF_EXPONENTIAL:
        if (event->reason == ELISION_ABORT_BUSY || tries <= params->backoff_after) {
            return 0;
        }
        pauses = (uint64_t)params->backoff_base << (tries - params->backoff_after);
        pauses = pauses < params->backoff_cap ? pauses : params->backoff_cap;
        return 1 + policy_random_below(event->state, (uint32_t)pauses);
    case ELISION_BACKOFF_DPDK:
        pauses = ((policy_random(event->state) & 7u) | 1u) << tries;
        return (uint32_t)(pauses < params->backoff_cap ? pauses : params->backoff_cap);
    }
    return 0;
}

struct elision_policy_decision
elision_policy_abort_(const struct elision_policy_params *params,
                      struct elision_policy_state *state, struct elision_policy_attempt *attempt,
                      uint32_t status, uint64_t cycles)
{
    const struct policy_algorithm *algorithm = params->algorithm;
    struct policy_event event = {
        .params = params,
        .state = state,
        .attempt = attempt,
        .reason = elision_policy_classify_(status),
        .may_retry = (status & ELISION_TX_RETRY) != 0,
        .cycles = cycles,
    };
    struct elision_policy_decision decision = {.action = ELISION_ACTION_LOCK};

    if (!state->ready) {
        setup(params, state);
    }
    attempt->wasted += cycles;
    attempt->total++;
    attempt->failed[event.reason]++;
    attempt->met |= (uint16_t)(1u << event.reason);
    if (event.reason != ELISION_ABORT_BUSY || params->busy_budget == ELISION_BUDGET_UNLIMITED) {
        attempt->counted++;
    }
    if (event.reason == ELISION_ABORT_IRREVOCABLE || attempt->total >= ATTEMPTS_MAX) {
        /* The section says itself that it needs the lock; no table overrules that. Algorithms
         * are told, since a site that always ends so had better not try. */
        if (algorithm->abort != NULL) {
            (void)algorithm->abort(&event);
        }
    }
    else {
        enum policy_answer answer =
            algorithm->abort != NULL ? algorithm->abort(&event) : POLICY_TABLE;
        if (answer == POLICY_RETRY || (answer == POLICY_TABLE && table_allows(&event))) {
            decision.action = ELISION_ACTION_SPECULATE;
            decision.wait = params->waits;
            decision.pauses = backoff_pauses(&event);
            decision.aux =
                params->aux > 0 && attempt->failed[ELISION_ABORT_CONFLICT] >= params->aux;
            return decision;
        }
    }
    uint32_t skip = algorithm->failed != NULL ? algorithm->failed(params, state, attempt)
                                              : params->skip[event.reason];
    if (skip > 0) {
        state->skip = skip;
        decision.gave_up = true;
    }
    return decision;
}

bool
elision_policy_is_hasty_(const struct elision_policy_params *params)
{
    return params->algorithm->hasty && params->budget > 1 &&
           params->limit[ELISION_ABORT_CONFLICT] > 1 &&
           (params->backoff == ELISION_BACKOFF_NONE ||
            (params->backoff == ELISION_BACKOFF_EXPONENTIAL && params->backoff_after > 0));
}

uint32_t
elision_policy_commit_(const struct elision_policy_params *params,
                       struct elision_policy_state *state,
                       const struct elision_policy_attempt *attempt, uint64_t cycles)
{
    const struct policy_algorithm *algorithm = params->algorithm;

    if (algorithm->commit != NULL) {
        algorithm->commit(params, state, attempt, cycles);
    }
    else {
        elision_policy_commits_(params, state, 1);
    }
    state->grant = attempt->total > 0 || state->grant == 0 ? GRANT_MIN : state->grant * 2;
    if (state->grant > algorithm->credit) {
        state->grant = algorithm->credit;
    }
    if (state->halved > 0 && state->grant > state->halved) {
        state->grant = state->halved; /* then the length is whole again */
    }
    return state->grant;
}

void
elision_policy_commits_(const struct elision_policy_params *params,
                        struct elision_policy_state *state, uint32_t count)
{
    const struct policy_algorithm *algorithm = params->algorithm;

    if (algorithm->commits != NULL && count > 0) {
        algorithm->commits(params, state, count);
    }
    state->retried = 0;
}

uint32_t
elision_policy_length_(const struct elision_policy_params *params,
                       const struct elision_policy_state *state)
{
    uint32_t length = state->ready ? state->length >> (state->halved != 0) : params->length;

    return length == 0 ? 1 : length;
}

/* --- FIXED, HOTSPOT, ODAIRA --------------------------------------------------------------------*/

const struct policy_algorithm elision_policy_fixed_ = {.credit = 1024, .hasty = true};

/* JDK up to 23: after 1000 aborts look at the ratio once; above one half elision is off for the
 * rest of the run. */
#define HOTSPOT_ABORTS 1000

static enum policy_answer
hotspot_abort(const struct policy_event *event)
{
    event->state->window_aborts++;
    return POLICY_TABLE;
}

static void
hotspot_commits(const struct elision_policy_params *params, struct elision_policy_state *state,
                uint32_t count)
{
    (void)params;
    state->window_commits += count;
}

static uint32_t
hotspot_failed(const struct elision_policy_params *params, struct elision_policy_state *state,
               const struct elision_policy_attempt *attempt)
{
    (void)params;
    (void)attempt;
    if (state->window_aborts >= HOTSPOT_ABORTS && state->window_aborts > state->window_commits) {
        return UINT32_MAX;
    }
    return 0;
}

const struct policy_algorithm elision_policy_hotspot_ = {
    .abort = hotspot_abort,
    .commits = hotspot_commits,
    .failed = hotspot_failed,
    .credit = 1024,
};

/* Odaira, Castanos, Tomari, PPoPP'14: during the first 300 transactions of a yield point more than
 * 18 aborts (6 %) shorten it to three quarters and start the period anew. Constants from memory. */
#define ODAIRA_PERIOD 300
#define ODAIRA_THRESHOLD 18

static void
odaira_count(struct elision_policy_state *state, uint32_t commits, uint32_t aborts)
{
    if (state->mode != 0) {
        return; /* the period passed quietly: this length stays */
    }
    state->window_commits += commits;
    state->window_aborts += aborts;
    if (state->window_aborts > ODAIRA_THRESHOLD) {
        uint32_t shorter = state->length * 3 / 4;
        state->length = shorter > 0 ? shorter : 1;
        state->window_commits = 0;
        state->window_aborts = 0;
    }
    else if (state->window_commits + state->window_aborts >= ODAIRA_PERIOD) {
        state->mode = 1;
    }
}

static enum policy_answer
odaira_abort(const struct policy_event *event)
{
    odaira_count(event->state, 0, 1);
    return POLICY_TABLE;
}

static void
odaira_commits(const struct elision_policy_params *params, struct elision_policy_state *state,
               uint32_t count)
{
    (void)params;
    odaira_count(state, count, 0);
}

const struct policy_algorithm elision_policy_odaira_ = {
    .abort = odaira_abort,
    .commits = odaira_commits,
    .credit = 16,
};
