// SPDX-License-Identifier: PSF-2.0
//
// Reference counts in sections of an elided GIL. A change to the count of an object another thread
// owns is a write to a line that every thread reads: two threads that use one object would abort
// each other all the time. So such changes go to a small table of the thread's own, where +1 and -1
// meet, and what is left is settled where the section ends. The table is memory like any other: an
// aborted section leaves it as it was at its beginning. Sections that hold the lock use it as well:
// the loans they take are what lets the next transactions get by without a write.
//
//   net    changes of this section, not yet in the object
//   loan   references the thread no longer needs but has kept, to serve later ones without a write;
//          they are in the object's count
//
// What others may rely on, on any build of any extension:
//   * Where an object has one reference, code may think it its own and change it in place. So an
//     increment waits in the table only if the object's visible count is at least 2 already.
//   * A count that is too high for a while is harmless: a decrement always may wait.
//   * An object of which only our loans are left is given back at the end of the section; a loan
//     ends when it has not been used for LOAN_SECTIONS sections, when its thread detaches, and when
//     it exits.
// So an object dies at the latest 2 * LOAN_SECTIONS sections after its last reference went, and one
// that no other thread has used dies as it always did: its owner's count is not touched here.
#include "Python.h"
#include "pycore_elision.h"
#include "pycore_object.h" // _Py_IsImmortal()
#include "pycore_tstate.h" // _PyThreadStateImpl

// Guesses, as is the size of the table: long enough that a loan pays, short enough that memory held
// by it is not missed.
#define LOAN_SECTIONS 64
#define LOAN_MAX 4

// Places in the table an object may have. With two, three objects in use were seen to meet and one
// of them to be written by every section.
#define REF_WAYS 4

static inline struct _PyElision_ThreadState *
thread_state(PyThreadState *tstate)
{
    return &((_PyThreadStateImpl *)tstate)->elision;
}

static inline Py_ssize_t
visible_count(PyObject *op)
{
    Py_ssize_t shared = _Py_atomic_load_ssize_relaxed(&op->ob_ref_shared);
    return (Py_ssize_t)_Py_atomic_load_uint32_relaxed(&op->ob_ref_local) +
           Py_ARITHMETIC_RIGHT_SHIFT(Py_ssize_t, shared, _Py_REF_SHARED_SHIFT);
}

// The entry for op, or a free one that is op's now; NULL if its places in the table are taken.
static inline struct _PyElision_Ref *
find_ref(struct _PyElision_ThreadState *ts, PyObject *op)
{
    uintptr_t hash = ((uintptr_t)op >> 4) ^ ((uintptr_t)op >> 11);
    struct _PyElision_Ref *unused = NULL;
    for (uintptr_t way = 0; way < REF_WAYS; way++) {
        struct _PyElision_Ref *ref = &ts->refs[(hash ^ way) % _PyElision_REFS];
        if (ref->op == op) {
            return ref;
        }
        if (unused == NULL && ref->net == 0 && ref->loan == 0) {
            unused = ref;
        }
    }
    if (unused != NULL) {
        unused->op = op;
    }
    else {
        ts->crowded = 1;
    }
    return unused;
}

static inline void
change(struct _PyElision_ThreadState *ts, struct _PyElision_Ref *ref, int by)
{
    ref->net += by;
    ts->dirty |= (uint64_t)1 << (ref - ts->refs);
}

void
_PyElision_IncRef(PyObject *op)
{
    struct _PyElision_ThreadState *ts = thread_state(_PyThreadState_GET());
    if (visible_count(op) >= 2) {
        struct _PyElision_Ref *ref = find_ref(ts, op);
        if (ref != NULL) {
            change(ts, ref, 1);
            return;
        }
    }
    _Py_atomic_add_ssize(&op->ob_ref_shared, 1 << _Py_REF_SHARED_SHIFT);
}

int
_PyElision_TryIncRef(PyObject *op)
{
    // In a section nobody can free op meanwhile, so all that matters is whether it is alive.
    if (visible_count(op) <= 0) {
        return 0;
    }
    _PyElision_IncRef(op);
    return 1;
}

int
_PyElision_DecRef(PyObject *op)
{
    struct _PyElision_ThreadState *ts = thread_state(_PyThreadState_GET());
    struct _PyElision_Ref *ref = find_ref(ts, op);
    if (ref == NULL) {
        return 0;
    }
    change(ts, ref, -1);
    return 1;
}

// Take ref's net change, and its loans if all, out of the table. Returns what must be done to the
// object itself.
static int
take_net(struct _PyElision_Ref *ref, int all)
{
    int net = ref->net;
    ref->net = 0;
    if (net > 0) {
        int served = net < ref->loan ? net : ref->loan;
        ref->loan -= served;
        net -= served;
    }
    else if (net < 0 && !all && ref->loan - net <= LOAN_MAX) {
        ref->loan -= net;
        net = 0;
    }
    if (ref->loan > 0 && (all || visible_count(ref->op) <= ref->loan)) {
        // Nobody else has a reference left, or it is time.
        net -= ref->loan;
        ref->loan = 0;
    }
    return net;
}

static void
apply_net(PyObject *op, int net)
{
    if (_Py_IsImmortal(op)) {
        return;
    }
    if (net > 0) {
        _Py_atomic_add_ssize(&op->ob_ref_shared, (Py_ssize_t)net << _Py_REF_SHARED_SHIFT);
    }
    for (; net < 0; net++) {
        _PyElision_DecRefSharedNow(op); // the last one may run a destructor
    }
}

static void
settle_refs(struct _PyElision_ThreadState *ts, uint64_t which, int all)
{
    // A destructor may change the table, even settle it: nothing of it is kept across apply_net().
    while (which != 0) {
        struct _PyElision_Ref *ref = &ts->refs[__builtin_ctzll(which)];
        uint64_t bit = which & -which;
        which &= ~bit;
        ts->used |= ts->dirty & bit;
        ts->dirty &= ~bit;
        PyObject *op = ref->op;
        int net = take_net(ref, all);
        ts->loaned = ref->loan > 0 ? ts->loaned | bit : ts->loaned & ~bit;
        if (net != 0) {
            apply_net(op, net);
        }
    }
}

void
_PyElision_Settle(PyThreadState *tstate, int all)
{
    struct _PyElision_ThreadState *ts = thread_state(tstate);
    if (all) {
        settle_refs(ts, ts->dirty | ts->loaned, 1);
    }
    // What destructors left there too.
    while (ts->dirty != 0) {
        settle_refs(ts, ts->dirty, 0);
    }
    if (ts->crowded || ++ts->sections >= LOAN_SECTIONS) {
        ts->sections = 0;
        ts->crowded = 0;
        settle_refs(ts, ts->loaned & ~ts->used, 1);
        ts->used = 0;
    }
}
