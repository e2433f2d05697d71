// SPDX-License-Identifier: PSF-2.0
//
// Reference counts in sections of an elided GIL, on refcount/coalesce.h: read that header first.
// Here is what it means for CPython's counts.
//
// A change to the count of an object that another thread owns goes to this thread's table, on
// either path: sections that hold the lock learn which objects conflict and take the loans that
// spare the next transactions a write. The owner's own changes stay plain. An object that makes
// sections conflict is queued to its owner, as the stock interpreter does when a shared count drops
// below zero: the owner merges it, nobody owns it then, and everybody's changes take the table.
//
// What extensions may rely on, whichever headers they were compiled with:
//   * Where an object has one reference, code may think it its own and change it in place. So an
//     increment waits in the table only if the object's real count is at least 2 already.
//   * A count that is too high for a while is harmless: a decrement may wait.
//   * But a destructor may give its object a reference for a while, by setting the count outright,
//     and then asks whether there are more. So no change waits while the object is destroyed: the
//     table's first look does not find it then, and behind that is where it is noticed.
//   * Increments by stock headers go to the object; decrements all come through _Py_DecRefShared().
//
// The keys that the dictionaries of a type's instances share have a count of their own, which every
// such dictionary changes that is made or dies. It goes the same way.
#include "Python.h"
#include "pycore_brc.h"  // _Py_brc_queue_object()
#include "pycore_dict.h" // DICT_KEYS_SPLIT
#include "pycore_elision.h"
#include "pycore_object.h" // _Py_IsImmortal()
#include "pycore_tstate.h" // _PyThreadStateImpl

#include "refcount/coalesce.h"

#include <stdlib.h> // aligned_alloc()

#ifdef Py_GIL_DISABLED

#define ONE_SHARED ((Py_ssize_t)1 << _Py_REF_SHARED_SHIFT)

_Py_thread_local struct elision_coalesce *_PyElision_table = NULL;
_Py_thread_local int _PyElision_locks_held = 0;

// An object that this thread is destroying, and those whose destructors led there.
struct dying {
    const void *op;
    const struct dying *outer;
};

static _Py_thread_local const struct dying *all_dying = NULL;

static int
is_dying(const void *op)
{
    const struct dying *dying = all_dying;

    while (dying != NULL && dying->op != op) {
        dying = dying->outer;
    }
    return dying != NULL;
}

static inline struct elision_coalesce *
table_of(PyThreadState *tstate)
{
    return ((_PyThreadStateImpl *)tstate)->elision.table;
}

static inline Py_ssize_t
real_count(const PyObject *op)
{
    Py_ssize_t shared = _Py_atomic_load_ssize_relaxed(&op->ob_ref_shared);
    return (Py_ssize_t)_Py_atomic_load_uint32_relaxed(&op->ob_ref_local) +
           Py_ARITHMETIC_RIGHT_SHIFT(Py_ssize_t, shared, _Py_REF_SHARED_SHIFT);
}


/* Keys: to the table an address with its lowest bit set */

static inline void *
keys_as_object(PyDictKeysObject *keys)
{
    return (char *)keys + 1;
}

// ret: NULL if object is an object
static inline PyDictKeysObject *
keys_of(const void *object)
{
    return ((uintptr_t)object & 1) != 0 ? (PyDictKeysObject *)((char *)object - 1) : NULL;
}

// The last reference is left for destroy_keys() to drop.
static bool
apply_to_keys(PyDictKeysObject *keys, int32_t delta)
{
    bool last = _Py_atomic_add_ssize(&keys->dk_refcnt, delta) + delta == 0;
    if (last) {
        _Py_atomic_store_ssize_relaxed(&keys->dk_refcnt, 1);
    }
    return last;
}

static void
destroy_keys(PyDictKeysObject *keys)
{
    const struct dying dying = {.op = keys_as_object(keys), .outer = all_dying};

#ifdef Py_REF_DEBUG
    _Py_IncRefTotal(_PyThreadState_GET());
#endif
    all_dying = &dying;
    _PyDictKeys_DecRef(keys);
    all_dying = dying.outer;
}

int
_PyElision_CountKeysSlow(PyDictKeysObject *keys, int delta)
{
    void *object = keys_as_object(keys);

    if (keys->dk_kind != DICT_KEYS_SPLIT || is_dying(object)) {
        return 0;
    }
    elision_coalesce_add(_PyElision_table, object, delta);
    return 1;
}


/* What the table does to objects */

static bool
apply(void *object, int32_t delta, void *Py_UNUSED(arg))
{
    PyObject *op = object;
    if (keys_of(object) != NULL) {
        return apply_to_keys(keys_of(object), delta);
    }
    if (_Py_IsImmortal(op)) {
        return false;
    }
    if (delta > 0) {
        _Py_atomic_add_ssize(&op->ob_ref_shared, (Py_ssize_t)delta << _Py_REF_SHARED_SHIFT);
        return false;
    }
    // One at a time: any of them may have to queue the object. Only the last can find it dead.
    for (; delta < -1; delta++) {
        (void)_PyElision_DecRefSharedIsDead(op);
    }
    return _PyElision_DecRefSharedIsDead(op);
}

static void
destroy(void *object, void *Py_UNUSED(arg))
{
    if (keys_of(object) != NULL) {
        destroy_keys(keys_of(object));
    }
    else {
        _PyElision_Dealloc(object);
    }
}

static int64_t
count(const void *object, void *Py_UNUSED(arg))
{
    return keys_of(object) != NULL ? _Py_atomic_load_ssize_relaxed(&keys_of(object)->dk_refcnt)
                                   : real_count(object);
}

// The queue has a reference of its own; who merges drops it.
static void
suspect(void *object, void *Py_UNUSED(arg))
{
    PyObject *op = object;
    if (keys_of(object) != NULL || _Py_IsImmortal(op)) {
        return;
    }
    Py_ssize_t shared = _Py_atomic_load_ssize_relaxed(&op->ob_ref_shared);
    Py_ssize_t queued;
    do {
        if ((shared & _Py_REF_SHARED_FLAG_MASK) >= _Py_REF_QUEUED) {
            return; // queued, merged, or its counts are deferred
        }
        queued = (shared & ~(Py_ssize_t)_Py_REF_SHARED_FLAG_MASK) + ONE_SHARED + _Py_REF_QUEUED;
    } while (!_Py_atomic_compare_exchange_ssize(&op->ob_ref_shared, &shared, queued));
#ifdef Py_REF_DEBUG
    _Py_IncRefTotal(_PyThreadState_GET());
#endif
    _Py_brc_queue_object(op);
}

static const struct elision_coalesce_ops operations = {
    .apply = apply,
    .destroy = destroy,
    .count = count,
    .suspect = suspect,
};


/* Changes by this thread */

// The usual way is a test or two and the table's first look, with as few instructions as can be.
// All else is out of line, and has the tests that are about what the table does not have yet.
static Py_NO_INLINE void
increment(PyObject *op, Py_ssize_t n)
{
    struct elision_coalesce *table = _PyElision_table;
    if (table != NULL && n <= INT16_MAX && real_count(op) >= 2 && !is_dying(op)) {
        elision_coalesce_add(table, op, (int32_t)n);
    }
    else {
        _Py_atomic_add_ssize(&op->ob_ref_shared, n * ONE_SHARED);
    }
}

static Py_NO_INLINE void
decrement(PyObject *op)
{
    if (!is_dying(op)) {
        elision_coalesce_add(_PyElision_table, op, -1);
    }
    else if (_PyElision_DecRefSharedIsDead(op)) {
        _Py_Dealloc(op);
    }
}

void
_Py_IncRefShared(PyObject *op)
{
    struct elision_coalesce *table = _PyElision_table;
    // The owner's part is never negative, so that two shared references are enough to know.
    if (table == NULL || _Py_atomic_load_ssize_relaxed(&op->ob_ref_shared) < 2 * ONE_SHARED ||
        !elision_coalesce_try_add(table, op, 1)) {
        increment(op, 1);
    }
}

void
_PyElision_IncRefBy(PyObject *op, Py_ssize_t n)
{
    increment(op, n);
}

void
_PyElision_DecRef(PyObject *op)
{
    if (!elision_coalesce_try_add(_PyElision_table, op, -1)) {
        decrement(op);
    }
}

int
_PyElision_TryIncRef(PyObject *op)
{
    // In a section nobody can free op meanwhile, so all that matters is whether it is alive.
    if (real_count(op) <= 0) {
        return 0;
    }
#ifdef Py_REF_DEBUG
    _Py_IncRefTotal(_PyThreadState_GET());
#endif
    _Py_IncRefShared(op);
    return 1;
}

void
_PyElision_Dealloc(PyObject *op)
{
    const struct dying dying = {.op = op, .outer = all_dying};

    _PyElision_Flush(op);
    all_dying = &dying;
    _Py_Dealloc(op);
    all_dying = dying.outer;
}

void
_PyElision_Flush(PyObject *op)
{
    if (_PyElision_table != NULL) {
        elision_coalesce_flush(_PyElision_table, op);
    }
}


/* Sections and thread states */

void
_PyElision_StartCounting(PyThreadState *tstate, unsigned conflicts)
{
    struct elision_coalesce *table = table_of(tstate);
    if (table != NULL) {
        elision_coalesce_begin(table, conflicts);
        _PyElision_table = table;
    }
}

void
_PyElision_Settle(PyThreadState *tstate, int all)
{
    struct elision_coalesce *table = table_of(tstate);
    if (table != NULL) {
        elision_coalesce_settle(table, !all                         ? ELISION_SETTLE_SECTION
                                       : _PyElision_locks_held != 0 ? ELISION_SETTLE_QUIET
                                                                    : ELISION_SETTLE_DETACH);
        _PyElision_ApplyDeferred(); // last: destructors defer some, too
    }
}

void
_PyElision_WillWait(void)
{
    PyThreadState *tstate = _PyThreadState_GET();
    _PyElision_Irrevocable();
    if (tstate != NULL && tstate->_status.holds_gil) {
        _PyElision_Settle(tstate, 1);
        _PyElision_Irrevocable(); // a destructor may have ended the section
    }
}

void
_PyElision_StopCounting(PyThreadState *tstate, int all)
{
    _PyElision_Settle(tstate, all);
    if (_PyElision_table == table_of(tstate)) {
        _PyElision_table = NULL;
    }
}

void
_PyElision_MakeTable(PyThreadState *tstate)
{
    struct _PyElision_ThreadState *ts = &((_PyThreadStateImpl *)tstate)->elision;
    if (ts->table == NULL) {
        ts->table =
            aligned_alloc(_Alignof(struct elision_coalesce), sizeof(struct elision_coalesce));
        if (ts->table != NULL) {
            elision_coalesce_init(ts->table, &operations, NULL);
        }
    }
}

void
_PyElision_FreeTable(PyThreadState *tstate)
{
    struct _PyElision_ThreadState *ts = &((_PyThreadStateImpl *)tstate)->elision;
    free(ts->table);
    ts->table = NULL;
}

void
_PyElision_FreeThreadState(PyThreadState *tstate)
{
    _PyElision_FreeTable(tstate);
    _PyElision_FreeLookups(tstate);
    _PyElision_FreeDeferred(tstate);
}

#endif // Py_GIL_DISABLED
