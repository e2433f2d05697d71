/* SPDX-License-Identifier: MIT
 *
 * What refcount.h promises that needs no interleaving: kinds of objects, exit, fork.
 */
#include "tests/refcount/mortals.h"

enum { OBJECTS = 4 };

static struct mortal objects[OBJECTS];
static int used;

static void
destroy(elision_ref_t *ref, void *arg)
{
    (void)arg;
    die((struct mortal *)ref);
}

static struct mortal *
make(void)
{
    struct mortal *m = &objects[used++];

    assert_true(used <= OBJECTS);
    come_alive(m);
    return m;
}

static void
begin_single(void)
{
    memset(objects, 0, sizeof objects);
    used = 0;
    enter_threads(destroy);
}

static void
end_single(void)
{
    for (int t = 0; t < THREADS; t++) {
        elision_ref_thread_exit(records[t]);
    }
    elision_ref_heap_fini(&heap);
}

static void
test_owners_object_dies_at_once(void **state)
{
    (void)state;
    begin_single();
    elision_ref_begin(self(), ELISION_LOCKED, 0);
    struct mortal *o = make();
    get(o);
    put(o);
    assert_int_equal(o->state, ALIVE);
    put(o);
    assert_int_equal(o->state, DEAD);
    elision_ref_end(self(), ELISION_SETTLE_DETACH);
    end_single();
}

static void
test_immortal(void **state)
{
    static elision_ref_t constant = ELISION_REF_IMMORTAL_INIT;

    (void)state;
    begin_single();
    struct mortal *o = make();
    elision_ref_set_immortal(&o->ref);
    for (int n = 0; n < 3; n++) {
        elision_ref_put(self(), &o->ref);
        elision_ref_put(self(), &constant);
        elision_ref_begin(self(), ELISION_SPECULATIVE, 1);
        elision_ref_put(self(), &o->ref);
        assert_true(elision_ref_try_get(self(), &o->ref));
        elision_ref_end(self(), ELISION_SETTLE_DETACH);
    }
    assert_int_equal(o->state, ALIVE);
    end_single();
}

static void
test_made_immortal_in_a_section(void **state)
{
    (void)state;
    begin_single();
    struct mortal *o = make();
    now = 1;
    elision_ref_begin(self(), ELISION_LOCKED, 0);
    elision_ref_put(self(), &o->ref);
    elision_ref_set_immortal(&o->ref);
    elision_ref_end(self(), ELISION_SETTLE_DETACH);
    assert_int_equal(o->state, ALIVE);
    end_single();
}

static void
test_deferred(void **state)
{
    (void)state;
    begin_single();
    struct mortal *o = make();
    elision_ref_defer(self(), &o->ref);
    now = 1;
    elision_ref_get_stack(self(), &o->ref);
    assert_int_equal(elision_ref_count(self(), &o->ref), 2);
    elision_ref_put_stack(self(), &o->ref);
    now = 0;
    put(o);
    assert_int_equal(o->state, ALIVE);
    elision_ref_get_stack(self(), &o->ref);
    elision_ref_put_stack(self(), &o->ref);
    elision_ref_undefer(self(), &o->ref);
    assert_int_equal(o->state, DEAD);
    end_single();
}

static void
test_records_are_taken_over(void **state)
{
    (void)state;
    begin_single();
    struct mortal *o = make();
    elision_ref_thread_exit(records[0]);
    assert_ptr_equal(elision_ref_thread_enter(&heap), records[0]);
    get(o); /* its owner now */
    put(o);
    now = 1;
    elision_ref_put(self(), &o->ref);
    assert_int_equal(o->state, ALIVE);
    now = 0;
    elision_ref_begin(self(), ELISION_LOCKED, 0);
    assert_int_equal(o->state, DEAD);
    elision_ref_end(self(), ELISION_SETTLE_DETACH);
    end_single();
}

/* In a child only thread 0 goes on: thread 1's loans end, and what is queued to it dies. */
static void
test_forked_child(void **state)
{
    (void)state;
    begin_single();
    struct mortal *a = make();
    now = 1;
    struct mortal *b = make();
    for (int n = 0; n < 4; n++) {
        elision_ref_begin(self(), ELISION_LOCKED, 1);
        elision_coalesce_add(elision_ref_table(self()), &a->ref, n % 2 == 0 ? 1 : -1);
        elision_ref_end(self(), ELISION_SETTLE_SECTION);
    }
    assert_true(elision_coalesce_credit(elision_ref_table(self()), &a->ref) > 0);
    now = 0;
    elision_ref_put(self(), &b->ref);
    elision_ref_child(&heap, self());
    assert_int_equal(b->state, DEAD);
    elision_ref_merge(self()); /* it was asked to give it up */
    assert_int_equal(elision_ref_count(self(), &a->ref), 1);
    put(a);
    assert_int_equal(a->state, DEAD);
    elision_ref_thread_exit(self());
    elision_ref_heap_fini(&heap);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test(test_##name)
    static const struct CMUnitTest tests[] = {
        TEST(owners_object_dies_at_once), TEST(immortal),
        TEST(made_immortal_in_a_section), TEST(deferred),
        TEST(records_are_taken_over),     TEST(forked_child),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
