/* SPDX-License-Identifier: MIT
 *
 * The default policy: how long sections are that are cut, as docs/abort-policy.md has it.
 */
#include "tests/unit/adaptive.h"

static void
capacity_shortens_to_one(void **unused)
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
    /* As short as can be: only a status that says so makes another try worth it. */
    for (int i = 0; i < 100; i++) {
        (void)elision_policy_enter_(params, &state, &attempt);
        uint32_t status = ELISION_TX_CAPACITY | (i == 0 ? ELISION_TX_RETRY : 0);
        assert_int_equal(elision_policy_abort_(params, &state, &attempt, status, 1).action,
                         i == 0 ? ELISION_ACTION_SPECULATE : ELISION_ACTION_LOCK);
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

/* The first section of a site whose sections are cut has begun. */
static struct elision_policy_params
begin_cut(struct elision_policy_state *state, struct elision_policy_attempt *attempt)
{
    struct elision_policy_params params = *preset("adaptive");

    elision_policy_for_cuts_(&params);
    *state = (struct elision_policy_state){.random = 1};
    (void)elision_policy_enter_(&params, state, attempt);
    return params;
}

/* Among sections that have proven their length one that is too large is tried once more, half as
 * long, and so is the next. Another one soon after shortens them for good. */
static void
halves_an_exception(void **unused)
{
    struct elision_policy_state state;
    struct elision_policy_attempt attempt;
    const struct elision_policy_params params = begin_cut(&state, &attempt);
    const uint32_t whole = params.length;

    (void)unused;
    elision_policy_commits_(&params, &state, 16);
    assert_int_equal(outgrow(&params, &state, &attempt).action, ELISION_ACTION_SPECULATE);
    assert_int_equal(elision_policy_length_(&params, &state), whole / 2);
    assert_int_equal(elision_policy_commit_(&params, &state, &attempt, 1), 1);
    assert_int_equal(elision_policy_length_(&params, &state), whole / 2);
    elision_policy_commits_(&params, &state, 1);
    assert_int_equal(elision_policy_length_(&params, &state), whole);
    /* That it fitted is learnt once, when it is over. */
    state.weight[ELISION_ABORT_CAPACITY] = 0x8000;
    elision_policy_commits_(&params, &state, 16);
    assert_int_equal(outgrow(&params, &state, &attempt).action, ELISION_ACTION_SPECULATE);
    (void)elision_policy_commit_(&params, &state, &attempt, 1);
    assert_int_equal(state.weight[ELISION_ABORT_CAPACITY], 0x8000);
    elision_policy_commits_(&params, &state, 1);
    assert_int_equal(state.weight[ELISION_ABORT_CAPACITY], 0x7000);
    elision_policy_commits_(&params, &state, 15);
    assert_int_equal(outgrow(&params, &state, &attempt).action, ELISION_ACTION_SPECULATE);
    elision_policy_commits_(&params, &state, 32);
    assert_int_equal(elision_policy_length_(&params, &state), whole / 2);
}

/* One that does not fit either way has a length that is not proven. */
static void
shortens_after_a_large_step(void **unused)
{
    struct elision_policy_state state;
    struct elision_policy_attempt attempt;
    const struct elision_policy_params params = begin_cut(&state, &attempt);

    (void)unused;
    elision_policy_commits_(&params, &state, 16);
    (void)outgrow(&params, &state, &attempt);
    (void)elision_policy_abort_(&params, &state, &attempt, ELISION_TX_CAPACITY, 1);
    assert_int_equal(elision_policy_length_(&params, &state), params.length);
    elision_policy_commits_(&params, &state, 15);
    (void)outgrow(&params, &state, &attempt);
    elision_policy_commits_(&params, &state, 2); /* it is not for two sections only */
    assert_int_equal(elision_policy_length_(&params, &state), params.length / 2);
}

/* Nor does a length that was shortened begin with what the longer one had proven. */
static void
each_length_is_proven_anew(void **unused)
{
    struct elision_policy_state state;
    struct elision_policy_attempt attempt;
    const struct elision_policy_params params = begin_cut(&state, &attempt);

    (void)unused;
    elision_policy_commits_(&params, &state, 15);
    (void)outgrow(&params, &state, &attempt);
    elision_policy_commits_(&params, &state, 2);
    (void)outgrow(&params, &state, &attempt);
    elision_policy_commits_(&params, &state, 2);
    assert_int_equal(elision_policy_length_(&params, &state), params.length / 4);
}

/* Steps that are too large for any length, every 17th section, met again at once or by the section
 * after the one half as long. ret: how many were tried twice, once that is known to be no use */
static unsigned
large_steps(bool at_once)
{
    struct elision_policy_state state;
    struct elision_policy_attempt attempt;
    const struct elision_policy_params params = begin_cut(&state, &attempt);
    unsigned twice = 0;

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
locks_for_a_large_step(void **unused)
{
    (void)unused;
    assert_in_range(large_steps(true), 1, 30);
    assert_in_range(large_steps(false), 1, 30);
}

static void
lengthens_slowly_up_to_the_limit(void **unused)
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
    struct elision_policy_state state;
    struct elision_policy_attempt attempt;
    const struct elision_policy_params params = begin_cut(&state, &attempt);

    for (int i = 0; i < 1000; i++) {
        (void)elision_policy_enter_(&params, &state, &attempt);
        attempt.stopped = true;
        (void)elision_policy_abort_(&params, &state, &attempt, ELISION_TX_CONFLICT, to_lock);
        attempt.stopped = false;
        (void)elision_policy_abort_(&params, &state, &attempt, ELISION_TX_CONFLICT, to_data);
        elision_policy_commits_(&params, &state, commits);
    }
    return elision_policy_length_(&params, &state);
}

/* Locks that are taken shorten sections until they cost what ending and beginning does: 256 cycles
 * for each commit, and the conflicts over data. */
static void
shortens_by_what_taken_locks_cost(void **unused)
{
    uint32_t whole = preset("adaptive")->length;

    (void)unused;
    assert_int_equal(length_after(256 * 10, 0, 10), whole);
    assert_int_equal(length_after(256 * 20, 0, 10), 1);
    assert_int_equal(length_after(256 * 40, 0, 40), whole);
    assert_int_equal(length_after(256 * 80, 0, 40), 1);
    assert_int_equal(length_after(256 * 60, 256 * 20, 40), whole);
    assert_int_equal(length_after(256 * 60, 256 * 10, 40), 1);
    assert_int_equal(length_after(0, 256 * 80, 40), whole);
    assert_true(length_after(256 * 20, 0, 80) > whole); /* a streak without one */
}

/* What was tried twice in vain is shortened; what was not retried says nothing about its length,
 * nor about retrying. */
static void
shortens_what_fails_twice(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");

    (void)unused;
    for (uint32_t hopeless = 0; hopeless < 2; hopeless++) {
        struct elision_policy_state state = {.random = 1, .usual = 100};
        state.weight[ELISION_ABORT_UNFRIENDLY] = hopeless ? 0xc000 : 1;
        (void)fail_section(params, &state, 0);
        assert_true(!hopeless || state.weight[ELISION_ABORT_UNFRIENDLY] == 0xc000);
        assert_int_equal(elision_policy_length_(params, &state),
                         hopeless ? params->length : params->length * 3 / 4);
    }
}

/* ret: the length after 63 commits, an abort and one more */
static uint32_t
length_after_interrupted_streak(uint32_t status)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = {.random = 1, .usual = 100};
    struct elision_policy_attempt attempt;

    (void)elision_policy_enter_(params, &state, &attempt);
    elision_policy_commits_(params, &state, 63);
    (void)elision_policy_abort_(params, &state, &attempt, status, 1);
    elision_policy_commits_(params, &state, 1);
    return elision_policy_length_(params, &state);
}

static void
lengthens_after_each_streak(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;
    uint32_t length = params->length;

    (void)unused;
    (void)elision_policy_enter_(params, &state, &attempt);
    for (int streak = 0; streak < 3; streak++) {
        elision_policy_commits_(params, &state, 63);
        assert_int_equal(elision_policy_length_(params, &state), length);
        elision_policy_commits_(params, &state, 1);
        length += length / 8 + 1;
        assert_int_equal(elision_policy_length_(params, &state), length);
    }
    assert_int_equal(length_after_interrupted_streak(0), params->length);
    assert_int_equal(length_after_interrupted_streak(ELISION_TX_CONFLICT), params->length);
    assert_int_equal(length_after_interrupted_streak(ELISION_TX_CAPACITY), params->length / 2);
    assert_true(length_after_interrupted_streak(ELISION_TX_EXPLICIT | (uint32_t)ELISION_CODE_BUSY
                                                                          << 24) > params->length);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacity_shortens_to_one),
        cmocka_unit_test(halves_an_exception),
        cmocka_unit_test(shortens_after_a_large_step),
        cmocka_unit_test(each_length_is_proven_anew),
        cmocka_unit_test(locks_for_a_large_step),
        cmocka_unit_test(lengthens_slowly_up_to_the_limit),
        cmocka_unit_test(shortens_by_what_taken_locks_cost),
        cmocka_unit_test(shortens_what_fails_twice),
        cmocka_unit_test(lengthens_after_each_streak),
    };

    return RUN_TAP(tests, NULL, NULL);
}
