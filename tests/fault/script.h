/* SPDX-License-Identifier: MIT
 *
 * The scripted backend: a transaction that aborts where a test says, rolled back in software. One
 * thread; a transaction may begin in a function that returns before it commits, as with RTM, since
 * the stack is copied at begin and put back at abort.
 *
 *     script_reset(__builtin_frame_address(0));
 *     script_abort_at(3, ELISION_TX_CONFLICT);   the third step inside transactions aborts
 *     script_status(ELISION_TX_CAPACITY);        the next begin answers this
 */
#ifndef TESTS_FAULT_SCRIPT_H
#define TESTS_FAULT_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "elision/elision.h"

/* Forget the script. base: a frame address above everything that a transaction changes. */
void script_reset(void *base);

/* For a file's set-up: forget the script, and let sections run as transactions, as if two threads
 * could run. No arbiter, since that goes by the clock. ret: 0, or -1 if elision is off, with why */
int script_start(void *base);

/* As that, and then a section of each of the sites, up to a NULL: the thread's record and the
 * sites' ids are there from here on. */
int script_start_at(void *base, elision_lock_t *lock, elision_site_t *const *sites);

/* Queue a status for the next begin that has none queued before it. At most 64. */
void script_status(uint32_t status);

/* Abort at the n-th step (from 1) that runs inside a transaction, once. */
void script_abort_at(unsigned n, uint32_t status);

/* Every transaction aborts at its n-th step. n = 0: no more. */
void script_abort_always_at(unsigned n, uint32_t status);

/* Call hook at each step outside transactions; it sees the step's name and number. */
void script_hook(void (*hook)(const char *name, unsigned n));

/* ret: steps inside and outside transactions, begins, aborts since the reset */
unsigned script_steps_inside(void);
unsigned script_steps_outside(void);
unsigned script_begins(void);
unsigned script_aborts(void);

/* ret: commits without a transaction since the reset: each would be a fault on hardware */
unsigned script_stray_commits(void);

#endif
