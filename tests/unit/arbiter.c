/* SPDX-License-Identifier: MIT
 *
 * The arbiter against machines on which one way or the other does more sections.
 */
#include "elision/arbiter.h"

#include "tests/unit/tap.h"

/* A machine: sections in 1000 cycles by either way, and aborts then. */
struct machine {
    uint64_t rate[2];
    uint64_t aborts;
};

/* An arbiter at work. */
struct run {
    struct elision_arbiter arbiter;
    struct elision_arbiter_sums sums;
    uint64_t now;
    uint64_t lock_time; /* cycles on the lock */
    bool lock;
};

static void
run_on(struct run *run, const struct machine *machine, uint64_t cycles)
{
    run->sums.threads = run->sums.threads != 0 ? run->sums.threads : 4;
    for (uint64_t end = run->now + cycles; run->now < end; run->now += 1000) {
        if (run->now >= run->arbiter.due) {
            run->lock = elision_arbiter_step_(&run->arbiter, run->now, &run->sums);
        }
        run->sums.sections += machine->rate[run->lock];
        run->sums.aborts += run->lock ? 0 : machine->aborts;
        run->lock_time += run->lock ? 1000 : 0;
    }
}

/* Until it is in phase, and counts, or does not yet. */
static void
run_to(struct run *run, const struct machine *machine, enum elision_arbiter_phase phase,
       bool counting)
{
    while (run->arbiter.phase != phase || run->arbiter.counting != counting) {
        run_on(run, machine, 1000);
    }
}

/* ret: percent of the time on the lock */
static unsigned
share_locked(struct machine machine, uint64_t cycles)
{
    struct run run = {.now = 1000};

    run_on(&run, &machine, cycles);
    return (unsigned)(run.lock_time * 100 / cycles);
}

#define SHORT 2000000
#define LONG 500000000

static void
finds_the_better_way(void **unused)
{
    (void)unused;
    assert_true(share_locked((struct machine){{100, 300}, 50}, LONG) >= 98);
    assert_true(share_locked((struct machine){{300, 100}, 150}, LONG) <= 2);
    /* A tie is speculated. */
    assert_true(share_locked((struct machine){{100, 102}, 50}, LONG) <= 5);
    /* Nothing is ever done by speculating. */
    assert_true(share_locked((struct machine){{0, 3}, 2}, LONG) >= 90);
}

static void
soon(void **unused)
{
    (void)unused;
    assert_true(share_locked((struct machine){{30, 140}, 15}, SHORT) >= 90);
    assert_true(share_locked((struct machine){{140, 30}, 70}, SHORT) <= 5);
}

static void
what_hardly_aborts_is_not_tried(void **unused)
{
    (void)unused;
    assert_int_equal(share_locked((struct machine){{100, 1000}, 12}, LONG), 0);
    assert_true(share_locked((struct machine){{100, 1000}, 13}, LONG) >= 98);
}

static void
notices_a_change(void **unused)
{
    const struct machine for_lock = {{100, 300}, 50}, for_speculation = {{400, 100}, 4};

    (void)unused;
    for (int far = 0; far < 2; far++) {
        struct run run = {.now = 1000};
        run_on(&run, &for_lock, far ? LONG : SHORT);
        assert_true(run.lock);
        /* The rest is in proportion to how long the choice has been confirmed, and bounded. */
        run_on(&run, &for_speculation, far ? LONG / 5 : 3 * SHORT);
        assert_false(run.lock);
        run_on(&run, &for_lock, far ? LONG : SHORT);
        assert_true(run.lock);
    }
}

/* Threads come to another phase one after the other, so that no look is much unlike those before.
 */
static void
notices_what_changes_little_by_little(void **unused)
{
    struct run run = {.now = 1000};
    const struct machine for_lock = {{100, 300}, 50};

    (void)unused;
    run_on(&run, &for_lock, LONG);
    assert_int_equal(run.arbiter.phase, ELISION_ARBITER_LOCKED);
    run.arbiter.until = UINT64_MAX;
    for (uint64_t rate = 300; rate > 200; rate -= 5) {
        run_on(&run, &(struct machine){{400, rate}, 4}, 40000);
    }
    run_on(&run, &(struct machine){{400, 200}, 4}, 200000);
    assert_int_equal(run.arbiter.phase, ELISION_ARBITER_SPECULATING);
}

static void
counts_while_threads_come_are_void(void **unused)
{
    struct run run = {.now = 1000};
    const struct machine machine = {{10, 300}, 9};

    (void)unused;
    for (uint32_t threads = 1; threads <= 4096; threads *= 2) {
        run.sums.threads = threads;
        run_on(&run, &machine, 3000);
        assert_int_equal(run.arbiter.phase, ELISION_ARBITER_SPECULATING);
    }
    run_on(&run, &machine, SHORT);
    assert_true(run.lock);
}

/* What few threads chose is tried anew when many have come, and no sooner. */
static void
more_threads_try_anew(void **unused)
{
    struct run run = {.now = 1000, .sums.threads = 2};
    const struct machine few = {{100, 200}, 50}, many = {{600, 200}, 300};

    (void)unused;
    run_on(&run, &few, SHORT / 8);
    assert_int_equal(run.arbiter.phase, ELISION_ARBITER_LOCKED);
    run.sums.threads = 16;
    run_on(&run, &many, SHORT / 8);
    assert_int_equal(run.arbiter.phase, ELISION_ARBITER_SPECULATING);
}

/* As long as a trial gets better it is not over: threads are being woken. */
static void
a_slow_start_is_no_verdict(void **unused)
{
    struct run run = {.now = 1000};
    struct machine machine = {{100, 300}, 50};

    (void)unused;
    run_on(&run, &machine, SHORT / 4);
    assert_int_equal(run.arbiter.phase, ELISION_ARBITER_LOCKED);
    machine.rate[0] = 0;
    while (run.arbiter.phase == ELISION_ARBITER_LOCKED) {
        run_on(&run, &machine, 1000);
    }
    assert_int_equal(run.arbiter.phase, ELISION_ARBITER_TRY_SPECULATION);
    for (machine.rate[0] = 20; machine.rate[0] < 1000; machine.rate[0] += 10) {
        run_on(&run, &machine, 1000);
    }
    run_on(&run, &machine, 20000);
    assert_int_equal(run.arbiter.phase, ELISION_ARBITER_SPECULATING);
}

/* What is hardly counted when threads are at their first attempts is tried once more, before the
 * lock is chosen for long. */
static void
a_bad_start_is_tried_again(void **unused)
{
    struct run run = {.now = 1000, .sums.threads = 16};
    const struct machine bad = {{1, 3}, 30}, good = {{9, 3}, 5};

    (void)unused;
    while (run.arbiter.phase != ELISION_ARBITER_TRY_LOCK) {
        run_on(&run, &bad, 1000);
    }
    run_on(&run, &good, SHORT / 10);
    assert_int_equal(run.arbiter.phase, ELISION_ARBITER_SPECULATING);
}

/* A wary one was misled by a program that has changed meanwhile: that costs twice the trial. */
static void
a_wary_choice_is_confirmed_first(void **unused)
{
    const struct machine before = {{100, 300}, 50}, after = {{900, 300}, 50};

    (void)unused;
    for (int wary = 0; wary < 2; wary++) {
        struct run run = {.now = 1000, .arbiter.wary = wary};
        while (run.arbiter.phase != ELISION_ARBITER_LOCKED) {
            run_on(&run, &before, 1000);
        }
        uint64_t chosen = run.now;
        while (run.arbiter.phase != ELISION_ARBITER_SPECULATING) {
            run_on(&run, &after, 1000);
        }
        assert_true(wary ? run.now - chosen < 60000 : run.now - chosen > 100000);
    }
}

/* ret:   percent of the time on the lock, by which so many sections are done in 8000 cycles; 8 are
 * by speculating */
static unsigned
wary_share_locked(uint64_t by_lock)
{
    struct run run = {.now = 1000, .arbiter.wary = true, .sums.threads = 4};
    uint64_t eighths = 0, locked = 0, end = LONG / 5;

    for (; run.now < end; run.now += 1000) {
        if (run.now >= run.arbiter.due) {
            run.lock = elision_arbiter_step_(&run.arbiter, run.now, &run.sums);
        }
        eighths += run.lock ? by_lock : 8;
        run.sums.sections = eighths / 8;
        run.sums.aborts += !run.lock;
        locked += run.lock;
    }
    return (unsigned)(locked * 100000 / end);
}

/* A section in a thousand cycles: one trial cannot tell which way does an eighth more. */
static void
what_no_trial_says_several_do(void **unused)
{
    (void)unused;
    assert_true(wary_share_locked(9) >= 60);
    assert_true(wary_share_locked(8) <= 40);
    assert_true(wary_share_locked(7) <= 40);
}

/* So is one that follows a pause in its trial, unless the threads only waited for the lock. */
static void
after_a_pause_a_wary_choice_is_short(void **unused)
{
    const struct machine machine = {{100, 300}, 50};

    (void)unused;
    for (int waiting = 0; waiting < 2; waiting++) {
        struct run run = {.now = 1000, .arbiter.wary = true};
        run_on(&run, &machine, SHORT);
        run_to(&run, &machine, ELISION_ARBITER_TRY_SPECULATION, true);
        run.now += SHORT;
        run.sums.lost += waiting ? SHORT : 0;
        while (run.arbiter.phase != ELISION_ARBITER_LOCKED) {
            run_on(&run, &machine, 1000);
        }
        uint64_t length = run.arbiter.until - run.now;
        assert_true(waiting ? length > 200000 : length < 100000);
    }
}

/* ret:   a wary one that has come to phase */
static struct run
wary_in(enum elision_arbiter_phase phase, bool counting)
{
    struct run run = {.now = 1000, .arbiter.wary = true};

    run_to(&run, &(struct machine){{100, 300}, 50}, phase, counting);
    return run;
}

/* A program with so long a pause may be another one afterwards, and what a thread does alone is no
 * better than nothing: no choice is made of a trial that it came into, and none lasts for its sake.
 * What is done by threads beside each other is no pause, however long nobody asks. */
static void
a_trial_with_a_pause_is_given_up(void **unused)
{
    const enum elision_arbiter_phase trials[] = {ELISION_ARBITER_TRY_LOCK,
                                                 ELISION_ARBITER_TRY_SPECULATION};

    (void)unused;
    for (int variant = 0; variant < 8; variant++) {
        bool speculating = variant & 1, counting = variant & 2, beside = variant & 4;
        struct run run = wary_in(trials[speculating], counting);
        run.now += 100000000;
        run.sums.sections += 40000000;
        run.sums.alone += beside ? 19990000 : 20010000;
        bool lock = elision_arbiter_step_(&run.arbiter, run.now, &run.sums);
        if (beside) {
            assert_int_equal(lock, !speculating);
            continue;
        }
        assert_int_equal(run.arbiter.phase,
                         speculating ? ELISION_ARBITER_LOCKED : ELISION_ARBITER_SPECULATING);
        assert_int_equal(run.arbiter.chosen.rate, 0);
        run.lock = lock;
        run_on(&run, &(struct machine){{100, 300}, 50}, SHORT / 4);
        assert_int_equal(run.arbiter.phase, ELISION_ARBITER_LOCKED);
        assert_true(run.arbiter.until - run.now < SHORT);
    }
}

/* Where nothing is tried: a choice for the lock lasts four times as much less, one to speculate as
 * long as it would. Threads that wait for the lock meanwhile do not pause. */
static void
pauses_count_for_the_lock(void **unused)
{
    (void)unused;
    for (int waiting = 0; waiting < 2; waiting++) {
        struct run run = wary_in(ELISION_ARBITER_LOCKED, true);
        run.arbiter.until = run.now + 10000000;
        run.arbiter.sums = run.sums;
        run.sums.lost += waiting ? 800000 : 0;
        uint64_t pause = 512000 - (run.now - run.arbiter.began);
        (void)elision_arbiter_step_(&run.arbiter, run.now + pause, &run.sums);
        assert_int_equal(run.arbiter.until, run.now + 10000000 - (waiting ? 0 : 4 * 512000));
        run.arbiter.phase = ELISION_ARBITER_SPECULATING;
        uint64_t until = run.arbiter.until;
        (void)elision_arbiter_step_(&run.arbiter, run.now + 2000000, &run.sums);
        assert_int_equal(run.arbiter.until, until);
    }
    struct run run = wary_in(ELISION_ARBITER_LOCKED, true);
    run.arbiter.until = run.now + 1000000;
    run.arbiter.sums = run.sums;
    (void)elision_arbiter_step_(&run.arbiter, run.now + 900000, &run.sums);
    assert_int_equal(run.arbiter.until, run.now + 900000);
}

/* Nor are two aborts of each thread enough to stop counting. */
static void
first_aborts_are_no_verdict(void **unused)
{
    struct run run = {.now = 1000, .sums.threads = 16};
    const struct machine machine = {{1, 3}, 6};

    (void)unused;
    run_on(&run, &machine, 6000);
    assert_true(run.sums.aborts >= 32);
    assert_int_equal(run.arbiter.phase, ELISION_ARBITER_SPECULATING);
}

/* However long the count was to be. */
static void
idle_in_a_long_trial(void)
{
    struct run run = {.now = 1000};
    const struct machine machine = {{30, 32}, 15};

    while (run.arbiter.phase != ELISION_ARBITER_TRY_LOCK ||
           run.arbiter.due - run.arbiter.began < 128000) {
        run_on(&run, &machine, 1000);
    }
    run.now += 10000000;
    run_on(&run, &machine, SHORT / 4);
    assert_int_equal(run.arbiter.phase, ELISION_ARBITER_LOCKED);
}

/* Nothing done because the program has something else to do says nothing about the lock. */
static void
idle_time_is_no_verdict(void **unused)
{
    struct run run = {.now = 1000};
    const struct machine machine = {{100, 300}, 50};

    (void)unused;
    run_to(&run, &machine, ELISION_ARBITER_TRY_LOCK, true);
    run.now += 1000000;
    run_on(&run, &machine, SHORT / 4);
    assert_int_equal(run.arbiter.phase, ELISION_ARBITER_LOCKED);
    idle_in_a_long_trial();
    run.now += 100000000;
    run_on(&run, &machine, SHORT);
    assert_true(run.lock);
}

/* Whatever it sees, it goes on: the next step is never far away, nor now. */
static void
steps_are_bounded(void **unused)
{
    uint32_t random = 1;
    struct run run = {.now = 1000};

    (void)unused;
    print_message("# seed %u\n", random);
    for (int i = 0; i < 200000; i++) {
        random = random * 1664525u + 1013904223u;
        run.now = run.arbiter.due > run.now ? run.arbiter.due : run.now;
        run.now += random >> 20;
        run.sums.sections += (random >> 28) == 0 ? 0 : (random >> 12) & 0xffff;
        run.sums.aborts += (random >> 27) & 1 ? (random >> 8) & 0xfff : 0;
        run.sums.threads += (random >> 4) % 1000 == 0;
        run.lock = elision_arbiter_step_(&run.arbiter, run.now, &run.sums);
        assert_true(run.arbiter.due > run.now);
        assert_true(run.arbiter.due - run.now <= 256000);
        assert_int_equal(run.lock, run.arbiter.phase == ELISION_ARBITER_LOCKED ||
                                       run.arbiter.phase == ELISION_ARBITER_TRY_LOCK);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_better_way),
        cmocka_unit_test(soon),
        cmocka_unit_test(what_hardly_aborts_is_not_tried),
        cmocka_unit_test(notices_a_change),
        cmocka_unit_test(notices_what_changes_little_by_little),
        cmocka_unit_test(counts_while_threads_come_are_void),
        cmocka_unit_test(more_threads_try_anew),
        cmocka_unit_test(a_slow_start_is_no_verdict),
        cmocka_unit_test(a_bad_start_is_tried_again),
        cmocka_unit_test(a_wary_choice_is_confirmed_first),
        cmocka_unit_test(what_no_trial_says_several_do),
        cmocka_unit_test(after_a_pause_a_wary_choice_is_short),
        cmocka_unit_test(a_trial_with_a_pause_is_given_up),
        cmocka_unit_test(pauses_count_for_the_lock),
        cmocka_unit_test(first_aborts_are_no_verdict),
        cmocka_unit_test(idle_time_is_no_verdict),
        cmocka_unit_test(steps_are_bounded),
    };

    return RUN_TAP(tests, NULL, NULL);
}
