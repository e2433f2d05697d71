/* SPDX-License-Identifier: MIT
 *
 * The presets, one row each, with the constants of the systems they are named after. A row says
 * what that system does on our substrate: where ours is better by construction (it subscribes
 * early, classifies by mask), the preset is too.
 */
#include <stdlib.h>
#include <string.h>

#include "elision/policy.h"

/* Columns of limit, needs_retry and skip, in the order of enum elision_abort:
 *     busy, irrevocable, explicit, conflict, capacity, debug, nested, unfriendly */
#define ALL(n)                 \
    {                          \
        n, n, n, n, n, n, n, n \
    }

/* The tries of JDK's RTM locking; GOCC has the same. */
#define JDK_TRIES                                                             \
    .budget = 5, .busy_budget = ELISION_BUDGET_UNLIMITED, .limit = ALL(1000), \
    .needs_retry = {false, true, true, false, true, true, true, true}, .waits = true, .length = 32

static const struct elision_policy_params presets[] = {
    {
        .name = "adaptive",
        .algorithm = ELISION_POLICY_ADAPTIVE,
        .budget = 16,
        .busy_budget = 16,
        .limit = {0, 0, 2, 16, 2, 0, 0, 2},
        .waits = true,
        .backoff = ELISION_BACKOFF_EXPONENTIAL,
        .backoff_after = 3,
        .backoff_base = 1,
        .backoff_cap = 16,
        .length = 32,
        .length_max = 1024,
        .waste = 32,
        .longer = 2,
        .unfriendly = 0x9000, /* a system call will be there again */
        .aux = true,
        .arbiter = true,
    },
    {
        /* glibc up to 2.42, elision-conf.c: skip 3 sections after anything but exhausted retries;
         * a busy lock is not waited for. */
        .name = "glibc",
        .budget = 3,
        .busy_budget = 0,
        .limit = ALL(1000),
        .needs_retry = ALL(true),
        .waits = false,
        .skip = {3, 3, 3, 0, 3, 3, 3, 3},
        .length = 32,
    },
    {
        /* oneTBB rtm_mutex: ten tries on explicit, retry or conflict. */
        .name = "tbb",
        .budget = 10,
        .busy_budget = ELISION_BUDGET_UNLIMITED,
        .limit = {1000, 0, 1000, 1000, 0, 0, 0, 1000},
        .needs_retry = {false, false, false, false, true, true, true, true},
        .waits = true,
        .length = 32,
    },
    {
        /* GCC libitm: two tries, whatever the reason, if the RETRY bit is set. */
        .name = "libitm",
        .budget = 2,
        .busy_budget = 0,
        .limit = ALL(1000),
        .needs_retry = ALL(true),
        .waits = true,
        .length = 32,
    },
    {
        /* Concurrency Kit ck_elide.h defaults; its unreached capacity skip is reached here. */
        .name = "ck",
        .budget = 1000,
        .busy_budget = 256,
        .limit = {256, 0, 3, 5, 3, 3, 3, 3},
        .waits = false,
        .skip = {5, 3, 3, 2, 65535, 3, 3, 3},
        .length = 32,
    },
    {
        /* DPDK rte_spinlock_lock_tm; the cap is what its shift reaches on the 20th try. */
        .name = "dpdk",
        .budget = 20,
        .busy_budget = ELISION_BUDGET_UNLIMITED,
        .limit = ALL(1000),
        .needs_retry = {false, true, true, true, true, true, true, true},
        .waits = true,
        .backoff = ELISION_BACKOFF_DPDK,
        .backoff_cap = 7u << 20,
        .length = 32,
    },
    {
        /* The IBM STAMP library: counts by transient, lock and persistent. */
        .name = "ibm",
        .budget = 1000,
        .busy_budget = 16,
        .limit = {16, 0, 1, 16, 1, 1, 1, 1},
        .waits = true,
        .length = 32,
    },
    {
        /* JDK up to 23, -XX:+UseRTMLocking. */
        .name = "hotspot",
        .algorithm = ELISION_POLICY_HOTSPOT,
        JDK_TRIES,
    },
    {
        /* Diegues and Romano, ICAC'14. */
        .name = "tuner",
        .algorithm = ELISION_POLICY_TUNER,
        .budget = 5,
        .busy_budget = 256,
        .limit = ALL(1000),
        .waits = true,
        .length = 32,
    },
    {
        /* Optimizing Go critical sections, USENIX ATC'21. */
        .name = "gocc",
        .algorithm = ELISION_POLICY_GOCC,
        JDK_TRIES,
    },
    {
        /* Odaira, Castanos, Tomari, PPoPP'14. */
        .name = "odaira",
        .algorithm = ELISION_POLICY_ODAIRA,
        .budget = 16,
        .busy_budget = 16,
        .limit = {16, 0, 3, 16, 0, 0, 0, 3},
        .waits = true,
        .length = 255,
    },
};

void
elision_policy_for_cuts_(struct elision_policy_params *params)
{
    if (params->algorithm == ELISION_POLICY_ADAPTIVE) {
        params->budget = params->budget < 6 ? params->budget : 6;
        params->limit[ELISION_ABORT_CONFLICT] = 8;
        params->backoff_after = 0;
        params->backoff_cap = 4;
        params->waste = 0;
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
        .budget = (uint16_t)tries,
        .busy_budget = 256,
        .limit = ALL(STATIC_MAX),
        .waits = true,
        .length = 32,
    };
    return made;
}
