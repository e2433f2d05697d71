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

// lend(things): this thread takes a loan of each thing in a list that it does not own; how many of
// them it has on loan. The list keeps them alive.
static PyObject *
lend(PyObject *self, PyObject *things)
{
    struct elision_coalesce *table = _PyElision_table;
    long loans = 0;

    (void)self;
    for (Py_ssize_t i = 0; table != NULL && i < PyList_Size(things); i++) {
        PyObject *thing = PyList_GET_ITEM(things, i);
        if (elision_coalesce_credit(table, thing) == 0) {
            delayed(table, thing, 1);
            delayed(table, thing, -1); // twice makes a suspect, and the net of -1 is its loan
        }
        loans += elision_coalesce_credit(table, thing) != 0;
    }
    return PyLong_FromLong(loans);
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
