/* SPDX-License-Identifier: MIT
 *
 * The default policy, row by row as docs/abort-policy.md has it.
 */
#include "elision/policy.h"

#include "elision/tx.h"
#include "tests/unit/tap.h"

static const struct elision_policy_params *
preset(const char *name)
{
    const struct elision_policy_params *found = elision_policy_find_(name, NULL);

    assert_non_null(found);
    return found;
}

static struct elision_policy_decision
fail_section(const struct elision_policy_params *params, struct elision_policy_state *state,
             uint32_t status)
{
    struct elision_policy_attempt attempt;
    struct elision_policy_decision d = elision_policy_enter_(params, state, &attempt);

    while (d.action == ELISION_ACTION_SPECULATE) {
        d = elision_policy_abort_(params, state, &attempt, status, 100);
    }
    return d;
}

static void
adaptive_capacity_shortens_to_one(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;

    (void)unused;
    (void)elision_policy_enter_(params, &state, &attempt);
    for (uint32_t length = params->length; length > 1; length /= 2) {
        assert_int_equal(elision_policy_length_(params, &state), length);
        (void)elision_policy_enter_(params, &state, &attempt);
        (void)elision_policy_abort_(params, &state, &attempt, ELISION_TX_CAPACITY, 1);
    }
    for (int i = 0; i < 100; i++) {
        (void)elision_policy_abort_(params, &state, &attempt, ELISION_TX_CAPACITY, 1);
        assert_int_equal(elision_policy_length_(params, &state), 1);
    }
}

/* Enter and outgrow the cache. ret: what comes then */
static struct elision_policy_decision
outgrow(const struct elision_policy_params *params, struct elision_policy_state *state,
        struct elision_policy_attempt *attempt)
{
    (void)elision_policy_enter_(params, state, attempt);
    return elision_policy_abort_(params, state, attempt, ELISION_TX_CAPACITY, 1);
}

/* Among sections that have proven their length one that is too large is tried once more, half as
 * long, and so is the next. Another one soon after shortens them for good. */
static void
adaptive_halves_an_exception(void **unused)
{
    struct elision_policy_params params = *preset("adaptive");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;
    uint32_t whole = params.length;

    (void)unused;
    elision_policy_for_cuts_(&params);
    (void)elision_policy_enter_(&params, &state, &attempt);
    elision_policy_commits_(&params, &state, 16);
    assert_int_equal(outgrow(&params, &state, &attempt).action, ELISION_ACTION_SPECULATE);
    assert_int_equal(elision_policy_length_(&params, &state), whole / 2);
    assert_int_equal(elision_policy_commit_(&params, &state, &attempt, 1), 1);
    assert_int_equal(elision_policy_length_(&params, &state), whole / 2);
    elision_policy_commits_(&params, &state, 1);
    assert_int_equal(elision_policy_length_(&params, &state), whole);
    elision_policy_commits_(&params, &state, 15);
    assert_int_equal(outgrow(&params, &state, &attempt).action, ELISION_ACTION_SPECULATE);
    elision_policy_commits_(&params, &state, 32);
    assert_int_equal(elision_policy_length_(&params, &state), whole / 2);
}

/* Steps that are too large for any length, every 17th section, met again at once or by the section
 * after the one half as long. ret: how many were tried twice, once that is known to be no use */
static unsigned
large_steps(bool at_once)
{
    struct elision_policy_params params = *preset("adaptive");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;
    unsigned twice = 0;

    elision_policy_for_cuts_(&params);
    (void)elision_policy_enter_(&params, &state, &attempt);
    for (int step = 0; step < 200; step++) {
        elision_policy_commits_(&params, &state, 16);
        struct elision_policy_decision d = outgrow(&params, &state, &attempt);
        if (d.action == ELISION_ACTION_SPECULATE) {
            twice += step >= 20;
            if (at_once) {
                d = elision_policy_abort_(&params, &state, &attempt, ELISION_TX_CAPACITY, 1);
            }
            else {
                (void)elision_policy_commit_(&params, &state, &attempt, 1);
                d = outgrow(&params, &state, &attempt);
            }
        }
        assert_int_equal(d.action, ELISION_ACTION_LOCK);
        assert_int_equal(elision_policy_length_(&params, &state), params.length);
    }
    return twice;
}

/* Such a step takes the lock, and the length stays. Where it is usual there is no second try, but
 * once in sixteen. */
static void
adaptive_locks_for_a_large_step(void **unused)
{
    (void)unused;
    assert_in_range(large_steps(true), 1, 30);
    assert_in_range(large_steps(false), 1, 30);
}

static void
adaptive_lengthens_slowly_up_to_the_limit(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;
    uint32_t last = 0;

    (void)unused;
    (void)elision_policy_enter_(params, &state, &attempt);
    for (int i = 0; i < 10000; i++) {
        elision_policy_commits_(params, &state, 16);
        uint32_t length = elision_policy_length_(params, &state);
        assert_true(length >= last && (last == 0 || length <= last + last / 4 + 2));
        last = length;
    }
    assert_int_equal(last, params->length_max);
}

/* Sections that lose so many cycles to a conflict over the lock, and to one over data, and then
 * commit so many times. ret: the length */
static uint32_t
length_after(uint64_t to_lock, uint64_t to_data, uint32_t commits)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;

    (void)elision_policy_enter_(params, &state, &attempt);
    for (int i = 0; i < 1000; i++) {
        (void)elision_policy_enter_(params, &state, &attempt);
        attempt.stopped = true;
        (void)elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, to_lock);
        attempt.stopped = false;
        (void)elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, to_data);
        elision_policy_commits_(params, &state, commits);
    }
    return elision_policy_length_(params, &state);
}

/* Locks that are taken shorten sections until they cost what ending and beginning does: 512 cycles
 * for each commit, and the conflicts over data. */
static void
adaptive_shortens_by_what_taken_locks_cost(void **unused)
{
    uint32_t whole = preset("adaptive")->length;

    (void)unused;
    assert_int_equal(length_after(512 * 10, 0, 10), whole);
    assert_int_equal(length_after(512 * 20, 0, 10), 1);
    assert_int_equal(length_after(512 * 40, 0, 40), whole);
    assert_int_equal(length_after(512 * 80, 0, 40), 1);
    assert_int_equal(length_after(512 * 80, 512 * 40, 40), whole);
    assert_int_equal(length_after(512 * 100, 512 * 40, 40), 1);
    assert_int_equal(length_after(0, 512 * 80, 40), whole);
    assert_true(length_after(512 * 20, 0, 80) > whole); /* a streak without one */
}

static void
adaptive_gives_up_and_decays(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;
    uint64_t tried = 0, sections = 100000;
    uint32_t longest = 0;

    (void)unused;
    for (uint64_t i = 0; i < sections; i++) {
        if (state.skip == 0) {
            tried++;
        }
        (void)fail_section(params, &state, ELISION_TX_CONFLICT);
        longest = state.skip > longest ? state.skip : longest;
    }
    /* Hopeless sections cost next to nothing, and are never given up for good. */
    assert_true(tried * 100 < sections);
    assert_true(tried > 20);
    assert_true(longest <= 2048);
    /* One probe that commits, and it is back. */
    while (elision_policy_enter_(params, &state, &attempt).action == ELISION_ACTION_LOCK) {
    }
    for (int i = 0; i < 64; i++) {
        (void)elision_policy_commit_(params, &state, &attempt, 100);
        assert_int_equal(elision_policy_enter_(params, &state, &attempt).action,
                         ELISION_ACTION_SPECULATE);
    }
}

static void
adaptive_learns_that_unfriendly_sections_fail_again(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = {.random = 1, .usual = 100};
    struct elision_policy_attempt attempt;
    unsigned tries = 0;

    (void)unused;
    for (int i = 0; i < 200; i++) {
        (void)fail_section(params, &state, 0);
        /* Enough others commit that the site as a whole does not give up. */
        for (int k = 0; k < 20; k++) {
            state.window_commits++;
        }
    }
    for (int i = 0; i < 100; i++) {
        struct elision_policy_decision d = elision_policy_enter_(params, &state, &attempt);
        while (d.action == ELISION_ACTION_SPECULATE) {
            tries++;
            d = elision_policy_abort_(params, &state, &attempt, 0, 1);
        }
        state.window_commits += 20;
    }
    assert_true(tries < 130);
}

/* A site one of whose sections has committed after so many cycles. */
static struct elision_policy_state
proven(uint64_t cycles)
{
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;

    (void)elision_policy_enter_(preset("adaptive"), &state, &attempt);
    (void)elision_policy_commit_(preset("adaptive"), &state, &attempt, cycles);
    return state;
}

/* A section that has cost many times what its site's sections usually take had better have the
 * lock; one that has cost little goes on. */
static void
adaptive_stops_by_cost(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    static const struct {
        uint64_t cycles; /* of an aborted attempt; committed ones take 100 */
        unsigned tries;
    } costs[] = {{10, 16}, {150, 16}, {200, 16}, {201, 1}, {1000, 1}};

    (void)unused;
    for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
        struct elision_policy_state state = proven(100);
        struct elision_policy_attempt attempt;
        struct elision_policy_decision d;
        unsigned tries = 0;
        for (d = elision_policy_enter_(params, &state, &attempt);
             d.action == ELISION_ACTION_SPECULATE; tries++) {
            d = elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT,
                                      costs[i].cycles);
        }
        assert_int_equal(tries, costs[i].tries);
    }
}

static void
adaptive_tries_less_where_nothing_has_committed(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;

    (void)unused;
    for (int section = 0; section < 3; section++) {
        struct elision_policy_decision d = elision_policy_enter_(params, &state, &attempt);
        unsigned tries = 0;
        for (; d.action == ELISION_ACTION_SPECULATE; tries++) {
            d = elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 100);
        }
        assert_int_equal(tries, section == 0 ? 4 : 2);
        state.skip = 0;
    }
}

static void
adaptive_backs_off_from_the_fourth_loss_on(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = proven(100);
    struct elision_policy_attempt attempt;
    uint32_t most = 0;

    (void)unused;
    for (int i = 0; i < 1000; i++) {
        (void)elision_policy_enter_(params, &state, &attempt);
        for (int k = 0; k < 15; k++) {
            uint32_t pauses =
                elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 1).pauses;
            assert_true(k < 3 ? pauses == 0 : pauses <= 16);
            most = pauses > most ? pauses : most;
        }
        uint32_t random = state.random;
        state = proven(100);
        state.random = random;
    }
    assert_int_equal(most, 16);
}

/* Sections that are cut keep a small budget and early back-off, whatever they have cost. */
static void
adaptive_for_cuts(void **unused)
{
    struct elision_policy_params params = *preset("adaptive"), fixed = *preset("tbb");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;

    (void)unused;
    elision_policy_for_cuts_(&params);
    (void)elision_policy_enter_(&params, &state, &attempt);
    (void)elision_policy_commit_(&params, &state, &attempt, 100);
    (void)elision_policy_enter_(&params, &state, &attempt);
    for (int tries = 1; tries < 6; tries++) {
        struct elision_policy_decision d =
            elision_policy_abort_(&params, &state, &attempt, ELISION_TX_CONFLICT, 10000);
        assert_int_equal(d.action, ELISION_ACTION_SPECULATE);
        assert_in_range(d.pauses, 1, 4);
    }
    assert_int_equal(
        elision_policy_abort_(&params, &state, &attempt, ELISION_TX_CONFLICT, 1).action,
        ELISION_ACTION_LOCK);
    /* Presets stay what they are. */
    elision_policy_for_cuts_(&fixed);
    assert_memory_equal(&fixed, preset("tbb"), sizeof(fixed));
}

/* The first section that loses says that it is hopeless, until there is one that does not. A fault
 * says nothing; and where sections are cut, a lock taken stops many: there a window has to fail. */
static void
adaptive_gives_up_at_once_where_nothing_has_committed(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_params cuts = *params;
    struct elision_policy_state fresh = {.random = 1};
    struct elision_policy_state cut = {.random = 1};
    struct elision_policy_state faulting = {.random = 1};
    struct elision_policy_state state = proven(100);

    (void)unused;
    elision_policy_for_cuts_(&cuts);
    assert_true(fail_section(params, &fresh, ELISION_TX_CONFLICT).gave_up);
    assert_in_range(fresh.skip, 2, 6);
    assert_false(fail_section(params, &faulting, 0).gave_up);
    assert_false(fail_section(&cuts, &cut, ELISION_TX_CONFLICT).gave_up);
    assert_false(fail_section(params, &state, ELISION_TX_CONFLICT).gave_up);
}

static void
adaptive_losers_queue_on_the_auxiliary_lock(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = proven(100);
    struct elision_policy_attempt attempt;

    (void)unused;
    (void)elision_policy_enter_(params, &state, &attempt);
    for (int i = 0; i < 3; i++) {
        assert_false(elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 1).aux);
    }
    assert_true(elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 1).aux);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adaptive_capacity_shortens_to_one),
        cmocka_unit_test(adaptive_halves_an_exception),
        cmocka_unit_test(adaptive_locks_for_a_large_step),
        cmocka_unit_test(adaptive_lengthens_slowly_up_to_the_limit),
        cmocka_unit_test(adaptive_shortens_by_what_taken_locks_cost),
        cmocka_unit_test(adaptive_gives_up_and_decays),
        cmocka_unit_test(adaptive_learns_that_unfriendly_sections_fail_again),
        cmocka_unit_test(adaptive_stops_by_cost),
        cmocka_unit_test(adaptive_tries_less_where_nothing_has_committed),
        cmocka_unit_test(adaptive_gives_up_at_once_where_nothing_has_committed),
        cmocka_unit_test(adaptive_backs_off_from_the_fourth_loss_on),
        cmocka_unit_test(adaptive_for_cuts),
        cmocka_unit_test(adaptive_losers_queue_on_the_auxiliary_lock),
    };

    return RUN_TAP(tests, NULL, NULL);
}
