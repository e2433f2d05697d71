// SPDX-License-Identifier: PSF-2.0
//
// The GIL, elided by libelision: what the rest of the interpreter sees of it.
//
// A thread that is attached while its GIL is enabled runs one of two ways: it holds the lock, or it
// is in a transaction that has the lock's word in its read set (it is speculative). Either way
// tstate->_status.holds_gil is set. gil->locked and gil->last_holder are about the lock alone, so
// that readers outside the process see who really holds it: a speculative thread holds nothing.
//
//   detached --TakeGIL--> speculative or locked --DropGIL--> detached
//                             |          ^
//                             +Checkpoint+   every so many checks of the eval breaker
//
// In the middle of a checkpoint a thread is attached with neither lock nor transaction. That is
// sound because the core of a free-threaded build needs no GIL, and because the thread waits for
// nothing there: if the lock is busy it detaches first, or stop-the-world would wait for ever.
//
// This is not a place for policy (libelision has it) nor for anything an extension needs. A build
// that always has its GIL has none of it: hooks and sources are empty there, and need no library.
#ifndef Py_INTERNAL_ELISION_H
#define Py_INTERNAL_ELISION_H
#ifdef __cplusplus
extern "C" {
#endif

#ifndef Py_BUILD_CORE
#error "this header requires Py_BUILD_CORE define"
#endif

#ifdef __GNUC__
#define _PyElision_RARELY(condition) __builtin_expect(condition, 0)
#else
#define _PyElision_RARELY(condition) (condition)
#endif

#ifdef Py_GIL_DISABLED

#include "pycore_lock.h" // PyMutex_LockFlags()

struct _dictkeysobject;    // pycore_dict.h
struct _gil_runtime_state; // pycore_gil.h
struct _PyElision_GIL;     // elision_glue.c: the lock behind one GIL
struct _PyElision_Site;    // elision_glue.c: a line of Python where sections begin

// Sites found by the instruction they were met at; a power of two.
#define _PyElision_CACHED_SITES 64

struct elision_coalesce;    // refcount/coalesce.h
struct _PyElision_Deferred; // elision_deferred.c
struct _PyElision_Lookups;  // elision_lookups.c

// Per thread state; only its own thread touches it, but for the padding: others read what lies next
// to it in the thread state.
struct _PyElision_ThreadState {
    char padding_before[64];
    int budget;                           // checks of the eval breaker until the next checkpoint
    struct elision_coalesce *table;       // of changes to shared counts; NULL until needed
    struct _PyElision_Lookups *lookups;   // of types' attributes; NULL until needed
    struct _PyElision_Deferred *deferred; // changes; NULL until needed
    struct {
        const void *instr;
        uint32_t version;
        struct _PyElision_Site *site;
    } cache[_PyElision_CACHED_SITES];
    char padding_after[64];
};

// What follows is asked on paths that are hot without elision too. There it is one comparison, and
// what it leads to is out of the way: an executable's own code knows where its variables are.
#if defined(__GNUC__) && !defined(Py_ENABLE_SHARED) && (defined(__PIE__) || !defined(__PIC__))
#define _PyElision_TLS __attribute__((tls_model("local-exec")))
#else
#define _PyElision_TLS
#endif

// Set on this thread from a speculative enter to its leave. Exported for the static inline function
// below, which shared extensions use.
PyAPI_DATA(_Py_thread_local struct _PyElision_GIL *) _PyElision_speculating _PyElision_TLS;

// Not NULL on a thread whose changes to counts of objects it does not own go to this table: it is
// inside a section of an elided GIL, on either path, not alone, and transactions are in use.
PyAPI_DATA(_Py_thread_local struct elision_coalesce *) _PyElision_table _PyElision_TLS;

static inline int
_PyElision_Coalesces(void)
{
    return _PyElision_RARELY(_PyElision_table != NULL);
}

// From here on this thread's section must hold the lock: an effect is coming that cannot be undone,
// or a wait for another thread. A speculative section is aborted and runs again, holding the lock,
// from where it began; with the lock held, the GIL off or no thread state this does nothing.
PyAPI_FUNC(void) _PyElision_IrrevocableSlow(void);

static inline void
_PyElision_Irrevocable(void)
{
    if (_PyElision_RARELY(_PyElision_speculating != NULL)) {
        _PyElision_IrrevocableSlow();
    }
}

// A list of so many items is sorted with the lock. Sorting writes the list and up to half as much
// again, mostly too much for a transaction: emulated, 1000 items commit and 2000 do not, in a cache
// of 48 KiB and 12 ways. Unlike other large steps a sort has done most of its work by then.
#define _PyElision_LONG_SORT 2000

// As Irrevocable, before this thread waits where others may run, or stops them. What its detach
// would destroy is destroyed here, while it stands in no queue and holds nothing on the way there:
// a destructor may want the same. elision_refs.c.
extern void _PyElision_WillWait(void);

// elision_refs.c, while _PyElision_Coalesces(): TryIncRef returns 0 if op is dead; IncRefBy takes n
// references, as a list of one object repeated does.
PyAPI_FUNC(int) _PyElision_TryIncRef(PyObject *op);
PyAPI_FUNC(void) _PyElision_IncRefBy(PyObject *op, Py_ssize_t n);
extern void _PyElision_DecRef(PyObject *op);

// At any time. Flush brings op's own count to what this thread knows of it. Dealloc destroys an
// object that nobody owns: no change of its count waits in the table meanwhile.
extern void _PyElision_Flush(PyObject *op);
extern void _PyElision_Dealloc(PyObject *op);

// The keys that the dictionaries of a type's instances share are counted in the same way. Returns 0
// when they are not: the caller changes the count then.
extern int _PyElision_CountKeysSlow(struct _dictkeysobject *keys, int delta);

static inline int
_PyElision_CountKeys(struct _dictkeysobject *keys, int delta)
{
    return _PyElision_Coalesces() && _PyElision_CountKeysSlow(keys, delta);
}

// Locks of C code (PyThread_acquire_lock) that this thread holds. It may detach meanwhile, where no
// Python could run: of what that would destroy the destructors wait until the thread's next section
// is over. Who releases a lock for another thread leaves that one's number too high, which only
// makes destructors wait.
extern _Py_thread_local int _PyElision_locks_held _PyElision_TLS;

static inline void
_PyElision_LockTaken(void)
{
    _PyElision_locks_held++;
}

static inline void
_PyElision_LockReleased(void)
{
    _PyElision_locks_held -= _PyElision_locks_held > 0;
}

// A section begins that so many conflicts have delayed. Settle, at its end, brings the counts to
// what they should be and, if all, returns loans, and applies what was deferred; it may run
// destructors, so the thread must be attached and hold its GIL. StopCounting: the thread state is
// at its end, or its section goes on with nobody to conflict with.
extern void _PyElision_StartCounting(PyThreadState *tstate, unsigned conflicts);
extern void _PyElision_Settle(PyThreadState *tstate, int all);
extern void _PyElision_StopCounting(PyThreadState *tstate, int all);

// Outside sections only. MakeTable does nothing when there is one, or no memory for one.
extern void _PyElision_MakeTable(PyThreadState *tstate);
extern void _PyElision_FreeTable(PyThreadState *tstate);

// Objects/object.c: the stock decrement of a shared count. Returns 1 if that was the last one, and
// the caller must deallocate.
extern int _PyElision_DecRefSharedIsDead(PyObject *o);

// A type's attribute that the type cache does not know; version is the type's. A cache that many
// threads keep overwriting is a conflict for them all, and worth less than none. So while counts go
// to the table, an entry in use gives way one time in sixteen; the thread keeps what it has found
// in a cache of its own. Names that are not interned are not cached at all: their next lookup has
// another address.
//
// FindLookup returns 1 and a new reference, or NULL for an attribute that the type does not have;
// 0 if it must be looked up. KeepLookup is then told the value, and the version of what is in the
// type cache's entry (0: nothing); it returns 1 if the value is to go there.
extern int _PyElision_FindLookupSlow(uint32_t version, PyObject *name, PyObject **value);
extern int _PyElision_KeepLookup(uint32_t version, PyObject *name, PyObject *value,
                                 uint32_t in_use);

static inline int
_PyElision_FindLookup(uint32_t version, PyObject *name, PyObject **value)
{
    return _PyElision_Coalesces() && _PyElision_FindLookupSlow(version, name, value);
}

// As MakeTable and FreeTable.
extern void _PyElision_MakeLookups(PyThreadState *tstate);
extern void _PyElision_FreeLookups(PyThreadState *tstate);

// A change that many threads make all the time, and look at rarely, as a hit of a functools cache
// changes the order of its entries. In the middle of a section it would be a conflict with every
// other; it waits until the section is about to end, where it is short.
//
// Defer returns 1 if change(object, part, n) will be called then, in the order in which each such
// object and part were named last, n being how often that was; 0 if the caller is to make the
// change itself. Before a thread looks at what such a change is about, changes it otherwise or lets
// go of the object or the part, it says ApplyDeferred. change must not run Python, nor wait.
typedef void (*_PyElision_change)(PyObject *object, void *part, Py_ssize_t n);
extern int _PyElision_DeferSlow(PyObject *object, void *part, _PyElision_change change);
extern void _PyElision_ApplyDeferredSlow(void);

static inline int
_PyElision_Defer(PyObject *object, void *part, _PyElision_change change)
{
    return _PyElision_Coalesces() && _PyElision_DeferSlow(object, part, change);
}

static inline void
_PyElision_ApplyDeferred(void)
{
    if (_PyElision_Coalesces()) {
        _PyElision_ApplyDeferredSlow();
    }
}

// As MakeTable and FreeTable.
extern void _PyElision_MakeDeferred(PyThreadState *tstate);
extern void _PyElision_FreeDeferred(PyThreadState *tstate);

// In a speculative section an object's mutex need not be taken: to have read it free is enough,
// since whoever takes it aborts us. Such a mutex is still free when it is to be released.
static inline int
_PyElision_MutexIsElided(const PyMutex *m)
{
    return _PyElision_RARELY(_PyElision_speculating != NULL) && m->_bits == _Py_UNLOCKED;
}

static inline void
_PyElision_UnlockMutex(PyMutex *m)
{
    if (m->_bits & _Py_LOCKED) {
        PyMutex_Unlock(m);
    }
}

// For a moment, in which the thread stays attached.
static inline void
_PyElision_LockMutex(PyMutex *m)
{
    if (!_PyElision_MutexIsElided(m)) {
        PyMutex_LockFlags(m, _Py_LOCK_DONT_DETACH);
    }
}

// take_gil() and drop_gil() for a GIL with an elision of its own. TakeGIL does not return when the
// thread must exit because the interpreter is finalizing; it returns without the GIL when the GIL
// has been disabled meanwhile. DropGIL allows a NULL tstate for a lock whose thread is gone.
extern void _PyElision_TakeGIL(struct _gil_runtime_state *gil, PyThreadState *tstate);
extern void _PyElision_DropGIL(struct _gil_runtime_state *gil, PyThreadState *tstate);

// The thread's budget is used up: publish what it did and let others in, then go on. May detach and
// attach, and run destructors. Called with _PY_EVAL_ELISION_BIT set.
extern void _PyElision_Checkpoint(PyThreadState *tstate);

// Do work that needs its thread attached but no GIL, and would hold up all others, at the end of a
// thread state, after StopCounting. The GIL is let go meanwhile, if it is elided and tstate the
// current one; work must not wait for another thread.
extern void _PyElision_WithoutGIL(PyThreadState *tstate, void (*work)(PyThreadState *));

// Creation and end of a GIL that is an interpreter's own, and the switch interval's change.
extern void _PyElision_InitGIL(struct _gil_runtime_state *gil, PyInterpreterState *interp);
extern void _PyElision_FiniGIL(struct _gil_runtime_state *gil, PyInterpreterState *interp);
extern void _PyElision_SetSwitchInterval(struct _gil_runtime_state *gil);

// From now on sections look whether their thread must exit because something is finalizing.
extern void _PyElision_Finalizing(void);

// Thread states are counted: one alone has nobody to run beside and takes the lock. OnlyThread says
// that all others are gone, after a fork or at finalization.
extern void _PyElision_ThreadAdded(PyInterpreterState *interp);
extern void _PyElision_ThreadRemoved(PyInterpreterState *interp);
extern void _PyElision_OnlyThread(void);
extern void _PyElision_AfterForkChild(struct _gil_runtime_state *gil);

// tstate's memory is about to be used otherwise; its thread may be gone, or still wait for the GIL.
extern void _PyElision_FreeThreadState(PyThreadState *tstate);

// elision_sites.c. SiteHere may be called between sections only, for the thread's own tstate,
// attached or not; sites live as long as the process. SiteNamed finds by a label's address what
// part of it is the function's name, and the line (0 if none).
struct elision_site;
extern struct _PyElision_Site *_PyElision_SiteHere(PyThreadState *tstate);
extern struct elision_site *_PyElision_SiteState(const struct _PyElision_Site *site);
extern const char *_PyElision_SiteLabel(const struct _PyElision_Site *site);
extern void _PyElision_SiteNamed(const char *name, int *function_length, int *line);

// Remember that a module needs the GIL, and who imported it. Returns -1 with an exception set.
extern int _PyElision_NoteModule(PyThreadState *tstate, PyObject *name);

// For the elision module.
extern int _PyElision_IsConfigured(PyInterpreterState *interp);
extern int _PyElision_IsActive(PyInterpreterState *interp);
extern int _PyElision_IsSwitchedOn(void);
extern void _PyElision_Switch(int on);
extern double _PyElision_Seconds(uint64_t cycles);

#endif // Py_GIL_DISABLED

#ifdef __cplusplus
}
#endif
#endif // !Py_INTERNAL_ELISION_H
