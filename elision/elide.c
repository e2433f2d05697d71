/* SPDX-License-Identifier: MIT
 *
 * The state machine, and its first part: enter. between.c has checkpoint and irrevocable, leave.c
 * the end.
 *
 *                    +--------------------- outside <---------------------------+
 *         credit > 0 |                        |  credit = 0, or aborted         |
 *                    v                        v                                 |
 *     +--> begin; subscribe [E.S]      ask the policy --LOCK--> acquire ---> LOCKED --leave-->
 *     |        |         | held               | SPECULATE
 *     |        |         +-> abort 0xff       v
 *     |        |                       back off; auxiliary lock; wait until free
 *     |        v                              |
 *     |   SPECULATIVE <------- begin; subscribe
 *     |        |   \
 *     |      leave  any abort: memory, stack and registers are as they were at begin; the policy
 *     |        v        is asked what to do about this status
 *     +---- commit
 *
 * A fast section that loses to a conflict once begins again without being asked about, as most
 * would be told to; elision_policy_retries_at_once_.
 *
 * The begin may be in elision_enter while the section runs in its caller: an abort restores the
 * stack's bytes with everything else, so the frame that elision_enter left is whole again.
 *
 * A section is kept by one of two fast records (inside, holding) or, when it is nested, timed
 * or holds the auxiliary lock, in sections[]. All of that is written inside the transaction and so
 * undone with it; counters are written after commit or abort only.
 *
 * A signal may interrupt any of this, and its handler may enter sections of other locks. So a
 * record in sections[] is reserved (depth) before it is filled, and a handler finds it taken.
 */
#include "elision/section_priv.h"

#include "elision/tx.h"
#include "probes/step.h"
#include "probes/trace.h"

_Static_assert(sizeof(struct elision_lock) == sizeof(struct elision_fallback_pair),
               "elision.h and fallback/lock.h agree on a lock's size");
_Static_assert(offsetof(struct elision_lock, word_) == offsetof(struct elision_fallback, word),
               "and on where its word is");

/* What the caller of an enter can live with, and the names of these calls for reports of misuse. */
enum how {
    HOW_ENTER = 0,       /* waits */
    HOW_TRY = 1,         /* does not wait for the lock */
    HOW_SPECULATIVE = 2, /* nor takes it */
    HOW_ALONE = 3,       /* as HOW_ENTER, but takes it if it is free */
};
static const char *const calls[] = {"elision_enter", "elision_try_enter",
                                    "elision_enter_speculative", "elision_enter_alone"};

/* [E.S] The subscription: the first access of every transaction. From here on whoever takes the
 * lock aborts us. Relaxed is enough: begin orders it, and the transaction's reads are one with it.
 * Without it a section would run beside a lock holder. */
static inline ELISION_TX void
subscribe_tx(const struct elision_fallback *lock)
{
    if (unlikely_(word_of(lock) != 0)) {
        elision_tx_abort_(ELISION_CODE_BUSY);
    }
}

/* For the static probes. */
static inline const char *
name_of(const struct elision_thread *self, const struct elision_site_state *state)
{
    const elision_site_t *site = elision_site_at_((uint32_t)(state - self->states));

    return site != NULL ? site->name_ : NULL;
}

/* --- Entering ----------------------------------------------------------------------------------*/

static void
waited(struct elision_thread *self, struct elision_site_state *state, uint64_t cycles,
       struct elision_fallback_wait wait)
{
    elision_count_(&state->count.cycles_waiting, cycles);
    elision_count_max_(&state->count.max_waiting, cycles);
    elision_count_(&self->lost, state->cut ? cycles : 0);
    elision_count_(&self->parks, wait.parks);
    elision_count_(&self->handovers, wait.handed);
}

/* The section is not entered after all. */
static enum elision_path
give_way(struct elision_thread *self, struct elision_section *section)
{
    elision_section_release_aux_(section);
    elision_count_(&section->state->count.busy, 1);
    elision_section_remove_(self, section);
    return ELISION_BUSY;
}

/* The policy's or the caller's choice is the lock. */
static enum elision_path
take_lock(struct elision_thread *self, struct elision_section *section, enum how how)
{
    struct elision_fallback *lock = section->wanted;
    struct elision_site_state *state = section->state;

    if (how == HOW_SPECULATIVE) {
        self->wants_lock = lock;
        self->wants_after = section->attempt.total;
    }
    if (how == HOW_SPECULATIVE || !elision_fallback_try_(lock, self->id)) {
        if (how != HOW_ENTER) {
            return give_way(self, section);
        }
        uint64_t before = elision_cycles_();
        struct elision_fallback_wait wait = elision_fallback_acquire_(lock, self->id);
        waited(self, state, elision_cycles_() - before, wait);
    }
    /* Only now: whoever waits for the auxiliary lock would only have aborted on ours. */
    elision_section_release_aux_(section);
    if (section->attempt.total > 0) {
        elision_count_(&state->count.fallbacks, 1);
        ELISION_TRACE_FALLBACK(name_of(self, state), section->attempt.total);
    }
    section->path = ELISION_LOCKED;
    section->lock = lock;
    section->began = elision_cycles_();
    self->ticks = 0;
    return ELISION_LOCKED;
}

/* Make ready for a begin as the policy wants it. ret: false if the caller would have to wait. */
static bool
prepare(struct elision_thread *self, struct elision_section *section,
        const struct elision_policy_decision *decision, enum how how)
{
    struct elision_fallback *lock = section->wanted;
    struct elision_fallback_wait wait = {.parks = 0};
    bool queues = decision->aux && section->aux == NULL;
    bool waits = decision->wait && word_of(lock) != 0;

    if (decision->pauses == 0 && !queues && !waits) {
        return true;
    }
    uint64_t before = elision_cycles_();
    for (uint32_t i = 0; i < decision->pauses; i++) {
        elision_park_pause_();
    }
    if (queues) {
        section->aux = elision_section_try_aux_(self, lock);
    }
    waits = decision->wait && word_of(lock) != 0;
    if (waits && how == HOW_ENTER) {
        wait = elision_fallback_watch_(lock);
    }
    waited(self, section->state, elision_cycles_() - before, wait);
    return !waits || how == HOW_ENTER;
}

static void
count_abort(struct elision_thread *self, struct elision_site_state *state, uint32_t status,
            uint64_t cycles)
{
    enum elision_abort reason = elision_policy_classify_(status);

    elision_count_(&state->count.aborts[reason], 1);
    elision_count_(&state->count.cycles_wasted, cycles);
    elision_count_max_(&state->count.max_wasted, cycles);
    elision_count_(&self->lost, state->cut ? cycles : 0);
    ELISION_TRACE_ABORT(name_of(self, state), status, reason, cycles);
}

/* An attempt failed with status after cycles, at now: count it and ask what next. */
static struct elision_policy_decision
aborted(struct elision_thread *self, struct elision_section *section, uint32_t status,
        uint64_t cycles, uint64_t now)
{
    struct elision_site_state *state = section->state;
    struct elision_policy_decision decision;

    count_abort(self, state, status, cycles);
    if (section->attempt.total >= 2 || ++state->asked % ELISION_CONSULT == 0) {
        elision_consult_(section->wanted, state, section->site, now);
    }
    section->attempt.stopped = word_of(section->wanted) != 0;
    decision = elision_policy_abort_(elision_params_for_(state), &state->policy, &section->attempt,
                                     status, cycles);
    if (decision.gave_up) {
        elision_count_(&state->count.giveups, 1);
        ELISION_TRACE_GIVEUP(name_of(self, state), state->policy.skip);
    }
    if (unlikely_(elision_site_off_(section->site) != 0)) {
        decision.action = ELISION_ACTION_LOCK;
    }
    return decision;
}

/* Do as the policy says until the section is entered. Returns from begin as often as it takes. */
static ELISION_TX enum elision_path
pursue(struct elision_thread *self, struct elision_section *section,
       struct elision_policy_decision decision, enum how how)
{
    while (decision.action == ELISION_ACTION_SPECULATE) {
        ELISION_STEP("enter: prepare");
        if (!prepare(self, section, &decision, how)) {
            return give_way(self, section);
        }
        section->began = elision_cycles_();
        uint32_t status = elision_tx_begin_();
        if (status == ELISION_TX_STARTED) {
            subscribe_tx(section->wanted);
            ELISION_STEP("enter: subscribed");
            section->path = ELISION_SPECULATIVE;
            section->lock = section->wanted;
            self->transacting = true;
            self->ticks = 0;
            ELISION_STEP("enter: entered");
            return ELISION_SPECULATIVE;
        }
        uint64_t now = elision_cycles_();
        decision = aborted(self, section, status, now - section->began, now);
    }
    return take_lock(self, section, how);
}

/* The fast record of a speculative section, whose transaction has just begun. */
static inline __attribute__((always_inline)) ELISION_TX void
begun_tx(struct elision_thread *self, struct elision_fallback *lock,
         struct elision_site_state *state)
{
    subscribe_tx(lock);
    self->inside = (uintptr_t)lock;
    self->state = state;
    self->ticks = 0;
}

/* The fast path's transaction came back with status. It was not timed; half of what this site's
 * transactions take is the guess. */
static __attribute__((noinline)) ELISION_TX enum elision_path
fast_aborted(struct elision_thread *self, struct elision_fallback *lock, elision_site_t *site,
             uint32_t status, enum how how)
{
    struct elision_site_state *state = elision_state_of_(self, site);
    const struct elision_policy_params *params = elision_params_for_(state);
    uint64_t guess = state->typical / 2, cycles = guess;

    ELISION_STEP("enter: aborted");
    bool may_wait = params->waits && how == HOW_ENTER;
    bool again = status == (ELISION_TX_CONFLICT | ELISION_TX_RETRY) &&
                 (word_of(lock) == 0 || may_wait) && elision_site_off_(site) == 0 &&
                 elision_policy_retries_at_once_(params, &state->policy);

    if (again) {
        count_abort(self, state, status, guess);
        elision_section_again_(state);
        cycles = elision_cycles_();
        ELISION_STEP("enter: at once");
        if (may_wait && word_of(lock) != 0) {
            struct elision_fallback_wait wait = elision_fallback_watch_(lock);
            uint64_t now = elision_cycles_();
            waited(self, state, now - cycles, wait);
            cycles = now;
        }
        status = elision_tx_begin_();
        if (status == ELISION_TX_STARTED) {
            begun_tx(self, lock, state);
            ELISION_STEP("enter: again");
            return ELISION_SPECULATIVE;
        }
        cycles = elision_cycles_() - cycles;
        state->policy.retried -= state->policy.retried > 0; /* or a handler has settled it */
    }
    struct elision_section *section = elision_section_new_(self, lock, state, site);
    elision_settle_(state, true, 0);
    if (again) {
        (void)elision_policy_abort_(params, &state->policy, &section->attempt,
                                    ELISION_TX_CONFLICT | ELISION_TX_RETRY, guess);
    }
    return pursue(self, section, aborted(self, section, status, cycles, elision_cycles_()), how);
}

/* An enter inside another section. ret: true if it is done, with *path; false: go on as usual. */
static bool
enter_nested(struct elision_thread *self, struct elision_fallback *lock,
             struct elision_site_state *state, enum how how, enum elision_path *path)
{
    elision_section_generalise_(self);
    if (elision_section_find_(self, lock) != NULL) {
        elision_complain_(self, true, calls[how], lock, "a thread that is not inside");
    }
    if (self->depth == ELISION_DEPTH_MAX) {
        elision_complain_(self, true, calls[how], lock, "at most 16 locks entered at once");
    }
    if (how == HOW_SPECULATIVE) {
        elision_complain_(self, true, calls[how], lock, "a thread inside no section");
    }
    if (!self->transacting) {
        return false;
    }
    if (how == HOW_TRY && word_of(lock) != 0) {
        *path = ELISION_BUSY;
        return true;
    }
    subscribe_tx(lock);
    struct elision_section *section = elision_section_new_(self, lock, state, NULL);
    section->joined = true;
    section->lock = lock;
    section->path = ELISION_SPECULATIVE;
    *path = ELISION_SPECULATIVE;
    return true;
}

/* The policy's answer to an enter, unless all threads are better off with the lock. */
static struct elision_policy_decision
decide(struct elision_fallback *lock, struct elision_site_state *state, elision_site_t *site,
       struct elision_policy_attempt *attempt)
{
    if (state->cut) {
        elision_site_cut_(site);
    }
    state->cut = elision_site_is_cut_(site);
    if (++state->asked % ELISION_CONSULT == 0 || elision_site_off_(site) != 0) {
        elision_consult_(lock, state, site, elision_cycles_());
    }
    if (elision_site_off_(site) & ELISION_OFF_ARBITER) {
        elision_count_(&state->count.skips, 1);
        return elision_policy_overrule_(&state->policy);
    }
    struct elision_policy_decision decision =
        elision_policy_enter_(elision_params_for_(state), &state->policy, attempt);
    if (decision.skipped) {
        elision_count_(&state->count.skips, 1);
    }
    if (decision.reprobe) {
        elision_count_(&state->count.reprobes, 1);
        ELISION_TRACE_REPROBE(site->name_);
    }
    return decision;
}

static __attribute__((noinline)) enum elision_path
enter_slow(struct elision_fallback *lock, elision_site_t *site, enum how how)
{
    struct elision_thread *self = elision_self_;
    enum elision_path path = ELISION_BUSY;
    bool alone = how == HOW_ALONE && word_of(lock) == 0;

    if (self->id == 0) {
        self = elision_thread_register_();
    }
    if (__atomic_load_n(&site->id_, __ATOMIC_RELAXED) == 0 && !transacting(self)) {
        elision_site_register_(site);
    }
    struct elision_site_state *state = elision_state_of_(self, site);
    if (self->inside != 0 && enter_nested(self, lock, state, how, &path)) {
        return path;
    }
    how = how == HOW_ALONE ? HOW_ENTER : how;
    struct elision_section *section = elision_section_new_(self, lock, state, site);
    struct elision_policy_decision decision = {.action = ELISION_ACTION_LOCK};
    uint32_t credit = atomic_load_explicit(&state->credit, memory_order_relaxed);
    elision_settle_(state, false, alone ? credit : 0);
    self->sample = ELISION_SAMPLE;
    if (self->wants_lock == lock && how != HOW_SPECULATIVE) {
        section->attempt.total = self->wants_after;
    }
    else if (!alone && elision_may_speculate_()) {
        if (state->policy.random == 0) {
            /* Threads and sites draw different numbers from one seed; 0 means not seeded. */
            uint32_t index = ELISION_INDEX_OF(__atomic_load_n(&site->id_, __ATOMIC_RELAXED));
            state->policy.random =
                (elision_params_.seed + self->id * 0x9e3779b9u + index * 0x85ebca6bu) | 1u;
        }
        decision = decide(lock, state, site, &section->attempt);
    }
    self->wants_lock = NULL;
    return pursue(self, section, decision, how);
}

/* The fast record of a locked section. A signal's handler may look in between: so first the thread
 * is inside, and a handler's sections go to sections[]; then the record is filled. */
static inline void
set_holding(struct elision_thread *self, struct elision_fallback *lock,
            struct elision_site_state *state)
{
    self->inside = ELISION_INSIDE;
    atomic_signal_fence(memory_order_seq_cst);
    self->state = state;
    self->holding = lock;
}

/* The lock is busy, and this section has nothing to decide: as little as possible between acquiring
 * it and the section, since all others wait meanwhile. */
static __attribute__((noinline)) enum elision_path
hold_when_free(struct elision_fallback *lock, elision_site_t *site)
{
    struct elision_thread *self = elision_self_;
    struct elision_site_state *state = elision_state_of_(self, site);
    uint64_t before = elision_cycles_();
    struct elision_fallback_wait wait = {.sent = true};

    /* Waiting threads have the time to look: always in a trial, otherwise now and then will do, but
     * not all at the same time when they take turns. */
    uint64_t off = elision_site_off_(site);
    bool turn = (self->sample + self->id) % 16 == 0;
    if ((off & ELISION_OFF_TRIAL) || (turn && (off & ELISION_OFF_ARBITER))) {
        elision_consult_(lock, state, site, before);
    }
    if (elision_site_off_(site) != 0 || state->policy.skip > 0) {
        wait = elision_fallback_acquire_slow_(lock, self->id, true);
    }
    if (wait.sent) {
        waited(self, state, elision_cycles_() - before, wait);
        return enter_slow(lock, site, HOW_ENTER);
    }
    set_holding(self, lock, state);
    waited(self, state, elision_cycles_() - before, wait);
    return ELISION_LOCKED;
}

/* An enter on the lock, when nothing may speculate. */
static inline __attribute__((always_inline)) enum elision_path
enter_plain(struct elision_thread *self, struct elision_fallback *lock, elision_site_t *site,
            enum how how)
{
    if (unlikely_(self->inside != 0) || how == HOW_SPECULATIVE || --self->sample == 0) {
        return enter_slow(lock, site, how);
    }
    if (unlikely_(!elision_fallback_try_(lock, self->id))) {
        return how == HOW_TRY ? enter_slow(lock, site, how) : hold_when_free(lock, site);
    }
    set_holding(self, lock, elision_state_of_(self, site));
    return ELISION_LOCKED;
}

/* Given up for a while: as cheap as the plain lock. */
static inline __attribute__((always_inline)) enum elision_path
skip_section(struct elision_thread *self, struct elision_fallback *lock, elision_site_t *site,
             struct elision_site_state *state)
{
    elision_count_(&state->count.skips, 1);
    if (unlikely_(!elision_fallback_try_(lock, self->id))) {
        return hold_when_free(lock, site);
    }
    set_holding(self, lock, state);
    return ELISION_LOCKED;
}

/* The fast path: an enter that has credit with the policy and finds the lock free. A section inside
 * another, and a thread without a record, are inside. */
static inline __attribute__((always_inline)) ELISION_TX enum elision_path
enter_fast(elision_lock_t *public_lock, elision_site_t *site, enum how how)
{
    struct elision_fallback *lock = (struct elision_fallback *)public_lock;
    struct elision_thread *self = elision_self_;

    if (unlikely_((self->inside | elision_site_off_(site)) != 0)) {
        return enter_plain(self, lock, site, how);
    }
    struct elision_site_state *state = elision_state_of_(self, site);
    uint32_t credit = atomic_load_explicit(&state->credit, memory_order_relaxed);
    if (unlikely_(__builtin_sub_overflow(credit, 1u, &credit))) {
        return how == HOW_ENTER && elision_policy_skips_(&state->policy)
                   ? skip_section(self, lock, site, state)
                   : enter_slow(lock, site, how);
    }
    if (unlikely_(word_of(lock) != 0)) {
        return enter_slow(lock, site, how);
    }
    atomic_store_explicit(&state->credit, credit, memory_order_relaxed);
    uint32_t status = elision_tx_begin_();
    if (unlikely_(status != ELISION_TX_STARTED)) {
        return fast_aborted(self, lock, site, status, how);
    }
    begun_tx(self, lock, state);
    ELISION_STEP("enter: fast");
    return ELISION_SPECULATIVE;
}

ELISION_TX enum elision_path
elision_enter(elision_lock_t *lock, elision_site_t *site)
{
    return enter_fast(lock, site, HOW_ENTER);
}

ELISION_TX enum elision_path
elision_try_enter(elision_lock_t *lock, elision_site_t *site)
{
    return enter_fast(lock, site, HOW_TRY);
}

enum elision_path
elision_enter_alone(elision_lock_t *lock, elision_site_t *site)
{
    return enter_plain(elision_self_, (struct elision_fallback *)lock, site, HOW_ALONE);
}

ELISION_TX enum elision_path
elision_enter_speculative(elision_lock_t *lock, elision_site_t *site)
{
    return enter_fast(lock, site, HOW_SPECULATIVE);
}
