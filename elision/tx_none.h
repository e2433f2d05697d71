/* SPDX-License-Identifier: MIT
 *
 * No transactions: architectures without RTM. See tx.h.
 */
#ifndef ELISION_TX_NONE_H
#define ELISION_TX_NONE_H

#include <stdint.h>

#define ELISION_TX
#define ELISION_TX_BACKEND ELISION_BACKEND_NONE

static inline uint32_t
elision_tx_begin_(void)
{
    return 0;
}

static inline void
elision_tx_commit_(void)
{
}

#define elision_tx_abort_(code) ((void)(code))

static inline int
elision_tx_active_(void)
{
    return 0;
}

#endif
