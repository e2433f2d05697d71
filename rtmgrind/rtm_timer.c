/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Timers in virtual time: alarm, setitimer, and those of timer_create, which
 * send signals; those that are files (rtm_file.c).
 *
 * The calls are answered here. A timer is an event for the scheduler, as a
 * thread's time-out is: the running thread stops for it, and when no runnable
 * thread's clock is behind it, rtm_pick has it fire. Its signal is sent to a
 * thread that takes it, the main thread if that does, and which goes through
 * the core, where signals are found, before it runs on. So it comes at the
 * same virtual time in each run.
 *
 * When all threads are in system calls that may take long, nobody is there to
 * have it fire: the kernel's own timers run until one returns, in real time.
 */

#include "rtm_timer.h"
#include "rtm_sys.h"

enum { SI_CODE_KERNEL = 0x80, SI_CODE_TIMER = -2, NO_TIMER = -1 };

struct timer rtm_itimers[N_ITIMERS] = {
    {.next = &rtm_itimers[1], .id = TIMER_REAL, .sig = VKI_SIGALRM, .at = RTM_NEVER},
    {.next = &rtm_itimers[2],
     .id = TIMER_VIRTUAL,
     .cpu = True,
     .sig = VKI_SIGVTALRM,
     .at = RTM_NEVER},
    {.id = TIMER_PROF, .cpu = True, .sig = VKI_SIGPROF, .at = RTM_NEVER},
};
static struct timer *const timers = rtm_itimers;

struct timer **
rtm_timer_link(enum timer_kind kind, Int id)
{
    struct timer **p = &rtm_itimers[N_ITIMERS - 1].next;

    while (*p && !((*p)->kind == kind && (*p)->id == id)) {
        p = &(*p)->next;
    }
    return p;
}

void
rtm_timer_drop(struct timer **p)
{
    struct timer *x = *p;

    *p = x->next;
    VG_(free)(x);
}

/* ------------------------------------------------------------------ */
/* Who takes a signal                                                  */

/* Is what the thread takes about to change? */
static Bool
is_underway(const struct rtm_thread *t)
{
    return t->state == RTM_T_NEW || t->state == RTM_T_SYSCALL;
}

/* The first thread that takes the signal, or may do so once it is back. */
static struct rtm_thread *
taker(const struct timer *x)
{
    Int i;

    if (x->lwp) {
        return rtm_thread_with(x->lwp);
    }
    for (i = 1; i <= rtm_sched.max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (t->state != RTM_T_FREE && !t->exiting && (is_underway(t) || rtm_takes(t, x->sig))) {
            return t;
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ */
/* Firing                                                              */

/* Has nobody seen yet that it fired last? */
static Bool
is_unseen(struct timer *x)
{
    const struct rtm_thread *t = x->lwp ? rtm_thread_with(x->lwp) : NULL;

    if (x->kind == TIMER_FILE) {
        return rtm_file_is_unread(x);
    }
    return t ? !rtm_takes(t, x->sig) : (rtm_pending_signals() & 1ULL << (x->sig - 1)) != 0;
}

static Bool
is_held(struct timer *x)
{
    if (x->held && !is_unseen(x)) {
        x->held = False;
        if (x->kind == TIMER_FILE) {
            x->missed = 0; /* who read it was not told */
        }
    }
    return x->held;
}

/* When it fires if t runs on; NULL: while nobody runs. */
static ULong
when_due(struct timer *x, const struct rtm_thread *t)
{
    ULong ran;

    if (x->at == RTM_NEVER || is_held(x)) {
        return RTM_NEVER;
    }
    if (!x->cpu) {
        return x->at;
    }
    ran = rtm_cpu_before(x->of);
    if (ran >= x->at) {
        return 0;
    }
    return t && (!x->of || x->of == t->lwp) ? t->clock + (x->at - ran) : RTM_NEVER;
}

static struct timer *
first_due(const struct rtm_thread *t, ULong *when)
{
    struct timer *x, *first = NULL;

    *when = RTM_NEVER;
    for (x = timers; x && !rtm_sched.dying; x = x->next) {
        const ULong due = when_due(x, t);
        if (due < *when) {
            *when = due;
            first = x;
        }
    }
    return first;
}

ULong
rtm_timer_due(const struct rtm_thread *t)
{
    ULong when;

    first_due(t, &when);
    return when;
}

/* To the next time that is not over, as the kernel does. ret: how many are */
static ULong
forward(struct timer *x, ULong now)
{
    const ULong interval = rtm_ns_to_cycles(x->interval_ns);
    const ULong n = interval && now >= x->at ? 1 + (now - x->at) / interval : 0;

    x->at += n * interval;
    return n;
}

ULong
rtm_timer_missed(struct timer *x)
{
    ULong n = x->missed;

    if (x->at != RTM_NEVER) {
        n += forward(x, x->cpu ? rtm_cpu_now(x->of) : rtm_clock());
    }
    x->missed = 0;
    return n;
}

/* It has fired. */
static void
advance(struct timer *x)
{
    const ULong now = x->cpu ? rtm_cpu_before(x->of) : rtm_sched.makespan;

    if (x->interval_ns == 0) {
        x->at = RTM_NEVER;
    }
    else {
        x->missed = forward(x, now > x->at ? now : x->at) - 1;
    }
}

/* The kernel lets one thread send SI_TIMER to another, but not SI_KERNEL. */
static void
send(const struct timer *x, const struct rtm_thread *t)
{
    vki_siginfo_t info;

    VG_(memset)(&info, 0, sizeof info);
    info.si_signo = x->sig;
    info.si_code = SI_CODE_TIMER;
    info._sifields._timer._tid = x->kind == TIMER_POSIX ? x->id : NO_TIMER;
    info._sifields._timer._sigval = x->value;
    if (t) {
        rtm_raw_syscall(__NR_rt_tgsigqueueinfo, VG_(getpid)(), t->lwp, x->sig, (HWord)&info);
    }
    else {
        rtm_raw_syscall(__NR_rt_sigqueueinfo, VG_(getpid)(), x->sig, (HWord)&info, 0);
    }
}

static struct timer *
sender(const vki_siginfo_t *info)
{
    const Int id = info->_sifields._timer._tid;
    struct timer *x = timers;

    while (x &&
           (x->kind == TIMER_POSIX ? x->id != id : id != NO_TIMER || x->sig != info->si_signo)) {
        x = x->next;
    }
    return x;
}

/* The running thread takes the signal; times that came while it waited for that are over. */
void
rtm_timer_info(vki_siginfo_t *info)
{
    struct timer *x = info->si_code == SI_CODE_TIMER ? sender(info) : NULL;
    const ULong most = 0x7FFFFFFF;
    ULong missed;

    if (!x) {
        return;
    }
    missed = rtm_timer_missed(x);
    x->overrun = (Int)(missed < most ? missed : most);
    info->_sifields._timer._overrun = x->overrun;
    if (x->kind != TIMER_POSIX) {
        info->si_code = SI_CODE_KERNEL;
        VG_(memset)(&info->_sifields, 0, sizeof info->_sifields);
    }
}

/* The thread is to find its signal before it runs on. */
static void
rouse(struct rtm_thread *t, ULong at)
{
    t->signals = rtm_sched.signals - 1;
    if (t->state != RTM_T_BLOCKED && t->state != RTM_T_AWAY) {
        return;
    }
    if (t->clock < at) {
        t->clock = at;
    }
    if (t->state == RTM_T_AWAY) {
        t->state = RTM_T_SYSCALL; /* the signal ends its call */
    }
    else {
        t->wake_at = RTM_NEVER; /* asks again */
        rtm_make_ready(t);
    }
}

struct rtm_thread *
rtm_timer_fire(void)
{
    ULong when;
    struct timer *x = first_due(NULL, &when);
    struct rtm_thread *t = x->sig ? taker(x) : NULL;

    if (t && is_underway(t)) {
        return t;
    }
    if (x->kind == TIMER_FILE) {
        rtm_file_fire(x);
        rtm_poll_wake(x->at);
    }
    if (x->sig && (t || !x->lwp)) { /* else its thread has ended */
        send(x, t);
        x->held = !t || !rtm_takes(t, x->sig);
    }
    if (t && !x->held) {
        rouse(t, x->cpu ? rtm_sched.makespan : x->at);
    }
    advance(x);
    return NULL;
}

/* ------------------------------------------------------------------ */
/* The kernel's timers                                                 */

/* The kernel's timer, which never runs beside this one. ret: what was left of it, ns */
static ULong
set_in_kernel(struct timer *x, ULong ns, Bool for_good)
{
    const ULong interval_ns = for_good ? x->interval_ns : 0;
    const struct vki_itimerspec spec = {{interval_ns / NS, interval_ns % NS}, {ns / NS, ns % NS}};
    const ULong us = (ns + NS_OF_US - 1) / NS_OF_US;
    const struct vki_itimerval tv = {{interval_ns / NS, interval_ns % NS / NS_OF_US},
                                     {us / US, us % US}};
    struct vki_itimerspec old = {{0, 0}, {0, 0}};
    struct vki_itimerval was = {{0, 0}, {0, 0}};

    if (x->kind == TIMER_FILE) {
        return rtm_file_set_in_kernel(x, ns, for_good);
    }
    if (x->kind == TIMER_POSIX) {
        rtm_raw_syscall(__NR_timer_settime, x->id, 0, (HWord)&spec, (HWord)&old);
        return old.it_value.tv_sec * (ULong)NS + old.it_value.tv_nsec;
    }
    rtm_raw_syscall(__NR_setitimer, x->id, (HWord)&tv, (HWord)&was, 0);
    return was.it_value.tv_sec * (ULong)NS + was.it_value.tv_usec * NS_OF_US;
}

ULong
rtm_timer_rest(const struct timer *x, ULong now)
{
    const ULong each = rtm_ns_to_cycles(x->interval_ns);
    const ULong at = x->held && each && x->at <= now /* it goes on unseen */
                         ? x->at + (1 + (now - x->at) / each) * each
                         : x->at;
    const ULong ns = at > now ? rtm_cycles_to_ns(at - now) : 0;

    return x->at == RTM_NEVER ? 0 : ns > LEAST_REST ? ns : LEAST_REST;
}

static Bool
all_in_long_calls(void)
{
    Int i;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        const struct rtm_thread *t = &rtm_threads[i];
        if (t->state != RTM_T_FREE && t->state != RTM_T_AWAY &&
            !(t->state == RTM_T_SYSCALL && t->may_block)) {
            return False;
        }
    }
    return True;
}

void
rtm_timers_to_kernel(Bool for_good)
{
    const ULong grace = for_good ? 0 : GRACE_MS * (ULong)(NS / 1000);
    struct timer *x;

    for (x = timers; x; x = x->next) {
        if (x->at == RTM_NEVER || x->cpu || is_held(x) || !(for_good || all_in_long_calls())) {
            continue;
        }
        x->in_kernel = True;
        set_in_kernel(x, rtm_timer_rest(x, rtm_sched_makespan()) + grace, for_good);
    }
}

void
rtm_timers_from_kernel(struct rtm_thread *me)
{
    struct timer *x;

    for (x = timers; x; x = x->next) {
        if (!x->in_kernel) {
            continue;
        }
        x->in_kernel = False;
        if (set_in_kernel(x, 0, False) == 0) { /* it has fired */
            rtm_nondeterministic++;
            me->signals = rtm_sched.signals - 1;
            if (me != rtm_cur && me->clock < x->at) {
                me->clock = x->at;
            }
            advance(x);
        }
    }
}

/* An alarm outlives an exec; the kernel had it meanwhile. */
void
rtm_timers_inherit(void)
{
    struct timer *x = &rtm_itimers[TIMER_REAL];
    struct vki_itimerval tv;

    rtm_raw_syscall(__NR_getitimer, TIMER_REAL, (HWord)&tv, 0, 0);
    x->interval_ns = tv.it_interval.tv_sec * (ULong)NS + tv.it_interval.tv_usec * NS_OF_US;
    if (tv.it_value.tv_sec || tv.it_value.tv_usec) {
        x->at = rtm_ns_to_cycles(set_in_kernel(x, 0, False));
        rtm_sched.timers = True;
        rtm_nondeterministic++;
    }
}
