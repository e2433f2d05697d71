/* SPDX-License-Identifier: MIT
 *
 * What the tests of the default policy share.
 */
#ifndef TESTS_UNIT_ADAPTIVE_H
#define TESTS_UNIT_ADAPTIVE_H

#include "elision/policy.h"
#include "elision/tx.h"
#include "tests/unit/tap.h"

static const struct elision_policy_params *
preset(const char *name)
{
    const struct elision_policy_params *found = elision_policy_find_(name, NULL);

    assert_non_null(found);
    return found;
}

/* A section whose attempts all end with status. ret: what comes then */
static struct elision_policy_decision
fail_section(const struct elision_policy_params *params, struct elision_policy_state *state,
             uint32_t status)
{
    struct elision_policy_attempt attempt;
    struct elision_policy_decision d = elision_policy_enter_(params, state, &attempt);

    while (d.action == ELISION_ACTION_SPECULATE) {
        d = elision_policy_abort_(params, state, &attempt, status, 100);
    }
    return d;
}

#endif
