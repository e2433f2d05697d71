/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Valgrind's big lock, in virtual time. The core calls these functions from
 * whatever host thread; releasing picks the next thread (rtm_sched.c) and
 * acquiring waits to be picked. A hand-over costs one futex wake; between two
 * threads that only run code there is none (rtm_ride.c).
 */

#include "rtm_sched.h"
#include "rtm_sys.h"

enum {
    PATIENCE_MS = 2000, /* for one that should not */
    IDLE_MS = 10        /* when all wait: look for signals this often */
};

struct rtm_thread *rtm_holder;

/* The wake itself waits until guard is free: the woken thread needs it. */
void
rtm_send(void)
{
    struct rtm_thread *t = rtm_cur;

    rtm_holder = t;
    if (t && t->parked) { /* else it is on its way to the lock, and will see */
        __atomic_store_n(&t->wake_word, 1, __ATOMIC_RELEASE);
        rtm_sched.to_wake = t;
    }
}

static struct rtm_thread *
self(void)
{
    const Int lwp = VG_(gettid)();
    struct rtm_thread *fresh = NULL;
    Int i;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (t->state != RTM_T_FREE && t->lwp == lwp) {
            return t;
        }
        if (t->state == RTM_T_NEW && t->lwp == 0) {
            fresh = t;
        }
    }
    /* The parent tells a child's number right after clone (rtm_sched_child_is),
       before it can create another, so at most one thread is without. */
    tl_assert(fresh);
    fresh->lwp = lwp;
    return fresh;
}

/* A thread that ended has its clear_child_tid word cleared by the kernel, somewhat later in host
 * time. In virtual time that is at once, so who runs next waits for it: whether a join finds the
 * word cleared must not depend on the host. */
static struct {
    const volatile UInt *word;
    Int lwp;
    Bool bereaves; /* holds locks of its robust list: who waits for one is to look again */
} departing;

/* The list is a ring, through its head. */
static Bool
holds_robust_locks(const struct rtm_thread *t)
{
    return t->robust_list &&
           VG_(am_is_valid_for_client)(t->robust_list, sizeof(Addr), VKI_PROT_READ) &&
           *(const Addr *)t->robust_list != t->robust_list;
}

static void
note_departure(const struct rtm_thread *t)
{
    if (t->clear_child_tid &&
        VG_(am_is_valid_for_client)(t->clear_child_tid, sizeof(UInt), VKI_PROT_READ)) {
        departing.word = (const volatile UInt *)t->clear_child_tid;
        departing.lwp = t->lwp;
        departing.bereaves = holds_robust_locks(t);
    }
}

void
rtm_await_departure(void)
{
    if (!departing.word) {
        return;
    }
    while (*departing.word != 0 &&
           rtm_raw_syscall(__NR_tgkill, VG_(getpid)(), departing.lwp, 0, 0) == 0) {
        rtm_raw_syscall(__NR_sched_yield, 0, 0, 0, 0);
    }
    departing.word = NULL;
    if (departing.bereaves) {
        rtm_sched_kick(0);
    }
}

/* clone has returned lwp to the parent; the child may have come by already. */
void
rtm_sched_child_is(Int lwp)
{
    Int i;

    rtm_lock_guard();
    for (i = 1; i <= rtm_sched.max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (t->state == RTM_T_NEW && t->lwp == 0) {
            t->lwp = lwp;
        }
    }
    rtm_unlock_guard();
}

void
rtm_sched_thread_exit(ThreadId tid)
{
    struct rtm_thread *t = &rtm_threads[tid];
    Int i;

    rtm_lock_guard();
    if (t->state == RTM_T_NEW) { /* clone failed */
        rtm_leave_core(t);
        t->state = RTM_T_FREE;
        rtm_sched.n_threads--;
        rtm_unlock_guard();
        return;
    }
    t->exiting = True;
    rtm_unlock_guard();
    if (!t->clear_child_tid) {
        return;
    }
    /* The kernel clears this word and wakes who waits for it once the thread is really gone. The
       next thread waits for that (rtm_await_departure); here is the wake, in virtual time. */
    for (i = 1; i <= rtm_sched.max_thread; i++) {
        struct rtm_thread *w = &rtm_threads[i];
        if (w->state == RTM_T_BLOCKED && w->wait == RTM_W_FUTEX && w->futex == t->clear_child_tid) {
            rtm_sched_wake(w, rtm_clock() + rtm_opt.cost_wake);
        }
    }
}

static const HChar *
lock_name(void)
{
    return "rtmgrind virtual time";
}

/* The others are not in the child; what the report counts, and processor time, begin anew. */
static void
forget_parent(void)
{
    struct rtm_thread *me = rtm_cur;
    Int i;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (t->state != RTM_T_FREE && t != me) {
            rtm_leave_core(t);
            t->state = RTM_T_FREE;
            t->lwp = 0;
            t->tx.state = RTM_TX_NONE;
            t->parked = t->aboard = False;
            rtm_sched.n_threads--;
        }
        if (t != me) {
            t->tid = VG_INVALID_THREADID;
        }
    }
    rtm_forked_child = True;
    rtm_page_forked();
    rtm_kernel_forget_others(me ? me->tid : VG_INVALID_THREADID);
    rtm_timers_forget();
    rtm_report_reset();
    rtm_nondeterministic = 0;
    rtm_sched.cpu = 0;
    rtm_sched.to_wake = NULL;
    rtm_holder = NULL;
    if (me) {
        rtm_tx_forget_others(me);
        me->clock = rtm_clock();
        me->cpu = 0;
        me->lwp = VG_(gettid)();
        me->state = RTM_T_READY;
        rtm_cur = NULL;
        rtm_sched.awaited = NULL;
    }
}

/* At start, and again in a forked child. */
static struct sched_lock *
lock_create(void)
{
    static Bool created;

    rtm_reset_guard();
    departing.word = NULL;
    if (created) {
        forget_parent();
    }
    created = True;
    return (struct sched_lock *)&rtm_sched;
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
    return rtm_holder ? rtm_holder->lwp : 0;
}

/* Does the thread wait for something, in the kernel? One that is only slow, since the host runs
 * others before it, or a disk is busy, is on its way. */
static Bool
is_asleep(const struct rtm_thread *t)
{
    HChar path[64], text[2048];
    const HChar *state;

    VG_(snprintf)(path, sizeof path, "/proc/self/task/%d/stat", t->lwp);
    if (!rtm_read_text(path, text, sizeof text)) {
        return True;
    }
    state = VG_(strrchr)(text, ')'); /* behind the name */
    return !state || (state[2] != 'R' && state[2] != 'D');
}

/* The thread to run is in a system call, for so long: is it to be waited for no longer? */
static Bool
is_away(const struct rtm_thread *t, Int waited_ms)
{
    return t->state == RTM_T_SYSCALL &&
           (waited_ms >= PATIENCE_MS || (t->may_block && waited_ms >= GRACE_MS && is_asleep(t)));
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
    if (rtm_sched.awaited) {
        if (is_away(rtm_sched.awaited, *waited_ms)) {
            rtm_nondeterministic++;
            rtm_leave_core(rtm_sched.awaited);
            rtm_sched.awaited->state = RTM_T_AWAY;
            *waited_ms = 0;
            rtm_pick();
            rtm_send();
        }
        return;
    }
    if (me->state == RTM_T_BLOCKED && *waited_ms >= IDLE_MS) {
        rtm_make_ready(me);
        me->signals--; /* whatever it is, it goes through the core */
        *waited_ms = 0;
        rtm_pick();
        rtm_send();
    }
}

void
rtm_park(struct rtm_thread *me)
{
    Int waited_ms = 0;

    me->parked = True;
    while (rtm_holder != me) {
        const Int ms = rtm_cur ? 50 : rtm_sched.awaited ? 1 : IDLE_MS;
        struct vki_timespec ts = {0, ms * 1000000L};
        Long r;

        __atomic_store_n(&me->wake_word, 0, __ATOMIC_RELEASE);
        rtm_unlock_guard();
        r = rtm_raw_syscall(__NR_futex, (HWord)&me->wake_word, FUTEX_WAIT_PRIVATE, 0, (HWord)&ts);
        rtm_lock_guard();
        if (r == -VKI_ETIMEDOUT && rtm_holder != me) {
            idle(me, &waited_ms, ms);
        }
    }
    me->parked = False;
}

static void
arrive(struct rtm_thread *me)
{
    rtm_timers_from_kernel(me);
    switch (me->state) {
    case RTM_T_AWAY: /* comes back at whatever time it is here */
        if (me->clock < rtm_sched.last_grant) {
            me->clock = rtm_sched.last_grant;
        }
        rtm_make_ready(me);
        break;
    case RTM_T_NEW: me->state = RTM_T_READY; break; /* in the queue since it was created */
    case RTM_T_SYSCALL: rtm_make_ready(me); break;
    case RTM_T_READY:
    case RTM_T_RUNNING: /* picked again at once */
    case RTM_T_BLOCKED:
    case RTM_T_FREE: break;
    }
}

/* The core gives the lock up, takes it again, and looks for signals. */
static void
end_visit(struct rtm_thread *me)
{
    me->visit = False;
    me->turns = 0;
    me->signals = rtm_sched.signals;
    me->visited_at = rtm_clock();
}

static void
lock_acquire(struct sched_lock *p)
{
    struct rtm_thread *me;

    (void)p;
    rtm_lock_guard();
    if (rtm_sched.max_thread == 0) { /* the main thread, before anything else */
        rtm_unlock_guard();
        rtm_sched_thread_new(1, 1);
        rtm_lock_guard();
        rtm_sched_seed();
    }
    me = self();
    if (me == rtm_holder && me->visit) {
        end_visit(me);
        rtm_unlock_guard();
        rtm_look_abroad();
        return;
    }
    arrive(me);
    if (!rtm_cur) {
        rtm_pick();
        rtm_send();
    }
    rtm_park(me);
    rtm_unlock_guard();
    rtm_await_departure();
    rtm_fault_install();
}

/* What becomes of the thread that stops running. */
static void
settle_state(struct rtm_thread *t)
{
    if (t->exiting) {
        rtm_sched.changed = True;
        note_departure(t);
        rtm_leave_core(t);
        t->state = RTM_T_FREE;
        t->lwp = 0;
        rtm_sched.n_threads--;
    }
    else if (t->in_syscall) {
        rtm_sched.changed = True;
        t->state = RTM_T_SYSCALL;
    }
    else if (t->wait != RTM_W_NONE && !t->woken && !t->timed_out && !rtm_sched.dying) {
        rtm_sched.changed = True;
        t->clock = t->clock_at_wait;
        rtm_leave_core(t);
        t->state = RTM_T_BLOCKED;
    }
    else {
        rtm_make_ready(t);
        if (t->core >= 0 && t->clock - t->core_since >= (ULong)rtm_opt.slice) {
            rtm_end_slice(t);
        }
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
    }
    else if (tick && t->clock / tick != tx->begin_clock / tick) {
        rtm_tx_abort_parked(t, 0, RTM_C_TIMER, "timer tick");
    }
}

void
rtm_put_down(void)
{
    struct rtm_thread *t = rtm_cur;
    ULong now;

    rtm_tx_settle(t);
    if (rtm_live == 0) {
        rtm_hooks_update(t->shadow->clock);
    }
    if (rtm_n_lines >= RTM_MOST_LINES) {
        rtm_lines_trim();
    }
    rtm_lock_guard_of_turn();
    now = t->shadow->clock;
    t->cpu += now - t->clock;
    rtm_sched.cpu += now - t->clock;
    t->clock = now;
    if (now > rtm_sched.makespan && !rtm_sched.dying) {
        rtm_sched.makespan = now;
    }
    if (rtm_sched.dying) {
        t->clock += 1000; /* who waits for the others' end comes last */
    }
    rtm_cur = NULL;
    timed_aborts(t);
    settle_state(t);
}

static void
lock_release(struct sched_lock *p)
{
    (void)p;
    tl_assert(rtm_cur && rtm_cur == rtm_holder);
    if (rtm_cur->visit) {
        return;
    }
    rtm_put_down();
    rtm_pick();
    if (!rtm_cur) {
        rtm_timers_to_kernel(False);
    }
    rtm_send();
    rtm_unlock_guard();
}

/* Whichever of its two locks the core asks for, it gets this one. */
#define OPS                                                                     \
    {                                                                           \
        .get_sched_lock_name = lock_name, .create_sched_lock = lock_create,     \
        .destroy_sched_lock = lock_destroy, .get_sched_lock_owner = lock_owner, \
        .acquire_sched_lock = lock_acquire, .release_sched_lock = lock_release, \
    }

const struct sched_lock_ops vgModuleLocal_linux_ticket_lock_ops = OPS;
const struct sched_lock_ops vgModuleLocal_generic_sched_lock_ops = OPS;
