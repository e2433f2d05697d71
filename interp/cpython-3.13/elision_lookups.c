// SPDX-License-Identifier: PSF-2.0
//
// Attributes of types, found once by each thread.
//
// The interpreter's type cache has one entry for all pairs of a type and a name that have the same
// hash. Two such pairs in use at once keep taking it from each other, and each time is a write that
// every section with one of them conflicts with: programs with a few dozen pairs are unlucky in one
// run of fifty, with a few hundred in each. So in a section of an elided GIL an entry in use mostly
// stays as it is, and the other pair is found in a cache of the thread's own, which is asked when
// the shared one does not know. Its sets hold two pairs, so that three may meet in one entry.
//
// What makes an entry good is what makes one of the shared cache good: its version is the type's.
// Versions are never given twice. That the value is alive then needs no lock here: a section is
// atomic, so who changes the type in another thread either aborts it or is kept out by the lock.
// Names are not kept alive, so only interned ones are taken; a free-threaded build never frees
// these.
#include "Python.h"
#include "pycore_elision.h"
#include "pycore_object.h"  // _Py_TryIncref()
#include "pycore_pystate.h" // _PyThreadState_GET()
#include "pycore_tstate.h"  // _PyThreadStateImpl

#include <stdlib.h> // aligned_alloc()
#include <string.h> // memset()

#ifdef Py_GIL_DISABLED

#define SETS 128 // a power of two; a guess: few pairs are not found in the shared cache
#define GIVES_WAY 16

struct lookup {
    uint32_t version; // 0: none
    PyObject *name;   // borrowed
    PyObject *value;  // borrowed, or NULL: the type has no such attribute
};

struct _PyElision_Lookups {
    unsigned replacements; // lookups that neither cache knew, of entries in use
    struct {
        _Alignas(64) struct lookup latest, older;
    } sets[SETS];
};

static struct _PyElision_Lookups *
lookups(void)
{
    return ((_PyThreadStateImpl *)_PyThreadState_GET())->elision.lookups;
}

static unsigned
set_of(uint32_t version, const PyObject *name)
{
    return (version ^ (unsigned)((uintptr_t)name >> 3)) % SETS; // as MCACHE_HASH()
}

static int
is_of(const struct lookup *l, uint32_t version, const PyObject *name)
{
    return l->version == version && l->name == name;
}

int
_PyElision_FindLookupSlow(uint32_t version, PyObject *name, PyObject **value)
{
    const struct _PyElision_Lookups *mine = lookups();
    if (mine == NULL || version == 0) {
        return 0;
    }
    const struct lookup *l = &mine->sets[set_of(version, name)].latest;
    if (!is_of(l, version, name)) {
        l = &mine->sets[set_of(version, name)].older;
    }
    if (!is_of(l, version, name) || (l->value != NULL && !_Py_TryIncref(l->value))) {
        return 0;
    }
    *value = l->value;
    return 1;
}

int
_PyElision_KeepLookup(uint32_t version, PyObject *name, PyObject *value, uint32_t in_use)
{
    if (_PyElision_table == NULL) {
        return 1;
    }
    if (!PyUnicode_CHECK_INTERNED(name)) {
        return 0;
    }
    struct _PyElision_Lookups *mine = lookups();
    if (in_use == 0 || mine == NULL) {
        return in_use == 0;
    }
    const unsigned set = set_of(version, name);
    mine->sets[set].older = mine->sets[set].latest;
    mine->sets[set].latest = (struct lookup){version, name, value};
    return ++mine->replacements % GIVES_WAY == 0;
}

void
_PyElision_MakeLookups(PyThreadState *tstate)
{
    struct _PyElision_ThreadState *ts = &((_PyThreadStateImpl *)tstate)->elision;
    if (ts->lookups == NULL) {
        ts->lookups = aligned_alloc(_Alignof(struct _PyElision_Lookups), sizeof *ts->lookups);
        if (ts->lookups != NULL) {
            memset(ts->lookups, 0, sizeof *ts->lookups);
        }
    }
}

void
_PyElision_FreeLookups(PyThreadState *tstate)
{
    struct _PyElision_ThreadState *ts = &((_PyThreadStateImpl *)tstate)->elision;
    free(ts->lookups);
    ts->lookups = NULL;
}

#endif // Py_GIL_DISABLED
