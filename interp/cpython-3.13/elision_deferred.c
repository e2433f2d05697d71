// SPDX-License-Identifier: PSF-2.0
//
// Changes that wait until their section is about to end: pycore_elision.h says which, and why.
//
// Whatever order sections commit in, a section's own changes come in the order in which it asked
// for them last, behind those of all sections before it. That is the order in which the plain GIL
// would have had them, since nobody looked in between: who looks applies them first.
//
// What waits is the thread's own memory, which an abort takes back with everything else.
#include "Python.h"
#include "pycore_elision.h"
#include "pycore_pystate.h" // _PyThreadState_GET()
#include "pycore_tstate.h"  // _PyThreadStateImpl

#include <stdlib.h> // aligned_alloc()

#ifdef Py_GIL_DISABLED

// Changes that one section can have waiting; with more it makes them all and begins anew. Looked
// through one by one. A guess: more than a section of an interpreter has calls of cached functions.
#define MOST 64

struct deferred {
    PyObject *object; // borrowed, as the part is
    void *part;
    _PyElision_change change;
    uint32_t n;    // times
    uint32_t last; // when it was asked for last; in one section this does not wrap
};

struct _PyElision_Deferred {
    _Alignas(64) unsigned used;
    uint32_t now;
    struct deferred changes[MOST];
};

static struct _PyElision_Deferred *
deferred(void)
{
    return ((_PyThreadStateImpl *)_PyThreadState_GET())->elision.deferred;
}

// By insertion: mostly they are in order.
static void
sort(struct deferred *changes, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        const struct deferred moving = changes[i];
        unsigned place = i;
        for (; place > 0 && changes[place - 1].last > moving.last; place--) {
            changes[place] = changes[place - 1];
        }
        changes[place] = moving;
    }
}

void
_PyElision_ApplyDeferredSlow(void)
{
    struct _PyElision_Deferred *mine = deferred();
    if (mine == NULL) {
        return;
    }
    sort(mine->changes, mine->used);
    for (unsigned i = 0; i < mine->used; i++) {
        const struct deferred *d = &mine->changes[i];
        d->change(d->object, d->part, (Py_ssize_t)d->n);
    }
    mine->used = 0;
    mine->now = 0;
}

int
_PyElision_DeferSlow(PyObject *object, void *part, _PyElision_change change)
{
    struct _PyElision_Deferred *mine = deferred();
    if (mine == NULL) {
        return 0;
    }
    // What was asked for last is likely to be asked for again.
    struct deferred *d = &mine->changes[mine->used];
    while (d > mine->changes) {
        d--;
        if (d->part == part && d->object == object) {
            d->n++;
            d->last = ++mine->now;
            return 1;
        }
    }
    if (mine->used == MOST) {
        _PyElision_ApplyDeferredSlow();
    }
    mine->changes[mine->used++] = (struct deferred){object, part, change, 1, ++mine->now};
    return 1;
}

void
_PyElision_MakeDeferred(PyThreadState *tstate)
{
    struct _PyElision_ThreadState *ts = &((_PyThreadStateImpl *)tstate)->elision;
    if (ts->deferred == NULL) {
        ts->deferred = aligned_alloc(_Alignof(struct _PyElision_Deferred), sizeof *ts->deferred);
        if (ts->deferred != NULL) {
            ts->deferred->used = ts->deferred->now = 0;
        }
    }
}

void
_PyElision_FreeDeferred(PyThreadState *tstate)
{
    struct _PyElision_ThreadState *ts = &((_PyThreadStateImpl *)tstate)->elision;
    free(ts->deferred);
    ts->deferred = NULL;
}

#endif // Py_GIL_DISABLED
