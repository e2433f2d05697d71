// SPDX-License-Identifier: PSF-2.0
//
// The GIL on libelision; pycore_elision.h says what a thread's states are. Read TakeGIL, DropGIL
// and Checkpoint below first: everything else serves them.
//
// Threads that mostly hand work to each other do more with the lock than by transactions. Whether
// they do is found out by libelision, for all sites together, from the checks of the eval breaker
// that sections report when they end (elision_progress). While elision_prefers_lock() says so, the
// GIL is the plain one: sections hold it over checkpoints until the switch interval is over.
#include "Python.h"
#include "pycore_ceval.h"            // _PY_EVAL_ELISION_BIT
#include "pycore_critical_section.h" // _PyCriticalSection_SuspendAll()
#include "pycore_elision.h"
#include "pycore_frame.h"      // _PyInterpreterFrame
#include "pycore_gil.h"        // struct _gil_runtime_state
#include "pycore_initconfig.h" // _PyInterpreterState_GetConfig()
#include "pycore_interp.h"     // PyInterpreterState.ceval
#include "pycore_pystate.h"    // _PyThreadState_GET()
#include "pycore_qsbr.h"       // _Py_qsbr_quiescent_state()
#include "pycore_tstate.h"     // _PyThreadStateImpl

#include "elision/elision.h"
#include "rtmgrind/rtmgrind.h"

#include <stdlib.h> // secure_getenv()

#ifdef Py_GIL_DISABLED

// Checks of the eval breaker until a section that had better hold the lock looks again whether
// somebody wants it: as many as its site's transactions run, within these bounds. Guesses: looking
// costs little beside the lower one, and the upper one is a short time.
#define LOCKED_BUDGET_MIN 16
#define LOCKED_BUDGET_MAX 64

struct _PyElision_GIL {
    elision_lock_t lock;
    struct _gil_runtime_state *gil;
    // Alone on its line, since no transaction may meet who comes and goes: threads that are
    // attached, or would be if they had the GIL. Atomic.
    _Alignas(64) int running;
};

_Py_thread_local struct _PyElision_GIL *_PyElision_speculating = NULL;

// The section this thread is in.
static _Py_thread_local struct {
    elision_site_t *site; // where it began
    int granted;          // what the thread's budget was when last set
    int undisturbed;      // it holds the lock because nobody else wants it
} section;

// The main interpreter's, never freed: a daemon thread may be parked in it when Python ends.
static struct _PyElision_GIL main_gil;

// Alone on its lines: transactions read it.
static struct {
    int on;             // the switch of the elision module; written with the lock held
    int finalizing;     // 1: some interpreter is, or was; written with the lock held
    int live_threads;   // thread states alive in the process, atomic
    int under_rtmgrind; // constant after the first InitGIL, like the two below
    uint64_t first_cycles;
    PyTime_t first_time;
} _Alignas(128) elision = {.on = 1};

static inline struct _PyElision_ThreadState *
thread_state(PyThreadState *tstate)
{
    return &((_PyThreadStateImpl *)tstate)->elision;
}


/* Labels: under rtmgrind the conflict report speaks Python. */

static inline void
label_push(const struct _PyElision_Site *site)
{
    if (elision.under_rtmgrind) {
        RTMGRIND_LABEL_PUSH(_PyElision_SiteLabel(site));
    }
}

static inline void
label_pop(void)
{
    if (elision.under_rtmgrind) {
        RTMGRIND_LABEL_POP();
    }
}


/* The elided GIL */

static inline int
alone(void)
{
    return _Py_atomic_load_int_relaxed(&elision.live_threads) <= 1;
}

// Nobody else is attached to this GIL, nor wants to be. Then the lock is cheaper than transactions,
// and counts need no table. Who comes waits until the holder's next checkpoint.
// Not in a transaction: see running.
static inline int
undisturbed(const struct _PyElision_GIL *e)
{
    return alone() || _Py_atomic_load_int_relaxed(&e->running) <= 1;
}

static inline enum elision_path
enter(struct _PyElision_GIL *e, elision_site_t *site)
{
    return undisturbed(e) ? elision_enter_alone(&e->lock, site) : elision_enter(&e->lock, site);
}

static inline void
set_budget(PyThreadState *tstate, int budget)
{
    thread_state(tstate)->budget = section.granted = budget;
}

// A section has begun. Runs inside the transaction when it is speculative: only what the thread
// owns is written then, since a write to anything shared would conflict with every other thread.
static inline void
section_begun(struct _PyElision_GIL *e, PyThreadState *tstate, struct _PyElision_Site *site,
              enum elision_path path)
{
    struct _gil_runtime_state *gil = e->gil;
    elision_site_t *state = _PyElision_SiteState(site);
    section.site = state;
    section.undisturbed = path != ELISION_SPECULATIVE && undisturbed(e);
    set_budget(tstate, (int)elision_section_length(state));
    tstate->_status.holds_gil = 1;
    if (!section.undisturbed &&
        (path == ELISION_SPECULATIVE || !elision_prefers_lock(&e->lock, state))) {
        _PyElision_StartCounting(tstate, elision_section_conflicts());
    }
    if (path == ELISION_SPECULATIVE) {
        _PyElision_speculating = e;
        return;
    }
    _Py_atomic_store_int_relaxed(&gil->locked, 1);
    if (tstate != (PyThreadState *)_Py_atomic_load_ptr_relaxed(&gil->last_holder)) {
        _Py_atomic_store_ptr_relaxed(&gil->last_holder, tstate);
        ++gil->switch_number;
    }
}

// So many checks of the eval breaker have been done.
static inline void
report(int checks)
{
    void (*tell)(unsigned) = section.undisturbed ? elision_progress_alone : elision_progress;
    tell((unsigned)checks);
}

// Commit, or release the lock.
static void
section_ends(struct _PyElision_GIL *e, PyThreadState *tstate)
{
    int done = 0;
    if (tstate != NULL) {
        tstate->_status.holds_gil = 0;
        done = section.granted - thread_state(tstate)->budget;
    }
    _PyElision_table = NULL;
    if (_PyElision_speculating != NULL) {
        _PyElision_speculating = NULL;
    }
    else {
        _Py_atomic_store_int_relaxed(&e->gil->locked, 0);
    }
    elision_leave(&e->lock);
    report(done);
    label_pop();
}

void
_PyElision_TakeGIL(struct _gil_runtime_state *gil, PyThreadState *tstate)
{
    struct _PyElision_GIL *e = gil->elision;
    _Py_atomic_add_int(&e->running, 1);
    if (!alone()) {
        if (!_Py_eval_breaker_bit_is_set(tstate, _PY_EVAL_ELISION_BIT)) {
            _Py_set_eval_breaker_bit(tstate, _PY_EVAL_ELISION_BIT);
        }
        _PyElision_MakeTable(tstate);
        _PyElision_MakeLookups(tstate);
        _PyElision_MakeDeferred(tstate);
    }
    struct _PyElision_Site *site = _PyElision_SiteHere(tstate);
    label_push(site);
    enum elision_path path = enter(e, _PyElision_SiteState(site));

    // Both may have changed while this thread waited, and a transaction must have them in its read
    // set: they only change with the lock held. Before anything is finalized our own flag does for
    // what MustExit reads, which lies on lines that are written all the time.
    if (_Py_atomic_load_int_relaxed(&elision.finalizing) && _PyThreadState_MustExit(tstate)) {
        // tstate may be dangling, see take_gil(): it must not be touched.
        elision_leave(&e->lock);
        label_pop();
        _Py_atomic_add_int(&e->running, -1);
        PyThread_exit_thread();
    }
    section_begun(e, tstate, site, path);
    if (!_Py_atomic_load_int_relaxed(&gil->enabled)) {
        _PyElision_DropGIL(gil, tstate);
    }
}

void
_PyElision_DropGIL(struct _gil_runtime_state *gil, PyThreadState *tstate)
{
    // Once it is let go of, its interpreter may end, and gil with it; what this points to stays.
    struct _PyElision_GIL *e = gil->elision;
    section_ends(e, tstate);
    _Py_atomic_add_int(&e->running, -1);
}

// Attach anew, waiting for the GIL as long as it takes. The section has ended.
static void
attach_again(struct _PyElision_GIL *e, PyThreadState *tstate)
{
    _Py_atomic_add_int(&e->running, -1);
    // Suspend is detach for a thread that nobody wants to stop.
    _PyThreadState_Suspend(tstate);
    _PyThreadState_Attach(tstate);
}

// Try to go on by transaction, without waiting. Returns 0 if the thread must detach first.
static int
section_continues(struct _PyElision_GIL *e, PyThreadState *tstate)
{
    if (_Py_eval_breaker_bit_is_set(tstate, _PY_EVAL_PLEASE_STOP_BIT)) {
        return 0;
    }
    struct _PyElision_Site *site = _PyElision_SiteHere(tstate);
    label_push(site);
    if (elision_enter_speculative(&e->lock, _PyElision_SiteState(site)) != ELISION_SPECULATIVE) {
        label_pop();
        return 0;
    }
    section_begun(e, tstate, site, ELISION_SPECULATIVE);
    if (!_Py_atomic_load_int_relaxed(&e->gil->enabled)) {
        _PyElision_DropGIL(e->gil, tstate);
    }
    if (tstate->critical_section != 0) {
        _PyCriticalSection_Resume(tstate);
    }
    return 1;
}

void
_PyElision_Checkpoint(PyThreadState *tstate)
{
    struct _PyElision_GIL *e = tstate->interp->ceval.gil->elision;
    if (e == NULL || !tstate->_status.holds_gil) {
        // The GIL was disabled after this thread had used it.
        _Py_unset_eval_breaker_bit(tstate, _PY_EVAL_ELISION_BIT);
        return;
    }
    if (_PyElision_speculating == NULL) {
        if (alone()) {
            // Nobody to let in. Who makes the next thread state sets the bit, maybe just before us.
            _Py_unset_eval_breaker_bit(tstate, _PY_EVAL_ELISION_BIT);
            if (!alone()) {
                _Py_set_eval_breaker_bit(tstate, _PY_EVAL_ELISION_BIT);
            }
            return;
        }
        int nobody = undisturbed(e);
        if ((nobody || elision_prefers_lock(&e->lock, section.site)) &&
            !elision_handover_pending(&e->lock)) {
            if (_PyElision_table != NULL) {
                // Nobody to conflict with for as long as this lasts, and the table would fill up.
                _PyElision_StopCounting(tstate, 0);
                return; // a destructor may have ended the section
            }
            report(section.granted);
            section.undisturbed = nobody;
            // Or memory that others may still read is kept for as long as nobody wants the GIL.
            _Py_qsbr_quiescent_state(((_PyThreadStateImpl *)tstate)->qsbr);
            set_budget(tstate, section.granted < LOCKED_BUDGET_MIN   ? LOCKED_BUDGET_MIN
                               : section.granted > LOCKED_BUDGET_MAX ? LOCKED_BUDGET_MAX
                                                                     : section.granted);
            return;
        }
    }
    // As a detach does, since what follows is one as far as others can see. Loans survive it.
    _PyElision_Settle(tstate, 0);
    if (tstate->critical_section != 0) {
        _PyCriticalSection_SuspendAll(tstate);
    }
    section_ends(e, tstate);

    // Attached with neither lock nor transaction: nothing here may wait. The eval breaker leaves
    // the quiescent state to us, or each transaction would read and write it.
    _Py_qsbr_quiescent_state(((_PyThreadStateImpl *)tstate)->qsbr);
    if (undisturbed(e) || !section_continues(e, tstate)) {
        attach_again(e, tstate);
    }
}

void
_PyElision_WithoutGIL(PyThreadState *tstate, void (*work)(PyThreadState *))
{
    struct _PyElision_GIL *e = tstate->interp->ceval.gil->elision;
    if (e == NULL || tstate != _PyThreadState_GET() || !tstate->_status.holds_gil || alone()) {
        work(tstate);
        return;
    }
    section_ends(e, tstate);
    // Who stops the world, to fork or to collect, waits for this thread, and finds its heaps whole.
    work(tstate);
    // As after a checkpoint: it must not wait while it is attached.
    attach_again(e, tstate);
    _PyElision_StopCounting(tstate, 1);
}

void
_PyElision_IrrevocableSlow(void)
{
    elision_irrevocable(&_PyElision_speculating->lock);
}


/* Life of a GIL */

// With the backend `none` asked for by name the GIL goes through the library all the same, always
// by its lock: tests and comparisons want that. Otherwise a machine without transactions keeps the
// stock GIL.
static int
backend_is_usable(void)
{
    const char *backend = secure_getenv("ELISION_BACKEND"); // as the library reads it
    return elision_verdict()->can_elide || (backend != NULL && strcmp(backend, "none") == 0);
}

static void
init_process(void)
{
    if (elision.first_time != 0) {
        return;
    }
    elision.under_rtmgrind = RTMGRIND_EMULATED();
#if defined(__x86_64__)
    elision.first_cycles = __builtin_ia32_rdtsc();
#endif
    (void)PyTime_MonotonicRaw(&elision.first_time);
}

void
_PyElision_InitGIL(struct _gil_runtime_state *gil, PyInterpreterState *interp)
{
    gil->elision = NULL;
    if (!_PyElision_IsConfigured(interp) || !backend_is_usable()) {
        return;
    }
    init_process();
    struct _PyElision_GIL *e = &main_gil;
    if (!_Py_IsMainInterpreter(interp)) {
        // A multiple of the lock's alignment by the type's own.
        e = aligned_alloc(_Alignof(struct _PyElision_GIL), sizeof(struct _PyElision_GIL));
        if (e == NULL) {
            return; // this interpreter keeps the stock GIL
        }
    }
    *e = (struct _PyElision_GIL){.lock = ELISION_LOCK_INIT, .gil = gil};
    gil->elision = e;
    _PyElision_SetSwitchInterval(gil);
    elision_set_concurrency((unsigned)_Py_atomic_load_int_relaxed(&elision.live_threads));
}

void
_PyElision_FiniGIL(struct _gil_runtime_state *gil, PyInterpreterState *interp)
{
    if (gil->elision != NULL && !_Py_IsMainInterpreter(interp)) {
        free(gil->elision);
    }
    gil->elision = NULL;
}

void
_PyElision_SetSwitchInterval(struct _gil_runtime_state *gil)
{
    if (gil->elision != NULL) {
        // As take_gil() has it: what is less than a microsecond is one. 0 would be no bound at all.
        uint64_t microseconds = gil->interval >= 1 ? gil->interval : 1;
        elision_set_switch_interval(&gil->elision->lock, 1000 * microseconds);
    }
}

void
_PyElision_AfterForkChild(struct _gil_runtime_state *gil)
{
    _PyElision_OnlyThread();
    if (gil->elision == NULL) {
        return;
    }
    _Py_atomic_store_int_relaxed(&gil->elision->running, 0);
    if (_PyThreadState_GET()->_status.holds_gil) {
        // _PyEval_ReInitThreads() takes it anew.
        elision_leave(&gil->elision->lock);
        label_pop();
    }
}


/* Counting thread states */

static void
set_live_threads(PyInterpreterState *interp, int live)
{
    struct _gil_runtime_state *gil = interp->ceval.gil;
    if (gil != NULL && gil->elision != NULL) {
        elision_set_concurrency((unsigned)(live < 1 ? 1 : live));
    }
}

void
_PyElision_ThreadAdded(PyInterpreterState *interp)
{
    int live = _Py_atomic_add_int(&elision.live_threads, 1) + 1;
    set_live_threads(interp, live);
    struct _gil_runtime_state *gil = interp->ceval.gil;
    if (live == 2 && gil != NULL && gil->elision != NULL) {
        // The one thread so far may hold the lock and have no reason to look up from its work.
        _Py_set_eval_breaker_bit_all(interp, _PY_EVAL_ELISION_BIT);
        if (!_Py_IsMainInterpreter(interp)) {
            _Py_set_eval_breaker_bit_all(_PyInterpreterState_Main(), _PY_EVAL_ELISION_BIT);
        }
    }
}

void
_PyElision_ThreadRemoved(PyInterpreterState *interp)
{
    set_live_threads(interp, _Py_atomic_add_int(&elision.live_threads, -1) - 1);
}

void
_PyElision_Finalizing(void)
{
    _PyElision_Irrevocable();
    _Py_atomic_store_int_relaxed(&elision.finalizing, 1);
}

void
_PyElision_OnlyThread(void)
{
    _Py_atomic_store_int_relaxed(&elision.live_threads, 1);
    set_live_threads(_PyInterpreterState_Main(), 1);
}


/* For the elision module */

int
_PyElision_IsConfigured(PyInterpreterState *interp)
{
    return _PyInterpreterState_GetConfig(interp)->elision > 0;
}

int
_PyElision_IsSwitchedOn(void)
{
    return _Py_atomic_load_int_relaxed(&elision.on);
}

int
_PyElision_IsActive(PyInterpreterState *interp)
{
    struct _gil_runtime_state *gil = interp->ceval.gil;
    return gil->elision != NULL && _Py_atomic_load_int_relaxed(&gil->enabled) && elision_enabled();
}

void
_PyElision_Switch(int on)
{
    _PyElision_Irrevocable();
    _Py_atomic_store_int_relaxed(&elision.on, on);
    elision_set_enabled(on);
}

double
_PyElision_Seconds(uint64_t cycles)
{
#if defined(__x86_64__)
    PyTime_t now;
    if (elision.first_time != 0 && PyTime_MonotonicRaw(&now) == 0) {
        double passed = (double)(__builtin_ia32_rdtsc() - elision.first_cycles);
        if (passed > 0) {
            return (double)cycles * PyTime_AsSecondsDouble(now - elision.first_time) / passed;
        }
    }
#endif
    return 0.0;
}

#endif // Py_GIL_DISABLED
