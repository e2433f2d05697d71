/* SPDX-License-Identifier: MIT
 *
 * What the counters say of sections that took long: each cycle counter, its maximum, and that a
 * reader finds all of it, of a site and of a thread.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "elision/core_priv.h"
#include "elision/elision.h"
#include "elision/report.h"
#include "elision/tx.h"
#include "tests/fault/script.h"
#include "tests/unit/tap.h"

#define LONG (1u << 20) /* cycles */
#define FAKE_ID 999u    /* a lock holder that is not there */

static elision_lock_t lock;
static elision_site_t site = ELISION_SITE_INIT("stats");
static struct elision_stats before, after;

static void
pass(uint64_t cycles)
{
    for (uint64_t begin = elision_cycles_(); elision_cycles_() - begin < cycles;) {
    }
}

/* The site learns nothing from one test for the next. */
static void
begin(void *frame)
{
    struct elision_site_state *state = elision_state_of_(elision_self_, &site);

    script_reset(frame);
    elision_account_(elision_self_);
    memset(&state->policy, 0, sizeof(state->policy));
    elision_site_stats(&site, &before);
    state->granted = state->credit = 0;
}

static void
committed_ones_are_timed(void **unused)
{
    (void)unused;
    begin(__builtin_frame_address(0));
    assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
    pass(LONG);
    elision_leave(&lock);
    elision_site_stats(&site, &after);
    uint64_t took = after.cycles_speculating - before.cycles_speculating;
    assert_true(took >= LONG && after.max_speculating >= took);
    assert_int_equal(after.commits - before.commits, 1);
    /* Those on credit are taken to be like the last that was timed. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
        elision_leave(&lock);
    }
    elision_site_stats(&site, &after);
    assert_int_equal(after.cycles_speculating - before.cycles_speculating, 4 * took);
    assert_int_equal(after.commits - before.commits, 4);
    assert_int_equal(after.starts - before.starts, 4);
    assert_int_equal(after.locked, before.locked);
}

static void
locked_ones_are_timed(void **unused)
{
    (void)unused;
    begin(__builtin_frame_address(0));
    script_status(ELISION_TX_EXPLICIT | (uint32_t)ELISION_CODE_IRREVOCABLE << 24);
    assert_int_equal(elision_enter(&lock, &site), ELISION_LOCKED);
    pass(LONG);
    elision_leave(&lock);
    elision_site_stats(&site, &after);
    uint64_t took = after.cycles_holding - before.cycles_holding;
    assert_true(took >= LONG && after.max_holding >= took);
    assert_int_equal(after.locked - before.locked, 1);
    assert_int_equal(after.fallbacks - before.fallbacks, 1);
    assert_int_equal(after.aborts[ELISION_ABORT_IRREVOCABLE], 1);
}

static void
pass_then_abort(const char *name, unsigned n)
{
    (void)n;
    if (strcmp(name, "enter: aborted") == 0) {
        lock.word_ = FAKE_ID;
    }
    else if (lock.word_ == FAKE_ID && strcmp(name, "wait: sleep") == 0) {
        pass(LONG);
        elision_fallback_release_((struct elision_fallback *)&lock);
    }
}

/* A first attempt on credit is taken to have lost half of what the last commit took; then the lock
 * is held for a while. The same if it is begun again at once after that. */
static void
lost_and_waiting_time_is_told(void **unused)
{
    struct elision_site_state *state = elision_state_of_(elision_self_, &site);

    (void)unused;
    for (int at_once = 0; at_once < 2; at_once++) {
        begin(__builtin_frame_address(0));
        state->granted = state->credit = 5;
        state->typical = 2 * LONG;
        script_hook(pass_then_abort);
        script_status(ELISION_TX_CONFLICT | (at_once ? ELISION_TX_RETRY : 0));
        assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
        assert_int_equal(elision_self_->depth, !at_once);
        elision_leave(&lock);
        script_hook(NULL);
        elision_site_stats(&site, &after);
        assert_int_equal(after.cycles_wasted - before.cycles_wasted, LONG);
        assert_true(after.max_wasted >= LONG);
        uint64_t waited = after.cycles_waiting - before.cycles_waiting;
        assert_true(waited >= LONG && after.max_waiting >= waited);
    }
}

/* Every counter of the site is the thread's, and of no other site. */
static void
threads_and_sites_agree(void **unused)
{
    static elision_site_t unused_site = ELISION_SITE_INIT("unused");
    struct elision_stats mine, all, none = {.threads = 1};

    (void)unused;
    elision_site_stats(&site, &after);
    elision_thread_stats(&site, &mine);
    assert_int_equal(mine.threads, 1);
    mine.threads = 0;
    assert_memory_equal(&mine, &after, sizeof(mine));
    elision_thread_stats(NULL, &all);
    assert_true(all.parks >= 1);
    all.threads = all.parks = all.handovers = 0;
    assert_memory_equal(&all, &after, sizeof(all)); /* it is the only one */
    elision_stats(&all);
    assert_int_equal(all.sites, 1);
    assert_int_equal(all.threads, 1);
    assert_int_equal(all.starts, after.starts);
    (void)elision_enter(&lock, &unused_site);
    elision_leave(&lock);
    elision_thread_stats(&unused_site, &mine);
    none.starts = none.commits = 1;
    none.cycles_speculating = mine.cycles_speculating;
    none.max_speculating = mine.max_speculating;
    assert_memory_equal(&mine, &none, sizeof(mine));
}

/* A line for each site and one for all, with the reasons that there were. */
static void
the_report_has_it_all(void **unused)
{
    char text[4096];
    FILE *file = tmpfile();

    (void)unused;
    assert_non_null(file);
    elision_report_(fileno(file), false);
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    const char *mine = strstr(text, "\nstats "), *all = strstr(text, "\ntotal ");
    assert_non_null(mine);
    assert_non_null(all);
    assert_non_null(strstr(text, ", backend scripted, "));
    assert_non_null(strstr(mine, " irrevocable 1 conflict 2\nunused "));
    assert_non_null(strstr(all, " irrevocable 1 conflict 2\nparks 2, hand-overs 0; "));
    assert_null(strstr(text, "capacity"));
}

/* What is begun again at once after a wait, and fails again, has not lost the time of the wait. The
 * host may stop this thread in that attempt, but not each time. */
static void
waiting_is_not_lost(void **unused)
{
    struct elision_site_state *state = elision_state_of_(elision_self_, &site);
    uint64_t wasted = LONG;

    (void)unused;
    for (int i = 0; i < 5 && wasted >= LONG; i++) {
        begin(__builtin_frame_address(0));
        state->granted = state->credit = 5;
        state->typical = 2;
        script_hook(pass_then_abort);
        script_status(ELISION_TX_CONFLICT | ELISION_TX_RETRY);
        script_status(ELISION_TX_CONFLICT | ELISION_TX_RETRY);
        assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
        elision_leave(&lock);
        script_hook(NULL);
        elision_site_stats(&site, &after);
        assert_true(after.cycles_waiting - before.cycles_waiting >= LONG);
        wasted = after.cycles_wasted - before.cycles_wasted;
    }
    assert_true(wasted < LONG);
}

static int
start(void **unused)
{
    elision_site_t *const sites[] = {&site, NULL};

    (void)unused;
    return script_start_at(__builtin_frame_address(0), &lock, sites);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(committed_ones_are_timed),      cmocka_unit_test(locked_ones_are_timed),
        cmocka_unit_test(lost_and_waiting_time_is_told), cmocka_unit_test(threads_and_sites_agree),
        cmocka_unit_test(the_report_has_it_all),         cmocka_unit_test(waiting_is_not_lost),
    };

    return RUN_TAP(tests, start, NULL);
}
