/* SPDX-License-Identifier: MIT
 *
 * The default policy, row by row as docs/abort-policy.md has it. The length is in length.c.
 */
#include <string.h>

#include "tests/unit/adaptive.h"

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

/* ret:   true if a section of that site gives up as soon as one attempt has taken so many cycles */
static bool
is_long(struct elision_policy_state state, uint64_t cycles)
{
    struct elision_policy_attempt attempt;

    (void)elision_policy_enter_(preset("adaptive"), &state, &attempt);
    return elision_policy_abort_(preset("adaptive"), &state, &attempt, ELISION_TX_CONFLICT, cycles)
               .action == ELISION_ACTION_LOCK;
}

/* A section that takes longer than its site's sections ever do had better have the lock. Of one
 * section it is not known what others will take. */
static void
adaptive_stops_what_takes_long(void **unused)
{
    struct elision_policy_state alike = proven(100), differ = proven(100);
    struct elision_policy_attempt attempt = {0};

    (void)unused;
    assert_false(is_long(alike, 300)); /* 100 and four times 50 */
    assert_true(is_long(alike, 301));
    for (int i = 0; i < 64; i++) {
        (void)elision_policy_commit_(preset("adaptive"), &alike, &attempt, 100);
        (void)elision_policy_commit_(preset("adaptive"), &differ, &attempt, i % 2 ? 64 : 128);
    }
    assert_false(is_long(alike, 133)); /* by a third, at least */
    assert_true(is_long(alike, 134));
    uint64_t most = differ.usual + 4 * differ.spread;
    assert_in_range(most, 200, 240);
    assert_false(is_long(differ, most));
    assert_true(is_long(differ, most + 1));
}

/* So has one that has lost much by little and little, whatever it was lost to. */
static void
adaptive_stops_by_what_was_lost_in_sum(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = proven(100);
    struct elision_policy_attempt attempt;
    const uint32_t busy = ELISION_TX_EXPLICIT | (uint32_t)ELISION_CODE_BUSY << 24;

    (void)unused;
    (void)elision_policy_enter_(params, &state, &attempt);
    (void)elision_policy_abort_(params, &state, &attempt, busy, 3100);
    assert_int_equal(
        elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 100).action,
        ELISION_ACTION_SPECULATE);
    assert_int_equal(elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 1).action,
                     ELISION_ACTION_LOCK);
}

/* Retries that succeed are learnt, an eighth of the way each time. */
static void
adaptive_learns_that_retries_succeed(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = proven(100);
    struct elision_policy_attempt attempt;

    (void)unused;
    state.weight[ELISION_ABORT_UNFRIENDLY] = 0x8000;
    state.weight[ELISION_ABORT_CAPACITY] = 0x8000;
    state.weight[ELISION_ABORT_CONFLICT] = 0x8000;
    (void)elision_policy_enter_(params, &state, &attempt);
    (void)elision_policy_abort_(params, &state, &attempt, 0, 1);
    (void)elision_policy_abort_(params, &state, &attempt, ELISION_TX_CAPACITY, 1);
    (void)elision_policy_commit_(params, &state, &attempt, 100);
    assert_int_equal(state.weight[ELISION_ABORT_UNFRIENDLY], 0x7000);
    assert_int_equal(state.weight[ELISION_ABORT_CAPACITY], 0x7000);
    assert_int_equal(state.weight[ELISION_ABORT_CONFLICT], 0x8000);
    /* While the length is halved for an exception, all but what that is about. */
    (void)elision_policy_enter_(params, &state, &attempt);
    (void)elision_policy_abort_(params, &state, &attempt, 0, 1);
    (void)elision_policy_abort_(params, &state, &attempt, ELISION_TX_CAPACITY, 1);
    state.halved = 2;
    (void)elision_policy_commit_(params, &state, &attempt, 100);
    assert_int_equal(state.weight[ELISION_ABORT_UNFRIENDLY], 0x6200);
    assert_int_equal(state.weight[ELISION_ABORT_CAPACITY], 0x7000);
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
            assert_true(k < 3 ? pauses == 0 : pauses <= 4);
            most = pauses > most ? pauses : most;
        }
        uint32_t random = state.random;
        state = proven(100);
        state.random = random;
    }
    assert_int_equal(most, 4);
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
        assert_int_equal(d.aux, tries >= 4);
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
    assert_in_range(fresh.skip, 2, 5);
    assert_false(fail_section(params, &faulting, 0).gave_up);
    assert_false(fail_section(&cuts, &cut, ELISION_TX_CONFLICT).gave_up);
    assert_false(fail_section(params, &state, ELISION_TX_CONFLICT).gave_up);
}

/* A section that needs the lock, of a site that has committed. ret: true if the site gives up */
static bool
needs_the_lock(struct elision_policy_state *state)
{
    return fail_section(preset("adaptive"), state,
                        ELISION_TX_EXPLICIT | (uint32_t)ELISION_CODE_IRREVOCABLE << 24)
        .gave_up;
}

/* ret: how many sections in a row end on the lock, after calls times count have committed, until
 * the site gives up */
static unsigned
failures_to_give_up(unsigned calls, uint32_t count)
{
    struct elision_policy_state state = {.random = 1, .usual = 100};
    unsigned failures = 1;

    while (calls-- > 0) {
        elision_policy_commits_(preset("adaptive"), &state, count);
    }
    while (!needs_the_lock(&state)) {
        failures++;
    }
    return failures;
}

/* Four failures, and more than three to a commit, of a window of 32; the one before has half
 * weight. */
static void
adaptive_gives_up_by_a_window(void **unused)
{
    (void)unused;
    assert_int_equal(failures_to_give_up(0, 0), 4);
    assert_int_equal(failures_to_give_up(1, 1), 4);
    assert_int_equal(failures_to_give_up(1, 2), 7);
    assert_int_equal(failures_to_give_up(4, 2), 25);
    assert_int_equal(failures_to_give_up(1, 10), 27);
    assert_int_equal(failures_to_give_up(1, 32), 33);
    assert_int_equal(failures_to_give_up(1, 100000), 33);
    assert_int_equal(failures_to_give_up(100000, 1), failures_to_give_up(36, 1));
}

/* The first time 2 to 5 sections are skipped, and after each probe that fails twice as many, to 512
 * to 1535; the first time again after one that succeeds. */
static void
adaptive_skips_more_each_time(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_attempt attempt;
    uint32_t least[12], most[12] = {0};

    (void)unused;
    memset(least, 0xff, sizeof(least));
    for (uint32_t seed = 1; seed <= 2000; seed++) {
        struct elision_policy_state state = {.random = seed * 0x9e3779b9u | 1u};
        for (int i = 0; i < 12; i++) {
            if (i == 11) { /* all the same in what follows */
                (void)elision_policy_commit_(params, &state, &attempt, 0);
                state.window_commits = 0;
            }
            state.skip = 0;
            state.probing = 1;
            uint32_t skip = fail_section(params, &state, ELISION_TX_CONFLICT).gave_up * state.skip;
            least[i] = skip < least[i] ? skip : least[i];
            most[i] = skip > most[i] ? skip : most[i];
        }
    }
    for (int i = 0; i < 12; i++) {
        uint32_t next = i == 11 ? 4 : i < 8 ? 4u << i : 1024;
        assert_in_range(least[i], next / 2, next / 2 + next / 32);
        assert_in_range(most[i], next / 2 + next - 1 - next / 32, next / 2 + next - 1);
    }
}

/* Two conflicts, as many as are tried once a section has failed, are enough to skip, and to be
 * shortened. */
static void
adaptive_gives_up_after_two_conflicts(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = {.random = 1, .window_failed = 1};

    (void)unused;
    assert_true(fail_section(params, &state, ELISION_TX_CONFLICT).gave_up);
    assert_int_equal(elision_policy_length_(params, &state), params->length * 3 / 4);
}

/* ret: how many faulting sections are tried twice before one is not */
static unsigned
second_tries(const struct elision_policy_params *params)
{
    struct elision_policy_state state = {.random = 1, .usual = 100};
    struct elision_policy_attempt attempt;

    for (unsigned sections = 0;; sections++) {
        state.window_failed = 0; /* the site as a whole does not give up */
        (void)elision_policy_enter_(params, &state, &attempt);
        if (elision_policy_abort_(params, &state, &attempt, 0, 1).action == ELISION_ACTION_LOCK) {
            return sections;
        }
        (void)elision_policy_abort_(params, &state, &attempt, 0, 1);
    }
}

/* Three sections are enough to see that a fault will be there again; where sections are cut the
 * next one may be without, so it takes nine. */
static void
adaptive_expects_faults_again(void **unused)
{
    struct elision_policy_params cuts = *preset("adaptive");

    (void)unused;
    elision_policy_for_cuts_(&cuts);
    assert_int_equal(second_tries(preset("adaptive")), 3);
    assert_int_equal(second_tries(&cuts), 9);
}

static void
adaptive_knows_what_sections_usually_take(void **unused)
{
    struct elision_policy_state state = proven(800);
    struct elision_policy_attempt attempt = {0};

    (void)unused;
    assert_int_equal(state.usual, 800);
    assert_int_equal(state.spread, 400);
    (void)elision_policy_commit_(preset("adaptive"), &state, &attempt, 1600);
    assert_int_equal(state.usual, 900);
    assert_int_equal(state.spread, 450);
    (void)elision_policy_commit_(preset("adaptive"), &state, &attempt, 0); /* not timed */
    assert_int_equal(state.usual, 900);
    assert_int_equal(state.spread, 450);
    (void)elision_policy_commit_(preset("adaptive"), &state, &attempt, 100);
    assert_int_equal(state.spread, 450 - 56 + 100);
}

static void
adaptive_losers_queue_on_the_auxiliary_lock(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_state state = proven(100);
    struct elision_policy_attempt attempt;

    (void)unused;
    (void)elision_policy_enter_(params, &state, &attempt);
    for (int i = 0; i < 7; i++) {
        assert_false(elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 1).aux);
    }
    assert_true(elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 1).aux);
}

/* Sections that did not ask, and lost once to a conflict, count as ones that were asked about. */
static void
adaptive_learns_of_what_was_not_asked(void **unused)
{
    const struct elision_policy_params *params = preset("adaptive");
    struct elision_policy_params at_once = *params;
    struct elision_policy_state state = proven(100);

    (void)unused;
    state.weight[ELISION_ABORT_CONFLICT] = 0x8000;
    state.retried = 2;
    elision_policy_commits_(params, &state, 10);
    assert_int_equal(state.weight[ELISION_ABORT_CONFLICT], 0x6200);
    assert_int_equal(state.retried, 0);
    assert_int_equal(state.streak, 0);
    elision_policy_commits_(params, &state, 10);
    assert_int_equal(state.weight[ELISION_ABORT_CONFLICT], 0x6200);
    assert_int_equal(state.streak, 10);
    /* Where retrying fails it is better to ask. */
    at_once.at_once = true;
    state.weight[ELISION_ABORT_CONFLICT] = ELISION_POLICY_HOPELESS;
    assert_true(elision_policy_retries_at_once_(&at_once, &state));
    assert_false(elision_policy_retries_at_once_(params, &state));
    state.weight[ELISION_ABORT_CONFLICT]++;
    assert_false(elision_policy_retries_at_once_(&at_once, &state));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adaptive_gives_up_and_decays),
        cmocka_unit_test(adaptive_learns_that_unfriendly_sections_fail_again),
        cmocka_unit_test(adaptive_stops_what_takes_long),
        cmocka_unit_test(adaptive_stops_by_what_was_lost_in_sum),
        cmocka_unit_test(adaptive_learns_that_retries_succeed),
        cmocka_unit_test(adaptive_tries_less_where_nothing_has_committed),
        cmocka_unit_test(adaptive_gives_up_at_once_where_nothing_has_committed),
        cmocka_unit_test(adaptive_backs_off_from_the_fourth_loss_on),
        cmocka_unit_test(adaptive_for_cuts),
        cmocka_unit_test(adaptive_gives_up_by_a_window),
        cmocka_unit_test(adaptive_skips_more_each_time),
        cmocka_unit_test(adaptive_gives_up_after_two_conflicts),
        cmocka_unit_test(adaptive_expects_faults_again),
        cmocka_unit_test(adaptive_knows_what_sections_usually_take),
        cmocka_unit_test(adaptive_losers_queue_on_the_auxiliary_lock),
        cmocka_unit_test(adaptive_learns_of_what_was_not_asked),
    };

    return RUN_TAP(tests, NULL, NULL);
}
