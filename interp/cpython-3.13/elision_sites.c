// SPDX-License-Identifier: PSF-2.0
//
// Sites: the lines of Python at which sections of the GIL begin. A section begins where its thread
// attached or passed a checkpoint, so the site is the line its topmost frame stands on. libelision
// keeps what the policy learns; here is the way from a frame to that, and the line's name.
//
// A thread finds the site of an instruction in a small cache of its own. On a miss the line is
// looked up and the site found in one table of the process, or added to it; nothing is ever removed
// from there. When the table's neighbourhood is full, further lines share one site. All of this
// happens between sections, never in one.
#include "Python.h"
#include "pycore_elision.h"
#include "pycore_code.h"
#include "pycore_frame.h"   // _PyInterpreterFrame
#include "pycore_pystate.h" // _PyThreadState_GetFrame()
#include "pycore_tstate.h"  // _PyThreadStateImpl

#include "elision/elision.h"

#include <stdlib.h> // calloc()

#ifdef Py_GIL_DISABLED

#define TABLE_SIZE 4096 // a power of two; more than libelision tells apart
#define TABLE_PROBES 32
#define LABEL_SIZE 160

struct _PyElision_Site {
    uint64_t key;
    elision_site_t *state;
    int line;            // 0 if there is none
    int function_length; // the part of the label that is the function's qualified name
    char label[LABEL_SIZE];
};

// Slots go from NULL to a site once; release by the thread that adds, acquire by all who look.
static struct _PyElision_Site *table[TABLE_SIZE];

static elision_site_t no_frame_state = ELISION_SITE_INIT("(no Python frame)");
static elision_site_t further_state = ELISION_SITE_INIT("(further lines)");
static struct _PyElision_Site no_frame = {
    .state = &no_frame_state,
    .function_length = 17,
    .label = "(no Python frame)",
};
static struct _PyElision_Site further = {
    .state = &further_state,
    .function_length = 15,
    .label = "(further lines)",
};

// Append text to label, up to room characters, everything but printable ASCII as '?'. Plain reads:
// no exception, no allocation, since the thread is not attached. Returns the new length.
static int
append(char *label, int length, int room, PyObject *text)
{
    if (text == NULL || !PyUnicode_Check(text)) {
        return length;
    }
    Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    for (Py_ssize_t i = 0; i < size && length < room; i++) {
        Py_UCS4 c = PyUnicode_READ_CHAR(text, i);
        label[length++] = (c >= 0x20 && c < 0x7f) ? (char)c : '?';
    }
    label[length] = '\0';
    return length;
}

static struct _PyElision_Site *
new_site(PyCodeObject *code, uint64_t key, int line)
{
    // Not by PyMem: what tracemalloc counts is the program's.
    struct _PyElision_Site *site = calloc(1, sizeof(*site));
    if (site == NULL) {
        return NULL;
    }
    site->key = key;
    site->line = line;
    site->function_length = append(site->label, 0, LABEL_SIZE / 2, code->co_qualname);
    int length = site->function_length;
    length += snprintf(site->label + length, LABEL_SIZE - (size_t)length, " (");
    // The file's last component: paths are long and their beginnings alike.
    char path[1024];
    append(path, 0, (int)sizeof(path) - 1, code->co_filename);
    const char *slash = strrchr(path, '/');
    snprintf(site->label + length, LABEL_SIZE - (size_t)length, "%.60s:%d)",
             slash != NULL ? slash + 1 : path, line);
    return site;
}

// Who asks for a site's length cuts its sections: libelision must know before the first of them,
// and what is written in a transaction may be undone.
static struct _PyElision_Site *
to_be_cut(struct _PyElision_Site *site)
{
    (void)elision_section_length(site->state);
    return site;
}

// libelision keeps the label by pointer, so it hears of a site only once the table has it.
static struct _PyElision_Site *
with_state(struct _PyElision_Site *site)
{
    if (_Py_atomic_load_ptr_relaxed(&site->state) == NULL) {
        // Two threads may do this at once: they get the same.
        _Py_atomic_store_ptr_relaxed(&site->state,
                                     elision_site_dynamic((uintptr_t)site->key, site->label));
    }
    return to_be_cut(site);
}

static struct _PyElision_Site *
find_site(PyCodeObject *code, int line)
{
    // An interpreter never uses a version twice, but others use the same, and an address is used
    // anew. 0 means that versions have run out.
    uint64_t identity = ((uint64_t)code->co_version << 32) ^ (uintptr_t)code;
    uint64_t key = ((identity * 0x9e3779b97f4a7c15u) ^ (uint64_t)line) * 0x9e3779b97f4a7c15u;
    key |= 1;
    struct _PyElision_Site *made = NULL;
    for (int i = 0; i < TABLE_PROBES; i++) {
        struct _PyElision_Site **slot = &table[((key >> 40) + i) % TABLE_SIZE];
        struct _PyElision_Site *site = _Py_atomic_load_ptr_acquire(slot);
        if (site == NULL) {
            if (made == NULL) {
                made = new_site(code, key, line);
                if (made == NULL) {
                    return to_be_cut(&further);
                }
            }
            if (_Py_atomic_compare_exchange_ptr(slot, &site, made)) {
                return with_state(made);
            }
            // Another thread took the slot: site is what it put there.
        }
        if (site->key == key) {
            free(made); // lost the race for the same key, or NULL
            return with_state(site);
        }
    }
    return to_be_cut(&further);
}

struct _PyElision_Site *
_PyElision_SiteHere(PyThreadState *tstate)
{
    _PyInterpreterFrame *frame = _PyThreadState_GetFrame(tstate);
    if (frame == NULL) {
        return to_be_cut(&no_frame);
    }
    PyCodeObject *code = _PyFrame_GetCode(frame);
    const void *instr = frame->instr_ptr;
    struct _PyElision_ThreadState *ts = &((_PyThreadStateImpl *)tstate)->elision;
    size_t slot = ((uintptr_t)instr / sizeof(_Py_CODEUNIT)) % _PyElision_CACHED_SITES;
    if (ts->cache[slot].instr != instr || ts->cache[slot].version != code->co_version) {
        int line = PyCode_Addr2Line(code, _PyInterpreterFrame_LASTI(frame) * sizeof(_Py_CODEUNIT));
        ts->cache[slot].site = find_site(code, line < 0 ? 0 : line);
        ts->cache[slot].instr = instr;
        ts->cache[slot].version = code->co_version;
    }
    return ts->cache[slot].site;
}

elision_site_t *
_PyElision_SiteState(const struct _PyElision_Site *site)
{
    return site->state;
}

const char *
_PyElision_SiteLabel(const struct _PyElision_Site *site)
{
    return site->label;
}

void
_PyElision_SiteNamed(const char *name, int *function_length, int *line)
{
    *function_length = (int)strlen(name);
    *line = 0;
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        struct _PyElision_Site *site = _Py_atomic_load_ptr_acquire(&table[i]);
        if (site != NULL && site->label == name) {
            *function_length = site->function_length;
            *line = site->line;
            return;
        }
    }
}

#endif // Py_GIL_DISABLED
