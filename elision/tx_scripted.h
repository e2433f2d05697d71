/* SPDX-License-Identifier: MIT
 *
 * Transactions from a script, for tests: begin answers what the script says, and an abort undoes
 * memory, stack and registers in software. The script is tests/fault/script.c; see tx.h.
 */
#ifndef ELISION_TX_SCRIPTED_H
#define ELISION_TX_SCRIPTED_H

#include <stdint.h>

#define ELISION_TX
#define ELISION_TX_BACKEND ELISION_BACKEND_SCRIPTED

/* Each as the instruction it stands for; abort does not return in a transaction. */
uint32_t elision_tx_begin_(void);
void elision_tx_commit_(void);
void elision_tx_script_abort_(uint32_t status);
int elision_tx_active_(void);

#define elision_tx_abort_(code) \
    elision_tx_script_abort_(((uint32_t)(code) << 24) | ELISION_TX_EXPLICIT)

#endif
