/* SPDX-License-Identifier: MIT
 *
 * What may happen between enter and leave: checkpoint, irrevocable, questions. See elide.c.
 */
#include "elision/section_priv.h"

#include "elision/arbiter.h"
#include "elision/tx.h"
#include "probes/step.h"
#include "probes/trace.h"

static ELISION_TX __attribute__((noinline)) void
abort_misuse_tx(void)
{
    elision_tx_abort_(ELISION_CODE_MISUSE);
}

static ELISION_TX __attribute__((noinline)) void
abort_irrevocable_tx(void)
{
    elision_tx_abort_(ELISION_CODE_IRREVOCABLE);
}

void
elision_complain_(struct elision_thread *self, bool fatal, const char *call,
                  const struct elision_fallback *lock, const char *expected)
{
    if (transacting(self)) {
        abort_misuse_tx();
    }
    elision_misuse_(fatal, call, lock, expected, word_of(lock));
}

bool
elision_is_speculative(void)
{
    return transacting(elision_self_);
}

bool
elision_is_inside(const elision_lock_t *public_lock)
{
    const struct elision_fallback *lock = (const struct elision_fallback *)public_lock;
    struct elision_thread *self = elision_self_;

    return self->inside == (uintptr_t)lock || self->holding == lock ||
           elision_section_find_(self, lock) != NULL;
}

unsigned
elision_section_conflicts(void)
{
    const struct elision_thread *self = elision_self_;
    uint32_t at = self->depth;

    if (self->inside > ELISION_INSIDE) {
        return elision_section_lost_(self->state);
    }
    while (at > 0 && self->sections[at - 1].joined) {
        at--;
    }
    return at == 0 ? 0 : self->sections[at - 1].attempt.failed[ELISION_ABORT_CONFLICT];
}

void
elision_irrevocable(elision_lock_t *lock)
{
    struct elision_thread *self = elision_self_;

    if (transacting(self)) {
        abort_irrevocable_tx();
    }
    if (!elision_is_inside(lock)) {
        elision_complain_(self, false, "elision_irrevocable", (const struct elision_fallback *)lock,
                          "this thread to be inside");
    }
}

unsigned
elision_section_length(elision_site_t *site)
{
    struct elision_thread *self = elision_self_;

    if (!transacting(self)) {
        elision_site_cut_(site);
    }
    if (self->id == 0) {
        return elision_params_.length;
    }
    struct elision_site_state *state = elision_state_of_(self, site);
    if (!state->cut) {
        state->cut = true; /* in a transaction: the site learns it at the next slow enter */
    }
    return elision_policy_length_(elision_params_for_(state), &state->policy);
}

void
elision_progress(unsigned checkpoints)
{
    struct elision_thread *self = elision_self_;

    if (self->id != 0) {
        elision_count_(&self->progress, checkpoints);
    }
}

void
elision_progress_alone(unsigned checkpoints)
{
    struct elision_thread *self = elision_self_;

    if (self->id != 0) {
        elision_count_(&self->progress_alone, checkpoints);
    }
}

void
elision_consult_(struct elision_fallback *lock, struct elision_site_state *state,
                 elision_site_t *site, uint64_t now)
{
    if (!elision_params_.arbiter || !elision_arbiter_ask_(site, now)) {
        return;
    }
    if (elision_site_off_(site) & ELISION_OFF_ARBITER) {
        elision_count_(&state->count.giveups, 1);
        ELISION_TRACE_GIVEUP(site->name_, 0);
        return;
    }
    elision_count_(&state->count.reprobes, 1);
    ELISION_TRACE_REPROBE(site->name_);
    elision_fallback_send_away_(lock);
}

bool
elision_prefers_lock(elision_lock_t *public_lock, elision_site_t *site)
{
    struct elision_fallback *lock = (struct elision_fallback *)public_lock;
    struct elision_thread *self = elision_self_;

    if (elision_site_off_(site) == ELISION_OFF_ARBITER && self->id != 0 && !transacting(self)) {
        elision_consult_(lock, elision_state_of_(self, site), site, elision_cycles_());
    }
    return elision_site_off_(site) != 0;
}

bool
elision_handover_pending(const elision_lock_t *public_lock)
{
    const struct elision_fallback *lock = (const struct elision_fallback *)public_lock;

    return atomic_load_explicit(&lock->handover, memory_order_relaxed) != 0;
}

void
elision_set_switch_interval(elision_lock_t *public_lock, uint64_t nanoseconds)
{
    struct elision_fallback *lock = (struct elision_fallback *)public_lock;

    atomic_store_explicit(&lock->interval, nanoseconds, memory_order_relaxed);
}

/* Commit or release, and enter anew. */
static enum elision_path
cut(struct elision_thread *self, elision_lock_t *lock, elision_site_t *site)
{
    struct elision_site_state *state = elision_state_of_(self, site);

    ELISION_STEP("cut: used up");
    elision_leave(lock);
    ELISION_STEP("cut: left");
    elision_site_cut_(site);
    elision_count_(&state->count.cuts, 1);
    return elision_enter(lock, site);
}

/* One checkpoint of the length of the section that began at state. ret: true if it is used up. */
static inline bool
tick(struct elision_thread *self, const struct elision_site_state *state)
{
    if (self->ticks == 0) {
        self->ticks = elision_policy_length_(elision_params_for_(state), &state->policy);
    }
    return --self->ticks == 0;
}

enum elision_path
elision_checkpoint(elision_lock_t *public_lock, elision_site_t *site)
{
    struct elision_fallback *lock = (struct elision_fallback *)public_lock;
    struct elision_thread *self = elision_self_;

    if (likely_(self->inside == (uintptr_t)lock)) {
        return likely_(!tick(self, self->state)) ? ELISION_SPECULATIVE
                                                 : cut(self, public_lock, site);
    }
    if (self->holding == lock) {
        return unlikely_(elision_handover_pending(public_lock)) || elision_may_speculate_()
                   ? cut(self, public_lock, site)
                   : ELISION_LOCKED;
    }
    struct elision_section *section = elision_section_find_(self, lock);
    if (section == NULL) {
        elision_complain_(self, false, "elision_checkpoint", lock, "this thread to be inside");
        return ELISION_BUSY;
    }
    /* Inside other sections too: cutting this one alone would publish half of theirs. */
    if (self->depth > 1) {
        return section->path;
    }
    if (tick(self, section->state) ||
        (section->path == ELISION_LOCKED && elision_handover_pending(public_lock))) {
        return cut(self, public_lock, site);
    }
    return section->path;
}

enum elision_path
elision_checkpoint_now(elision_lock_t *public_lock, elision_site_t *site)
{
    struct elision_thread *self = elision_self_;

    if (!elision_is_inside(public_lock)) {
        elision_complain_(self, false, "elision_checkpoint_now",
                          (const struct elision_fallback *)public_lock, "this thread to be inside");
        return ELISION_BUSY;
    }
    if (self->depth <= 1 && (transacting(self) || elision_may_speculate_())) {
        return cut(self, public_lock, site);
    }
    return elision_checkpoint(public_lock, site);
}
