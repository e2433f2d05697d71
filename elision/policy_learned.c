/* SPDX-License-Identifier: MIT
 *
 * Two published learners as presets: Tuner (hill climbing and UCB1) and GOCC (a perceptron).
 */
#include "elision/policy_priv.h"

/* --- Tuner: Diegues and Romano, ICAC'14 --------------------------------------------------------*/

#define TUNER_PERIOD 100 /* sections of which one is measured */
#define TUNER_MIN 1
#define TUNER_MAX 16
#define TUNER_STEP_PERCENT 105   /* better by less is not worth another step */
#define TUNER_REVERT_PERCENT 140 /* worse than the best by more: back to it */

/* What capacity does to the rest of the budget: the arms of the bandit. */
enum tuner_arm {
    TUNER_GIVEUP = 0,
    TUNER_HALVEN = 1,
    TUNER_STUBBORN = 2,
    TUNER_ARMS = 3,
};

/* Names for elision_policy_state.extra. */
enum tuner_slot {
    TUNER_LAST = 0,        /* cycles at the budget before the last step */
    TUNER_BEST = 1,        /* fewest cycles seen */
    TUNER_BEST_BUDGET = 2, /* and the budget then */
    TUNER_PULLS = 3,       /* pulls of arm 0, 1, 2 in 16 bits each */
    TUNER_REWARDS = 4,     /* sums of rewards, 21 bits each */
    TUNER_ARM = 5,         /* the arm in force */
    TUNER_COUNT = 6,       /* sections until the next measured one */
};

/* state->mode: direction of the climb. */
#define TUNER_UP 0
#define TUNER_DOWN 1

static uint32_t
pulls_of(const struct elision_policy_state *state, unsigned arm)
{
    return (uint32_t)(state->extra[TUNER_PULLS] >> (16 * arm)) & 0xffffu;
}

static uint32_t
rewards_of(const struct elision_policy_state *state, unsigned arm)
{
    return (uint32_t)(state->extra[TUNER_REWARDS] >> (21 * arm)) & 0x1fffffu;
}

static void
tuner_setup(const struct elision_policy_params *params, struct elision_policy_state *state)
{
    state->budget = params->budget;
    state->extra[TUNER_COUNT] = TUNER_PERIOD;
    state->extra[TUNER_BEST_BUDGET] = params->budget;
}

static enum policy_answer
tuner_abort(const struct policy_event *event)
{
    struct elision_policy_state *state = event->state;
    struct elision_policy_attempt *attempt = event->attempt;

    if (event->reason == ELISION_ABORT_BUSY) {
        return POLICY_TABLE;
    }
    if (event->reason == ELISION_ABORT_CAPACITY) {
        uint32_t left = state->budget > attempt->counted ? state->budget - attempt->counted : 0;
        if (state->extra[TUNER_ARM] == TUNER_GIVEUP) {
            return POLICY_LOCK;
        }
        if (state->extra[TUNER_ARM] == TUNER_HALVEN) {
            attempt->counted = (uint16_t)(attempt->counted + left / 2);
        }
    }
    return attempt->counted < state->budget ? POLICY_RETRY : POLICY_LOCK;
}

static unsigned
log2_of(uint32_t n)
{
    return n > 1 ? 31u - (unsigned)__builtin_clz(n) : 0;
}

/* UCB1 with the logarithm to base 2 rounded down, in 1/1000 of a reward of 1. */
static unsigned
best_arm(const struct elision_policy_state *state)
{
    uint32_t all = pulls_of(state, 0) + pulls_of(state, 1) + pulls_of(state, 2);
    unsigned best = TUNER_GIVEUP;
    double best_score = -1.0;

    for (unsigned arm = 0; arm < TUNER_ARMS; arm++) {
        uint32_t pulls = pulls_of(state, arm);
        if (pulls == 0) {
            return arm;
        }
        /* 1.386 is 2 ln 2; the square root is approached from above by three Newton steps. */
        double spread = 1.386 * log2_of(all) / pulls;
        double root = spread > 1.0 ? spread : 1.0;
        for (int step = 0; step < 6; step++) {
            root = 0.5 * (root + spread / root);
        }
        double score = rewards_of(state, arm) / (1000.0 * pulls) + root;
        if (score > best_score) {
            best_score = score;
            best = arm;
        }
    }
    return best;
}

/* The reward is the best time over this time. */
static void
reward_arm(struct elision_policy_state *state, uint64_t cycles)
{
    unsigned arm = (unsigned)state->extra[TUNER_ARM];
    uint32_t reward = (uint32_t)(state->extra[TUNER_BEST] * 1000 / cycles);

    if (pulls_of(state, arm) >= 2000) {
        /* Halve everything before the sums overflow; recent rewards then weigh more. */
        uint64_t pulls = 0;
        uint64_t rewards = 0;
        for (unsigned i = 0; i < TUNER_ARMS; i++) {
            pulls |= (uint64_t)(pulls_of(state, i) / 2) << (16 * i);
            rewards |= (uint64_t)(rewards_of(state, i) / 2) << (21 * i);
        }
        state->extra[TUNER_PULLS] = pulls;
        state->extra[TUNER_REWARDS] = rewards;
    }
    state->extra[TUNER_PULLS] += (uint64_t)1 << (16 * arm);
    state->extra[TUNER_REWARDS] += (uint64_t)(reward < 1000 ? reward : 1000) << (21 * arm);
    state->extra[TUNER_ARM] = best_arm(state);
}

static void
climb(struct elision_policy_state *state, uint64_t cycles)
{
    uint64_t last = state->extra[TUNER_LAST];

    state->extra[TUNER_LAST] = cycles;
    if (policy_random_below(state, 100) == 0) {
        state->budget = TUNER_MIN + policy_random_below(state, TUNER_MAX - TUNER_MIN + 1);
        return;
    }
    if (cycles * 100 > state->extra[TUNER_BEST] * TUNER_REVERT_PERCENT) {
        state->budget = (uint32_t)state->extra[TUNER_BEST_BUDGET];
        return;
    }
    if (last != 0 && cycles * TUNER_STEP_PERCENT > last * 100) {
        state->mode = state->mode == TUNER_UP ? TUNER_DOWN : TUNER_UP;
    }
    if (state->mode == TUNER_UP && state->budget < TUNER_MAX) {
        state->budget++;
    }
    else if (state->mode == TUNER_DOWN && state->budget > TUNER_MIN) {
        state->budget--;
    }
}

static void
tuner_measured(struct elision_policy_state *state, const struct elision_policy_attempt *attempt,
               uint64_t cycles)
{
    if (state->extra[TUNER_COUNT] > 0) {
        state->extra[TUNER_COUNT]--;
    }
    if (state->extra[TUNER_COUNT] > 0 || cycles == 0) {
        return;
    }
    state->extra[TUNER_COUNT] = TUNER_PERIOD;
    cycles += attempt->wasted;
    if (state->extra[TUNER_BEST] == 0 || cycles < state->extra[TUNER_BEST]) {
        state->extra[TUNER_BEST] = cycles;
        state->extra[TUNER_BEST_BUDGET] = state->budget;
    }
    reward_arm(state, cycles);
    climb(state, cycles);
}

static void
tuner_commit(const struct elision_policy_params *params, struct elision_policy_state *state,
             const struct elision_policy_attempt *attempt, uint64_t cycles)
{
    (void)params;
    tuner_measured(state, attempt, cycles);
}

static void
tuner_commits(const struct elision_policy_params *params, struct elision_policy_state *state,
              uint32_t count)
{
    (void)params;
    uint64_t left = state->extra[TUNER_COUNT];
    state->extra[TUNER_COUNT] = left > count ? left - count : 0;
}

const struct policy_algorithm elision_policy_tuner_ = {
    .setup = tuner_setup,
    .abort = tuner_abort,
    .commit = tuner_commit,
    .commits = tuner_commits,
    .credit = 16,
};

/* --- GOCC: Optimizing Go critical sections, USENIX ATC'21 --------------------------------------*/

#define GOCC_WEIGHT_MAX 15
#define GOCC_WEIGHT_MIN (-16)
#define GOCC_REPROBE 50000 /* refusals in a row before the weights are forgotten */

/* Names for elision_policy_state.extra. The published table is indexed by call site and by call
 * site xor lock; a state here belongs to one site, nearly always with one lock, so the two weights
 * stay but share the index. */
enum gocc_slot {
    GOCC_SITE = 0,
    GOCC_SITE_LOCK = 1,
    GOCC_REFUSED = 2,
};

static void
gocc_learn(struct elision_policy_state *state, int step)
{
    for (unsigned slot = GOCC_SITE; slot <= GOCC_SITE_LOCK; slot++) {
        int64_t weight = (int64_t)state->extra[slot] + step;
        weight = weight > GOCC_WEIGHT_MAX ? GOCC_WEIGHT_MAX : weight;
        weight = weight < GOCC_WEIGHT_MIN ? GOCC_WEIGHT_MIN : weight;
        state->extra[slot] = (uint64_t)weight;
    }
}

static bool
gocc_refuse(const struct elision_policy_params *params, struct elision_policy_state *state)
{
    (void)params;
    if ((int64_t)state->extra[GOCC_SITE] + (int64_t)state->extra[GOCC_SITE_LOCK] >= 0) {
        return false;
    }
    if (++state->extra[GOCC_REFUSED] >= GOCC_REPROBE) {
        state->extra[GOCC_SITE] = 0;
        state->extra[GOCC_SITE_LOCK] = 0;
        state->extra[GOCC_REFUSED] = 0;
        state->probing = 1;
    }
    return true;
}

static uint32_t
gocc_failed(const struct elision_policy_params *params, struct elision_policy_state *state,
            const struct elision_policy_attempt *attempt)
{
    (void)params;
    (void)attempt;
    gocc_learn(state, -1);
    return 0;
}

static void
gocc_commits(const struct elision_policy_params *params, struct elision_policy_state *state,
             uint32_t count)
{
    (void)params;
    gocc_learn(state, count < 2 * GOCC_WEIGHT_MAX ? (int)count : 2 * GOCC_WEIGHT_MAX);
}

const struct policy_algorithm elision_policy_gocc_ = {
    .refuse = gocc_refuse,
    .failed = gocc_failed,
    .commits = gocc_commits,
    .credit = 16,
};
