/* SPDX-License-Identifier: MIT
 *
 * Between the policy engine (policy.c) and its algorithms. Private to elision/policy*.c.
 */
#ifndef ELISION_POLICY_PRIV_H
#define ELISION_POLICY_PRIV_H

#include "elision/policy.h"
#include "elision/tx.h"

/* How an algorithm answers an abort. */
enum policy_answer {
    POLICY_TABLE = 0, /* as the preset's table says */
    POLICY_RETRY = 1,
    POLICY_LOCK = 2,
};

struct policy_event {
    const struct elision_policy_params *params;
    struct elision_policy_state *state;
    struct elision_policy_attempt *attempt;
    enum elision_abort reason;
    bool may_retry;  /* the RETRY bit */
    uint64_t cycles; /* that the attempt has cost */
};

/* What the engine asks an algorithm. Any of them may be NULL. */
struct policy_algorithm {
    void (*setup)(const struct elision_policy_params *, struct elision_policy_state *);
    /* true: take the lock without trying; only asked when nothing is being skipped */
    bool (*refuse)(const struct elision_policy_params *, struct elision_policy_state *);
    enum policy_answer (*abort)(const struct policy_event *);
    /* NULL: as one of commits */
    void (*commit)(const struct elision_policy_params *, struct elision_policy_state *,
                   const struct elision_policy_attempt *, uint64_t cycles);
    void (*commits)(const struct elision_policy_params *, struct elision_policy_state *,
                    uint32_t count);
    /* a section that speculated in vain ended on the lock; ret: sections to skip, 0: none */
    uint32_t (*failed)(const struct elision_policy_params *, struct elision_policy_state *,
                       const struct elision_policy_attempt *);
    uint32_t credit; /* most sections that may go by without asking */
    bool hasty;      /* need not be told of a conflict whose section then commits */
};

extern const struct policy_algorithm elision_policy_fixed_;
extern const struct policy_algorithm elision_policy_adaptive_;
extern const struct policy_algorithm elision_policy_hotspot_;
extern const struct policy_algorithm elision_policy_tuner_;
extern const struct policy_algorithm elision_policy_gocc_;
extern const struct policy_algorithm elision_policy_odaira_;

/* xorshift32; never 0. */
static inline uint32_t
policy_random(struct elision_policy_state *state)
{
    uint32_t x = state->random;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    state->random = x;
    return x;
}

/* A number in [0, n), n > 0. */
static inline uint32_t
policy_random_below(struct elision_policy_state *state, uint32_t n)
{
    return (uint32_t)(((uint64_t)policy_random(state) * n) >> 32);
}

#endif
