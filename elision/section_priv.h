/* SPDX-License-Identifier: MIT
 *
 * The state machine's parts: records of sections (section.c), enter (elide.c), what may happen in
 * between (between.c), leave (leave.c). Private to these four.
 */
#ifndef ELISION_SECTION_PRIV_H
#define ELISION_SECTION_PRIV_H

#include "elision/core_priv.h"

static inline uint32_t
word_of(const struct elision_fallback *lock)
{
    return atomic_load_explicit(&lock->word, memory_order_relaxed);
}

static inline bool
transacting(const struct elision_thread *self)
{
    return self->inside > ELISION_INSIDE || self->transacting;
}

/* Let the site's arbiter look whether it is time for something new; count it if it is, and tell
 * those who wait for lock. tx: outside only */
void elision_consult_(struct elision_fallback *lock, struct elision_site_state *state,
                      elision_site_t *site, uint64_t now);

/* Reserve the next record in sections[] and set it up for lock, which is yet to be entered. */
struct elision_section *elision_section_new_(struct elision_thread *self,
                                             struct elision_fallback *lock,
                                             struct elision_site_state *state,
                                             elision_site_t *site);

/* Take section out of sections[], wherever it is. */
void elision_section_remove_(struct elision_thread *self, struct elision_section *section);

/* ret:   the section of lock, or NULL if sections[] has none */
struct elision_section *elision_section_find_(struct elision_thread *self,
                                              const struct elision_fallback *lock);

/* Move a section from the fast records to sections[0]. In a transaction this is undone with it. */
void elision_section_generalise_(struct elision_thread *self);

/* Leave the section whose begin opened the transaction, while another has joined it: the
 * transaction goes on and is that one's now, with all that is to be settled after its commit.
 * ret:   false if there is none */
bool elision_section_pass_on_(struct elision_thread *self, struct elision_section *section);

/* Spin a little for lock's auxiliary lock, which is held for about one transaction; never sleep.
 * ret:   it, or NULL: go on without. tx: outside only */
struct elision_fallback *elision_section_try_aux_(struct elision_thread *self,
                                                  struct elision_fallback *lock);

/* Release the auxiliary lock, if section holds it. tx: outside only */
void elision_section_release_aux_(struct elision_section *section);

/* The fast section under way is begun again at once, see elision_policy_retries_at_once_. */
static inline void
elision_section_again_(struct elision_site_state *state)
{
    state->policy.retried++;
    state->again = atomic_load_explicit(&state->credit, memory_order_relaxed) + 1;
}

/* ret:   how many conflicts the fast section under way has lost to. Each one has used up credit, so
 *        that none but this has the mark. tx: safe */
static inline unsigned
elision_section_lost_(const struct elision_site_state *state)
{
    return state->again == atomic_load_explicit(&state->credit, memory_order_relaxed) + 1;
}

/* Set the credit of a site and add n to its commits, so that a reader sees both or neither. */
void elision_set_credit_(struct elision_site_state *state, uint32_t credit, uint64_t n);

/* ret:   true if sections ran on credit that nobody has counted yet */
static inline bool
elision_unsettled_(const struct elision_site_state *state)
{
    return atomic_load_explicit(&state->granted, memory_order_relaxed) !=
           atomic_load_explicit(&state->credit, memory_order_relaxed);
}

/* Count what the fast path did on credit, tell the policy, and leave it so much credit.
 * but_last: the last of them aborted, or is to be counted by the caller. */
void elision_settle_(struct elision_site_state *state, bool but_last, uint32_t credit);

/* Report misuse. In a transaction nothing can be printed: this aborts it, and if the misuse happens
 * again with the lock held, it is reported then. Returns only where ELISION_MISUSE=report, and for
 * errors that can be survived. */
void elision_complain_(struct elision_thread *self, bool fatal, const char *call,
                       const struct elision_fallback *lock, const char *expected);

#endif
