/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * TSXLDTRK: XSUSLDTRK and XRESLDTRK, SDM volume 2. Loads between them are not in the read set.
 *
 * options: --tsxldtrk=yes
 */

#include "rtmgrind/tests/litmus.h"

static _Alignas(4096) struct line lines[2];
static volatile uint64_t seen;

#define SUSPEND() __asm__ volatile(".byte 0xF2, 0x0F, 0x01, 0xE8" : : : "memory")
#define RESUME() __asm__ volatile(".byte 0xF2, 0x0F, 0x01, 0xE9" : : : "memory")

static void
load_suspended(void *p)
{
    uint64_t value;

    SUSPEND();
    value = *(volatile uint64_t *)p;
    RESUME();
    __asm__ volatile("" : : "r"(value));
}

static void
load_after_resume(void *p)
{
    SUSPEND();
    RESUME();
    (void)*(volatile uint64_t *)p;
}

static void
load_before_and_suspended(void *p)
{
    (void)*(volatile uint64_t *)p;
    load_suspended(p);
}

static void
store_suspended(void *p)
{
    SUSPEND();
    *(volatile uint64_t *)p = 7;
    RESUME();
}

static void
store(void *p)
{
    *(volatile uint64_t *)p = 5;
}

static void
load_suspended_and_keep(void *p)
{
    SUSPEND();
    seen = *(volatile uint64_t *)p;
    RESUME();
}

static void
fight(struct duel *d, void (*touch)(void *), void (*disturb)(void *), int peer_in_tx)
{
    memset((void *)lines, 0, sizeof lines);
    *d = (struct duel){
        .touch = touch, .disturb = disturb, .arg = (void *)&lines[0], .peer_in_tx = peer_in_tx};
    duel_run(d);
}

static void
suspended_load_is_not_in_the_read_set(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, load_suspended, store, 0);
    assert_int_equal(d.victim, STARTED);
    assert_int_equal(lines[0].word[0], 5);
}

static void
load_after_resume_is(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, load_after_resume, store, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
}

static void
line_read_before_stays_in_the_read_set(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, load_before_and_suspended, store, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
}

static void
suspended_store_is_in_the_write_set(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, store_suspended, store, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_int_equal(lines[0].word[0], 5);
}

static void
suspended_load_does_not_see_uncommitted_store(void **state)
{
    struct duel d;

    (void)state;
    seen = 99;
    fight(&d, store, load_suspended_and_keep, 1);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_int_equal(d.peer, STARTED);
    assert_int_equal(seen, 0);
}

static void
own_store_is_visible(void **state)
{
    uint64_t value = 0;

    (void)state;
    lines[0].word[0] = 1;
    assert_int_equal(IN_TX({
                         lines[0].word[0] = 2;
                         SUSPEND();
                         value = lines[0].word[0];
                         RESUME();
                     }),
                     STARTED);
    assert_int_equal(value, 2);
}

static void
suspended_store_is_rolled_back(void **state)
{
    (void)state;
    lines[0].word[0] = 1;
    assert_int_not_equal(IN_TX({
                             store_suspended((void *)&lines[0]);
                             TX_ABORT(1);
                         }),
                         STARTED);
    assert_int_equal(lines[0].word[0], 1);
}

static void
suspend_twice_aborts(void **state)
{
    (void)state;
    assert_int_equal(IN_TX({
                         SUSPEND();
                         SUSPEND();
                     }),
                     0);
}

static void
resume_without_suspend_aborts(void **state)
{
    (void)state;
    assert_int_equal(IN_TX(RESUME()), 0);
}

static void
end_while_suspended_aborts(void **state)
{
    (void)state;
    assert_int_equal(IN_TX(SUSPEND()), 0);
}

static void
inner_end_while_suspended_aborts(void **state)
{
    (void)state;
    assert_int_equal(IN_TX({
                         if (tx_begin() == STARTED) {
                             SUSPEND();
                             tx_end();
                         }
                         RESUME();
                     }),
                     NESTED);
}

static void
begin_while_suspended_aborts(void **state)
{
    (void)state;
    assert_int_equal(IN_TX({
                         SUSPEND();
                         if (tx_begin() == STARTED) {
                             tx_end();
                         }
                         RESUME();
                     }),
                     0);
}

static void
outside_both_do_nothing(void **state)
{
    (void)state;
    SUSPEND();
    RESUME();
    RESUME();
    SUSPEND();
    assert_int_equal(IN_TX(lines[0].word[0] = 3), STARTED);
}

static void
abort_ends_suspension(void **state)
{
    (void)state;
    (void)IN_TX({
        SUSPEND();
        TX_ABORT(1);
    });
    assert_int_equal(IN_TX({
                         SUSPEND();
                         RESUME();
                     }),
                     STARTED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suspended_load_is_not_in_the_read_set),
        cmocka_unit_test(load_after_resume_is),
        cmocka_unit_test(line_read_before_stays_in_the_read_set),
        cmocka_unit_test(suspended_store_is_in_the_write_set),
        cmocka_unit_test(suspended_load_does_not_see_uncommitted_store),
        cmocka_unit_test(own_store_is_visible),
        cmocka_unit_test(suspended_store_is_rolled_back),
        cmocka_unit_test(suspend_twice_aborts),
        cmocka_unit_test(resume_without_suspend_aborts),
        cmocka_unit_test(end_while_suspended_aborts),
        cmocka_unit_test(inner_end_while_suspended_aborts),
        cmocka_unit_test(begin_while_suspended_aborts),
        cmocka_unit_test(outside_both_do_nothing),
        cmocka_unit_test(abort_ends_suspension),
    };

    return LITMUS_MAIN(tests);
}
