/* SPDX-License-Identifier: MIT
 *
 * The arbiter, a step at a time: what it makes of one count, from a state that is given.
 */
#include "elision/arbiter.h"

#include "tests/unit/tap.h"

/* The cycles of a count; rates are of 2^20 cycles: sections * 32. */
#define LENGTH 32767u
#define START 1000000u
#define FOREVER UINT64_MAX

/* A count that has lasted LENGTH, when nothing is tried, troubled, and no trial due. */
static struct elision_arbiter
counted_in(enum elision_arbiter_phase phase)
{
    return (struct elision_arbiter){.phase = phase,
                                    .counting = true,
                                    .troubled = true,
                                    .began = START,
                                    .due = START + LENGTH,
                                    .trial = START - 1000,
                                    .until = FOREVER,
                                    .sums = {1000, 1000, 1000, 4, 0},
                                    .chosen = {4000, 1000, 4},
                                    .usual = {4000, 1000, 4},
                                    .count = {{4000, 1000, 4}, {1000, 1000, 4}}};
}

/* What is counted in it; lost: cycles. */
struct seen {
    uint64_t sections, aborts, lost;
};

static void
step_at(struct elision_arbiter *a, uint64_t now, struct seen seen)
{
    const struct elision_arbiter_sums sums = {a->sums.sections + seen.sections,
                                              a->sums.aborts + seen.aborts,
                                              a->sums.lost + seen.lost, 4, 0};
    const bool lock = elision_arbiter_step_(a, now, &sums);

    assert_int_equal(lock,
                     a->phase == ELISION_ARBITER_LOCKED || a->phase == ELISION_ARBITER_TRY_LOCK);
}

static void
step(struct elision_arbiter *a, struct seen seen)
{
    step_at(a, a->began + LENGTH, seen);
}

/* ret:   is a trial of the lock begun by one whose usual rate, of so many sections, has become
 * that, the choice having been made at `chosen` */
static bool
tries_lock(uint64_t usual, uint64_t sections, uint64_t chosen)
{
    struct elision_arbiter a = counted_in(ELISION_ARBITER_SPECULATING);

    a.usual = (struct elision_arbiter_count){usual, sections, 4};
    a.chosen.rate = chosen;
    step(&a, (struct seen){100, 100, 0});
    return a.phase == ELISION_ARBITER_TRY_LOCK;
}

/* By less than a quarter better than the lock, and an eighth worse than when it was chosen. */
static void
speculation_that_gets_worse_is_tried_anew(void **unused)
{
    (void)unused;
    assert_true(tries_lock(1249, 1000, 4000));
    assert_false(tries_lock(1250, 1000, 4000));
    assert_true(tries_lock(1224, 1000, 1400));
    assert_false(tries_lock(1225, 1000, 1400));
    assert_false(tries_lock(1000, 0, 4000)); /* nothing is usual yet */
}

static void
no_trial_too_soon_none_too_late(void **unused)
{
    (void)unused;
    for (int after = 0; after < 2; after++) {
        struct elision_arbiter a = counted_in(ELISION_ARBITER_SPECULATING);
        a.usual.rate = 1100;
        a.soon = START + LENGTH + 1 - (uint64_t)after;
        step(&a, (struct seen){100, 100, 0});
        assert_int_equal(a.phase == ELISION_ARBITER_TRY_LOCK, after);
        a = counted_in(ELISION_ARBITER_SPECULATING);
        a.until = START + LENGTH + 1 - (uint64_t)after;
        step(&a, (struct seen){100, 100, 0});
        assert_int_equal(a.phase == ELISION_ARBITER_TRY_LOCK, after);
    }
}

/* Nothing is counted until four threads have followed. */
static void
threads_are_given_time_to_follow(void **unused)
{
    struct elision_arbiter a = counted_in(ELISION_ARBITER_SPECULATING);

    (void)unused;
    a.until = START;
    step(&a, (struct seen){100, 100, 0});
    assert_false(a.counting);
    assert_int_equal(a.due, START + LENGTH + 2000 + 4 * 250);
}

/* 64 sections and aborts, or the count goes on. */
static void
a_look_needs_so_much(void **unused)
{
    struct elision_arbiter a = counted_in(ELISION_ARBITER_SPECULATING);

    (void)unused;
    a.until = START;
    step(&a, (struct seen){32, 31, 0});
    assert_int_equal(a.phase, ELISION_ARBITER_SPECULATING);
    assert_int_equal(a.began, START);
    assert_int_equal(a.due, START + 2 * LENGTH);
    a.due = START + LENGTH;
    step(&a, (struct seen){32, 32, 0});
    assert_int_equal(a.phase, ELISION_ARBITER_TRY_LOCK);
}

/* ret:   what a look at this leaves, where it speculates */
static struct elision_arbiter
after_look(bool wary, bool troubled, uint64_t length, struct seen seen)
{
    struct elision_arbiter a = counted_in(ELISION_ARBITER_SPECULATING);

    a.wary = wary;
    a.troubled = troubled;
    a.due = START + length;
    a.until = START; /* a trial, if there is trouble */
    step_at(&a, START + length, seen);
    return a;
}

static void
trouble_is_aborts_or_lost_time(void **unused)
{
    const uint64_t all = 4 * LENGTH; /* of four threads */

    (void)unused;
    assert_false(after_look(false, true, LENGTH, (struct seen){800, 100, 0}).troubled);
    assert_true(after_look(false, true, LENGTH, (struct seen){800, 101, 0}).troubled);
    assert_false(after_look(false, true, LENGTH, (struct seen){800, 0, all / 16}).troubled);
    assert_true(after_look(false, true, LENGTH, (struct seen){800, 0, all / 16 + 1}).troubled);
    assert_false(after_look(true, true, LENGTH, (struct seen){800, 0, all / 3}).troubled);
    assert_true(after_look(true, true, LENGTH, (struct seen){800, 0, all / 3 + 1}).troubled);
    /* Exactly as much, too. */
    assert_false(after_look(false, true, 32000, (struct seen){800, 0, 8000}).troubled);
}

static void
without_trouble_looks_are_rare(void **unused)
{
    struct elision_arbiter a = after_look(false, true, 8000, (struct seen){800, 0, 0});

    (void)unused;
    assert_int_equal(a.phase, ELISION_ARBITER_SPECULATING);
    assert_int_equal(a.due, START + 8000 + 16000);
    a = after_look(false, true, LENGTH, (struct seen){800, 0, 0});
    assert_int_equal(a.due, START + LENGTH + 64000);
}

/* A long count that has the first trouble in it is for the most part of what had been before. */
static void
first_trouble_is_counted_anew(void **unused)
{
    const struct seen trouble = {100, 100, 0};
    struct elision_arbiter a = after_look(false, false, LENGTH, trouble);

    (void)unused;
    assert_int_equal(a.phase, ELISION_ARBITER_SPECULATING);
    assert_int_equal(a.due, START + LENGTH + 4000);
    assert_true(a.troubled);
    assert_int_equal(after_look(false, true, LENGTH, trouble).phase, ELISION_ARBITER_TRY_LOCK);
    assert_int_equal(after_look(false, false, 32000, trouble).phase, ELISION_ARBITER_TRY_LOCK);
}

/* The lock's rate, 6400, is a quarter higher: in one look that is nothing, in two a change. */
static void
one_odd_look_is_no_change(void **unused)
{
    const struct seen odd = {256, 0, 0}, same = {200, 0, 0};

    (void)unused;
    for (int again = 0; again < 2; again++) {
        struct elision_arbiter a = counted_in(ELISION_ARBITER_LOCKED);
        a.chosen = (struct elision_arbiter_count){6400, 1000, 4};
        step(&a, odd);
        assert_int_equal(a.phase, ELISION_ARBITER_LOCKED);
        assert_int_equal(a.usual.rate, 4000); /* not remembered */
        step(&a, again ? odd : same);
        assert_int_equal(a.phase == ELISION_ARBITER_TRY_SPECULATION, again);
        step(&a, odd); /* not two in a row */
        assert_int_equal(a.phase == ELISION_ARBITER_TRY_SPECULATION, again);
    }
    /* A little less than a quarter is not odd, and remembered. */
    struct elision_arbiter a = counted_in(ELISION_ARBITER_LOCKED);
    a.chosen = (struct elision_arbiter_count){6500, 1000, 4};
    step(&a, odd);
    assert_false(a.odd);
    assert_int_equal(a.usual.rate, 4000 - 4000 / 4 + 8192 / 4);
    assert_int_equal(a.usual.sections, 1256);
}

/* What a trial is compared with is what was usual, unless that is what has changed. */
static void
a_trial_is_against_what_was_usual(void **unused)
{
    struct elision_arbiter a = after_look(false, true, LENGTH, (struct seen){100, 100, 0});

    (void)unused;
    assert_int_equal(a.count[0].rate, 4000);
    a = counted_in(ELISION_ARBITER_LOCKED);
    a.until = START;
    step(&a, (struct seen){100, 0, 0});
    assert_int_equal(a.phase, ELISION_ARBITER_TRY_SPECULATION);
    assert_int_equal(a.count[1].rate, 4000);
    a = counted_in(ELISION_ARBITER_LOCKED);
    a.odd = true;
    step(&a, (struct seen){1000, 0, 0});
    assert_int_equal(a.phase, ELISION_ARBITER_TRY_SPECULATION);
    assert_int_equal(a.count[1].rate, 32000);
}

/* ------------------------------------------------------------------ */

/* A trial's count of LENGTH: the other way had that rate. */
static struct elision_arbiter
trying(enum elision_arbiter_phase phase, uint64_t other)
{
    struct elision_arbiter a = counted_in(phase);

    a.count[phase == ELISION_ARBITER_TRY_SPECULATION].rate = other;
    a.trial = START + LENGTH - 50000;
    return a;
}

static void
assert_lasts(const struct elision_arbiter *a, uint64_t length, uint64_t watched)
{
    assert_int_equal(a->soon, START + LENGTH + length / 4);
    assert_int_equal(a->until, START + LENGTH + length * watched);
}

/* In proportion to what the trial has lost: 32 times that. */
static void
a_choice_lasts_as_its_trial_cost(void **unused)
{
    struct elision_arbiter a = trying(ELISION_ARBITER_TRY_LOCK, 3200);

    (void)unused;
    a.doubling = 2;
    step(&a, (struct seen){400, 0, 0}); /* 12800: 47 of 64 were lost without it */
    assert_int_equal(a.phase, ELISION_ARBITER_LOCKED);
    assert_int_equal(a.chosen.rate, 12800);
    assert_lasts(&a, 32u * 50000 * 47 / 64, 1);

    a = trying(ELISION_ARBITER_TRY_SPECULATION, 3200);
    step(&a, (struct seen){400, 0, 0});
    assert_int_equal(a.phase, ELISION_ARBITER_SPECULATING);
    assert_lasts(&a, 32u * 50000 * 47 / 64, 8);

    /* Next to nothing lost counts as an eighth. */
    a = trying(ELISION_ARBITER_TRY_SPECULATION, 3100000);
    a.count[1].sections = 100000;
    step(&a, (struct seen){100000, 0, 0});
    assert_lasts(&a, 32u * 50000 * 8 / 64, 8);

    /* A longer trial counts as one of 128000. */
    a = trying(ELISION_ARBITER_TRY_SPECULATION, 30000);
    a.trial = START + LENGTH - 200000;
    step(&a, (struct seen){1000, 0, 0});
    assert_int_equal(a.phase, ELISION_ARBITER_TRY_SPECULATION); /* 32000: not clear */
    a = trying(ELISION_ARBITER_TRY_SPECULATION, 30000);
    a.trial = START + LENGTH - 200000;
    a.count[1].sections = 100000;
    step(&a, (struct seen){100000, 0, 0});
    assert_lasts(&a, 32u * 128000 * 63 / 64, 8);

    /* A wary one's first choice: twice its trial. */
    a = trying(ELISION_ARBITER_TRY_LOCK, 3200);
    a.wary = true;
    step(&a, (struct seen){400, 0, 0});
    assert_lasts(&a, 2 * 50000, 1);
}

static void
each_confirmation_doubles_it(void **unused)
{
    const uint64_t length = 32u * 50000 * 47 / 64;

    (void)unused;
    for (uint32_t before = 0; before < 4; before++) {
        struct elision_arbiter a = trying(ELISION_ARBITER_TRY_SPECULATION, 12800);
        a.doubling = before < 2 ? before : 2;
        a.pieces = 1;
        a.piece = 3200;
        step(&a, (struct seen){100, 0, 0});
        assert_int_equal(a.phase, ELISION_ARBITER_LOCKED);
        assert_int_equal(a.doubling, before < 2 ? before + 1 : 2);
        assert_lasts(&a, length << a.doubling, 1);
        a = trying(ELISION_ARBITER_TRY_SPECULATION, 12800);
        a.wary = true;
        a.pieces = 1;
        a.piece = 3200;
        step(&a, (struct seen){100, 0, 0});
        assert_int_equal(a.doubling, 0);
    }
}

/* 16 sections of the slower way at least. */
static void
little_is_not_clear(void **unused)
{
    (void)unused;
    for (uint32_t more = 0; more < 2; more++) {
        struct elision_arbiter a = trying(ELISION_ARBITER_TRY_LOCK, 3200);
        a.count[0].sections = 15 + more;
        step(&a, (struct seen){400, 0, 0});
        assert_int_equal(a.phase == ELISION_ARBITER_LOCKED, more);
    }
}

/* The other way's rate is of fewer threads: it is counted once more first. */
static void
rates_of_as_many_threads_compare(void **unused)
{
    (void)unused;
    for (uint32_t threads = 1; threads <= 4; threads += 3) {
        struct elision_arbiter a = trying(ELISION_ARBITER_TRY_LOCK, 3200);
        a.pieces = 1;
        a.piece = 3200;
        a.count[0].threads = threads;
        step(&a, (struct seen){100, 0, 0});
        assert_int_equal(a.phase == ELISION_ARBITER_TRY_SPECULATION, threads == 1);
    }
}

/* What has been seen of another choice is forgotten. */
static void
a_choice_begins_anew(void **unused)
{
    struct elision_arbiter a = trying(ELISION_ARBITER_TRY_LOCK, 3200);

    (void)unused;
    a.odd = true;
    step(&a, (struct seen){400, 0, 0});
    assert_int_equal(a.usual.sections, 0);
    assert_false(a.odd);
    a = counted_in(ELISION_ARBITER_SPECULATING);
    a.piece = 7;
    a.pieces = 7;
    a.until = START;
    step(&a, (struct seen){100, 100, 0});
    assert_int_equal(a.piece, 0);
    assert_int_equal(a.pieces, 0);
}

/* ret:   what a piece of a trial leaves: the one before had `piece`, or was none */
static struct elision_arbiter
after_piece(enum elision_arbiter_phase phase, uint64_t other, uint64_t piece, uint64_t sections)
{
    struct elision_arbiter a = trying(phase, other);

    a.piece = piece;
    a.pieces = piece != 0;
    step(&a, (struct seen){sections, 0, 0});
    return a;
}

static void
a_trial_that_gets_better_goes_on(void **unused)
{
    const enum elision_arbiter_phase lock = ELISION_ARBITER_TRY_LOCK,
                                     speculation = ELISION_ARBITER_TRY_SPECULATION;
    struct elision_arbiter a;

    (void)unused;
    /* Better, and clear: at once. */
    assert_int_equal(after_piece(lock, 3200, 0, 400).phase, ELISION_ARBITER_LOCKED);
    /* Far worse: at once if it is the lock, whose threads need not be woken. */
    assert_int_equal(after_piece(lock, 32000, 0, 333).phase, ELISION_ARBITER_SPECULATING);
    assert_int_equal(after_piece(lock, 32000, 0, 334).phase, lock);
    assert_int_equal(after_piece(speculation, 32000, 0, 100).phase, speculation);
    /* An eighth of what is missing better than the piece before, 3200: threads are coming. */
    assert_int_equal(after_piece(speculation, 32000, 3200, 212).phase, ELISION_ARBITER_LOCKED);
    a = after_piece(speculation, 32000, 3200, 213);
    assert_int_equal(a.phase, speculation);
    assert_int_equal(a.began, START + LENGTH);
    assert_int_equal(a.piece, 213 * 32);
    assert_int_equal(a.pieces, 2);
    /* An eighth of itself, where less is missing. */
    assert_int_equal(after_piece(speculation, 32000, 20000, 714).phase, ELISION_ARBITER_LOCKED);
    assert_int_equal(after_piece(speculation, 32000, 20000, 715).phase, speculation);
}

/* A tie is over when a piece has been of 128000 cycles, and not before. */
static void
a_tie_has_its_end(void **unused)
{
    struct elision_arbiter a = after_piece(ELISION_ARBITER_TRY_SPECULATION, 32000, 32000, 1000);

    (void)unused;
    assert_int_equal(a.phase, ELISION_ARBITER_TRY_SPECULATION);
    assert_int_equal(a.began, START);
    assert_int_equal(a.due, START + 2 * LENGTH);
    a = trying(ELISION_ARBITER_TRY_SPECULATION, 8192);
    a.pieces = 1;
    a.piece = 8192;
    a.doubling = 1;
    a.due = START + 128000;
    step_at(&a, START + 128000, (struct seen){1000, 0, 0});
    assert_int_equal(a.phase, ELISION_ARBITER_SPECULATING);
    assert_int_equal(a.doubling, 0); /* the lock was the choice before */
}

static void
a_hopeless_trial_is_over(void **unused)
{
    struct elision_arbiter a = trying(ELISION_ARBITER_TRY_SPECULATION, 320);

    (void)unused;
    step(&a, (struct seen){5, 36, 0}); /* four times as many as sections and threads */
    assert_int_equal(a.phase, ELISION_ARBITER_LOCKED);
    a = trying(ELISION_ARBITER_TRY_SPECULATION, 320);
    step(&a, (struct seen){5, 35, 0});
    assert_int_equal(a.phase, ELISION_ARBITER_TRY_SPECULATION);
    a = trying(ELISION_ARBITER_TRY_SPECULATION, 100); /* better, all the same */
    step(&a, (struct seen){5, 36, 0});
    assert_int_equal(a.phase, ELISION_ARBITER_TRY_SPECULATION);
}

/* ------------------------------------------------------------------ */

/* A count that ends more than as late again says nothing. */
static void
a_late_count_is_void(void **unused)
{
    struct elision_arbiter a = trying(ELISION_ARBITER_TRY_LOCK, 32000);

    (void)unused;
    step_at(&a, START + 2 * LENGTH, (struct seen){100, 0, 0});
    assert_int_equal(a.phase, ELISION_ARBITER_SPECULATING); /* just not */
    a = trying(ELISION_ARBITER_TRY_LOCK, 32000);
    step_at(&a, START + 2 * LENGTH + 1, (struct seen){100, 0, 8 * LENGTH});
    assert_int_equal(a.phase, ELISION_ARBITER_TRY_LOCK);
    assert_int_equal(a.due - a.began, 2 * LENGTH);
    assert_int_equal(a.trial, START + LENGTH - 50000 + 2 * LENGTH + 1);
    assert_int_equal(a.chosen.rate, 4000);
    /* Little lost in it, too: as if nothing had been chosen. */
    a = trying(ELISION_ARBITER_TRY_LOCK, 32000);
    step_at(&a, START + 2 * LENGTH + 1, (struct seen){100, 0, LENGTH / 2});
    assert_int_equal(a.chosen.rate, 0);
    /* But where nothing was tried that is no matter. */
    a = counted_in(ELISION_ARBITER_SPECULATING);
    step_at(&a, START + 2 * LENGTH + 1, (struct seen){100, 0, 0});
    assert_int_equal(a.chosen.rate, 4000);
    /* Better all the same: no matter how late. */
    a = trying(ELISION_ARBITER_TRY_LOCK, 3200);
    step_at(&a, START + 4 * LENGTH, (struct seen){4000, 0, 0});
    assert_int_equal(a.phase, ELISION_ARBITER_LOCKED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speculation_that_gets_worse_is_tried_anew),
        cmocka_unit_test(no_trial_too_soon_none_too_late),
        cmocka_unit_test(threads_are_given_time_to_follow),
        cmocka_unit_test(a_look_needs_so_much),
        cmocka_unit_test(trouble_is_aborts_or_lost_time),
        cmocka_unit_test(without_trouble_looks_are_rare),
        cmocka_unit_test(first_trouble_is_counted_anew),
        cmocka_unit_test(one_odd_look_is_no_change),
        cmocka_unit_test(a_trial_is_against_what_was_usual),
        cmocka_unit_test(a_choice_lasts_as_its_trial_cost),
        cmocka_unit_test(each_confirmation_doubles_it),
        cmocka_unit_test(little_is_not_clear),
        cmocka_unit_test(rates_of_as_many_threads_compare),
        cmocka_unit_test(a_choice_begins_anew),
        cmocka_unit_test(a_trial_that_gets_better_goes_on),
        cmocka_unit_test(a_tie_has_its_end),
        cmocka_unit_test(a_hopeless_trial_is_over),
        cmocka_unit_test(a_late_count_is_void),
    };

    return RUN_TAP(tests, NULL, NULL);
}
