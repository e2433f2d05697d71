// SPDX-License-Identifier: MIT
//
// An extension as they were written before free threading: it does not declare Py_mod_gil, and
// relies on the GIL between any two lines of C. With the GIL off it loses updates; with the GIL,
// plain or elided, never.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

static long total;         // read, then written many instructions later
static long first, second; // always equal between calls
static char text[32];      // a static buffer for a result
static PyObject *kept;     // a cell replaced in two steps

// What a compiler would keep in registers stays in memory: the window is real.
static long
slowly(long value)
{
    for (volatile int i = 0; i < 20; i++) {
    }
    return value;
}

// bump(n): add 1 to the total n times, and keep the two others equal.
static PyObject *
bump(PyObject *self, PyObject *arg)
{
    (void)self;
    long n = PyLong_AsLong(arg);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    for (long i = 0; i < n; i++) {
        long seen = *(volatile long *)&total;
        *(volatile long *)&total = slowly(seen) + 1;
        *(volatile long *)&first += 1;
        slowly(0);
        *(volatile long *)&second += 1;
        if (*(volatile long *)&first != *(volatile long *)&second) {
            PyErr_SetString(PyExc_RuntimeError, "first and second differ");
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

// format(n): str(n), by way of the static buffer.
static PyObject *
format(PyObject *self, PyObject *arg)
{
    (void)self;
    long n = PyLong_AsLong(arg);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    snprintf(text, sizeof(text), "%ld", n);
    slowly(0);
    return PyUnicode_FromString(text);
}

// swap(x): keep x, return what was kept before (or None), through a borrowed reference.
static PyObject *
swap(PyObject *self, PyObject *arg)
{
    (void)self;
    PyObject *before = *(PyObject *volatile *)&kept;
    slowly(0);
    *(PyObject *volatile *)&kept = Py_NewRef(arg);
    return before != NULL ? before : Py_NewRef(Py_None);
}

// references(x): what an extension looks at to know whether x is its caller's alone.
static PyObject *
references(PyObject *self, PyObject *arg)
{
    (void)self;
    return PyLong_FromSsize_t(Py_REFCNT(arg));
}

// guarded(n): add n to a sum that a mutex of ours guards; the sum.
static PyObject *
guarded(PyObject *self, PyObject *arg)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static long sum;
    long n = PyLong_AsLong(arg);

    (void)self;
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    pthread_mutex_lock(&mutex);
    sum = slowly(sum) + n;
    long result = sum;
    pthread_mutex_unlock(&mutex);
    return PyLong_FromLong(result);
}

// append_twice(list): 1, then 2, with a wait in between, all in the list's critical section.
static PyObject *
append_twice(PyObject *self, PyObject *list)
{
    int failed;

    (void)self;
    Py_BEGIN_CRITICAL_SECTION(list);
    failed = PyList_Append(list, PyLong_FromLong(1));
    Py_BEGIN_ALLOW_THREADS sched_yield();
    Py_END_ALLOW_THREADS failed |= PyList_Append(list, PyLong_FromLong(2));
    Py_END_CRITICAL_SECTION();
    return failed ? NULL : Py_NewRef(Py_None);
}

static PyObject *
get_total(PyObject *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
    return PyLong_FromLong(total);
}

static PyMethodDef methods[] = {
    {"bump", bump, METH_O, NULL},
    {"format", format, METH_O, NULL},
    {"swap", swap, METH_O, NULL},
    {"guarded", guarded, METH_O, NULL},
    {"append_twice", append_twice, METH_O, NULL},
    {"total", get_total, METH_NOARGS, NULL},
    {"references", references, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "unsafe_counter",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_unsafe_counter(void);

PyMODINIT_FUNC
PyInit_unsafe_counter(void)
{
    return PyModule_Create(&module);
}
