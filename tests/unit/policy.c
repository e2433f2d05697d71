/* SPDX-License-Identifier: MIT
 *
 * The policy as a table: every status against every preset and against what has happened before;
 * and the rules of docs/abort-policy.md, row by row.
 */
#include "elision/policy.h"

#include <stdio.h>
#include <string.h>

#include "elision/tx.h"
#include "tests/unit/tap.h"

#define CODED(code) (ELISION_TX_EXPLICIT | (uint32_t)(code) << 24)

static const char *const presets[] = {"adaptive", "glibc",    "tbb",      "libitm",  "ck",
                                      "dpdk",     "ibm",      "hotspot",  "tuner",   "gocc",
                                      "odaira",   "static-0", "static-1", "static-7"};
#define PRESETS (sizeof(presets) / sizeof(presets[0]))

static const struct elision_policy_params *
preset(const char *name)
{
    static struct elision_policy_params made;
    const struct elision_policy_params *found = elision_policy_find_(name, &made);

    assert_non_null(found);
    return found;
}

/* What a status should be sorted into, told another way than the code does. */
static enum elision_abort
reason_of(uint32_t status)
{
    static const enum elision_abort by_rank[] = {ELISION_ABORT_CAPACITY, ELISION_ABORT_CONFLICT,
                                                 ELISION_ABORT_DEBUG, ELISION_ABORT_NESTED};
    static const uint32_t bits[] = {1u << 3, 1u << 2, 1u << 4, 1u << 5};

    if ((status & 1u) != 0) {
        uint32_t code = status >> 24;
        return code == 0xff                   ? ELISION_ABORT_BUSY
               : code == 0xfe || code == 0xfd ? ELISION_ABORT_IRREVOCABLE
                                              : ELISION_ABORT_EXPLICIT;
    }
    for (size_t i = 0; i < 4; i++) {
        if ((status & bits[i]) != 0) {
            return by_rank[i];
        }
    }
    return ELISION_ABORT_UNFRIENDLY;
}

static void
classifies_every_combination(void **unused)
{
    (void)unused;
    for (uint32_t low = 0; low < 256; low++) { /* two bits more than are defined */
        for (uint32_t code = 0; code < 256; code++) {
            uint32_t status = low | code << 24 | (code * 0x010101u & 0x00ffff00u);
            if (status != ELISION_TX_STARTED) {
                assert_int_equal(elision_policy_classify_(status), reason_of(status));
            }
        }
    }
}

/* Nothing a preset is told makes it loop, overflow or break its own promises. */
static void
every_status_in_every_state(void **unused)
{
    unsigned decisions = 0;

    (void)unused;
    for (size_t p = 0; p < PRESETS; p++) {
        const struct elision_policy_params *params = preset(presets[p]);
        for (uint32_t low = 0; low < 64; low++) {
            for (unsigned history = 0; history < 6; history++) {
                struct elision_policy_state state = {.random = 1 + history};
                struct elision_policy_attempt attempt;
                /* States: new, mostly committed, mostly failed, skipping, probing, shortened. */
                for (unsigned i = 0; i < history * 40; i++) {
                    struct elision_policy_decision d =
                        elision_policy_enter_(params, &state, &attempt);
                    for (unsigned k = 0; d.action == ELISION_ACTION_SPECULATE; k++) {
                        if (history % 2 != 0 && k > 0) {
                            (void)elision_policy_commit_(params, &state, &attempt, 100 + i);
                            break;
                        }
                        d = elision_policy_abort_(params, &state, &attempt, history < 3 ? 4u : 8u,
                                                  50);
                        assert_true(k < 1100);
                    }
                }
                for (uint32_t coded = 0; coded < 4; coded++) {
                    uint32_t status = low | (coded == 0 ? 0 : (0xfcu + coded) << 24);
                    unsigned tries = 0;
                    struct elision_policy_decision d =
                        elision_policy_enter_(params, &state, &attempt);
                    while (d.action == ELISION_ACTION_SPECULATE) {
                        d = elision_policy_abort_(params, &state, &attempt, status, 50);
                        decisions++;
                        assert_true(++tries <= 1001);
                        if (reason_of(status) == ELISION_ABORT_IRREVOCABLE) {
                            assert_int_equal(d.action, ELISION_ACTION_LOCK);
                        }
                        if (params->waits && d.action == ELISION_ACTION_SPECULATE) {
                            assert_true(d.wait);
                        }
                        if (params->backoff != ELISION_BACKOFF_NONE) {
                            assert_true(d.pauses <= params->backoff_cap + 1);
                        }
                        else {
                            assert_int_equal(d.pauses, 0);
                        }
                    }
                    assert_true(elision_policy_length_(params, &state) >= 1);
                }
            }
        }
    }
    print_message("# %u decisions\n", decisions);
    assert_true(decisions > 10000);
}

/* --- Presets: attempts until the lock, from a new state ----------------------------------------*/

struct row {
    const char *preset;
    uint32_t status;
    unsigned tries; /* begins before the lock */
    uint32_t skip;  /* sections that then go to the lock without trying */
};

static const struct row rows[] = {
    {"glibc", ELISION_TX_CONFLICT | ELISION_TX_RETRY, 3, 0},
    {"glibc", ELISION_TX_CONFLICT, 1, 0},
    {"glibc", ELISION_TX_CAPACITY, 1, 3},
    {"glibc", CODED(0xff), 1, 3},
    {"glibc", 0, 1, 3},
    {"tbb", ELISION_TX_CONFLICT | ELISION_TX_RETRY, 10, 0},
    {"tbb", ELISION_TX_CAPACITY, 1, 0},
    {"tbb", CODED(0xff), 10, 0},
    {"tbb", 0, 1, 0},
    {"libitm", ELISION_TX_CONFLICT | ELISION_TX_RETRY, 2, 0},
    {"libitm", ELISION_TX_CONFLICT, 1, 0},
    {"libitm", CODED(0xff), 1, 0},
    {"ck", ELISION_TX_CONFLICT, 5, 2},
    {"ck", CODED(0xff), 256, 5},
    {"ck", ELISION_TX_CAPACITY, 3, 65535},
    {"ck", 0, 3, 3},
    {"dpdk", ELISION_TX_CONFLICT | ELISION_TX_RETRY, 20, 0},
    {"dpdk", CODED(0xff), 20, 0},
    {"dpdk", 0, 1, 0},
    {"ibm", ELISION_TX_CONFLICT | ELISION_TX_RETRY, 16, 0},
    {"ibm", ELISION_TX_CAPACITY, 1, 0},
    {"ibm", CODED(0xff), 16, 0},
    {"hotspot", ELISION_TX_CONFLICT, 5, 0},
    {"hotspot", CODED(0xff), 5, 0},
    {"gocc", ELISION_TX_CONFLICT, 5, 0},
    {"tuner", ELISION_TX_CONFLICT, 5, 0},
    {"tuner", ELISION_TX_CAPACITY, 1, 0},
    {"odaira", ELISION_TX_CONFLICT, 16, 0},
    {"odaira", ELISION_TX_CAPACITY, 1, 0},
    {"static-0", ELISION_TX_CONFLICT, 0, 0},
    {"static-7", ELISION_TX_CONFLICT, 7, 0},
    {"static-7", 0, 7, 0},
    {"adaptive", CODED(0xfe), 1, 0},
    {"adaptive", ELISION_TX_DEBUG, 1, 0},
    {"adaptive", CODED(0xff), 16, 0},
    {"adaptive", 0, 2, 0},
};

static void
presets_do_as_their_rows_say(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct elision_policy_params *params = preset(rows[i].preset);
        struct elision_policy_state state = {.random = 7};
        struct elision_policy_attempt attempt;
        struct elision_policy_decision d = elision_policy_enter_(params, &state, &attempt);
        unsigned tries = 0;
        while (d.action == ELISION_ACTION_SPECULATE) {
            tries++;
            d = elision_policy_abort_(params, &state, &attempt, rows[i].status, 10);
        }
        uint32_t skip = 0;
        for (; skip < 70000; skip++) {
            if (elision_policy_enter_(params, &state, &attempt).action ==
                    ELISION_ACTION_SPECULATE ||
                params->budget == 0 || strcmp(rows[i].preset, "gocc") == 0) {
                break;
            }
        }
        if (tries != rows[i].tries || skip != rows[i].skip) {
            fail_msg("%s, status 0x%x: %u tries, %u skipped; expected %u and %u", rows[i].preset,
                     rows[i].status, tries, skip, rows[i].tries, rows[i].skip);
        }
    }
}

static void
hotspot_gives_up_for_good(void **unused)
{
    const struct elision_policy_params *params = preset("hotspot");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;
    unsigned sections = 0;

    (void)unused;
    while (elision_policy_enter_(params, &state, &attempt).action == ELISION_ACTION_SPECULATE) {
        while (elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 1).action ==
               ELISION_ACTION_SPECULATE) {
        }
        sections++;
        assert_true(sections < 1000);
    }
    assert_int_equal(sections, 200); /* 1000 aborts, 5 a section */
    assert_true(state.skip > 1u << 30);
}

static void
gocc_refuses_and_comes_back(void **unused)
{
    const struct elision_policy_params *params = preset("gocc");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;
    unsigned refused = 0;

    (void)unused;
    while (elision_policy_enter_(params, &state, &attempt).action == ELISION_ACTION_SPECULATE) {
        while (elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 1).action ==
               ELISION_ACTION_SPECULATE) {
        }
    }
    do {
        refused++;
        assert_true(refused <= 50001);
    } while (elision_policy_enter_(params, &state, &attempt).action == ELISION_ACTION_LOCK);
    assert_int_equal(refused, 50000);
}

static void
odaira_only_shortens(void **unused)
{
    const struct elision_policy_params *params = preset("odaira");
    struct elision_policy_state state = {.random = 1};
    struct elision_policy_attempt attempt;

    (void)unused;
    (void)elision_policy_enter_(params, &state, &attempt);
    assert_int_equal(elision_policy_length_(params, &state), 255);
    for (int i = 0; i < 19; i++) {
        (void)elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 1);
    }
    assert_int_equal(elision_policy_length_(params, &state), 191);
    elision_policy_commits_(params, &state, 300);
    for (int i = 0; i < 100; i++) {
        (void)elision_policy_abort_(params, &state, &attempt, ELISION_TX_CONFLICT, 1);
    }
    assert_int_equal(elision_policy_length_(params, &state), 191);
}

static void
tuner_stays_in_its_range(void **unused)
{
    const struct elision_policy_params *params = preset("tuner");
    struct elision_policy_state state = {.random = 3};
    struct elision_policy_attempt attempt;
    bool moved = false;

    (void)unused;
    for (unsigned i = 0; i < 100000; i++) {
        (void)elision_policy_enter_(params, &state, &attempt);
        if (i % 5 == 0) {
            (void)elision_policy_abort_(params, &state, &attempt, ELISION_TX_CAPACITY, 30);
        }
        (void)elision_policy_commit_(params, &state, &attempt, 100 + (i * 7919) % 50);
        assert_in_range(state.budget, 1, 16);
        moved = moved || state.budget != 5;
    }
    assert_true(moved);
}

/* --- All of them -------------------------------------------------------------------------------*/

static void
same_seed_same_decisions(void **unused)
{
    (void)unused;
    for (size_t p = 0; p < PRESETS; p++) {
        const struct elision_policy_params *params = preset(presets[p]);
        struct elision_policy_state states[2];
        struct elision_policy_attempt attempts[2];
        memset(states, 0, sizeof(states));
        states[0].random = states[1].random = 99;
        for (uint32_t i = 0; i < 2000; i++) {
            struct elision_policy_decision d[2];
            for (int k = 0; k < 2; k++) {
                d[k] = elision_policy_enter_(params, &states[k], &attempts[k]);
                if (d[k].action == ELISION_ACTION_SPECULATE) {
                    d[k] = elision_policy_abort_(params, &states[k], &attempts[k], i & 0x3e, 5);
                }
            }
            assert_int_equal(d[0].action, d[1].action);
            assert_int_equal(d[0].pauses, d[1].pauses);
            assert_memory_equal(&states[0], &states[1], sizeof(states[0]));
        }
    }
}

/* Who is not asked about a first conflict would have said: again, with nothing to wait for. The
 * others would not, or learn from each. */
static void
first_conflicts_need_not_be_asked_about(void **unused)
{
    static const char hasty[] = "adaptive glibc tbb libitm ck ibm static-7";
    const uint32_t conflict = ELISION_TX_CONFLICT | ELISION_TX_RETRY;
    struct elision_policy_params params = *preset("adaptive");

    (void)unused;
    for (size_t p = 0; p < PRESETS; p++) {
        struct elision_policy_state state = {.random = 1};
        struct elision_policy_attempt attempt;
        bool expected = strstr(hasty, presets[p]) != NULL;
        assert_int_equal(elision_policy_is_hasty_(preset(presets[p])), expected);
        if (expected) {
            (void)elision_policy_enter_(preset(presets[p]), &state, &attempt);
            (void)elision_policy_commit_(preset(presets[p]), &state, &attempt, 100);
            (void)elision_policy_enter_(preset(presets[p]), &state, &attempt);
            struct elision_policy_decision d =
                elision_policy_abort_(preset(presets[p]), &state, &attempt, conflict, 100);
            assert_int_equal(d.action, ELISION_ACTION_SPECULATE);
            assert_int_equal(d.pauses, 0);
            assert_false(d.aux);
        }
    }
    params.budget = 1;
    assert_false(elision_policy_is_hasty_(&params));
    params = *preset("adaptive");
    params.limit[ELISION_ABORT_CONFLICT] = 1;
    assert_false(elision_policy_is_hasty_(&params));
    params = *preset("adaptive");
    elision_policy_for_cuts_(&params);
    assert_false(elision_policy_is_hasty_(&params)); /* it backs off at once */
}

static void
names(void **unused)
{
    struct elision_policy_params made;
    size_t listed = 0;

    (void)unused;
    for (size_t i = 0; elision_policy_name_(i) != NULL; i++) {
        listed++;
    }
    assert_int_equal(listed, 12);
    assert_null(elision_policy_find_("static-", &made));
    assert_null(elision_policy_find_("static-1001", &made));
    assert_null(elision_policy_find_("static-1x", &made));
    assert_null(elision_policy_find_("nonsense", &made));
    assert_null(elision_policy_find_("", &made));
    assert_int_equal(preset("static-12")->budget, 12);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classifies_every_combination),
        cmocka_unit_test(every_status_in_every_state),
        cmocka_unit_test(presets_do_as_their_rows_say),
        cmocka_unit_test(hotspot_gives_up_for_good),
        cmocka_unit_test(gocc_refuses_and_comes_back),
        cmocka_unit_test(odaira_only_shortens),
        cmocka_unit_test(tuner_stays_in_its_range),
        cmocka_unit_test(same_seed_same_decisions),
        cmocka_unit_test(first_conflicts_need_not_be_asked_about),
        cmocka_unit_test(names),
    };

    return RUN_TAP(tests, NULL, NULL);
}
