// SPDX-License-Identifier: MIT
//
// pairs.run(object, n): n increments and decrements of one object's count, as the macros of the
// interpreter it was compiled for make them. Compiled as an extension, and with Py_BUILD_CORE as
// the interpreter's own modules are.
#include <Python.h>

static PyObject *
run(PyObject *self, PyObject *args)
{
    PyObject *object;
    long n;

    (void)self;
    if (!PyArg_ParseTuple(args, "Ol", &object, &n)) {
        return NULL;
    }
    for (long i = 0; i < n; i++) {
        Py_INCREF(object);
        Py_DECREF(object);
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pairs",
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_pairs(void);

PyMODINIT_FUNC
PyInit_pairs(void)
{
    return PyModule_Create(&definition);
}
