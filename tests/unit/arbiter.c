/* SPDX-License-Identifier: MIT
 *
 * The arbiter against machines on which one way or the other does more sections.
 */
#include "elision/arbiter.h"

#include "tests/unit/tap.h"

/* Run an arbiter against a machine on which the two ways do so many sections in 1000 cycles.
 * ret:   percent of the time it chose the lock */
static unsigned
arbitrate(uint64_t speculating, uint64_t locked, unsigned aborts_per_mille, uint64_t cycles)
{
    struct elision_arbiter arbiter = {0};
    uint64_t sections = 0, aborts = 0, lock_time = 0;
    bool lock = false;

    for (uint64_t now = 1000; now < cycles; now += 1000) {
        if (now >= arbiter.due) {
            lock = elision_arbiter_step_(&arbiter, now, sections, aborts);
        }
        sections += lock ? locked : speculating;
        aborts += lock ? 0 : speculating * aborts_per_mille / 1000;
        lock_time += lock;
    }
    return (unsigned)(lock_time * 100 * 1000 / cycles);
}

static void
arbiter_finds_the_better_way(void **unused)
{
    const uint64_t long_run = 500000000;

    (void)unused;
    assert_true(arbitrate(100, 300, 500, long_run) >= 95);
    assert_true(arbitrate(300, 100, 500, long_run) <= 5);
    /* A tie is speculated, and so is what hardly aborts, untried. */
    assert_true(arbitrate(100, 102, 500, long_run) <= 5);
    assert_int_equal(arbitrate(100, 1000, 10, long_run), 0);
}

static void
arbiter_notices_a_change(void **unused)
{
    struct elision_arbiter arbiter = {0};
    uint64_t sections = 0, aborts = 0, now = 1000;
    bool lock = false;

    (void)unused;
    for (; now < 400000000; now += 1000) {
        if (now >= arbiter.due) {
            lock = elision_arbiter_step_(&arbiter, now, sections, aborts);
        }
        sections += lock ? 300 : 100;
        aborts += lock ? 0 : 50;
    }
    assert_int_equal(arbiter.phase, ELISION_ARBITER_LOCKED);
    for (uint64_t end = now + 300000000; now < end; now += 1000) {
        if (now >= arbiter.due) {
            lock = elision_arbiter_step_(&arbiter, now, sections, aborts);
        }
        sections += lock ? 100 : 400;
    }
    assert_int_equal(arbiter.phase, ELISION_ARBITER_SPECULATING);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arbiter_finds_the_better_way),
        cmocka_unit_test(arbiter_notices_a_change),
    };

    return RUN_TAP(tests, NULL, NULL);
}
