/* SPDX-License-Identifier: MIT
 *
 * Steps for the stress build: one in eight gives the CPU to another thread, so that what lies
 * between two instructions is visited often. In a transaction that aborts it, which is a test too,
 * but a rarer one.
 */
#define _GNU_SOURCE
#include "tests/stress/yield.h"

#include <sched.h>
#include <stdint.h>

#include "elision/elision.h"
#include "probes/step.h"

static _Thread_local uint32_t dice = 1;
static _Thread_local uint64_t yields;

void
yield_seed(uint32_t seed)
{
    dice = seed | 1u;
}

uint64_t
yield_count(void)
{
    return yields;
}

void
elision_step_(const char *name)
{
    (void)name;
    dice ^= dice << 13;
    dice ^= dice >> 17;
    dice ^= dice << 5;
    if (dice % (elision_is_speculative() ? 64u : 8u) == 0) {
        yields++;
        sched_yield();
    }
}
