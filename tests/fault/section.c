/* SPDX-License-Identifier: MIT
 *
 * What elision_section_conflicts answers, with statuses from a script: conflicts of this section
 * only, on both paths, for a section alone, cut, nested and joined. That a joined one subscribes to
 * its own lock as well. And that a site whose sections are cut is not kept on the lock by what was
 * decided before.
 */
#include <string.h>

#include "elision/core_priv.h"
#include "elision/elision.h"
#include "elision/tx.h"
#include "tests/fault/script.h"
#include "tests/unit/tap.h"

static elision_lock_t lock, other;
static elision_site_t site = ELISION_SITE_INIT("section");
static elision_site_t inner = ELISION_SITE_INIT("inner");

#define CONFLICT (ELISION_TX_CONFLICT | ELISION_TX_RETRY)
#define BUSY (ELISION_TX_EXPLICIT | (uint32_t)ELISION_CODE_BUSY << 24)

/* A fresh script and a site that has learnt nothing. */
static void
begin_with(void *frame, unsigned count, uint32_t status)
{
    script_reset(frame);
    for (unsigned i = 0; i < count; i++) {
        script_status(status);
    }
    for (unsigned i = 0; i < 4; i++) {
        memset(&elision_self_->states[i].policy, 0, sizeof(struct elision_policy_state));
        elision_self_->states[i].granted = elision_self_->states[i].credit = 0;
    }
}

static void
conflicts_are_counted(void **unused)
{
    (void)unused;
    for (unsigned n = 0; n < 60; n++) {
        begin_with(__builtin_frame_address(0), n, CONFLICT);
        enum elision_path path = elision_enter(&lock, &site);
        unsigned inside = elision_section_conflicts();
        /* The policy has enough of it at some time; then it is what has been tried. */
        assert_int_equal(inside, path == ELISION_SPECULATIVE ? n : script_begins());
        assert_true(path == ELISION_SPECULATIVE || (inside > 0 && inside <= n));
        elision_leave(&lock);
        assert_int_equal(elision_section_conflicts(), 0);
    }
}

static void
other_reasons_are_not(void **unused)
{
    static const uint32_t statuses[] = {
        0, BUSY, ELISION_TX_CAPACITY, ELISION_TX_NESTED, ELISION_TX_EXPLICIT, ELISION_TX_DEBUG};

    (void)unused;
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        begin_with(__builtin_frame_address(0), 1, statuses[i]);
        script_status(CONFLICT);
        enum elision_path path = elision_enter(&lock, &site);
        assert_int_equal(elision_section_conflicts(), path == ELISION_SPECULATIVE ? 1 : 0);
        elision_leave(&lock);
    }
}

/* Sections on credit begin on the fast path; one that aborts there is counted, the next is new. */
static void
fast_sections_too(void **unused)
{
    (void)unused;
    begin_with(__builtin_frame_address(0), 0, 0);
    for (int i = 0; i < 4; i++) {
        (void)elision_enter(&lock, &site);
        assert_int_equal(elision_section_conflicts(), 0);
        elision_leave(&lock);
    }
    for (int nested = 0; nested < 2; nested++) {
        unsigned begins = script_begins();
        script_status(CONFLICT);
        assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
        assert_int_equal(elision_self_->depth, 0); /* begun again at once */
        assert_int_equal(elision_section_conflicts(), 1);
        if (nested) {
            assert_int_equal(elision_enter(&other, &inner), ELISION_SPECULATIVE);
            assert_int_equal(elision_section_conflicts(), 1);
            elision_leave(&other);
        }
        elision_leave(&lock);
        assert_int_equal(script_begins(), begins + 2);
        assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
        assert_int_equal(elision_section_conflicts(), 0);
        elision_leave(&lock);
    }
    script_status(CONFLICT);
    script_status(CONFLICT);
    assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
    assert_int_equal(elision_section_conflicts(), 2);
    assert_int_equal(elision_self_->states[1].policy.retried, 0);
    assert_int_equal(elision_checkpoint_now(&lock, &site), ELISION_SPECULATIVE);
    assert_int_equal(elision_section_conflicts(), 0);
    elision_leave(&lock);
}

/* Whatever is tried again at once, or asked about, is counted once and belongs to one section.
 * Sites that are cut always ask; this one is not. */
static void
fast_sections_are_counted(void **unused)
{
    enum { SECTIONS = 100 };
    struct elision_stats before, after;
    uint32_t losers = 0, expected = 0x8000;

    (void)unused;
    begin_with(__builtin_frame_address(0), 0, 0);
    elision_site_stats(&inner, &before);
    uint16_t *weight = elision_state_of_(elision_self_, &inner)->policy.weight;
    weight[ELISION_ABORT_CONFLICT] = 0x8000;
    for (unsigned i = 0; i < SECTIONS; i++) {
        unsigned dice = i * 2654435761u >> 28, lose = i / 8 == 5 ? 2 : dice < 3 ? dice : 0;
        losers += lose > 0;
        for (unsigned k = 0; k < lose; k++) {
            script_status(CONFLICT);
        }
        assert_int_equal(elision_enter(&lock, &inner), ELISION_SPECULATIVE);
        assert_int_equal(elision_section_conflicts(), lose);
        elision_leave(&lock);
    }
    /* That trying again succeeds is learnt once of each that had to. */
    for (; losers > 0; losers--) {
        expected -= expected >> 3;
    }
    assert_int_equal(weight[ELISION_ABORT_CONFLICT], expected);
    elision_site_stats(&inner, &after);
    assert_int_equal(after.commits - before.commits, SECTIONS);
    assert_int_equal(after.starts - before.starts, script_begins());
    assert_int_equal(after.locked, before.locked);
    assert_int_equal(after.aborts[ELISION_ABORT_CONFLICT] - before.aborts[ELISION_ABORT_CONFLICT],
                     script_begins() - SECTIONS);
}

static bool turns_off;

static void
change_at_abort(const char *name, unsigned n)
{
    (void)n;
    if (strcmp(name, "enter: aborted") == 0) {
        lock.word_ = turns_off ? 0 : elision_self_->id + 1;
        elision_set_enabled(!turns_off);
    }
}

/* Nothing is tried again at once if the lock is held by now and may not be waited for, or elision
 * was switched off. */
static void
fast_sections_look_before_they_begin_again(void **unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        begin_with(__builtin_frame_address(0), 0, 0);
        (void)elision_enter(&lock, &inner);
        elision_leave(&lock);
        turns_off = i != 0;
        script_hook(change_at_abort);
        script_status(CONFLICT);
        unsigned begins = script_begins();
        enum elision_path path = elision_try_enter(&lock, &inner);
        script_hook(NULL);
        assert_int_equal(path, turns_off ? ELISION_LOCKED : ELISION_BUSY);
        assert_int_equal(script_begins(), begins + 1);
        if (turns_off) {
            elision_leave(&lock);
        }
        lock.word_ = 0;
        elision_set_enabled(true);
    }
}

static bool slept;

static void
free_while_it_waits(const char *name, unsigned n)
{
    (void)n;
    if (strcmp(name, "wait: sleep") == 0) {
        slept = true;
        elision_fallback_release_((struct elision_fallback *)&lock);
    }
}

static void
take_before_it_begins(const char *name, unsigned n)
{
    if (strcmp(name, "enter: at once") == 0) {
        lock.word_ = elision_self_->id + 1;
    }
    free_while_it_waits(name, n);
}

/* The lock is taken after they have looked: one that may not wait sees that in its transaction. */
static void
fast_sections_wait_only_where_they_may(void **unused)
{
    (void)unused;
    begin_with(__builtin_frame_address(0), 0, 0);
    (void)elision_enter(&lock, &inner);
    elision_leave(&lock);
    slept = false;
    script_hook(take_before_it_begins);
    script_status(CONFLICT);
    enum elision_path path = elision_try_enter(&lock, &inner);
    script_hook(NULL);
    lock.word_ = 0;
    assert_int_equal(path, ELISION_BUSY);
    assert_false(slept);
}

static void
joined_sections_answer_for_the_transaction(void **unused)
{
    (void)unused;
    for (int crossed = 0; crossed < 2; crossed++) {
        begin_with(__builtin_frame_address(0), 2, CONFLICT);
        assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
        assert_int_equal(elision_enter(&other, &inner), ELISION_SPECULATIVE);
        assert_int_equal(elision_section_conflicts(), 2);
        elision_leave(crossed ? &lock : &other);
        assert_int_equal(elision_section_conflicts(), 2);
        elision_leave(crossed ? &other : &lock);
        assert_int_equal(elision_section_conflicts(), 0);
    }
}

/* The inner section's lock is held until the transaction has aborted. */
static void
free_after_abort(const char *name, unsigned n)
{
    (void)n;
    if (strcmp(name, "enter: prepare") == 0 && script_aborts() > 0) {
        other.word_ = 0;
    }
}

static void
joined_sections_subscribe_too(void **unused)
{
    (void)unused;
    begin_with(__builtin_frame_address(0), 0, 0);
    script_hook(free_after_abort);
    other.word_ = elision_self_->id + 1;
    (void)elision_enter(&lock, &site);
    (void)elision_enter(&other, &inner);
    elision_leave(&other);
    elision_leave(&lock);
    script_hook(NULL);
    other.word_ = 0;
    assert_int_equal(script_aborts(), 1);
}

static void
joined_sections_may_be_refused(void **unused)
{
    (void)unused;
    begin_with(__builtin_frame_address(0), 0, 0);
    other.word_ = elision_self_->id + 1;
    (void)elision_enter(&lock, &site);
    enum elision_path path = elision_try_enter(&other, &inner);
    elision_leave(&lock);
    other.word_ = 0;
    assert_int_equal(path, ELISION_BUSY);
    assert_int_equal(script_aborts(), 0);
}

/* It would publish half of what the other section does. */
static void
sections_inside_others_are_not_cut(void **unused)
{
    struct elision_stats before, after;

    (void)unused;
    elision_stats(&before);
    for (int now = 0; now < 2; now++) {
        begin_with(__builtin_frame_address(0), 0, 0);
        (void)elision_enter(&lock, &site);
        (void)elision_enter(&other, &inner);
        for (unsigned i = 0; i < 100000; i++) {
            (void)(now ? elision_checkpoint_now : elision_checkpoint)(&lock, &site);
        }
        assert_true(elision_is_inside(&lock) && elision_is_inside(&other));
        elision_leave(&other);
        elision_leave(&lock);
        assert_int_equal(script_begins(), 1);
    }
    elision_stats(&after);
    assert_int_equal(after.cuts, before.cuts);
}

/* Told that the lock is wanted, the next enter takes it, at another site too, and no other. That is
 * a fallback if there had been a transaction. */
static void
the_lock_is_wanted_once(void **unused)
{
    struct elision_stats before, after;

    (void)unused;
    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        elision_stats(&before);
        begin_with(__builtin_frame_address(0), 60, CONFLICT);
        assert_int_equal(elision_enter_speculative(&lock, &site), ELISION_BUSY);
        assert_int_equal(elision_enter(&lock, elsewhere ? &inner : &site), ELISION_LOCKED);
        elision_leave(&lock);
        elision_stats(&after);
        assert_int_equal(after.fallbacks, before.fallbacks + 1);
        begin_with(__builtin_frame_address(0), 0, 0);
        assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
        elision_leave(&lock);
    }
    begin_with(__builtin_frame_address(0), 0, 0);
    elision_state_of_(elision_self_, &site)->policy.skip = 2;
    elision_stats(&before);
    assert_int_equal(elision_enter_speculative(&lock, &site), ELISION_BUSY);
    assert_int_equal(elision_enter(&lock, &site), ELISION_LOCKED);
    elision_leave(&lock);
    elision_stats(&after);
    assert_int_equal(after.fallbacks, before.fallbacks);
}

/* Alone it is the lock, timed sections included, and the site loses nothing by it; but who finds
 * the lock taken is not alone. */
static void
alone_it_is_the_lock(void **unused)
{
    (void)unused;
    begin_with(__builtin_frame_address(0), 0, 0);
    (void)elision_enter(&lock, &site);
    elision_leave(&lock);
    unsigned begins = script_begins();
    uint32_t credit = elision_state_of_(elision_self_, &site)->credit;
    assert_true(credit > 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(elision_enter_alone(&lock, &site), ELISION_LOCKED);
        elision_leave(&lock);
    }
    assert_int_equal(script_begins(), begins);
    assert_int_equal(elision_state_of_(elision_self_, &site)->credit, credit);

    lock.word_ = elision_self_->id + 1;
    script_hook(free_while_it_waits);
    assert_int_equal(elision_enter_alone(&lock, &site), ELISION_SPECULATIVE);
    script_hook(NULL);
    elision_leave(&lock);
    (void)elision_enter(&other, &inner);
    assert_int_equal(elision_enter_alone(&lock, &site), ELISION_SPECULATIVE);
    elision_leave(&lock);
    elision_leave(&other);
}

static void
plain_sections_have_none(void **unused)
{
    (void)unused;
    begin_with(__builtin_frame_address(0), 5, CONFLICT);
    elision_set_enabled(false);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(elision_enter(&lock, &site), ELISION_LOCKED);
        assert_int_equal(elision_section_conflicts(), 0);
        elision_leave(&lock);
    }
    elision_set_enabled(true);
}

/* The arbiter does not judge sites whose sections are cut; what it decided before is taken back. */
static void
cut_sites_forget_the_arbiter(void **unused)
{
    static elision_site_t cut = ELISION_SITE_INIT("cut");

    (void)unused;
    begin_with(__builtin_frame_address(0), 0, 0);
    (void)elision_enter(&lock, &cut);
    elision_leave(&lock);
    elision_site_set_off_(&cut, ELISION_OFF_ARBITER, true);
    elision_site_set_off_(&cut, ELISION_OFF_TRIAL, true);
    assert_int_equal(elision_enter(&lock, &cut), ELISION_LOCKED);
    elision_leave(&lock);
    (void)elision_section_length(&cut);
    assert_int_equal(elision_site_off_(&cut), 0);
    enum elision_path path = ELISION_LOCKED;
    for (unsigned i = 0; i <= 2 * ELISION_SAMPLE && path == ELISION_LOCKED; i++) {
        path = elision_enter(&lock, &cut);
        elision_leave(&lock);
    }
    assert_int_equal(path, ELISION_SPECULATIVE);
}

/* A section with the lock that has been timed, or moved, is cut when the lock is asked for. */
static void
moved_sections_hand_the_lock_over(void **unused)
{
    struct elision_stats before, after;
    _Atomic uint32_t *asked = &((struct elision_fallback *)&lock)->handover;

    (void)unused;
    begin_with(__builtin_frame_address(0), 60, CONFLICT);
    assert_int_equal(elision_enter(&lock, &site), ELISION_LOCKED);
    assert_int_equal(elision_self_->depth, 1);
    elision_stats(&before);
    (void)elision_checkpoint(&lock, &site);
    elision_stats(&after);
    assert_int_equal(after.cuts, before.cuts);
    *asked = 1;
    (void)elision_checkpoint(&lock, &site);
    *asked = 0;
    elision_leave(&lock);
    elision_stats(&after);
    assert_int_equal(after.cuts, before.cuts + 1);
}

static void
switch_off_at(const char *name, unsigned n)
{
    static bool once;

    (void)n;
    if (strcmp(name, "update: write") == 0 && !once) {
        once = true;
        elision_set_enabled(false);
    }
}

/* The kill switch is used while another thread, counted in, is about to switch on. */
static void
the_kill_switch_wins(void **unused)
{
    (void)unused;
    script_reset(__builtin_frame_address(0));
    elision_set_concurrency(1);
    script_hook(switch_off_at);
    elision_set_concurrency(2);
    script_hook(NULL);
    assert_false(elision_may_speculate_());
    assert_int_equal(elision_enter(&lock, &site), ELISION_LOCKED);
    elision_leave(&lock);
    assert_int_equal(elision_enter(&lock, &inner), ELISION_LOCKED);
    elision_leave(&lock);
    elision_set_enabled(true);
    assert_true(elision_may_speculate_());
    assert_int_equal(elision_site_off_(&site) | elision_site_off_(&inner), 0);
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
        cmocka_unit_test(conflicts_are_counted),
        cmocka_unit_test(other_reasons_are_not),
        cmocka_unit_test(fast_sections_too),
        cmocka_unit_test(fast_sections_are_counted),
        cmocka_unit_test(fast_sections_look_before_they_begin_again),
        cmocka_unit_test(fast_sections_wait_only_where_they_may),
        cmocka_unit_test(joined_sections_answer_for_the_transaction),
        cmocka_unit_test(joined_sections_subscribe_too),
        cmocka_unit_test(joined_sections_may_be_refused),
        cmocka_unit_test(sections_inside_others_are_not_cut),
        cmocka_unit_test(the_lock_is_wanted_once),
        cmocka_unit_test(alone_it_is_the_lock),
        cmocka_unit_test(plain_sections_have_none),
        cmocka_unit_test(cut_sites_forget_the_arbiter),
        cmocka_unit_test(moved_sections_hand_the_lock_over),
        cmocka_unit_test(the_kill_switch_wins),
    };

    return RUN_TAP(tests, start, NULL);
}
