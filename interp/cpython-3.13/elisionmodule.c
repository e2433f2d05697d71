// SPDX-License-Identifier: PSF-2.0
//
// The elision module: is the GIL elided, how well does that go, which modules brought the GIL back,
// and a switch. All figures come from libelision; pycore_elision.h says what a section is.
#include "Python.h"
#include "pycore_ceval.h" // _PyEval_IsGILEnabled()
#include "pycore_elision.h"
#include "pycore_frame.h"   // _PyInterpreterFrame
#include "pycore_pystate.h" // _PyInterpreterState_GET()

#ifdef Py_GIL_DISABLED
#include "elision/elision.h"

// The key of the dictionary of modules in the interpreter's own.
#define MODULES_KEY "elision.gil_modules"


/* Which modules need the GIL */

// A file's name may have bytes that are no text: it is not to be encoded.
static int
is_importlib(PyObject *filename)
{
    static const char prefix[] = "<frozen importlib";
    Py_ssize_t i = 0;
    while (prefix[i] != '\0' && i < PyUnicode_GET_LENGTH(filename) &&
           PyUnicode_READ_CHAR(filename, i) == (Py_UCS4)prefix[i]) {
        i++;
    }
    return prefix[i] == '\0';
}

// "function (file:line)" of the import, or None: the topmost frame that is not importlib's.
static PyObject *
importer(PyThreadState *tstate)
{
    PyFrameObject *frame = PyThreadState_GetFrame(tstate);
    while (frame != NULL) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        if (!is_importlib(code->co_filename)) {
            int line = PyFrame_GetLineNumber(frame);
            PyObject *result =
                PyUnicode_FromFormat("%U (%U:%d)", code->co_qualname, code->co_filename, line);
            Py_DECREF(code);
            Py_DECREF(frame);
            return result;
        }
        Py_DECREF(code);
        Py_SETREF(frame, PyFrame_GetBack(frame));
    }
    return Py_NewRef(Py_None);
}

// A borrowed reference to the dictionary of modules and who imported them, made at first use. With
// PYTHON_GIL=0 several threads may be here.
static PyObject *
modules_dict(PyInterpreterState *interp)
{
    PyObject *dict = PyInterpreterState_GetDict(interp);
    if (dict == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "elision: the interpreter has no dictionary");
        return NULL;
    }
    PyObject *key = PyUnicode_FromString(MODULES_KEY);
    PyObject *modules = PyDict_New();
    PyObject *found = NULL;
    if (key != NULL && modules != NULL) {
        (void)PyDict_SetDefaultRef(dict, key, modules, &found);
        Py_XDECREF(found); // the interpreter's dictionary keeps it
    }
    Py_XDECREF(key);
    Py_XDECREF(modules);
    return found;
}

int
_PyElision_NoteModule(PyThreadState *tstate, PyObject *name)
{
    PyObject *modules = modules_dict(tstate->interp);
    PyObject *from = modules == NULL ? NULL : importer(tstate);
    if (from == NULL) {
        return -1;
    }
    // Imported anew: who came first stays.
    int result = PyDict_SetDefaultRef(modules, name, from, NULL);
    Py_DECREF(from);
    return result < 0 ? -1 : 0;
}

static PyObject *
elision_gil_modules(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject *modules = modules_dict(_PyInterpreterState_GET());
    return modules == NULL ? NULL : PyDict_Items(modules);
}


/* Statistics */

// Steals value; NULL passes an exception on. Returns 0, or -1 with an exception set.
static int
put(PyObject *dict, const char *key, PyObject *value)
{
    if (value == NULL) {
        return -1;
    }
    int result = PyDict_SetItemString(dict, key, value);
    Py_DECREF(value);
    return result;
}

static int
put_count(PyObject *dict, const char *key, uint64_t count)
{
    return put(dict, key, PyLong_FromUnsignedLongLong(count));
}

static int
put_seconds(PyObject *dict, const char *key, uint64_t cycles)
{
    return put(dict, key, PyFloat_FromDouble(_PyElision_Seconds(cycles)));
}

static PyObject *
aborts_dict(const struct elision_stats *stats)
{
    PyObject *dict = PyDict_New();
    for (int reason = 0; dict != NULL && reason < ELISION_ABORT_REASONS; reason++) {
        const char *name = elision_abort_name((enum elision_abort)reason);
        if (put_count(dict, name, stats->aborts[reason]) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

static PyObject *
seconds_dict(const struct elision_stats *stats)
{
    PyObject *dict = PyDict_New();
    if (dict != NULL && (put_seconds(dict, "speculating", stats->cycles_speculating) < 0 ||
                         put_seconds(dict, "wasted", stats->cycles_wasted) < 0 ||
                         put_seconds(dict, "waiting", stats->cycles_waiting) < 0 ||
                         put_seconds(dict, "holding", stats->cycles_holding) < 0 ||
                         put_seconds(dict, "longest_speculating", stats->max_speculating) < 0 ||
                         put_seconds(dict, "longest_wasted", stats->max_wasted) < 0 ||
                         put_seconds(dict, "longest_waiting", stats->max_waiting) < 0 ||
                         put_seconds(dict, "longest_holding", stats->max_holding) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

// What the process' totals and one site's have in common.
static PyObject *
stats_dict(const struct elision_stats *stats)
{
    PyObject *dict = PyDict_New();
    if (dict != NULL && (put_count(dict, "starts", stats->starts) < 0 ||
                         put_count(dict, "commits", stats->commits) < 0 ||
                         put(dict, "aborts", aborts_dict(stats)) < 0 ||
                         put_count(dict, "fallbacks", stats->fallbacks) < 0 ||
                         put_count(dict, "locked", stats->locked) < 0 ||
                         put(dict, "seconds", seconds_dict(stats)) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

static int
add_site(const elision_site_t *site, const char *name, void *list)
{
    struct elision_stats stats;
    elision_site_stats(site, &stats);
    PyObject *dict = stats_dict(&stats);
    if (dict == NULL) {
        return -1;
    }
    int length = 0;
    int line = 0;
    name = name != NULL ? name : "";
    _PyElision_SiteNamed(name, &length, &line);
    PyObject *number = line > 0 ? PyLong_FromLong(line) : Py_NewRef(Py_None);
    int result = -1;
    if (put(dict, "site", PyUnicode_FromString(name)) == 0 &&
        put(dict, "function", PyUnicode_FromStringAndSize(name, length)) == 0 &&
        put(dict, "line", number) == 0) {
        result = PyList_Append(list, dict);
    }
    Py_DECREF(dict);
    return result;
}

static PyObject *
elision_stats_dict(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    _PyElision_Irrevocable();
    struct elision_stats stats;
    elision_stats(&stats);
    PyObject *dict = stats_dict(&stats);
    PyObject *sites = PyList_New(0);
    if (dict == NULL || sites == NULL || elision_sites_visit(add_site, sites) != 0 ||
        PyDict_SetItemString(dict, "sites", sites) < 0) {
        Py_CLEAR(dict);
    }
    Py_XDECREF(sites);
    return dict;
}


/* State and switch */

static PyObject *
elision_is_enabled(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyInterpreterState *interp = _PyInterpreterState_GET();
    return PyBool_FromLong(_PyElision_IsConfigured(interp) && _PyElision_IsSwitchedOn());
}

static PyObject *
elision_is_active(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(_PyElision_IsActive(_PyInterpreterState_GET()));
}

static PyObject *
elision_switch(PyObject *Py_UNUSED(module), PyObject *arg)
{
    int on = PyObject_IsTrue(arg);
    if (on < 0) {
        return NULL;
    }
    if (on && !_PyElision_IsConfigured(_PyInterpreterState_GET())) {
        PyErr_SetString(PyExc_RuntimeError, "this interpreter was started without elision: "
                                            "set PYTHON_ELISION=1 or use -X elision=1");
        return NULL;
    }
    _PyElision_Switch(on);
    Py_RETURN_NONE;
}

static PyObject *
elision_verdict_dict(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    const struct elision_verdict *verdict = elision_verdict();
    static const char *const backends[] = {"none", "rtm", "scripted"};
    PyObject *dict = PyDict_New();
    if (dict != NULL &&
        (put(dict, "backend", PyUnicode_FromString(backends[verdict->backend])) < 0 ||
         put(dict, "can_elide", PyBool_FromLong(verdict->can_elide)) < 0 ||
         put(dict, "emulated", PyBool_FromLong(verdict->emulated)) < 0 ||
         put(dict, "reason", PyUnicode_FromString(verdict->reason)) < 0 ||
         put(dict, "remedy", PyUnicode_FromString(verdict->remedy)) < 0 ||
         put(dict, "policy", PyUnicode_FromString(verdict->policy)) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

#else // a build that always has its GIL

static PyObject *
elision_is_enabled(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_FALSE;
}

static PyObject *
elision_gil_modules(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyList_New(0);
}

static PyObject *
elision_stats_dict(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyErr_SetString(PyExc_RuntimeError,
                    "this Python cannot elide its GIL: it was built without --disable-gil");
    return NULL;
}

static PyObject *
elision_switch(PyObject *module, PyObject *arg)
{
    int on = PyObject_IsTrue(arg);
    if (on != 0) {
        return on < 0 ? NULL : elision_stats_dict(module, NULL);
    }
    Py_RETURN_NONE;
}

#define elision_is_active elision_is_enabled
#define elision_verdict_dict elision_stats_dict

#endif // Py_GIL_DISABLED

PyDoc_STRVAR(
    enabled_doc,
    "enabled() -> bool\n\n"
    "True if elision was asked for (PYTHON_ELISION=1, -X elision=1) and not switched off.");
PyDoc_STRVAR(active_doc,
             "active() -> bool\n\n"
             "True if the GIL is in force and sections of it may run as transactions now.");
PyDoc_STRVAR(set_enabled_doc,
             "set_enabled(on)\n\n"
             "Switch elision off, or on again. Off, every thread takes the GIL as its lock.");
PyDoc_STRVAR(
    stats_doc,
    "stats() -> dict\n\n"
    "Counts since the process began, never decreasing: starts, commits, aborts by cause,\n"
    "fallbacks (sections that held the lock after a failed transaction), locked (all that held\n"
    "it), seconds by kind, and the same for each of the sites: Python function and line.");
PyDoc_STRVAR(
    gil_modules_doc,
    "gil_modules() -> list of (module, importer)\n\n"
    "Every module imported so far that does not declare that it runs safely without the GIL.");
PyDoc_STRVAR(
    verdict_doc,
    "verdict() -> dict\n\n"
    "What was found out about this machine: backend, can_elide, emulated, reason, remedy, policy.");

static PyMethodDef elision_methods[] = {
    {"enabled", elision_is_enabled, METH_NOARGS, enabled_doc},
    {"active", elision_is_active, METH_NOARGS, active_doc},
    {"set_enabled", elision_switch, METH_O, set_enabled_doc},
    {"stats", elision_stats_dict, METH_NOARGS, stats_doc},
    {"gil_modules", elision_gil_modules, METH_NOARGS, gil_modules_doc},
    {"verdict", elision_verdict_dict, METH_NOARGS, verdict_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef_Slot elision_slots[] = {
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

PyDoc_STRVAR(module_doc, "The GIL run as hardware transactions: state, statistics, switch.");

static struct PyModuleDef elision_module = {
    PyModuleDef_HEAD_INIT,        .m_name = "elision",      .m_doc = module_doc,
    .m_methods = elision_methods, .m_slots = elision_slots,
};

PyMODINIT_FUNC
PyInit_elision(void)
{
    return PyModuleDef_Init(&elision_module);
}
