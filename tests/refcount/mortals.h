/* SPDX-License-Identifier: MIT
 *
 * Objects counted by refcount.h that know whether they are alive, and threads that count them in
 * turns, for kinds.c and life.c.
 */
#ifndef TESTS_REFCOUNT_MORTALS_H
#define TESTS_REFCOUNT_MORTALS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "refcount/refcount.h"

enum { THREADS = 3 };
enum state { UNUSED = 0, ALIVE = 1, DEAD = 2 };

struct mortal {
    elision_ref_t ref;
    enum state state;
};

static struct elision_ref_heap heap;
static struct elision_ref_thread *records[THREADS];
static int now; /* thread whose turn it is */

static inline struct elision_ref_thread *
self(void)
{
    return records[now];
}

static inline void
enter_threads(void (*destroy)(elision_ref_t *ref, void *arg))
{
    now = 0;
    elision_ref_heap_init(&heap, destroy, NULL);
    for (int t = 0; t < THREADS; t++) {
        records[t] = elision_ref_thread_enter(&heap);
        assert_non_null(records[t]);
    }
}

/* With one reference, of this thread. */
static inline void
come_alive(struct mortal *m)
{
    m->state = ALIVE;
    elision_ref_init(self(), &m->ref);
}

/* To be called by what the heap destroys objects with. */
static inline void
die(struct mortal *m)
{
    assert_int_equal(m->state, ALIVE);
    assert_false(elision_ref_try_get(self(), &m->ref));
    m->state = DEAD;
}

static inline void
get(struct mortal *m)
{
    assert_int_equal(m->state, ALIVE);
    elision_ref_get(self(), &m->ref);
}

static inline void
put(struct mortal *m)
{
    assert_int_equal(m->state, ALIVE);
    elision_ref_put(self(), &m->ref);
}

#endif
