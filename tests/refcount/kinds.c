/* SPDX-License-Identifier: MIT
 *
 * What refcount.h promises that needs no interleaving: kinds of objects, exit, fork.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "refcount/refcount.h"

enum { THREADS = 3, OBJECTS = 4 };
enum state { UNUSED = 0, ALIVE = 1, DEAD = 2 };

struct object {
    elision_ref_t ref;
    enum state state;
};

static struct elision_ref_heap heap;
static struct elision_ref_thread *records[THREADS];
static struct {
    struct object objects[OBJECTS];
    int used;
    int now; /* thread whose turn it is */
} world;

static struct elision_ref_thread *
self(void)
{
    return records[world.now];
}

static void
destroy(elision_ref_t *ref, void *arg)
{
    struct object *o = (struct object *)ref;

    (void)arg;
    assert_int_equal(o->state, ALIVE);
    assert_false(elision_ref_try_get(self(), ref));
    o->state = DEAD;
}

static struct object *
make(void)
{
    struct object *o = &world.objects[world.used++];

    assert_true(world.used <= OBJECTS);
    o->state = ALIVE;
    elision_ref_init(self(), &o->ref);
    return o;
}

static struct object *
get(struct object *o)
{
    elision_ref_get(self(), &o->ref);
    return o;
}

static void
put(struct object *o)
{
    elision_ref_put(self(), &o->ref);
}

static void
begin_single(void)
{
    memset(&world, 0, sizeof world);
    elision_ref_heap_init(&heap, destroy, NULL);
    for (int t = 0; t < THREADS; t++) {
        records[t] = elision_ref_thread_enter(&heap);
    }
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
    struct object *o = make();
    put(get(o));
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
    struct object *o = make();
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
    struct object *o = make();
    world.now = 1;
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
    struct object *o = make();
    elision_ref_defer(self(), &o->ref);
    world.now = 1;
    elision_ref_get_stack(self(), &o->ref);
    assert_int_equal(elision_ref_count(self(), &o->ref), 2);
    elision_ref_put_stack(self(), &o->ref);
    world.now = 0;
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
    struct object *o = make();
    elision_ref_thread_exit(records[0]);
    assert_ptr_equal(elision_ref_thread_enter(&heap), records[0]);
    put(get(o)); /* its owner now */
    world.now = 1;
    elision_ref_put(self(), &o->ref);
    assert_int_equal(o->state, ALIVE);
    world.now = 0;
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
    struct object *a = make();
    world.now = 1;
    struct object *b = make();
    for (int n = 0; n < 4; n++) {
        elision_ref_begin(self(), ELISION_LOCKED, 1);
        elision_coalesce_add(elision_ref_table(self()), &a->ref, n % 2 == 0 ? 1 : -1);
        elision_ref_end(self(), ELISION_SETTLE_SECTION);
    }
    assert_true(elision_coalesce_credit(elision_ref_table(self()), &a->ref) > 0);
    world.now = 0;
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
