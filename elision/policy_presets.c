/* SPDX-License-Identifier: MIT
 *
 * The presets, one row each, with the constants of the systems they are named after. A row says
 * what that system does on our substrate: where ours is better by construction (it subscribes
 * early, classifies by mask), the preset is too.
 */
#include <stdlib.h>
#include <string.h>

#include "elision/policy_priv.h"

/* Columns of limit, needs_retry and skip, in the order of enum elision_abort:
 *     busy, irrevocable, explicit, conflict, capacity, debug, nested, unfriendly */
#define ALL(n)                 \
    {                          \
        n, n, n, n, n, n, n, n \
    }

/* What every row begins with; length is in checkpoints. */
#define ROW(name_, tries, busy_tries, length_) \
    .name = name_, .budget = tries, .busy_budget = busy_tries, .length = length_

/* Lock-busy ones count as failed attempts. */
#define COUNTS ELISION_BUDGET_UNLIMITED

/* JDK's RTM locking; GOCC tries as often. */
#define JDK_ROW(name_)                                            \
    ROW(name_, 5, COUNTS, 32), .limit = ALL(1000), .waits = true, \
                               .needs_retry = {false, true, true, false, true, true, true, true}

static const struct elision_policy_params presets[] = {
    {
        ROW("adaptive", 16, 16, 32),
        .algorithm = &elision_policy_adaptive_,
        .limit = {0, 0, 2, 16, 2, 0, 0, 2},
        .waits = true,
        .backoff = ELISION_BACKOFF_EXPONENTIAL,
        .backoff_after = 3,
        .backoff_base = 1,
        .backoff_cap = 4,
        .length_max = 1024,
        .waste = 32,
        .longer = 4,
        .unfriendly = 0x9000, /* a system call will be there again */
        .aux = 8,
        .arbiter = true,
    },
    {
        /* glibc up to 2.42, elision-conf.c: skip 3 sections after anything but exhausted retries;
         * a busy lock is not waited for. */
        ROW("glibc", 3, 0, 32),
        .algorithm = &elision_policy_fixed_,
        .limit = ALL(1000),
        .needs_retry = ALL(true),
        .skip = {3, 3, 3, 0, 3, 3, 3, 3},
    },
    {
        /* oneTBB rtm_mutex: ten tries on explicit, retry or conflict. */
        ROW("tbb", 10, COUNTS, 32),
        .algorithm = &elision_policy_fixed_,
        .limit = {1000, 0, 1000, 1000, 0, 0, 0, 1000},
        .needs_retry = {false, false, false, false, true, true, true, true},
        .waits = true,
    },
    {
        /* GCC libitm: two tries, whatever the reason, if the RETRY bit is set. */
        ROW("libitm", 2, 0, 32),
        .algorithm = &elision_policy_fixed_,
        .limit = ALL(1000),
        .needs_retry = ALL(true),
        .waits = true,
    },
    {
        /* Concurrency Kit ck_elide.h defaults; its unreached capacity skip is reached here. */
        ROW("ck", 1000, 256, 32),
        .algorithm = &elision_policy_fixed_,
        .limit = {256, 0, 3, 5, 3, 3, 3, 3},
        .skip = {5, 3, 3, 2, 65535, 3, 3, 3},
    },
    {
        /* DPDK rte_spinlock_lock_tm; the cap is what its shift reaches on the 20th try. */
        ROW("dpdk", 20, COUNTS, 32),
        .algorithm = &elision_policy_fixed_,
        .limit = ALL(1000),
        .needs_retry = {false, true, true, true, true, true, true, true},
        .waits = true,
        .backoff = ELISION_BACKOFF_DPDK,
        .backoff_cap = 7u << 20,
    },
    {
        /* The IBM STAMP library: counts by transient, lock and persistent. */
        ROW("ibm", 1000, 16, 32),
        .algorithm = &elision_policy_fixed_,
        .limit = {16, 0, 1, 16, 1, 1, 1, 1},
        .waits = true,
    },
    {
        /* JDK up to 23, -XX:+UseRTMLocking. */
        JDK_ROW("hotspot"),
        .algorithm = &elision_policy_hotspot_,
    },
    {
        /* Diegues and Romano, ICAC'14. */
        ROW("tuner", 5, 256, 32),
        .algorithm = &elision_policy_tuner_,
        .limit = ALL(1000),
        .waits = true,
    },
    {
        /* Optimizing Go critical sections, USENIX ATC'21. */
        JDK_ROW("gocc"),
        .algorithm = &elision_policy_gocc_,
    },
    {
        /* Odaira, Castanos, Tomari, PPoPP'14. */
        ROW("odaira", 16, 16, 255),
        .algorithm = &elision_policy_odaira_,
        .limit = {16, 0, 3, 16, 0, 0, 0, 3},
        .waits = true,
    },
};

void
elision_policy_for_cuts_(struct elision_policy_params *params)
{
    if (params->algorithm == &elision_policy_adaptive_) {
        params->budget = params->budget < 6 ? params->budget : 6;
        params->limit[ELISION_ABORT_CONFLICT] = 8;
        params->backoff_after = 0;
        params->aux = 4;
        params->cuts = true;
        params->unfriendly = 0;
    }
}

#define PRESETS (sizeof(presets) / sizeof(presets[0]))
#define STATIC_PREFIX "static-"
#define STATIC_MAX 1000

const char *
elision_policy_name_(size_t i)
{
    return i < PRESETS ? presets[i].name : i == PRESETS ? STATIC_PREFIX "N" : NULL;
}

const struct elision_policy_params *
elision_policy_find_(const char *name, struct elision_policy_params *made)
{
    for (size_t i = 0; i < PRESETS; i++) {
        if (strcmp(presets[i].name, name) == 0) {
            return &presets[i];
        }
    }
    size_t prefix = strlen(STATIC_PREFIX);
    if (strncmp(name, STATIC_PREFIX, prefix) != 0 || name[prefix] < '0' || name[prefix] > '9') {
        return NULL;
    }
    char *end = NULL;
    unsigned long tries = strtoul(name + prefix, &end, 10);
    if (*end != '\0' || tries > STATIC_MAX) {
        return NULL;
    }
    /* N tries whatever the reason, then the lock. */
    *made = (struct elision_policy_params){
        .name = "static-N",
        .algorithm = &elision_policy_fixed_,
        .budget = (uint16_t)tries,
        .busy_budget = 256,
        .limit = ALL(STATIC_MAX),
        .waits = true,
    };
    return made;
}
