/* SPDX-License-Identifier: MIT
 *
 * The coalescing table's slow paths: misses, settling, loans, suspects.
 *
 * Callbacks may run anything, also a nested settle that ends this section and begins another. So
 * between any two steps the table alone says what is left to do: a net or a credit is taken out
 * before it is applied, and nothing is remembered in locals across a callback but indices that are
 * looked at anew.
 */
#include "refcount/coalesce.h"

#include <string.h>

#define SLOTS ELISION_COALESCE_SLOTS
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Nets in one look: four cache lines, of which mostly none has any; then those of one. */
enum { GROUP = 64, LINE = 16 };

typedef int64_t line_vector __attribute__((vector_size(16), may_alias));

_Static_assert((SLOTS & (SLOTS - 1)) == 0 && SLOTS % GROUP == 0, "slots fill whole groups");
_Static_assert(ELISION_LOANS < 256, "a hint is a byte");
_Static_assert(ELISION_COALESCE_PROBES <= SLOTS, "a probe never meets itself");
_Static_assert((ELISION_SUSPECTS & (ELISION_SUSPECTS - 1)) == 0, "a power of two");

void
elision_coalesce_init(struct elision_coalesce *table, const struct elision_coalesce_ops *ops,
                      void *arg)
{
    memset(table, 0, sizeof *table);
    table->ops_ = ops;
    table->arg_ = arg;
    table->until_decay_ = ELISION_SUSPECT_SECTIONS;
}

/* Change the real count, and destroy the object if that was its last reference. */
static unsigned
apply(struct elision_coalesce *table, void *object, int32_t delta)
{
    table->stats_.applied++;
    if (!table->ops_->apply(object, delta, table->arg_)) {
        return 0;
    }
    table->stats_.destroyed++;
    table->ops_->destroy(object, table->arg_);
    return 1;
}

/* --- Slots -------------------------------------------------------------------------------------*/

/* A key in a slot is only ever replaced by another. So a search may stop at an empty slot. */
static int32_t
find_slot(const struct elision_coalesce *table, const void *object)
{
    uint32_t first = elision_coalesce_slot_(object);

    for (uint32_t probe = 0; probe < ELISION_COALESCE_PROBES; probe++) {
        uint32_t slot = (first + probe) & (SLOTS - 1);
        if (table->key_[slot] == (uintptr_t)object) {
            return (int32_t)slot;
        }
        if (table->key_[slot] == 0) {
            break;
        }
    }
    return -1;
}

/* ret: a slot for an object that has none: empty, or of an object with nothing left; -1: none */
static int32_t
claim_slot(const struct elision_coalesce *table, const void *object)
{
    uint32_t first = elision_coalesce_slot_(object);

    for (uint32_t probe = 0; probe < ELISION_COALESCE_PROBES; probe++) {
        uint32_t slot = (first + probe) & (SLOTS - 1);
        if (table->net_[slot] == 0) {
            return (int32_t)slot;
        }
    }
    return -1;
}

/* --- Suspects ----------------------------------------------------------------------------------*/

enum { SUSPECT_PROBES = 4 };

/* ret: where the object is among the suspects; else -1, with *weakest where it would go */
static int32_t
find_suspect(const struct elision_coalesce *table, const void *object, uint32_t *weakest)
{
    uint32_t first = elision_coalesce_slot_(object);

    *weakest = first & (ELISION_SUSPECTS - 1);
    for (uint32_t probe = 0; probe < SUSPECT_PROBES; probe++) {
        uint32_t i = (first + probe) & (ELISION_SUSPECTS - 1);
        if (table->suspect_key_[i] == (uintptr_t)object && table->suspect_score_[i] != 0) {
            return (int32_t)i;
        }
        if (table->suspect_score_[i] < table->suspect_score_[*weakest]) {
            *weakest = i;
        }
    }
    return -1;
}

unsigned
elision_coalesce_suspicion(const struct elision_coalesce *table, const void *object)
{
    uint32_t weakest;
    int32_t found = table->suspects_ == 0 ? -1 : find_suspect(table, object, &weakest);

    return found < 0 ? 0 : table->suspect_score_[found];
}

/* This section was delayed by conflicts and now touches object, which is alive. The record is of
 * this attempt: those of aborted ones are undone, but they mostly touched the same. */
static void
learn(struct elision_coalesce *table, void *object)
{
    uint32_t weakest;
    int32_t found = find_suspect(table, object, &weakest);

    if (found < 0) {
        found = (int32_t)weakest;
        table->suspects_ += table->suspect_score_[found] == 0;
        table->suspect_key_[found] = (uintptr_t)object;
        table->suspect_score_[found] = 0;
    }
    if (table->suspect_score_[found] == UINT8_MAX) {
        return;
    }
    table->suspect_score_[found]++;
    if (table->suspect_score_[found] == ELISION_SUSPECT_THRESHOLD && table->ops_->suspect != NULL) {
        table->stats_.suspects++;
        table->ops_->suspect(object, table->arg_);
    }
}

/* From here on every first touch in this section goes the slow way and is seen by learn. */
void
elision_coalesce_learn_(struct elision_coalesce *table)
{
    table->learning_ = true;
    memset(table->key_, 0, sizeof table->key_);
}

static void
decay_suspects(struct elision_coalesce *table)
{
    table->until_decay_ = ELISION_SUSPECT_SECTIONS;
    table->suspects_ = 0;
    for (uint32_t i = 0; i < ELISION_SUSPECTS; i++) {
        table->suspect_score_[i] /= 2;
        table->suspects_ += table->suspect_score_[i] != 0;
    }
}

/* --- Adding ------------------------------------------------------------------------------------*/

/* If all that is left of the object is what this table has on loan, its last reference has just
 * been dropped, and its users expect it to die now. */
__attribute__((noinline)) void
elision_coalesce_dropped_(struct elision_coalesce *table, void *object)
{
    if (table->ops_->count != NULL &&
        table->ops_->count(object, table->arg_) + elision_coalesce_net(table, object) ==
            elision_coalesce_credit(table, object)) {
        elision_coalesce_flush(table, object);
    }
}

__attribute__((noinline)) void
elision_coalesce_add_slow_(struct elision_coalesce *table, void *object, int32_t delta)
{
    int32_t slot = find_slot(table, object);

    table->stats_.misses++;
    if (slot < 0) {
        slot = claim_slot(table, object);
        if (UNLIKELY(slot < 0)) {
            table->stats_.overflows++;
            if (apply(table, object, delta) == 0 && delta < 0) {
                elision_coalesce_dropped_(table, object);
            }
            return;
        }
        table->key_[slot] = (uintptr_t)object;
        if (UNLIKELY(table->learning_)) {
            /* The net first: the object is alive by it if by nothing else. */
            table->net_[slot] = delta;
            learn(table, object);
            delta = 0;
        }
    }
    table->net_[slot] += delta;
    if (table->net_[slot] < 0) {
        elision_coalesce_dropped_(table, object);
    }
}

/* --- Loans -------------------------------------------------------------------------------------*/

/* A hint of 0: no object with this slot has had a loan. Others only say where to look first. */
static int32_t
find_loan(const struct elision_coalesce *table, const void *object)
{
    uint32_t hint = table->loan_hint_[elision_coalesce_slot_(object)];

    if (hint != 0 && hint <= table->loans_ && table->loan_[hint - 1].key_ == (uintptr_t)object) {
        return (int32_t)hint - 1;
    }
    for (uint32_t i = 0; hint != 0 && i < table->loans_; i++) {
        if (table->loan_[i].key_ == (uintptr_t)object) {
            return (int32_t)i;
        }
    }
    return -1;
}

static void
put_loan(struct elision_coalesce *table, uint32_t i, struct elision_loan_ loan)
{
    table->loan_[i] = loan;
    table->loan_hint_[elision_coalesce_slot_((void *)loan.key_)] = (uint8_t)(i + 1);
}

/* Forget loan i; the last one takes its place. ret: its credit, which the caller must apply */
static int32_t
close_loan(struct elision_coalesce *table, uint32_t i)
{
    int32_t credit = table->loan_[i].credit_;

    put_loan(table, i, table->loan_[--table->loans_]);
    table->stats_.returns += credit != 0;
    return credit;
}

/* A place for a candidate: a free one, or the one of the candidate that waits longest. */
static int32_t
new_candidate(struct elision_coalesce *table, const void *object)
{
    uint32_t best = table->loans_;

    if (best < ELISION_LOANS) {
        table->loans_++;
    }
    else {
        for (uint32_t i = 0; i < ELISION_LOANS; i++) {
            if (table->loan_[i].credit_ == 0 &&
                (best == ELISION_LOANS || table->loan_[i].idle_ > table->loan_[best].idle_)) {
                best = i;
            }
        }
    }
    if (best == ELISION_LOANS) {
        return -1;
    }
    put_loan(table, best, (struct elision_loan_){.key_ = (uintptr_t)object});
    return (int32_t)best;
}

/* The loan that may serve a net of object, or -1. One net may be the only one, unless it is known
 * that sections conflict by this object: then a write saved is worth a loan that is not needed. */
static int32_t
loan_for(struct elision_coalesce *table, const void *object)
{
    int32_t i = table->loans_ == 0 ? -1 : find_loan(table, object);
    unsigned suspicion = elision_coalesce_suspicion(table, object);

    if (i < 0 && suspicion != 0) {
        i = new_candidate(table, object);
    }
    if (i < 0) {
        return -1;
    }
    struct elision_loan_ *loan = &table->loan_[i];
    loan->idle_ = 0;
    loan->nets_ += loan->nets_ != UINT16_MAX;
    return loan->nets_ > 1 || suspicion >= ELISION_SUSPECT_THRESHOLD ? i : -1;
}

/* Do to the object what its net says, by the loan if there is one. */
static unsigned
settle_one(struct elision_coalesce *table, void *object, int32_t net)
{
    int32_t i = loan_for(table, object);

    if (i < 0) {
        return apply(table, object, net);
    }
    struct elision_loan_ *loan = &table->loan_[i];
    int32_t credit = loan->credit_ - net;
    table->stats_.loans += loan->credit_ == 0;
    if (credit < 0 || credit > ELISION_LOAN_CREDIT) {
        loan->credit_ = ELISION_LOAN_CREDIT / 2;
        return apply(table, object, ELISION_LOAN_CREDIT / 2 - credit);
    }
    loan->credit_ = credit;
    table->stats_.served++;
    table->stats_.returns += credit == 0;
    return 0;
}

/* In a slot's key: no object's address. */
enum { HIDDEN = 1 };

/* A loan is of use without serving a net: an embedder may coalesce only objects whose real count is
 * above 1, and the loan is what keeps it there. ret: true if object was touched since the last call
 * for it, in so far as its slot can tell: the key is hidden, and a touch brings it back. */
static bool
touched(struct elision_coalesce *table, const void *object)
{
    int32_t slot = find_slot(table, object);

    if (slot >= 0 && table->net_[slot] == 0) {
        table->key_[slot] = HIDDEN;
    }
    return slot >= 0;
}

/* ret: true if the loan ends by a settle of this kind */
static bool
loan_ends(struct elision_coalesce *table, struct elision_loan_ *loan, enum elision_settle what)
{
    void *object = (void *)loan->key_;

    if (what == ELISION_SETTLE_QUIET && loan->credit_ != 0 &&
        table->ops_->count(object, table->arg_) <= loan->credit_) {
        (void)touched(table, object);
        loan->idle_ = ELISION_LOAN_SECTIONS; /* it ends by the next */
        return false;
    }
    if (what == ELISION_SETTLE_SECTION && ++loan->idle_ > ELISION_LOAN_SECTIONS &&
        loan->credit_ != 0 && touched(table, object)) {
        loan->idle_ = 0;
    }
    return what != ELISION_SETTLE_SECTION || loan->idle_ > ELISION_LOAN_SECTIONS;
}

/* Callbacks may change the loans: what is looked at twice meanwhile ages by one more. */
static unsigned
end_loans(struct elision_coalesce *table, enum elision_settle what)
{
    unsigned destroyed = 0;

    for (uint32_t i = 0; i < table->loans_; i++) {
        void *object = (void *)table->loan_[i].key_;
        if (loan_ends(table, &table->loan_[i], what)) {
            int32_t credit = close_loan(table, i--);
            if (credit != 0) {
                destroyed += apply(table, object, -credit);
            }
        }
    }
    return destroyed;
}

unsigned
elision_coalesce_return(struct elision_coalesce *table)
{
    unsigned destroyed = 0;

    while (table->loans_ != 0) {
        destroyed += end_loans(table, ELISION_SETTLE_DETACH);
    }
    return destroyed;
}

/* --- Settling ----------------------------------------------------------------------------------*/

/* ret: true if `count` nets, a multiple of 4, are all 0 */
static inline __attribute__((always_inline)) bool
are_zero(const int32_t *nets, int count)
{
    const line_vector *part = (const line_vector *)nets;
    line_vector any = part[0];

#pragma GCC unroll 16
    for (int i = 1; i < count / 4; i++) {
        any |= part[i];
    }
    return (any[0] | any[1]) == 0;
}

static void
settle_line(struct elision_coalesce *table, uint32_t first, unsigned *destroyed)
{
    for (uint32_t slot = first; slot < first + LINE; slot++) {
        int32_t net = table->net_[slot];
        if (net != 0) {
            table->net_[slot] = 0;
            *destroyed += settle_one(table, (void *)table->key_[slot], net);
        }
    }
}

/* ret: true if there was anything to apply */
static bool
settle_group(struct elision_coalesce *table, uint32_t first, unsigned *destroyed)
{
    if (are_zero(&table->net_[first], GROUP)) {
        return false;
    }
    for (uint32_t line = first; line < first + GROUP; line += LINE) {
        if (!are_zero(&table->net_[line], LINE)) {
            settle_line(table, line, destroyed);
        }
    }
    return true;
}

static void
settle_nets(struct elision_coalesce *table, unsigned *destroyed)
{
    bool any;

    do {
        any = false;
        for (uint32_t first = 0; first < SLOTS; first += GROUP) {
            any |= settle_group(table, first, destroyed);
        }
    } while (any);
}

unsigned
elision_coalesce_settle(struct elision_coalesce *table, enum elision_settle what)
{
    unsigned destroyed = 0;

    table->stats_.settles++;
    settle_nets(table, &destroyed);
    if (UNLIKELY(table->loans_ != 0)) {
        do {
            destroyed += end_loans(table, what);
            /* Destructors may have added. */
            settle_nets(table, &destroyed);
        } while (what == ELISION_SETTLE_DETACH && table->loans_ != 0);
    }
    if (UNLIKELY(table->suspects_ != 0) && --table->until_decay_ == 0) {
        decay_suspects(table);
    }
    table->learning_ = false;
    return destroyed;
}

void
elision_coalesce_flush(struct elision_coalesce *table, void *object)
{
    int32_t slot = find_slot(table, object);
    int32_t loan = table->loans_ == 0 ? -1 : find_loan(table, object);
    int32_t delta = 0;

    if (slot >= 0) {
        delta = table->net_[slot];
        table->net_[slot] = 0;
        table->key_[slot] = HIDDEN;
    }
    if (loan >= 0) {
        delta -= close_loan(table, (uint32_t)loan);
    }
    if (delta != 0) {
        apply(table, object, delta);
    }
}

/* --- Looking -----------------------------------------------------------------------------------*/

int32_t
elision_coalesce_net(const struct elision_coalesce *table, const void *object)
{
    int32_t slot = find_slot(table, object);

    return slot < 0 ? 0 : table->net_[slot];
}

int32_t
elision_coalesce_credit(const struct elision_coalesce *table, const void *object)
{
    int32_t loan = table->loans_ == 0 ? -1 : find_loan(table, object);

    return loan < 0 ? 0 : table->loan_[loan].credit_;
}

bool
elision_coalesce_is_empty(const struct elision_coalesce *table)
{
    for (uint32_t first = 0; first < SLOTS; first += GROUP) {
        if (!are_zero(&table->net_[first], GROUP)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < table->loans_; i++) {
        if (table->loan_[i].credit_ != 0) {
            return false;
        }
    }
    return true;
}
