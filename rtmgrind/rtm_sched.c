/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Virtual cores in virtual time.
 *
 * Every thread has a clock in virtual cycles.  The runnable thread with the
 * smallest clock runs, until its clock passes the next one's by a quantum.  So
 * N threads advance together, like N cores, however few the host has, and the
 * schedule is a function of the program and the seed alone.
 *
 * Valgrind runs one client thread at a time, the holder of its big lock, and
 * gives that lock up only outside translated code.  This file *is* the big
 * lock: releasing it picks the next thread and acquiring it waits to be
 * picked.  A hand-over costs one futex wake.
 *
 * Waits that the kernel would do (futex, sleep) are done here, in virtual time
 * (rtm_sys.c): a BLOCKED thread is simply not picked.  A thread in a real
 * system call is waited for, so that the order of events does not depend on
 * the host; only when it stays away (a socket, a pipe) do the others go on,
 * and the run is reported as not repeatable.
 *
 * Calls of the lock itself come from any host thread; `guard` protects the
 * state.  Everything else here is called by the thread that runs.
 */

#include "rtm_priv.h"
#include "rtm_core.h"

enum {
    FUTEX_WAIT_PRIVATE = 128,
    FUTEX_WAKE_PRIVATE = 129,
    GRACE_MS = 5,   /* for a call that may block, before others go on */
    PATIENCE_MS = 2000, /* for one that should not */
    IDLE_MS = 10    /* when all wait: look for signals this often */
};

struct rtm_thread rtm_threads[RTM_MAX_THREADS];
struct rtm_thread *rtm_cur;
struct rtm_thread *rtm_on_core[RTM_MAX_CORES];
ULong rtm_nondeterministic;
ULong rtm_n_switches;
Bool rtm_forked_child;

static ULong core_clock[RTM_MAX_CORES]; /* when the core was last left */
static struct rtm_thread *awaited;      /* in a system call, or not arrived */
static Int max_thread;                  /* highest slot in use */
static Int n_threads;
static ULong queue_seq, makespan, last_grant;
static ULong rng = 1;
static Bool dying;
static Int owner_lwp;
static volatile Int guard;

/* ------------------------------------------------------------------ */
/* Small things                                                        */

static void
lock_guard(void)
{
    while (__atomic_exchange_n(&guard, 1, __ATOMIC_ACQUIRE)) {
        rtm_raw_syscall(__NR_sched_yield, 0, 0, 0, 0);
    }
}

static void
unlock_guard(void)
{
    __atomic_store_n(&guard, 0, __ATOMIC_RELEASE);
}

/* xorshift64*: repeatable, seeded by --seed. */
ULong
rtm_random(void)
{
    rng ^= rng >> 12;
    rng ^= rng << 25;
    rng ^= rng >> 27;
    return rng * 0x2545F4914F6CDD1DULL >> 16;
}

static ULong
add_sat(ULong a, ULong b)
{
    return a > RTM_NEVER - b ? RTM_NEVER : a + b;
}

static void
shadow_get(struct rtm_thread *t, SizeT offset, ULong *value)
{
    VG_(get_shadow_regs_area)(t->tid, (UChar *)value, 1, offset, sizeof *value);
}

static void
shadow_set(struct rtm_thread *t, SizeT offset, ULong value)
{
    VG_(set_shadow_regs_area)(t->tid, 1, offset, sizeof value, (UChar *)&value);
}

#define CLOCK offsetof(struct rtm_shadow, clock)
#define DEADLINE offsetof(struct rtm_shadow, deadline)
#define ACTIVE offsetof(struct rtm_shadow, active)

ULong
rtm_clock(void)
{
    ULong now = 0;

    if (rtm_cur) {
        shadow_get(rtm_cur, CLOCK, &now);
    }
    return now;
}

void
rtm_clock_add(ULong cycles)
{
    if (rtm_cur) {
        shadow_set(rtm_cur, CLOCK, rtm_clock() + cycles);
    }
}

void
rtm_sched_leave_soon(void)
{
    const UInt zero = 0;

    VG_(set_shadow_regs_area)(rtm_cur->tid, 0,
                              offsetof(VexGuestAMD64State, host_EvC_COUNTER),
                              sizeof zero, (const UChar *)&zero);
}

ULong
rtm_sched_makespan(void)
{
    const ULong now = dying ? 0 : rtm_clock();

    return now > makespan ? now : makespan;
}

Int
rtm_sched_threads_live(void)
{
    return n_threads;
}

/* ------------------------------------------------------------------ */
/* Cores                                                               */

static void
leave_core(struct rtm_thread *t)
{
    if (t->core >= 0) {
        rtm_on_core[t->core] = NULL;
        core_clock[t->core] = t->clock;
        t->core = -1;
    }
}

static Int
idle_core(ULong now)
{
    Int c, best = -1;

    for (c = 0; c < rtm_opt.cores; c++) {
        if (rtm_on_core[c]) {
            continue;
        }
        if (core_clock[c] <= now) {
            return c;
        }
        if (best < 0 || core_clock[c] < core_clock[best]) {
            best = c;
        }
    }
    return best;
}

static Bool
take_core(struct rtm_thread *t)
{
    const Int c = idle_core(t->clock);

    if (c < 0) {
        return False;
    }
    t->core = c;
    rtm_on_core[c] = t;
    if (core_clock[c] > t->clock) {
        t->clock = core_clock[c];
    }
    t->core_since = t->clock;
    return True;
}

static struct rtm_thread *
first_in_queue(void)
{
    struct rtm_thread *first = NULL;
    Int i;

    for (i = 1; i <= max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if ((t->state == RTM_T_READY || t->state == RTM_T_NEW) && t->core < 0
            && (!first || t->queue_seq < first->queue_seq)) {
            first = t;
        }
    }
    return first;
}

static void
fill_cores(void)
{
    struct rtm_thread *t;

    while ((t = first_in_queue()) != NULL && take_core(t)) {
    }
}

static void
make_ready(struct rtm_thread *t)
{
    t->state = RTM_T_READY;
    if (t->core < 0) {
        t->queue_seq = ++queue_seq;
    }
}

/* A thread that used up its slice while others queue for a core goes to the
 * end of the queue; a context switch aborts its transaction. */
static void
end_slice(struct rtm_thread *t)
{
    if (t->core < 0 || t->clock - t->core_since < (ULong)rtm_opt.slice) {
        return;
    }
    t->core_since = t->clock;
    if (!first_in_queue()) {
        return;
    }
    if (t->tx.state == RTM_TX_LIVE) {
        rtm_tx_abort_parked(t, 0, RTM_C_TIMER, "context switch");
    }
    leave_core(t);
    t->queue_seq = ++queue_seq;
}

/* ------------------------------------------------------------------ */
/* Who runs next                                                       */

/* Equal clocks are common; which thread goes first then is what a seed
 * varies. */
static ULong
tie(const struct rtm_thread *t, ULong when)
{
    return ((when + (ULong)rtm_opt.seed) * 0x9E3779B97F4A7C15ULL
            ^ (ULong)t->tid * 0xD6E8FEB86659FD93ULL)
           >> 32;
}

static Bool
candidate(const struct rtm_thread *t, ULong *when)
{
    switch (t->state) {
    case RTM_T_READY:
    case RTM_T_NEW:
        *when = t->clock;
        return t->core >= 0;
    case RTM_T_SYSCALL:
        *when = t->clock;
        return True;
    case RTM_T_BLOCKED:
        *when = t->wake_at;
        return t->wake_at != RTM_NEVER;
    case RTM_T_FREE:
    case RTM_T_RUNNING:
    case RTM_T_AWAY:
        return False;
    }
    return False;
}

static struct rtm_thread *
earliest(const struct rtm_thread *not_this, ULong *when)
{
    struct rtm_thread *best = NULL;
    ULong best_tie = 0;
    Int i;

    *when = RTM_NEVER;
    for (i = 1; i <= max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        ULong w, x;
        if (t == not_this || !candidate(t, &w)) {
            continue;
        }
        x = tie(t, w);
        if (!best || w < *when || (w == *when && x < best_tie)) {
            best = t;
            *when = w;
            best_tie = x;
        }
    }
    return best;
}

/* How far a thread may run ahead: short transactions need fine interleaving,
 * or they would all fit between two switches and never meet. */
static ULong
quantum(void)
{
    ULong q = rtm_opt.quantum;

    if (q == 0) {
        q = rtm_tx_cycles_avg / 8;
        q = q < 16 ? 16 : q > 400 ? 400 : q;
    }
    return q / 2 + rtm_random() % (q + 1);
}

static ULong
deadline_of(struct rtm_thread *t)
{
    ULong next, deadline;

    earliest(t, &next);
    deadline = add_sat(next, quantum());
    if (first_in_queue()
        && t->core_since + (ULong)rtm_opt.slice < deadline) {
        deadline = t->core_since + rtm_opt.slice;
    }
    if (t->tx.state == RTM_TX_LIVE && t->tx.inject_at < deadline) {
        deadline = t->tx.inject_at;
    }
    if (rtm_opt.timer_tick && t->tx.state == RTM_TX_LIVE) {
        const ULong tick = rtm_opt.timer_tick;
        const ULong at = (t->tx.begin_clock / tick + 1) * tick;
        deadline = at < deadline ? at : deadline;
    }
    return deadline;
}

static ULong
is_active(void)
{
    return rtm_hooks_on && (rtm_live > 0 || rtm_opt.coherence);
}

/* After anything that may change when the running thread should stop. */
void
rtm_sched_refresh(void)
{
    lock_guard();
    shadow_set(rtm_cur, DEADLINE, deadline_of(rtm_cur));
    shadow_set(rtm_cur, ACTIVE,
               is_active() || rtm_cur->tx.state != RTM_TX_NONE);
    unlock_guard();
}

static void
unpark(struct rtm_thread *t)
{
    if (!t->parked) {
        return; /* on its way to the lock: it will see */
    }
    __atomic_store_n(&t->wake_word, 1, __ATOMIC_RELEASE);
    rtm_raw_syscall(__NR_futex, (HWord)&t->wake_word, FUTEX_WAKE_PRIVATE, 1, 0);
}

static void
grant(struct rtm_thread *t)
{
    t->state = RTM_T_RUNNING;
    rtm_cur = t;
    awaited = NULL;
    last_grant = t->clock;
    shadow_set(t, CLOCK, t->clock);
    shadow_set(t, DEADLINE, deadline_of(t));
    shadow_set(t, ACTIVE, is_active() || t->tx.state != RTM_TX_NONE);
    shadow_set(t, offsetof(struct rtm_shadow, in_tx),
               t->tx.state != RTM_TX_NONE);
}

/* Under guard, with nobody running: grant the lock to the next thread, or
 * leave it free until the awaited one arrives. */
static void
pick(void)
{
    struct rtm_thread *t;
    ULong when;

    tl_assert(!rtm_cur);
    for (;;) {
        fill_cores();
        t = earliest(NULL, &when);
        if (!t) {
            awaited = NULL;
            return;
        }
        if (t->state != RTM_T_BLOCKED) {
            break;
        }
        t->timed_out = True;
        t->clock = when;
        t->wake_at = RTM_NEVER;
        make_ready(t);
    }
    if (t->state == RTM_T_READY) {
        grant(t);
        unpark(t);
    } else {
        awaited = t; /* in a system call, or on its way: its move */
    }
}

/* ------------------------------------------------------------------ */
/* Events                                                              */

void
rtm_sched_thread_new(ThreadId tid, ThreadId parent)
{
    struct rtm_thread *t = &rtm_threads[tid];
    struct rtm_thread *p = &rtm_threads[parent];
    struct rtm_touch *touch = t->tx.touch;
    const Int cap = t->tx.cap_touch;

    tl_assert(tid < RTM_MAX_THREADS);
    lock_guard();
    VG_(memset)(t, 0, sizeof *t);
    t->tx.touch = touch;
    t->tx.cap_touch = cap;
    t->tid = tid;
    t->core = -1;
    t->wake_at = RTM_NEVER;
    t->state = RTM_T_NEW;
    t->queue_seq = ++queue_seq;
    t->clock = rtm_cur ? rtm_clock() : 0;
    t->clear_child_tid = parent != tid ? p->pending_clear_child_tid : 0;
    if ((Int)tid > max_thread) {
        max_thread = tid;
    }
    n_threads++;
    fill_cores();
    if (rtm_cur) {
        shadow_set(rtm_cur, DEADLINE, deadline_of(rtm_cur));
    }
    unlock_guard();
}

void
rtm_sched_thread_exit(ThreadId tid)
{
    struct rtm_thread *t = &rtm_threads[tid];
    Int i;

    lock_guard();
    if (t->state == RTM_T_NEW) { /* clone failed */
        leave_core(t);
        t->state = RTM_T_FREE;
        n_threads--;
        unlock_guard();
        return;
    }
    t->exiting = True;
    unlock_guard();
    if (!t->clear_child_tid) {
        return;
    }
    /* The kernel clears this word once the thread is really gone, and no
       emulated wake announces it: wake who waits for it now, in virtual
       time, and let it wait, in host time, for the word. */
    for (i = 1; i <= max_thread; i++) {
        struct rtm_thread *w = &rtm_threads[i];
        if (w->state == RTM_T_BLOCKED && w->wait == RTM_W_FUTEX
            && w->futex == t->clear_child_tid) {
            w->await_change = w->futex;
            rtm_sched_wake(w, rtm_clock() + rtm_opt.cost_wake);
        }
    }
}

void
rtm_sched_wake(struct rtm_thread *t, ULong at)
{
    lock_guard();
    if (t->state == RTM_T_BLOCKED) {
        t->woken = True;
        t->wake_at = RTM_NEVER;
        if (t->clock < at) {
            t->clock = at;
        }
        make_ready(t);
        fill_cores();
        if (rtm_cur) {
            shadow_set(rtm_cur, DEADLINE, deadline_of(rtm_cur));
        }
    }
    unlock_guard();
}

void
rtm_sched_kick(ThreadId tid)
{
    Int i;

    for (i = 1; i <= max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (t->state == RTM_T_BLOCKED && (tid == 0 || t->tid == tid)) {
            rtm_sched_wake(t, rtm_clock());
            t->woken = False; /* asks again */
        }
    }
}

void
rtm_sched_dying(void)
{
    if (!dying) {
        makespan = rtm_sched_makespan();
        dying = True;
    }
    rtm_sched_kick(0);
}

/* sched_yield: behind everybody who is runnable now. */
void
rtm_sched_yield(void)
{
    ULong next;

    earliest(rtm_cur, &next);
    if (next != RTM_NEVER && next >= rtm_clock()) {
        rtm_clock_add(next - rtm_clock() + 1);
    }
    rtm_sched_leave_soon();
}

void
__wrap_vgPlain_nuke_all_threads_except(ThreadId me, UInt src)
{
    rtm_sched_dying();
    __real_vgPlain_nuke_all_threads_except(me, src);
}

/* The core sets up signal frames here, from the stack pointer it finds.  A
 * transaction must be rolled back before that.  The kernel's set of pending
 * signals is a superset of what will be delivered; with none pending, nothing
 * can be. */
void
__wrap_vgPlain_poll_signals(ThreadId tid)
{
    struct rtm_thread *t = &rtm_threads[tid];

    if (t->tx.state == RTM_TX_LIVE) {
        ULong pending = 0;
        rtm_raw_syscall(__NR_rt_sigpending, (HWord)&pending, 8, 0, 0);
        if (!pending) {
            return;
        }
        rtm_tx_abort_parked(t, 0, RTM_C_SIGNAL, NULL);
    }
    __real_vgPlain_poll_signals(tid);
}

/* ------------------------------------------------------------------ */
/* The lock                                                            */

static struct rtm_thread *
self(void)
{
    const Int lwp = VG_(gettid)();
    struct rtm_thread *fresh = NULL;
    Int i;

    for (i = 1; i <= max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (t->state != RTM_T_FREE && t->lwp == lwp) {
            return t;
        }
        if (t->state == RTM_T_NEW && t->lwp == 0) {
            fresh = t;
        }
    }
    /* Threads are created one at a time and the parent waits for the child's
       arrival, so there is at most one without a number. */
    tl_assert(fresh);
    fresh->lwp = lwp;
    return fresh;
}

static const HChar *
lock_name(void)
{
    return "rtmgrind virtual time";
}

/* At start, and again in a forked child. */
static struct sched_lock *
lock_create(void)
{
    static Bool created;
    Int i;

    guard = 0;
    if (!created) {
        created = True;
        return (struct sched_lock *)&guard;
    }
    for (i = 1; i <= max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (t->state != RTM_T_FREE && t != rtm_cur) {
            leave_core(t);
            t->state = RTM_T_FREE;
            t->lwp = 0;
            t->tx.state = RTM_TX_NONE;
            t->parked = False;
            n_threads--;
        }
    }
    rtm_forked_child = True;
    if (rtm_cur) {
        struct rtm_thread *me = rtm_cur;
        rtm_tx_forget_others(me);
        me->clock = rtm_clock();
        me->lwp = VG_(gettid)();
        me->state = RTM_T_READY;
        rtm_cur = NULL;
        awaited = NULL;
    }
    return (struct sched_lock *)&guard;
}

static void
lock_destroy(struct sched_lock *p)
{
    (void)p;
}

static int
lock_owner(struct sched_lock *p)
{
    (void)p;
    return owner_lwp;
}

/* Nobody runs and the thread to run is not here: after a while, stop waiting
 * for it (a real wait), or have a blocked thread look for signals. */
static void
idle(struct rtm_thread *me, Int *waited_ms, Int ms)
{
    *waited_ms += ms;
    if (rtm_cur) {
        *waited_ms = 0;
        return;
    }
    if (awaited) {
        if (awaited->state == RTM_T_SYSCALL
            && *waited_ms >= (awaited->may_block ? GRACE_MS : PATIENCE_MS)) {
            rtm_nondeterministic++;
            leave_core(awaited);
            awaited->state = RTM_T_AWAY;
            *waited_ms = 0;
            pick();
        }
        return;
    }
    if (me->state == RTM_T_BLOCKED && *waited_ms >= IDLE_MS) {
        make_ready(me);
        *waited_ms = 0;
        pick();
    }
}

static void
park(struct rtm_thread *me)
{
    Int waited_ms = 0;

    me->parked = True;
    while (rtm_cur != me) {
        const Int ms = rtm_cur ? 50 : awaited ? 1 : IDLE_MS;
        struct vki_timespec ts = {0, ms * 1000000L};
        Long r;

        __atomic_store_n(&me->wake_word, 0, __ATOMIC_RELEASE);
        unlock_guard();
        r = rtm_raw_syscall(__NR_futex, (HWord)&me->wake_word,
                            FUTEX_WAIT_PRIVATE, 0, (HWord)&ts);
        lock_guard();
        if (r == -VKI_ETIMEDOUT && rtm_cur != me) {
            idle(me, &waited_ms, ms);
        }
    }
    me->parked = False;
}

static void
arrive(struct rtm_thread *me)
{
    switch (me->state) {
    case RTM_T_AWAY: /* comes back at whatever time it is here */
        if (me->clock < last_grant) {
            me->clock = last_grant;
        }
        make_ready(me);
        break;
    case RTM_T_SYSCALL:
    case RTM_T_NEW:
        make_ready(me);
        break;
    case RTM_T_READY:
    case RTM_T_RUNNING: /* picked again at once */
    case RTM_T_BLOCKED:
    case RTM_T_FREE:
        break;
    }
}

static void
lock_acquire(struct sched_lock *p)
{
    struct rtm_thread *me;

    (void)p;
    lock_guard();
    if (max_thread == 0) { /* the main thread, before anything else */
        unlock_guard();
        rtm_sched_thread_new(1, 1);
        lock_guard();
        rng = (ULong)rtm_opt.seed * 0x9E3779B97F4A7C15ULL | 1;
    }
    me = self();
    arrive(me);
    if (!rtm_cur) {
        pick();
    }
    if (rtm_cur != me) {
        park(me);
    }
    rtm_n_switches++;
    owner_lwp = me->lwp;
    unlock_guard();
    rtm_fault_install();
}

/* What becomes of the thread that stops running. */
static void
settle_state(struct rtm_thread *t)
{
    if (t->exiting) {
        leave_core(t);
        t->state = RTM_T_FREE;
        t->lwp = 0;
        n_threads--;
    } else if (t->in_syscall) {
        t->state = RTM_T_SYSCALL;
    } else if (t->wait != RTM_W_NONE && !t->woken && !t->timed_out && !dying) {
        t->clock = t->clock_at_wait;
        leave_core(t);
        t->state = RTM_T_BLOCKED;
    } else {
        make_ready(t);
        end_slice(t);
    }
}

static void
timed_aborts(struct rtm_thread *t)
{
    const struct rtm_tx *tx = &t->tx;
    const ULong tick = rtm_opt.timer_tick;

    if (tx->state != RTM_TX_LIVE) {
        return;
    }
    if (t->clock >= tx->inject_at) {
        rtm_tx_abort_parked(t, rtm_opt.abort_status, RTM_C_INJECTED, NULL);
    } else if (tick && t->clock / tick != tx->begin_clock / tick) {
        rtm_tx_abort_parked(t, 0, RTM_C_TIMER, "timer tick");
    }
}

static void
lock_release(struct sched_lock *p)
{
    struct rtm_thread *t = rtm_cur;
    ULong now;

    (void)p;
    tl_assert(t);
    rtm_tx_settle(t);
    rtm_hooks_update();
    rtm_lines_trim();
    lock_guard();
    now = rtm_clock();
    t->cpu += now - t->clock;
    t->clock = now;
    if (now > makespan && !dying) {
        makespan = now;
    }
    if (dying) {
        t->clock += 1000; /* who waits for the others' end comes last */
    }
    owner_lwp = 0;
    rtm_cur = NULL;
    timed_aborts(t);
    settle_state(t);
    pick();
    unlock_guard();
}

const struct sched_lock_ops vgModuleLocal_linux_ticket_lock_ops = {
    .get_sched_lock_name = lock_name,
    .create_sched_lock = lock_create,
    .destroy_sched_lock = lock_destroy,
    .get_sched_lock_owner = lock_owner,
    .acquire_sched_lock = lock_acquire,
    .release_sched_lock = lock_release,
};

const struct sched_lock_ops vgModuleLocal_generic_sched_lock_ops = {
    .get_sched_lock_name = lock_name,
    .create_sched_lock = lock_create,
    .destroy_sched_lock = lock_destroy,
    .get_sched_lock_owner = lock_owner,
    .acquire_sched_lock = lock_acquire,
    .release_sched_lock = lock_release,
};
