/* SPDX-License-Identifier: MIT
 *
 * A backend for CPython's own tests at native speed: every begin is aborted, with a status drawn
 * from all there are. So threads ask the policy, back off, try again and fall back as they would
 * where transactions abort all the time; checkpoints detach; changes to counts go through the
 * table, which learns from the conflicts, asks owners and takes loans. No section is ever
 * speculative: what a transaction does needs an emulator or hardware. See suite.sh, mode begins.
 */
#define ELISION_TX_SCRIPTED 1 /* as the library around it has */

#include "elision/elision.h"
#include "elision/tx.h"

static const uint32_t statuses[] = {
    ELISION_TX_CONFLICT | ELISION_TX_RETRY,
    ELISION_TX_CONFLICT | ELISION_TX_RETRY,
    ELISION_TX_CONFLICT,
    ELISION_TX_CAPACITY,
    ELISION_TX_CAPACITY | ELISION_TX_RETRY,
    ELISION_TX_RETRY,
    ELISION_TX_NESTED,
    ELISION_TX_DEBUG,
    ELISION_TX_EXPLICIT | (uint32_t)ELISION_CODE_BUSY << 24,
    ELISION_TX_EXPLICIT | (uint32_t)ELISION_CODE_IRREVOCABLE << 24,
    ELISION_TX_EXPLICIT | 7u << 24, /* nobody's code */
    0,
};

uint32_t
elision_tx_begin_(void)
{
    static _Thread_local uint64_t random;
    static uint64_t threads;

    if (!elision_verdict()->can_elide) {
        return ELISION_TX_STARTED; /* the library tries transactions when it is loaded */
    }
    if (random == 0) {
        random = 0x9e3779b97f4a7c15u * __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
    }
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return statuses[(random >> 32) % (sizeof(statuses) / sizeof(statuses[0]))];
}

void
elision_tx_commit_(void)
{
}

void
elision_tx_script_abort_(uint32_t status)
{
    (void)status;
}

int
elision_tx_active_(void)
{
    return 0;
}
