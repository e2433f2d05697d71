/* SPDX-License-Identifier: MIT
 *
 * Objects with one plain count, and a table over them, for the tests of coalesce.h.
 */
#ifndef TESTS_REFCOUNT_THINGS_H
#define TESTS_REFCOUNT_THINGS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "refcount/coalesce.h"

enum { OBJECTS = 1024, CHILDREN = 64 };

struct thing {
    int64_t count;
    int writes;          /* times the count was changed */
    int deaths;          /* times it was destroyed */
    int asked;           /* times its owner was asked to give it up */
    struct thing *child; /* a reference that dies with it */
    bool settles;        /* its destructor ends a section */
} ELISION_ALIGNED;

static struct thing things[OBJECTS];
static struct elision_coalesce table;

static bool
thing_apply(void *object, int32_t delta, void *arg)
{
    struct thing *thing = object;

    assert_ptr_equal(arg, &things);
    assert_int_not_equal(delta, 0);
    assert_int_equal(thing->deaths, 0);
    thing->count += delta;
    thing->writes++;
    assert_true(thing->count >= 0);
    return thing->count == 0;
}

static void
thing_destroy(void *object, void *arg)
{
    struct thing *thing = object;

    assert_ptr_equal(arg, &things);
    assert_int_equal(thing->count, 0);
    thing->deaths++;
    if (thing->child != NULL) {
        elision_coalesce_add(&table, thing->child, -1);
    }
    if (thing->settles) {
        elision_coalesce_settle(&table, ELISION_SETTLE_SECTION);
    }
}

static int64_t
thing_count(const void *object, void *arg)
{
    assert_ptr_equal(arg, &things);
    return ((const struct thing *)object)->count;
}

static void
thing_suspect(void *object, void *arg)
{
    assert_ptr_equal(arg, &things);
    assert_true(((struct thing *)object)->count > 0);
    ((struct thing *)object)->asked++;
}

static const struct elision_coalesce_ops thing_ops = {
    .apply = thing_apply,
    .destroy = thing_destroy,
    .count = thing_count,
    .suspect = thing_suspect,
};

static inline int
set_up(void **state)
{
    (void)state;
    memset(things, 0, sizeof things);
    for (int i = 0; i < OBJECTS; i++) {
        things[i].count = 1;
    }
    elision_coalesce_init(&table, &thing_ops, &things);
    return 0;
}

static inline void
add(int i, int32_t delta)
{
    elision_coalesce_add(&table, &things[i], delta);
}

static inline unsigned
settle(void)
{
    return elision_coalesce_settle(&table, ELISION_SETTLE_SECTION);
}

#endif
