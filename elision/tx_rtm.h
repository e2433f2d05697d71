/* SPDX-License-Identifier: MIT
 *
 * Intel RTM. See tx.h. Callers make sure that the CPU has it.
 */
#ifndef ELISION_TX_RTM_H
#define ELISION_TX_RTM_H

#include <immintrin.h>
#include <stdint.h>

#define ELISION_TX __attribute__((target("rtm")))
#define ELISION_TX_BACKEND ELISION_BACKEND_RTM

static inline ELISION_TX uint32_t
elision_tx_begin_(void)
{
    return _xbegin();
}

static inline ELISION_TX void
elision_tx_commit_(void)
{
    _xend();
}

/* A macro, since the instruction takes its operand at compile time, also at -O0. */
#define elision_tx_abort_(code) _xabort(code)

static inline ELISION_TX int
elision_tx_active_(void)
{
    return _xtest();
}

#endif
