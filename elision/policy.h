/* SPDX-License-Identifier: MIT
 *
 * The retry policy: a pure function of a site's state and what happened. It reads no clock and no
 * global, does no I/O and knows nothing of locks; so every row of docs/abort-policy.md is tested as
 * a table. One state per site and thread, one attempt record per section:
 *
 *     enter --> elision_policy_enter_ --SPECULATE--> begin --abort--> elision_policy_abort_ --+
 *                     |                     ^          |                    |                 |
 *                   LOCK                    +----------|------SPECULATE-----+               LOCK
 *                                                      v commit
 *                                         elision_policy_commit_
 */
#ifndef ELISION_POLICY_H
#define ELISION_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elision/elision.h"

/* What a preset learns, and how; policy_priv.h. */
struct policy_algorithm;

enum elision_policy_backoff {
    ELISION_BACKOFF_NONE = 0,
    ELISION_BACKOFF_EXPONENTIAL = 1, /* random in [1, base << tries after the first], capped */
    ELISION_BACKOFF_DPDK = 2,        /* (random & 7 | 1) << try, not capped by the original */
};

#define ELISION_BUDGET_NONE 0
#define ELISION_BUDGET_UNLIMITED 0xffffu

/* A preset: one row of the table in policy_presets.c. */
struct elision_policy_params {
    const char *name;
    const struct policy_algorithm *algorithm;
    uint16_t budget;      /* failed attempts per section before the lock, all reasons that count */
    uint16_t busy_budget; /* of lock-busy ones; UNLIMITED: they count in budget instead */
    uint16_t limit[ELISION_ABORT_REASONS];   /* failed attempts per section, by reason */
    bool needs_retry[ELISION_ABORT_REASONS]; /* lock at once if the RETRY bit is clear */
    bool waits;                              /* for a free lock before each begin */
    uint32_t skip[ELISION_ABORT_REASONS];    /* sections to skip after falling back for reason */
    enum elision_policy_backoff backoff;
    uint32_t backoff_after; /* failed attempts before the first back-off */
    uint32_t backoff_base;  /* pauses */
    uint32_t backoff_cap;   /* pauses */
    uint32_t aux;           /* conflicts before a section queues on the auxiliary lock; 0: never */
    uint32_t length;        /* checkpoints a section runs at first */
    uint32_t length_max;    /* ADAPTIVE never lengthens beyond */
    uint32_t seed;
    uint32_t waste;      /* ADAPTIVE: times the usual cost of a section, lost to conflicts: then the
                          * lock, unless they are cut */
    uint32_t longer;     /* ADAPTIVE: times the usual difference between sections, by which one
                          * attempt takes longer: then the section is a long one, too */
    uint16_t unfriendly; /* ADAPTIVE: the weight of that reason to begin with */
    bool cuts;           /* ADAPTIVE: sections are cut, see elision_policy_for_cuts_ */
    bool at_once;        /* a section's first conflict is not asked about; see below */
    bool arbiter;        /* all threads together compare speculating with the lock; see arbiter.h */
};

/* What is learnt; one writer, the owning thread. All zeros is a site never seen. */
struct elision_policy_state {
    uint32_t ready;                         /* set up by the first enter */
    uint32_t random;                        /* xorshift state */
    uint32_t length;                        /* checkpoints */
    uint32_t skip;                          /* sections still to run on the lock */
    uint32_t skip_next;                     /* how many the next give-up skips */
    uint32_t probing;                       /* 1: first attempt after a give-up */
    uint32_t window_commits;                /* the running window's ... */
    uint32_t window_aborts;                 /* ... speculative outcomes, ... */
    uint32_t window_failed;                 /* ... sections that ended on the lock, ... */
    uint32_t streak;                        /* commits since the last abort, for lengthening */
    uint32_t lost;                          /* cycles to the lock, not yet made up for */
    uint32_t proven;                        /* commits of the length since one was too large */
    uint32_t halved;                        /* sections for which the length is half of that */
    uint32_t budget;                        /* learnt budget (TUNER) */
    uint32_t grant;                         /* sections that went by without asking, last time */
    uint32_t retried;                       /* of these, begun again at once after a conflict */
    uint32_t mode;                          /* per algorithm */
    uint16_t weight[ELISION_ABORT_REASONS]; /* share of sections a reason sends to the lock even
                                             * though it was retried; 16-bit fixed point */
    uint64_t usual;                         /* moving average: cycles of a committed one, ... */
    uint64_t spread;                        /* ... and by how much they differ from it */
    uint64_t extra[8];                      /* per algorithm */
};

/* One section, from enter to leave; zeroed at enter. */
struct elision_policy_attempt {
    uint16_t counted; /* failures that count in the budget */
    uint16_t total;
    uint16_t failed[ELISION_ABORT_REASONS];
    uint16_t met;    /* bits: the reasons it failed for */
    bool stopped;    /* by the caller: the lock was held when the last one had aborted */
    uint64_t wasted; /* cycles in aborted attempts */
};

enum elision_policy_action {
    ELISION_ACTION_LOCK = 0,      /* take the lock */
    ELISION_ACTION_SPECULATE = 1, /* begin a transaction */
};

struct elision_policy_decision {
    enum elision_policy_action action;
    bool wait;       /* see the lock free before beginning */
    bool aux;        /* take the auxiliary lock before beginning */
    bool skipped;    /* LOCK because of an earlier give-up */
    bool gave_up;    /* the policy has just given up for a while */
    bool reprobe;    /* it tries again after having given up */
    uint32_t pauses; /* back off that long before beginning */
};

/* Sort a status into its reason. Bits are tested by mask in order of how much they explain; a
 * combination the table does not name is decided by its first named bit.
 * pre:   status is not ELISION_TX_STARTED */
enum elision_abort elision_policy_classify_(uint32_t status);

/* A section begins. attempt is zeroed by the call. */
struct elision_policy_decision elision_policy_enter_(const struct elision_policy_params *params,
                                                     struct elision_policy_state *state,
                                                     struct elision_policy_attempt *attempt);

/* The short way through a give-up: ret: true if this section is to be skipped, and is not the last
 * one. */
static inline bool
elision_policy_skips_(struct elision_policy_state *state)
{
    if (state->skip <= 1) {
        return false;
    }
    state->skip--;
    return true;
}

/* All threads are better off with the lock (arbiter.h): what this one has learnt about giving up is
 * no longer true when they speculate again.
 * ret:   the lock, as if skipped */
struct elision_policy_decision elision_policy_overrule_(struct elision_policy_state *state);

/* A transaction aborted with status after cycles. */
struct elision_policy_decision elision_policy_abort_(const struct elision_policy_params *params,
                                                     struct elision_policy_state *state,
                                                     struct elision_policy_attempt *attempt,
                                                     uint32_t status, uint64_t cycles);

/* A weight above this: retrying after the reason fails about 70 % of the time. */
#define ELISION_POLICY_HOPELESS 0xb000u

/* A section that did not ask, and lost to a conflict, with the RETRY bit, begins again as soon as
 * the lock is free: most systems would say so, and to ask them costs more than such a section. Who
 * does so counts it in state->retried; if that attempt fails too it is taken back, and the policy
 * is told of both. Where params do not wait, the lock has to be free already.
 * ret:   true if the policy need not be asked */
static inline bool
elision_policy_retries_at_once_(const struct elision_policy_params *params,
                                const struct elision_policy_state *state)
{
    return params->at_once && state->weight[ELISION_ABORT_CONFLICT] <= ELISION_POLICY_HOPELESS;
}

/* ret:   true if that is what params say of any first conflict; at_once is to be set to it */
bool elision_policy_is_hasty_(const struct elision_policy_params *params);

/* A section committed after cycles (0: not measured).
 * ret:   how many next sections may speculate once, on success, without asking */
uint32_t elision_policy_commit_(const struct elision_policy_params *params,
                                struct elision_policy_state *state,
                                const struct elision_policy_attempt *attempt, uint64_t cycles);

/* count sections committed without asking, at the first attempt but for state->retried of them. */
void elision_policy_commits_(const struct elision_policy_params *params,
                             struct elision_policy_state *state, uint32_t count);

/* ret:   checkpoints a section of this site should run before it is cut, at least 1 */
uint32_t elision_policy_length_(const struct elision_policy_params *params,
                                const struct elision_policy_state *state);

/* The row with this name ("static-N" for any N from 0 to 1000 makes one in *made).
 * ret:   NULL if there is none */
const struct elision_policy_params *elision_policy_find_(const char *name,
                                                         struct elision_policy_params *made);

/* Make params, a preset, what suits sites whose sections are cut. Their length is the better knob,
 * a section is no fixed work so that its cost says little, and one that takes the lock stops
 * many. */
void elision_policy_for_cuts_(struct elision_policy_params *params);

/* ret:   the i-th row's name, NULL after the last */
const char *elision_policy_name_(size_t i);

#endif
