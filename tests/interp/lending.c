// SPDX-License-Identifier: MIT
//
// What otherwise comes of conflicts and of where objects lie tests bring about by this, when they
// want it: what a thread's table (refcount/coalesce.h) has for an object. And a mutex, to wait for.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "refcount/coalesce.h"

// pycore_elision.h: this thread's table while its changes to counts go there.
PyAPI_DATA(_Thread_local struct elision_coalesce *) _PyElision_table;

static PyMutex mutex;

// A change in a section that a conflict delayed, as far as the table can tell.
static void
delayed(struct elision_coalesce *table, PyObject *thing, int32_t delta)
{
    elision_coalesce_settle(table, ELISION_SETTLE_SECTION);
    elision_coalesce_begin(table, 1);
    elision_coalesce_add(table, thing, delta);
    elision_coalesce_settle(table, ELISION_SETTLE_SECTION);
}

// This thread takes a loan of a thing that it does not own, unless it has one.
static int
has_loan(PyObject *thing)
{
    struct elision_coalesce *table = _PyElision_table;

    if (table == NULL) {
        return 0;
    }
    if (elision_coalesce_credit(table, thing) == 0) {
        delayed(table, thing, 1);
        delayed(table, thing, -1); // twice makes a suspect, and the net of -1 is its loan
    }
    return elision_coalesce_credit(table, thing) != 0;
}

// lend(things): the same for each thing in a list. The list keeps them alive.
static PyObject *
lend(PyObject *self, PyObject *things)
{
    (void)self;
    for (Py_ssize_t i = 0; i < PyList_Size(things); i++) {
        (void)has_loan(PyList_GET_ITEM(things, i));
    }
    Py_RETURN_NONE;
}

// last(things, function, *args): call the function while a loan of this thread is all that keeps
// the list's one thing alive, and the list is empty. Returns None if that cannot be had yet: while
// somebody owns the thing it would die there.
static PyObject *
last(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *things = args[0];
    PyObject *thing = PyList_GET_ITEM(things, 0);

    (void)self;
    if (!has_loan(thing) || (thing->ob_ref_shared & _Py_REF_SHARED_FLAG_MASK) != _Py_REF_MERGED) {
        Py_RETURN_NONE;
    }
    Py_SET_SIZE(things, 0);
    thing->ob_ref_shared -= 1 << _Py_REF_SHARED_SHIFT; // as who has no table drops a reference
    return PyObject_Vectorcall(args[1], args + 2, (size_t)(count - 2), NULL);
}

// touch(thing): this thread's table knows the thing's address, as of one that was there before.
static PyObject *
touch(PyObject *self, PyObject *thing)
{
    (void)self;
    if (_PyElision_table != NULL) {
        elision_coalesce_add(_PyElision_table, thing, 1);
        elision_coalesce_add(_PyElision_table, thing, -1);
    }
    return PyBool_FromLong(_PyElision_table != NULL);
}

// hold(function): call it with the mutex held.
static PyObject *
hold(PyObject *self, PyObject *function)
{
    (void)self;
    PyMutex_Lock(&mutex);
    PyObject *result = PyObject_CallNoArgs(function);
    PyMutex_Unlock(&mutex);
    return result;
}

static PyMethodDef methods[] = {
    {"lend", lend, METH_O, NULL},
    {"last", (PyCFunction)(void (*)(void))last, METH_FASTCALL, NULL},
    {"touch", touch, METH_O, NULL},
    {"hold", hold, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lending",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_lending(void);

PyMODINIT_FUNC
PyInit_lending(void)
{
    return PyModule_Create(&module);
}
