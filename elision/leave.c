/* SPDX-License-Identifier: MIT
 *
 * Leaving: commit or release, settle what the transaction could not count. See elide.c.
 */
#include "elision/section_priv.h"
#include "elision/tx.h"
#include "probes/step.h"

static void
leave_locked(struct elision_thread *self, struct elision_section *section)
{
    struct elision_section left = *section;
    uint64_t held = left.began != 0 ? elision_cycles_() - left.began : 0;
    struct elision_counters *count = &left.state->count;

    elision_section_remove_(self, section);
    elision_count_(&count->locked, 1);
    elision_count_(&count->cycles_holding, held);
    elision_count_max_(&count->max_holding, held);
    elision_fallback_release_(left.lock);
}

static ELISION_TX void
leave_speculative(struct elision_thread *self, struct elision_section *section)
{
    struct elision_section left = *section;

    self->transacting = false;
    elision_section_remove_(self, section);
    ELISION_STEP("leave: commit");
    elision_tx_commit_();
    struct elision_site_state *state = left.state;
    uint64_t cycles = left.began != 0 ? elision_cycles_() - left.began : 0;

    elision_count_(&state->count.cycles_speculating, cycles);
    elision_count_max_(&state->count.max_speculating, cycles);
    state->typical = cycles != 0 ? cycles : state->typical;
    if (elision_unsettled_(state)) {
        elision_settle_(state, left.on_credit, 0);
    }
    uint32_t grant =
        elision_policy_commit_(elision_params_for_(state), &state->policy, &left.attempt, cycles);
    /* Sites that share a state have no off word to be stopped by: they ask each time. */
    elision_set_credit_(state, state != self->states ? grant : 0, 1);
    elision_section_release_aux_(&left);
}

static __attribute__((noinline)) void
leave_slow(struct elision_fallback *lock)
{
    struct elision_thread *self = elision_self_;
    struct elision_section *section = NULL;

    if (self->id != 0) {
        elision_section_generalise_(self);
        section = elision_section_find_(self, lock);
    }
    if (section == NULL) {
        elision_complain_(self, false, "elision_leave", lock, "this thread to be inside");
        return;
    }
    if (section->path == ELISION_LOCKED) {
        leave_locked(self, section);
    }
    else if (section->joined || elision_section_pass_on_(self, section)) {
        elision_section_remove_(self, section);
    }
    else {
        leave_speculative(self, section);
    }
}

ELISION_TX void
elision_leave(elision_lock_t *public_lock)
{
    struct elision_fallback *lock = (struct elision_fallback *)public_lock;
    struct elision_thread *self = elision_self_;

    if (likely_(self->inside == (uintptr_t)lock)) {
        self->inside = 0;
        ELISION_STEP("leave: fast");
        elision_tx_commit_();
        return;
    }
    if (likely_(self->holding == lock)) {
        ELISION_STEP("leave: locked");
        self->holding = NULL;
        atomic_signal_fence(memory_order_seq_cst);
        if (unlikely_(self->depth != 0)) { /* a handler moved it to sections[] */
            leave_slow(lock);
            return;
        }
        self->inside = 0;
        elision_count_(&self->state->count.locked, 1);
        elision_fallback_release_(lock);
        return;
    }
    leave_slow(lock);
}
