/* SPDX-License-Identifier: MIT
 *
 * The seam to the hardware: begin, commit, abort, active. Only backends contain intrinsics.
 *
 *     tx_rtm.h       Intel RTM; compiled by function target, so the binary runs on any x86-64 CPU
 *     tx_none.h      other architectures, or ELISION_TX_NONE: begin always fails
 *     tx_scripted.h  the test build: statuses from a script, rollback in software
 *
 * Every function that begins, commits or aborts is marked ELISION_TX. The status word is Intel's:
 *
 *     bit 0 explicit   1 may succeed on retry   2 conflict   3 capacity   4 debug   5 nested
 *     bits 31:24 the operand of the abort, if bit 0 is set.  All zero is common: no reason given.
 */
#ifndef ELISION_TX_H
#define ELISION_TX_H

#include <stdint.h>

#define ELISION_TX_STARTED 0xffffffffu

#define ELISION_TX_EXPLICIT 0x01u
#define ELISION_TX_RETRY 0x02u
#define ELISION_TX_CONFLICT 0x04u
#define ELISION_TX_CAPACITY 0x08u
#define ELISION_TX_DEBUG 0x10u
#define ELISION_TX_NESTED 0x20u
#define ELISION_TX_CODE(status) ((status) >> 24)

/* Operands of our explicit aborts. */
#define ELISION_CODE_BUSY 0xff        /* subscription found the lock held */
#define ELISION_CODE_IRREVOCABLE 0xfe /* the section must hold the lock */
#define ELISION_CODE_MISUSE 0xfd      /* look again with the lock held, then report */

#if defined(ELISION_TX_SCRIPTED)
#include "elision/tx_scripted.h"
#elif defined(__x86_64__) && !defined(ELISION_TX_NONE)
#include "elision/tx_rtm.h"
#else
#include "elision/tx_none.h"
#endif

#endif
