/* SPDX-License-Identifier: MIT
 *
 * Records of the sections a thread is in, and the count of what commits on credit. See elide.c.
 */
#include "elision/section_priv.h"
#include "probes/step.h"

struct elision_section *
elision_section_new_(struct elision_thread *self, struct elision_fallback *lock,
                     struct elision_site_state *state, elision_site_t *site)
{
    struct elision_section *section = &self->sections[self->depth];

    section->lock = NULL;
    section->was_inside = self->inside;
    /* Where a signal's handler looks: first the place is taken, then it is filled. */
    atomic_signal_fence(memory_order_seq_cst);
    self->inside = ELISION_INSIDE;
    self->depth++;
    atomic_signal_fence(memory_order_seq_cst);
    section->wanted = lock;
    section->state = state;
    section->site = site;
    section->joined = false;
    section->on_credit = false;
    section->aux = NULL;
    section->attempt = (struct elision_policy_attempt){0};
    return section;
}

void
elision_section_remove_(struct elision_thread *self, struct elision_section *section)
{
    size_t after = (size_t)(&self->sections[self->depth] - (section + 1));

    bool was_inside = self->sections[0].was_inside;

    for (size_t i = 0; i < after; i++) {
        section[i] = section[i + 1];
    }
    self->sections[0].was_inside = was_inside;
    self->depth--;
    self->sections[self->depth].aux = NULL; /* or a child of fork would release it again */
    self->inside = self->depth != 0 || was_inside ? ELISION_INSIDE : 0;
}

struct elision_section *
elision_section_find_(struct elision_thread *self, const struct elision_fallback *lock)
{
    for (uint32_t i = self->depth; i > 0; i--) {
        if (self->sections[i - 1].lock == lock) {
            return &self->sections[i - 1];
        }
    }
    return NULL;
}

void
elision_section_generalise_(struct elision_thread *self)
{
    bool speculative = self->inside > ELISION_INSIDE;
    struct elision_fallback *lock =
        speculative ? (struct elision_fallback *)self->inside : self->holding;

    if (lock == NULL) {
        return;
    }
    /* A signal's handler may do the same meanwhile: so lock is read once, and the place is taken
     * before the fast record is empty. */
    ELISION_STEP("nest: begun");
    self->sections[0] = (struct elision_section){
        .lock = lock,
        .state = self->state,
        .path = speculative ? ELISION_SPECULATIVE : ELISION_LOCKED,
        .on_credit = speculative,
    };
    self->sections[0].attempt.failed[ELISION_ABORT_CONFLICT] =
        speculative ? (uint16_t)elision_section_lost_(self->state) : 0;
    self->transacting = speculative;
    self->inside = ELISION_INSIDE;
    atomic_signal_fence(memory_order_seq_cst);
    self->depth = 1;
    atomic_signal_fence(memory_order_seq_cst);
    ELISION_STEP("nest: kept twice");
    self->holding = NULL;
}

bool
elision_section_pass_on_(struct elision_thread *self, struct elision_section *section)
{
    for (struct elision_section *at = section + 1; at < &self->sections[self->depth]; at++) {
        if (at->joined) {
            struct elision_fallback *lock = at->lock;
            *at = *section;
            at->lock = lock;
            return true;
        }
    }
    return false;
}

/* Guess: 30 pauses are a few hundred instructions' time. */
#define AUX_SPINS 30

struct elision_fallback *
elision_section_try_aux_(struct elision_thread *self, struct elision_fallback *lock)
{
    struct elision_fallback *aux = elision_fallback_aux_(lock);

    for (int i = 0; i < AUX_SPINS; i++) {
        if (word_of(aux) == 0 && elision_fallback_try_(aux, self->id)) {
            return aux;
        }
        elision_park_pause_();
    }
    return NULL;
}

void
elision_section_release_aux_(struct elision_section *section)
{
    if (section->aux != NULL) {
        elision_fallback_release_(section->aux);
        section->aux = NULL;
    }
}

void
elision_set_credit_(struct elision_site_state *state, uint32_t credit, uint64_t n)
{
    uint32_t version = atomic_load_explicit(&state->version, memory_order_relaxed);

    /* [E.V] pairs with elision_commits_: the odd version is seen before what follows, the even one
     * after it. */
    atomic_store_explicit(&state->version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    elision_count_(&state->count.commits, n);
    atomic_store_explicit(&state->granted, credit, memory_order_relaxed);
    atomic_store_explicit(&state->credit, credit, memory_order_relaxed);
    state->again = 0;
    atomic_store_explicit(&state->version, version + 2, memory_order_release);
}

void
elision_settle_(struct elision_site_state *state, bool but_last, uint32_t credit)
{
    uint32_t used = atomic_load_explicit(&state->granted, memory_order_relaxed) -
                    atomic_load_explicit(&state->credit, memory_order_relaxed);

    /* A signal's handler may have come to the site before us, and counted that one as well. */
    used -= but_last && used > 0;
    elision_set_credit_(state, credit, used);
    /* They were not timed; the last one that was stands for them. */
    elision_count_(&state->count.cycles_speculating, used * state->typical);
    elision_policy_commits_(elision_params_for_(state), &state->policy, used);
}

void
elision_account_(struct elision_thread *self)
{
    if (self->id == 0 || self->inside != 0) {
        return;
    }
    for (uint32_t i = 0; i <= elision_site_count_(); i++) {
        struct elision_site_state *state = &self->states[i];
        if (elision_unsettled_(state)) {
            elision_settle_(state, false,
                            atomic_load_explicit(&state->credit, memory_order_relaxed));
        }
    }
}
