/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tests/locks/kinds.h"

#include <string.h>

#include "tests/locks/busted.h"
#include "tests/locks/good.h"

static const struct lock_kind kinds[] = {
    {"elision", false, false, elision_kind_enter, elision_kind_leave, elision_kind_irrevocable,
     elision_is_speculative, elision_kind_leave, NULL},
    {"pthread", false, false, pthread_kind_enter, pthread_kind_leave, nothing, never,
     pthread_kind_leave, NULL},
    {"no-subscription", true, true, no_subscription_enter, busted_leave, busted_irrevocable,
     busted_speculative, busted_escape, NULL},
    {"late-subscription", true, true, no_subscription_enter, late_subscription_leave,
     busted_irrevocable, busted_speculative, busted_escape, NULL},
    {"fallback-does-not-wait", true, false, no_wait_enter, busted_leave, busted_irrevocable,
     busted_speculative, busted_escape, NULL},
    {"lost-wake-up", true, false, lost_wake_up_enter, lost_wake_up_leave, nothing, never,
     lost_wake_up_leave, NULL},
    {"shared-retry-count", true, true, shared_count_enter, busted_leave, busted_irrevocable,
     busted_speculative, busted_escape, busted_attempts},
    {"xend-on-the-wrong-path", true, true, wrong_path_enter, busted_leave, busted_irrevocable,
     busted_speculative, busted_escape, NULL},
};

const struct lock_kind *
lock_kind_at(size_t i)
{
    return i < sizeof(kinds) / sizeof(kinds[0]) ? &kinds[i] : NULL;
}

const struct lock_kind *
lock_kind_find(const char *name)
{
    for (size_t i = 0; lock_kind_at(i) != NULL; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}
