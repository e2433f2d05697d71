/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The calls that set and read timers: alarm, setitimer, timer_settime and
 * their kin. The kernel gives the timers of timer_create their numbers, and
 * checks what they are to do; it is not told when.
 */

#include "rtm_timer.h"
#include "rtm_sys.h"

enum { NOTIFY_SIGNAL = 0, NOTIFY_NONE = 1, NOTIFY_THREAD_ID = VKI_SIGEV_THREAD_ID };
enum { TIMER_ABSTIME = 1, CANCEL_ON_SET = 2 }; /* TFD_TIMER_CANCEL_ON_SET: nobody sets a clock */

static ULong
time_of(const struct timer *x)
{
    return x->cpu ? rtm_cpu_now(x->of) : rtm_clock();
}

static ULong
rest_of(const struct timer *x)
{
    return rtm_timer_rest(x, time_of(x));
}

static void
set(struct timer *x, ULong at, ULong interval_ns)
{
    x->at = at;
    x->interval_ns = interval_ns;
    x->held = False;
    x->missed = 0;
    x->overrun = 0;
    rtm_sched.timers = True;
    rtm_sched_refresh();
}

static HWord
sys_alarm(VexGuestAMD64State *gs)
{
    struct timer *x = &rtm_itimers[TIMER_REAL];
    const ULong seconds = (UInt)gs->guest_RDI, rest = rest_of(x);

    set(x, seconds ? time_of(x) + rtm_ns_to_cycles(seconds * NS) : RTM_NEVER, 0);
    /* Rounded, but never to zero. */
    return rtm_sys_done(gs, rest / NS + (rest % NS >= NS / 2 || (rest && rest < NS)));
}

/* Where nothing is wanted nothing is wrong. */
static Bool
may_put(Addr a, SizeT n)
{
    return !a || rtm_may_write(a, n);
}

static void
put_itimer(const struct timer *x, Addr to)
{
    const ULong rest = rest_of(x);
    const struct vki_itimerval tv = {
        {x->interval_ns / NS, x->interval_ns % NS / NS_OF_US},
        {rest / NS, rest % NS / NS_OF_US},
    };

    if (to) {
        rtm_put(to, &tv, sizeof tv);
    }
}

static Bool
bad_timeval(const struct vki_timeval *tv)
{
    return tv->tv_sec < 0 || tv->tv_usec < 0 || tv->tv_usec >= US;
}

static ULong
timeval_ns(const struct vki_timeval *tv)
{
    return rtm_timespec_ns(&(struct vki_timespec){tv->tv_sec, tv->tv_usec * NS_OF_US});
}

static HWord
sys_setitimer(VexGuestAMD64State *gs, Addr from, Addr to)
{
    struct vki_itimerval tv = {{0, 0}, {0, 0}};
    struct timer *x = &rtm_itimers[gs->guest_RDI];
    ULong ns;

    if (gs->guest_RDI >= N_ITIMERS || !may_put(to, sizeof tv) ||
        (from && !rtm_get(from, &tv, sizeof tv))) {
        return RTM_SYS_PASS;
    }
    if (bad_timeval(&tv.it_value) || bad_timeval(&tv.it_interval)) {
        return RTM_SYS_PASS; /* the kernel says EINVAL */
    }
    put_itimer(x, to);
    ns = timeval_ns(&tv.it_value);
    set(x, ns ? time_of(x) + rtm_ns_to_cycles(ns) : RTM_NEVER, timeval_ns(&tv.it_interval));
    return rtm_sys_done(gs, 0);
}

static HWord
sys_getitimer(VexGuestAMD64State *gs)
{
    if (gs->guest_RDI >= N_ITIMERS || !rtm_may_write(gs->guest_RSI, sizeof(struct vki_itimerval))) {
        return RTM_SYS_PASS;
    }
    put_itimer(&rtm_itimers[gs->guest_RDI], gs->guest_RSI);
    return rtm_sys_done(gs, 0);
}

void
rtm_timer_created(Int clock, Addr event, Addr id)
{
    const vki_sigevent_t *e = (const vki_sigevent_t *)event;
    const Int notify = e ? e->sigev_notify : NOTIFY_SIGNAL, whose = rtm_cpu_clock(clock);
    struct timer *x;

    if ((clock < 0 && whose < 0) ||
        (notify != NOTIFY_SIGNAL && notify != NOTIFY_NONE && notify != NOTIFY_THREAD_ID)) {
        return; /* the kernel's, in real time */
    }
    x = VG_(calloc)("rtm.timer", 1, sizeof *x);
    x->kind = TIMER_POSIX;
    x->id = *(const Int *)id;
    x->clock = clock;
    x->cpu = whose >= 0;
    x->of = x->cpu ? whose : 0;
    x->sig = notify == NOTIFY_NONE ? 0 : e ? e->sigev_signo : VKI_SIGALRM;
    x->lwp = notify == NOTIFY_THREAD_ID ? e->vki_sigev_notify_thread_id : 0;
    x->value.sival_int = x->id;
    if (e) {
        x->value = e->sigev_value;
    }
    x->at = RTM_NEVER;
    *rtm_timer_link(TIMER_POSIX, x->id) = x;
}

static void
put_timer(const struct timer *x, Addr to)
{
    const ULong rest = rest_of(x);
    const struct vki_itimerspec spec = {
        {x->interval_ns / NS, x->interval_ns % NS},
        {rest / NS, rest % NS},
    };

    if (to) {
        rtm_put(to, &spec, sizeof spec);
    }
}

static HWord
timer_settime(VexGuestAMD64State *gs, struct timer *x, Addr from, Addr to)
{
    struct vki_itimerspec spec;
    ULong ns, at;

    if (!may_put(to, sizeof spec) || !rtm_get(from, &spec, sizeof spec) ||
        !rtm_is_timespec(&spec.it_value) || !rtm_is_timespec(&spec.it_interval)) {
        return RTM_SYS_PASS;
    }
    put_timer(x, to);
    ns = rtm_timespec_ns(&spec.it_value);
    at = !(gs->guest_RSI & TIMER_ABSTIME) ? time_of(x) + rtm_ns_to_cycles(ns)
         : x->cpu                         ? rtm_ns_to_cycles(ns)
                                          : rtm_when_it_reads(x->clock, ns);
    set(x, ns ? at : RTM_NEVER, rtm_timespec_ns(&spec.it_interval));
    return rtm_sys_done(gs, 0);
}

static HWord
timerfd_settime(VexGuestAMD64State *gs)
{
    struct timer *x = NULL;
    HWord r;

    if (!(gs->guest_RSI & ~(ULong)(TIMER_ABSTIME | CANCEL_ON_SET))) {
        x = rtm_file_adopt((Int)gs->guest_RDI);
    }
    r = x ? timer_settime(gs, x, gs->guest_RDX, gs->guest_R10) : (HWord)RTM_SYS_PASS;
    if (r == RTM_SYS_DONE) {
        rtm_file_hold(x, (Int)gs->guest_RDI);
    }
    return r;
}

static HWord
timer_gettime(VexGuestAMD64State *gs, const struct timer *x)
{
    if (!x || !rtm_may_write(gs->guest_RSI, sizeof(struct vki_itimerspec))) {
        return RTM_SYS_PASS;
    }
    put_timer(x, gs->guest_RSI);
    return rtm_sys_done(gs, 0);
}

static HWord
answer(VexGuestAMD64State *gs)
{
    struct timer **p;

    switch (gs->guest_RAX) {
    case __NR_alarm: return sys_alarm(gs);
    case __NR_setitimer: return sys_setitimer(gs, gs->guest_RSI, gs->guest_RDX);
    case __NR_getitimer: return sys_getitimer(gs);
    case __NR_timerfd_settime: return timerfd_settime(gs);
    case __NR_timerfd_gettime: return timer_gettime(gs, rtm_file_timer((Int)gs->guest_RDI));
    default: break;
    }
    p = rtm_timer_link(TIMER_POSIX, (Int)gs->guest_RDI);
    if (!*p) {
        return RTM_SYS_PASS;
    }
    switch (gs->guest_RAX) {
    case __NR_timer_settime: return timer_settime(gs, *p, gs->guest_RDX, gs->guest_R10);
    case __NR_timer_gettime: return timer_gettime(gs, *p);
    case __NR_timer_getoverrun: return rtm_sys_done(gs, (*p)->overrun);
    case __NR_timer_delete: rtm_timer_drop(p); return RTM_SYS_PASS; /* the kernel's too */
    default: return RTM_SYS_PASS;
    }
}

HWord
rtm_sys_timer(VexGuestAMD64State *gs)
{
    const HWord r = answer(gs);

    if (r == RTM_SYS_DONE) {
        rtm_clock_add(rtm_opt.cost_syscall);
    }
    return r;
}

void
rtm_timers_forget(void)
{
    Int i;

    while (rtm_itimers[N_ITIMERS - 1].next) {
        rtm_timer_drop(&rtm_itimers[N_ITIMERS - 1].next);
    }
    rtm_files_forget();
    for (i = 0; i < N_ITIMERS; i++) {
        rtm_itimers[i].at = RTM_NEVER;
        rtm_itimers[i].held = rtm_itimers[i].in_kernel = False;
    }
}
