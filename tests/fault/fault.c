/* SPDX-License-Identifier: MIT
 *
 * Abort at every step of enter, leave and checkpoint, for every reason and on every kind of path;
 * and release the lock at every step of a wait. After each run the lock is free, the work is done
 * exactly once, the counters add up, and no commit ran outside a transaction.
 */
#define _GNU_SOURCE
#include "elision/elision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elision/core_priv.h"
#include "elision/tx.h"
#include "tests/fault/script.h"
#include "tests/unit/tap.h"

static elision_lock_t lock, other;
static elision_site_t site = ELISION_SITE_INIT("fault");
static elision_site_t inner = ELISION_SITE_INIT("inner");
static long value;    /* what the sections work on */
static long expected; /* what it must be afterwards */
static struct elision_stats before;

#define FAKE_ID 999u /* a lock holder that is not there */

static const uint32_t statuses[] = {
    0,
    ELISION_TX_RETRY,
    ELISION_TX_CONFLICT | ELISION_TX_RETRY,
    ELISION_TX_CONFLICT,
    ELISION_TX_CAPACITY,
    ELISION_TX_CAPACITY | ELISION_TX_RETRY,
    ELISION_TX_DEBUG,
    ELISION_TX_NESTED,
    ELISION_TX_NESTED | ELISION_TX_CONFLICT,
    ELISION_TX_EXPLICIT,
    ELISION_TX_EXPLICIT | 0x42000000u,
    ELISION_TX_EXPLICIT | (uint32_t)ELISION_CODE_BUSY << 24,
    ELISION_TX_EXPLICIT | (uint32_t)ELISION_CODE_IRREVOCABLE << 24,
    0x3fu & ~ELISION_TX_EXPLICIT,
    0xc0u,
};
#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))

/* --- What is run at every step -----------------------------------------------------------------*/

static void
one_section(void)
{
    (void)elision_enter(&lock, &site);
    value++;
    elision_leave(&lock);
    expected = 1;
}

static void
credit_then_section(void)
{
    for (int i = 0; i < 3; i++) {
        (void)elision_enter(&lock, &site);
        value++;
        elision_leave(&lock);
    }
    expected = 3;
}

static void
nested_sections(void)
{
    (void)elision_enter(&lock, &site);
    value++;
    (void)elision_enter(&other, &inner);
    value++;
    elision_leave(&other);
    value++;
    elision_leave(&lock);
    expected = 3;
}

static void
crossed_sections(void)
{
    (void)elision_enter(&lock, &site);
    value++;
    (void)elision_enter(&other, &inner);
    value++;
    elision_leave(&lock);
    value++;
    elision_leave(&other);
    expected = 3;
}

static void
checkpoints(void)
{
    (void)elision_enter(&lock, &site);
    for (int i = 0; i < 40; i++) {
        value++;
        assert_int_not_equal(elision_checkpoint(&lock, &inner), ELISION_BUSY);
    }
    elision_leave(&lock);
    expected = 40;
}

static void
checkpoints_now(void)
{
    (void)elision_enter(&lock, &site);
    for (int i = 0; i < 4; i++) {
        value++;
        assert_int_not_equal(elision_checkpoint_now(&lock, &inner), ELISION_BUSY);
    }
    elision_leave(&lock);
    expected = 4;
}

static void
irrevocable_section(void)
{
    (void)elision_enter(&lock, &site);
    value++;
    elision_irrevocable(&lock);
    assert_false(elision_is_speculative());
    value++;
    elision_leave(&lock);
    expected = 2;
}

static void
try_section(void)
{
    assert_int_not_equal(elision_try_enter(&lock, &site), ELISION_BUSY);
    value++;
    elision_leave(&lock);
    expected = 1;
}

static void
alone_section(void)
{
    (void)elision_enter_alone(&lock, &site);
    value++;
    elision_leave(&lock);
    expected = 1;
}

static void
speculative_or_enter(void)
{
    if (elision_enter_speculative(&lock, &site) == ELISION_BUSY) {
        (void)elision_enter(&lock, &site);
    }
    value++;
    elision_leave(&lock);
    expected = 1;
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"one section", one_section},
    {"sections on credit", credit_then_section},
    {"nested sections", nested_sections},
    {"crossed sections", crossed_sections},
    {"checkpoints", checkpoints},
    {"checkpoints now", checkpoints_now},
    {"irrevocable", irrevocable_section},
    {"try", try_section},
    {"alone", alone_section},
    {"speculative or enter", speculative_or_enter},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* --- Invariants --------------------------------------------------------------------------------*/

static uint64_t
sum_aborts(const struct elision_stats *stats)
{
    uint64_t sum = 0;

    for (int i = 0; i < ELISION_ABORT_REASONS; i++) {
        sum += stats->aborts[i];
    }
    return sum;
}

static void
begin_run(void *frame)
{
    script_reset(frame);
    memset(&lock, 0, sizeof(lock));
    memset(&other, 0, sizeof(other));
    value = 0;
    expected = -1;
    elision_stats(&before);
}

static void
check_run(const char *what, uint32_t status, unsigned step)
{
    struct elision_stats now;
    const struct elision_fallback_pair *pair = (const struct elision_fallback_pair *)&lock;
    bool good = value == expected && lock.word_ == 0 && other.word_ == 0 &&
                pair->auxiliary.word == 0 && elision_self_->inside == 0 &&
                elision_self_->depth == 0 && !elision_self_->transacting && !elision_tx_active_() &&
                script_stray_commits() == 0;

    elision_stats(&now);
    uint64_t starts = now.starts - before.starts;
    uint64_t aborts = sum_aborts(&now) - sum_aborts(&before);
    good = good && starts == script_begins() && aborts == script_aborts() &&
           now.commits - before.commits == starts - aborts;
    if (!good) {
        fail_msg("%s, status 0x%x at step %u: value %ld of %ld, word %u, aux %u, starts %lu of %u, "
                 "aborts %lu of %u, stray commits %u",
                 what, status, step, value, expected, lock.word_, pair->auxiliary.word,
                 (unsigned long)starts, script_begins(), (unsigned long)aborts, script_aborts(),
                 script_stray_commits());
    }
}

/* Forget what was learnt, so that each run starts from the same state. */
static void
forget(void)
{
    for (unsigned i = 0; i < 8; i++) {
        struct elision_site_state *state = &elision_self_->states[i];
        memset(&state->policy, 0, sizeof(state->policy));
        /* Commits on credit stay counted. */
        state->count.commits += state->granted - state->credit;
        state->granted = state->credit = 0;
    }
    elision_self_->wants_lock = NULL;
}

/* --- Tests -------------------------------------------------------------------------------------*/

static void
aborts_at_every_step(void **unused)
{
    unsigned runs = 0, reached = 0;

    (void)unused;
    for (size_t s = 0; s < SCENARIOS; s++) {
        for (size_t i = 0; i < STATUSES; i++) {
            unsigned step = 1;
            for (bool more = true; more; step++) {
                forget();
                begin_run(__builtin_frame_address(0));
                script_abort_at(step, statuses[i]);
                scenarios[s].run();
                check_run(scenarios[s].name, statuses[i], step);
                more = script_steps_inside() >= step;
                runs++;
                reached += more;
            }
        }
    }
    print_message("# %u runs, %u of them aborted at a step\n", runs, reached);
    assert_true(reached > 500);
}

static void
aborts_whenever_it_gets_there(void **unused)
{
    (void)unused;
    for (size_t s = 0; s < SCENARIOS; s++) {
        for (size_t i = 0; i < STATUSES; i++) {
            for (unsigned step = 1; step <= 6; step++) {
                forget();
                begin_run(__builtin_frame_address(0));
                script_abort_always_at(step, statuses[i]);
                scenarios[s].run();
                check_run(scenarios[s].name, statuses[i], step);
            }
        }
    }
}

static void
begins_that_fail(void **unused)
{
    (void)unused;
    for (size_t s = 0; s < SCENARIOS; s++) {
        for (size_t i = 0; i < STATUSES; i++) {
            for (unsigned n = 1; n <= 40; n++) {
                forget();
                begin_run(__builtin_frame_address(0));
                for (unsigned k = 0; k < n; k++) {
                    script_status(statuses[i]);
                }
                scenarios[s].run();
                check_run(scenarios[s].name, statuses[i], n);
            }
        }
    }
}

/* What is learnt is kept: give-up and re-probe happen on the way. */
static void
long_runs_at_random(void **unused)
{
    uint32_t random = 1;

    (void)unused;
    forget();
    print_message("# seed %u\n", random);
    for (unsigned run = 0; run < 20000; run++) {
        random = random * 1664525u + 1013904223u;
        begin_run(__builtin_frame_address(0));
        if ((random >> 28) < 9) {
            script_abort_at(1 + (random >> 8) % 7, statuses[(random >> 16) % STATUSES]);
        }
        scenarios[(random >> 12) % SCENARIOS].run();
        check_run("random", random, run);
    }
    struct elision_stats stats;
    elision_stats(&stats);
    assert_true(stats.giveups > 0);
    assert_true(stats.reprobes > 0);
}

/* --- Waiting -----------------------------------------------------------------------------------*/

static unsigned release_at;

static void
release_hook(const char *name, unsigned n)
{
    (void)name;
    if (n == release_at && lock.word_ == FAKE_ID) {
        elision_fallback_release_((struct elision_fallback *)&lock);
    }
}

/* The holder releases at the n-th step of the wait: whatever n is, the waiter gets in. A lost
 * wake-up is a hang, which the runner's watchdog ends. */
static void
release_at_every_step(void **unused)
{
    unsigned runs = 0;

    (void)unused;
    for (int speculate = 0; speculate < 2; speculate++) {
        for (uint32_t passes = 0; passes < 3; passes++) {
            elision_fallback_passes_ = passes;
            for (release_at = 1;; release_at++) {
                forget();
                begin_run(__builtin_frame_address(0));
                script_hook(release_hook);
                lock.word_ = FAKE_ID;
                elision_set_enabled(speculate);
                elision_fallback_spins_ = 0;
                /* So that a run with release_at beyond the last step ends. */
                elision_set_switch_interval(&lock, 1000000);
                if (script_steps_outside() >= 200) {
                    break;
                }
                one_section();
                runs++;
                if (script_steps_outside() < release_at) {
                    break;
                }
                assert_int_equal(value, 1);
                assert_int_equal(lock.word_, 0);
                assert_int_equal(elision_self_->inside, 0);
                if (release_at > 40) {
                    break;
                }
            }
        }
    }
    elision_fallback_passes_ = 1;
    elision_set_enabled(true);
    print_message("# %u waits\n", runs);
    assert_true(runs > 20);
}

/* The lock is taken between begin and subscription, and given back later. */
static void
busy_when_subscribing(void **unused)
{
    (void)unused;
    forget();
    begin_run(__builtin_frame_address(0));
    for (int i = 0; i < 5; i++) {
        script_status(ELISION_TX_EXPLICIT | (uint32_t)ELISION_CODE_BUSY << 24);
    }
    one_section();
    check_run("busy", 0, 0);
    struct elision_stats now;
    elision_stats(&now);
    assert_int_equal(now.aborts[ELISION_ABORT_BUSY] - before.aborts[ELISION_ABORT_BUSY], 5);
    /* Lock-busy aborts spend no budget: the sixth attempt was made. */
    assert_int_equal(now.commits - before.commits, 1);
}

static void
held_lock_makes_try_busy(void **unused)
{
    (void)unused;
    forget();
    begin_run(__builtin_frame_address(0));
    lock.word_ = FAKE_ID;
    assert_int_equal(elision_try_enter(&lock, &site), ELISION_BUSY);
    assert_int_equal(elision_enter_speculative(&lock, &site), ELISION_BUSY);
    assert_int_equal(elision_self_->inside, 0);
    lock.word_ = 0;
    assert_int_equal(elision_try_enter(&lock, &site), ELISION_SPECULATIVE);
    assert_int_equal(elision_try_enter(&other, &inner), ELISION_SPECULATIVE);
    elision_leave(&other);
    elision_leave(&lock);
    assert_int_equal(script_stray_commits(), 0);
}

static void
speculative_enter_never_locks(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < STATUSES; i++) {
        forget();
        begin_run(__builtin_frame_address(0));
        for (int k = 0; k < 60; k++) {
            script_status(statuses[i]);
        }
        enum elision_path path = elision_enter_speculative(&lock, &site);
        assert_int_not_equal(path, ELISION_LOCKED);
        assert_int_equal(lock.word_, 0);
        if (path == ELISION_SPECULATIVE) {
            elision_leave(&lock);
            continue;
        }
        /* The policy wanted the lock, so the next enter takes it at once. */
        script_reset(__builtin_frame_address(0));
        assert_int_equal(elision_enter(&lock, &site), ELISION_LOCKED);
        assert_int_equal(script_begins(), 0);
        elision_leave(&lock);
    }
}

static int
start(void **unused)
{
    elision_site_t *const sites[] = {&site, &inner, NULL};

    (void)unused;
    return script_start_at(__builtin_frame_address(0), &lock, sites);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aborts_at_every_step),     cmocka_unit_test(aborts_whenever_it_gets_there),
        cmocka_unit_test(begins_that_fail),         cmocka_unit_test(long_runs_at_random),
        cmocka_unit_test(release_at_every_step),    cmocka_unit_test(busy_when_subscribing),
        cmocka_unit_test(held_lock_makes_try_busy), cmocka_unit_test(speculative_enter_never_locks),
    };

    return RUN_TAP(tests, start, NULL);
}
