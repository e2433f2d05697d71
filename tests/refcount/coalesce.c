/* SPDX-License-Identifier: MIT
 *
 * The coalescing table alone: every rule of coalesce.h that one thread can show.
 */
#include "tests/refcount/things.h"

/* Make the object a suspect: as many delayed sections touch it as it takes. */
static void
make_suspect(int i)
{
    for (int n = 0; n < ELISION_SUSPECT_THRESHOLD; n++) {
        elision_coalesce_begin(&table, 1);
        add(i, 1);
        add(i, -1);
        settle();
    }
}

/* Make the object a suspect with a loan, and two more references than it had. */
#define CREDIT (ELISION_LOAN_CREDIT / 2 - 1)

static void
make_loan(int i)
{
    make_suspect(i);
    add(i, 1);
    settle();
    assert_int_equal(elision_coalesce_credit(&table, &things[i]), ELISION_LOAN_CREDIT / 2);
    add(i, 1);
    settle();
    assert_int_equal(elision_coalesce_credit(&table, &things[i]), CREDIT);
}

static const struct elision_coalesce_ops countless_ops = {
    .apply = thing_apply,
    .destroy = thing_destroy,
};

/* --- Nets --------------------------------------------------------------------------------------*/

static void
test_pair_leaves_the_object_alone(void **state)
{
    (void)state;
    for (int n = 0; n < 3; n++) {
        add(0, 1);
        assert_int_equal(elision_coalesce_net(&table, &things[0]), 1);
        add(0, -1);
        assert_int_equal(settle(), 0);
    }
    assert_int_equal(things[0].writes, 0);
    assert_true(elision_coalesce_is_empty(&table));
}

static void
test_net_is_applied_once(void **state)
{
    (void)state;
    add(0, 1);
    add(0, 1);
    add(0, 1);
    assert_false(elision_coalesce_is_empty(&table));
    assert_int_equal(settle(), 0);
    assert_int_equal(things[0].count, 4);
    assert_int_equal(things[0].writes, 1);
    assert_true(elision_coalesce_is_empty(&table));
    assert_int_equal(settle(), 0);
    assert_int_equal(things[0].writes, 1);
}

static void
test_death_is_at_once(void **state)
{
    (void)state;
    things[0].count = 2;
    add(0, -1);
    assert_int_equal(things[0].deaths, 0);
    add(0, 1);
    add(0, -1);
    add(0, -1);
    assert_int_equal(things[0].deaths, 1);
    assert_int_equal(settle(), 0);
}

static void
test_death_is_at_the_end_where_nobody_says_the_count(void **state)
{
    (void)state;
    elision_coalesce_init(&table, &countless_ops, &things);
    add(0, -1);
    add(1, -1);
    add(1, 1);
    assert_int_equal(things[0].deaths, 0);
    assert_int_equal(settle(), 1);
    assert_int_equal(things[0].deaths, 1);
    assert_int_equal(things[1].deaths, 0);
    assert_int_equal(settle(), 0);
}

static void
test_destructors_may_add(void **state)
{
    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        things[i].child = &things[i + 1];
    }
    add(0, -1);
    assert_int_equal(settle(), 0);
    for (int i = 0; i <= CHILDREN; i++) {
        assert_int_equal(things[i].deaths, 1);
    }
}

static void
test_destructors_may_end_sections(void **state)
{
    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        things[i].child = &things[i + 1];
        things[i].settles = i % 3 == 0;
    }
    for (int i = 200; i < 220; i++) {
        things[i].settles = true;
        add(i, -1);
    }
    add(0, -1);
    settle();
    for (int i = 0; i <= CHILDREN; i++) {
        assert_int_equal(things[i].deaths, 1);
    }
    for (int i = 200; i < 220; i++) {
        assert_int_equal(things[i].deaths, 1);
    }
    assert_int_equal(elision_coalesce_stats(&table)->destroyed, CHILDREN + 1 + 20);
    assert_true(elision_coalesce_is_empty(&table));
}

static void
test_what_has_no_slot_goes_to_the_object(void **state)
{
    (void)state;
    for (int i = 0; i < OBJECTS; i++) {
        add(i, 1);
    }
    assert_true(elision_coalesce_stats(&table)->overflows >= OBJECTS - ELISION_COALESCE_SLOTS);
    for (int i = 0; i < OBJECTS; i++) {
        int64_t count = things[i].count + elision_coalesce_net(&table, &things[i]);
        assert_int_equal(count, 2);
    }
    settle();
    for (int i = 0; i < OBJECTS; i++) {
        assert_int_equal(things[i].count, 2);
        assert_int_equal(things[i].writes, 1);
        add(i, -1);
        add(i, -1);
    }
    settle();
    for (int i = 0; i < OBJECTS; i++) {
        assert_int_equal(things[i].deaths, 1);
    }
}

static void
test_pairs_of_many_objects_do_not_overflow(void **state)
{
    (void)state;
    for (int i = 0; i < OBJECTS; i++) {
        add(i, 1);
        add(i, -1);
    }
    settle();
    assert_int_equal(elision_coalesce_stats(&table)->overflows, 0);
    for (int i = 0; i < OBJECTS; i++) {
        assert_int_equal(things[i].writes, 0);
    }
}

static void
test_flush_makes_the_count_exact(void **state)
{
    (void)state;
    elision_coalesce_flush(&table, &things[0]);
    assert_int_equal(things[0].writes, 0);
    add(0, 1);
    add(1, 1);
    elision_coalesce_flush(&table, &things[0]);
    assert_int_equal(things[0].count, 2);
    assert_int_equal(things[1].count, 1);
    assert_false(elision_coalesce_try_add(&table, &things[0], 1));
    assert_true(elision_coalesce_try_add(&table, &things[1], 1));
    add(1, -1);
    settle();
    assert_int_equal(things[0].count, 2);
    assert_int_equal(things[1].count, 2);
    make_loan(2);
    assert_int_equal(things[2].count, 3 + CREDIT);
    elision_coalesce_flush(&table, &things[2]);
    assert_int_equal(things[2].count, 3);
    assert_true(settle() == 0 && elision_coalesce_is_empty(&table));
}

/* --- Suspects ----------------------------------------------------------------------------------*/

static void
test_only_delayed_sections_make_suspects(void **state)
{
    (void)state;
    for (int n = 0; n < 10; n++) {
        elision_coalesce_begin(&table, 0);
        add(0, 1);
        add(0, -1);
        settle();
    }
    assert_int_equal(elision_coalesce_suspicion(&table, &things[0]), 0);
    elision_coalesce_begin(&table, 1);
    add(1, 1);
    add(1, -1);
    add(1, 1);
    settle();
    assert_int_equal(elision_coalesce_suspicion(&table, &things[0]), 0);
    assert_int_equal(elision_coalesce_suspicion(&table, &things[1]), 1);
    assert_int_equal(things[1].asked, 0);
    add(2, 1);
    settle();
    assert_int_equal(elision_coalesce_suspicion(&table, &things[2]), 0);
}

static void
test_the_owner_is_asked_once(void **state)
{
    (void)state;
    for (int n = 0; n < 300; n++) {
        make_suspect(0);
        assert_int_equal(things[0].asked, 1);
    }
}

static void
test_suspicion_fades(void **state)
{
    (void)state;
    make_suspect(0);
    make_suspect(0);
    assert_int_equal(elision_coalesce_suspicion(&table, &things[0]), 4);
    unsigned sections = 0;
    while (elision_coalesce_suspicion(&table, &things[0]) != 0 && sections < 10000) {
        settle();
        sections++;
    }
    assert_in_range(sections, 2 * ELISION_SUSPECT_SECTIONS, 3 * ELISION_SUSPECT_SECTIONS);
    make_suspect(0);
    assert_int_equal(things[0].asked, 2);
}

static void
test_many_suspects_push_out_the_weakest(void **state)
{
    (void)state;
    for (int n = 0; n < 100; n++) {
        make_suspect(0);
    }
    for (int i = 1; i < OBJECTS; i++) {
        elision_coalesce_begin(&table, 1);
        add(i, 1);
        add(i, -1);
        settle();
    }
    assert_true(elision_coalesce_suspicion(&table, &things[0]) > 20);
}

/* --- Loans -------------------------------------------------------------------------------------*/

static void
test_only_suspects_get_loans(void **state)
{
    (void)state;
    for (int n = 0; n < 10; n++) {
        add(0, n % 2 == 0 ? 1 : -1);
        settle();
    }
    assert_int_equal(things[0].writes, 10);
    assert_int_equal(elision_coalesce_stats(&table)->loans, 0);
}

/* What was suspected once may have been near by chance: one net of it is no reason for a loan. */
static void
test_a_loan_begins_when_it_is_likely_of_use(void **state)
{
    (void)state;
    things[1].count = 100;
    elision_coalesce_begin(&table, 1);
    for (int n = 0; n < 2; n++) {
        assert_int_equal(elision_coalesce_credit(&table, &things[1]), 0);
        add(1, 1);
        settle();
    }
    assert_int_not_equal(elision_coalesce_credit(&table, &things[1]), 0);
    make_suspect(0);
    add(0, 1);
    settle();
    assert_int_not_equal(elision_coalesce_credit(&table, &things[0]), 0);
    assert_int_equal(things[0].writes, 1);
}

static void
test_a_loan_serves_later_sections(void **state)
{
    (void)state;
    make_loan(0);
    int writes = things[0].writes;
    for (int n = 0; n < 1000; n++) {
        add(0, n % 2 == 0 ? 1 : -1);
        settle();
    }
    assert_int_equal(things[0].writes, writes);
    assert_true(elision_coalesce_stats(&table)->served >= 1000);
}

static void
test_credit_is_bounded(void **state)
{
    (void)state;
    things[0].count = 1000;
    make_suspect(0);
    for (int n = 0; n < 900; n++) {
        add(0, -1);
        settle();
        assert_in_range(elision_coalesce_credit(&table, &things[0]), 0, ELISION_LOAN_CREDIT);
        int64_t count = things[0].count - elision_coalesce_credit(&table, &things[0]);
        assert_int_equal(count, 999 - n);
    }
    for (int n = 0; n < 900; n++) {
        add(0, 1 + n % 2 * 9);
        settle();
        assert_in_range(elision_coalesce_credit(&table, &things[0]), 0, ELISION_LOAN_CREDIT);
    }
    int64_t count = things[0].count - elision_coalesce_credit(&table, &things[0]);
    assert_int_equal(count, 100 + 450 + 4500);
}

static void
test_the_last_reference_is_noticed(void **state)
{
    (void)state;
    make_loan(0); /* three references, and what is on loan */
    for (int n = 0; n < 2; n++) {
        add(0, -1);
        assert_int_equal(settle(), 0);
    }
    add(0, -1);
    assert_int_equal(things[0].deaths, 1);
    assert_true(elision_coalesce_is_empty(&table));
}

/* As when another thread drops the last reference: this table alone keeps the object. */
static void
test_an_idle_loan_is_returned(void **state)
{
    (void)state;
    make_loan(0);
    things[0].count -= 3;
    unsigned sections = 0;
    while (things[0].deaths == 0 && sections < 10000) {
        settle();
        sections++;
    }
    /* Its slot still knows the object from when it was used. */
    assert_int_equal(sections, 2 * ELISION_LOAN_SECTIONS + 1);
}

/* Pairs that leave no net: the loan serves nothing, but it is what keeps the real count up. */
static void
test_a_loan_in_use_stays(void **state)
{
    (void)state;
    make_loan(0);
    int32_t credit = elision_coalesce_credit(&table, &things[0]);
    unsigned sections = 0;
    for (int n = 0; n < 10 * ELISION_LOAN_SECTIONS; n++) {
        add(0, 1);
        add(0, -1);
        settle();
        assert_int_equal(elision_coalesce_credit(&table, &things[0]), credit);
    }
    while (elision_coalesce_credit(&table, &things[0]) != 0) {
        settle();
        sections++;
    }
    assert_in_range(sections, ELISION_LOAN_SECTIONS, 2 * ELISION_LOAN_SECTIONS + 1);
}

static void
test_detach_and_return_end_loans(void **state)
{
    (void)state;
    make_loan(0);
    things[0].count -= 3;
    things[0].child = &things[1];
    assert_int_equal(elision_coalesce_settle(&table, ELISION_SETTLE_DETACH), 1);
    assert_int_equal(things[0].deaths + things[1].deaths, 2);
    make_loan(2);
    things[2].count -= 3;
    assert_int_equal(elision_coalesce_return(&table), 1);
    assert_true(elision_coalesce_is_empty(&table));
}

/* A destructor may want what its thread holds just then: it waits until the next section ends. */
static void
test_a_quiet_detach_destroys_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        make_loan(i);
    }
    make_suspect(2);
    add(0, 1);
    add(0, -1);
    things[0].count -= 3; /* its users' references, dropped elsewhere */
    assert_int_equal(elision_coalesce_settle(&table, ELISION_SETTLE_QUIET), 0);
    assert_int_equal(elision_coalesce_credit(&table, &things[0]), CREDIT);
    assert_int_equal(elision_coalesce_credit(&table, &things[1]), 0);
    assert_int_equal(things[1].count, 3);
    assert_int_equal(settle(), 1);
    assert_int_equal(things[0].deaths, 1);
    assert_true(elision_coalesce_is_empty(&table));
}

static void
test_the_number_of_loans_is_bounded(void **state)
{
    (void)state;
    int open = 0;
    enum { TOGETHER = 32 };
    for (int n = 0; n < 4; n++) {
        for (int first = 0; first < 4 * ELISION_LOANS; first += TOGETHER) {
            elision_coalesce_begin(&table, 1);
            for (int section = 0; section < 2; section++) {
                for (int i = first; i < first + TOGETHER; i++) {
                    things[i].count = 100;
                    add(i, 1);
                }
                settle();
            }
        }
    }
    for (int i = 0; i < 4 * ELISION_LOANS; i++) {
        open += elision_coalesce_credit(&table, &things[i]) != 0;
    }
    assert_int_equal(open, ELISION_LOANS);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup(test_##name, set_up)
    static const struct CMUnitTest tests[] = {
        TEST(pair_leaves_the_object_alone),
        TEST(net_is_applied_once),
        TEST(death_is_at_once),
        TEST(death_is_at_the_end_where_nobody_says_the_count),
        TEST(destructors_may_add),
        TEST(destructors_may_end_sections),
        TEST(what_has_no_slot_goes_to_the_object),
        TEST(pairs_of_many_objects_do_not_overflow),
        TEST(flush_makes_the_count_exact),
        TEST(only_delayed_sections_make_suspects),
        TEST(the_owner_is_asked_once),
        TEST(suspicion_fades),
        TEST(many_suspects_push_out_the_weakest),
        TEST(only_suspects_get_loans),
        TEST(a_loan_begins_when_it_is_likely_of_use),
        TEST(a_loan_serves_later_sections),
        TEST(credit_is_bounded),
        TEST(the_last_reference_is_noticed),
        TEST(an_idle_loan_is_returned),
        TEST(a_loan_in_use_stays),
        TEST(detach_and_return_end_loans),
        TEST(a_quiet_detach_destroys_nothing),
        TEST(the_number_of_loans_is_bounded),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
