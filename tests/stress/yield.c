/* SPDX-License-Identifier: MIT
 *
 * Steps for the stress build: one in eight gives the CPU to another thread, so that what lies
 * between two instructions is visited often. In a transaction that aborts it, which is a test too,
 * but a rarer one.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>

#include "elision/elision.h"
#include "probes/step.h"

void
elision_step_(const char *name)
{
    static _Thread_local uint32_t random;

    (void)name;
    if (random == 0) {
        random = (uint32_t)(uintptr_t)&random * 2654435761u | 1u;
    }
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    if (random % (elision_is_speculative() ? 64u : 8u) == 0) {
        sched_yield();
    }
}
