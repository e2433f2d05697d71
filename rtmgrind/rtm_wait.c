/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Waiting in virtual time: sleeps and futexes.  A call that has to wait marks
 * its thread and leaves for its own address (RTM_SYS_AGAIN); woken or timed
 * out, the thread runs the call again and is given the result.
 */

#include "rtm_sys.h"
#include "rtm_timer.h"

HWord
rtm_wait_ended(VexGuestAMD64State *gs, Long result)
{
    rtm_cur->wait = RTM_W_NONE;
    rtm_cur->woken = rtm_cur->timed_out = False;
    rtm_clock_add(rtm_opt.cost_syscall);
    return rtm_sys_done(gs, result);
}

HWord
rtm_block(enum rtm_wait kind, ULong wake_at)
{
    struct rtm_thread *t = rtm_cur;

    if (t->wait == RTM_W_NONE) {
        t->wait = kind;
        t->wait_end = wake_at;
        t->woken = t->timed_out = False;
        t->clock_at_wait = rtm_clock();
    }
    t->wake_at = t->wait_end; /* again, when it only looked for signals */
    rtm_sched_leave_soon();
    return RTM_SYS_AGAIN;
}

/* Virtual time at which a timeout given as in futex(2) and
 * clock_nanosleep(2) ends. */
ULong
rtm_wait_end(const struct vki_timespec *ts, Bool absolute, Int clock)
{
    const ULong ns = rtm_timespec_ns(ts);

    return absolute ? rtm_when_it_reads(clock, ns) : rtm_clock() + rtm_ns_to_cycles(ns);
}

Bool
rtm_is_timespec(const struct vki_timespec *ts)
{
    return ts->tv_sec >= 0 && ts->tv_nsec >= 0 && ts->tv_nsec < NS;
}

Bool
rtm_get_timespec(Addr a, struct vki_timespec *ts)
{
    return rtm_get(a, ts, sizeof *ts) && rtm_is_timespec(ts);
}

/* So far and no farther, as the kernel counts it. */
ULong
rtm_timespec_ns(const struct vki_timespec *ts)
{
    const ULong most = (RTM_NEVER >> 1) / NS;

    return (ULong)ts->tv_sec >= most ? most * NS : (ULong)ts->tv_sec * NS + (ULong)ts->tv_nsec;
}

/* rem: where the rest goes if a signal ends it, or 0; unit: nanoseconds that its second word counts
 * in. */
static HWord
sleep_until(ULong end, Addr rem, Int unit)
{
    rtm_cur->sleep_rem = rem;
    rtm_cur->sleep_unit = unit;
    return rtm_block(RTM_W_SLEEP, end);
}

/* It sleeps: the call was looked at before. */
static HWord
sleep_on(VexGuestAMD64State *gs)
{
    const struct rtm_thread *t = rtm_cur;

    return t->timed_out || t->woken ? rtm_wait_ended(gs, 0) : rtm_block(RTM_W_SLEEP, RTM_NEVER);
}

HWord
rtm_sys_nanosleep(VexGuestAMD64State *gs)
{
    const Bool plain = gs->guest_RAX == __NR_nanosleep;
    const Int clock = plain ? VKI_CLOCK_MONOTONIC : (Int)gs->guest_RDI;
    const Bool absolute = !plain && (gs->guest_RSI & 1);
    const Addr rem = plain ? gs->guest_RSI : gs->guest_R10;
    struct vki_timespec ts;

    if (rtm_cur->wait == RTM_W_SLEEP) {
        return sleep_on(gs);
    }
    if (!rtm_get_timespec(plain ? gs->guest_RDI : gs->guest_RDX, &ts)) {
        return RTM_SYS_PASS; /* the kernel says EFAULT or EINVAL */
    }
    return sleep_until(rtm_wait_end(&ts, absolute, clock), absolute ? 0 : rem, 1);
}

/* Sleeps as long as it says at `limit`, where the kernel leaves what is left of it. unit: the
 * nanoseconds that its second word counts in. */
static HWord
sleep_at_most(VexGuestAMD64State *gs, Addr limit, Int unit)
{
    static const struct vki_timespec none;
    struct vki_timespec ts;
    HWord r;

    if (rtm_cur->wait == RTM_W_SLEEP) {
        r = sleep_on(gs);
        if (r == RTM_SYS_DONE) {
            rtm_put(limit, &none, sizeof none);
        }
        return r;
    }
    if (!limit || !rtm_may_write(limit, sizeof ts) || !rtm_get(limit, &ts, sizeof ts)) {
        return RTM_SYS_PASS;
    }
    ts.tv_nsec *= unit;
    if (!rtm_is_timespec(&ts)) {
        return RTM_SYS_PASS;
    }
    return sleep_until(rtm_wait_end(&ts, False, VKI_CLOCK_MONOTONIC), limit, unit);
}

static HWord
sleep_ms(VexGuestAMD64State *gs, Int ms)
{
    if (ms < 0) { /* for ever */
        return RTM_SYS_PASS;
    }
    return rtm_cur->wait == RTM_W_SLEEP
               ? sleep_on(gs)
               : sleep_until(rtm_clock() + rtm_ns_to_cycles(ms * (ULong)(NS / 1000)), 0, 1);
}

Bool
rtm_has_mask(Addr a)
{
    HWord mask[2] = {0, 0};

    return a && (!rtm_get(a, mask, sizeof mask) || mask[0]);
}

/* The calls that wait for descriptors are sleeps where they are given none. */
HWord
rtm_sys_poll(VexGuestAMD64State *gs)
{
    switch (gs->guest_RAX) {
    case __NR_poll:
        return gs->guest_RSI ? rtm_sys_descriptors(gs) : sleep_ms(gs, (Int)gs->guest_RDX);
    case __NR_ppoll:
        return gs->guest_RSI || gs->guest_R10 ? rtm_sys_descriptors(gs)
                                              : sleep_at_most(gs, gs->guest_RDX, 1);
    case __NR_select:
        return (Int)gs->guest_RDI ? rtm_sys_descriptors(gs)
                                  : sleep_at_most(gs, gs->guest_R8, NS_OF_US);
    case __NR_pselect6:
        return (Int)gs->guest_RDI || rtm_has_mask(gs->guest_R9)
                   ? rtm_sys_descriptors(gs)
                   : sleep_at_most(gs, gs->guest_R8, 1);
    default: return rtm_sys_descriptors(gs);
    }
}

/* May another process wait or wake here? */
static Bool
is_shared(Addr a, Int op)
{
    const NSegment *seg;

    if (op & FUTEX_PRIVATE) {
        return False;
    }
    seg = VG_(am_find_nsegment)(a);
    return seg && (seg->kind == SkFileC || seg->kind == SkShmC);
}

static HWord
futex_wait(VexGuestAMD64State *gs, Addr a, Int op, UInt bitset)
{
    struct rtm_thread *t = rtm_cur;
    const Bool absolute = (op & FUTEX_CMD) == CMD_WAIT_BITSET;
    const Addr limit = gs->guest_R10;
    struct vki_timespec ts;
    ULong end = RTM_NEVER;
    UInt value;

    if (t->wait == RTM_W_FUTEX && t->woken) {
        return rtm_wait_ended(gs, 0);
    }
    if (t->wait == RTM_W_FUTEX && t->timed_out) {
        return rtm_wait_ended(gs, -VKI_ETIMEDOUT);
    }
    if (t->wait == RTM_W_NONE && limit) {
        if (!rtm_get_timespec(limit, &ts)) {
            return RTM_SYS_PASS;
        }
        end = rtm_wait_end(&ts, absolute,
                           op & FUTEX_REALTIME ? VKI_CLOCK_REALTIME : VKI_CLOCK_MONOTONIC);
    }
    if (!rtm_get(a, &value, sizeof value)) {
        return t->wait == RTM_W_NONE ? (HWord)RTM_SYS_PASS : rtm_wait_ended(gs, -VKI_EFAULT);
    }
    if (value != (UInt)gs->guest_RDX) {
        return rtm_wait_ended(gs, -VKI_EAGAIN);
    }
    t->futex = a;
    t->futex_value = value;
    t->futex_shared = !(op & FUTEX_PRIVATE);
    t->bitset = bitset;
    return rtm_block(RTM_W_FUTEX, end);
}

/* Wakes in the order of waiting time, as the kernel does. */
static struct rtm_thread *
longest_waiter(Addr a, UInt bitset)
{
    struct rtm_thread *best = NULL;
    Int i;

    for (i = 1; i < RTM_MAX_THREADS; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (t->state == RTM_T_BLOCKED && t->wait == RTM_W_FUTEX && !t->woken && t->futex == a &&
            (t->bitset & bitset) && (!best || t->clock_at_wait < best->clock_at_wait)) {
            best = t;
        }
    }
    return best;
}

static Int
wake(Addr a, Int most, UInt bitset)
{
    struct rtm_thread *t;
    Int n = 0;

    while (n < most && (t = longest_waiter(a, bitset)) != NULL) {
        rtm_sched_wake(t, rtm_clock() + rtm_opt.cost_wake);
        n++;
    }
    return n;
}

static HWord
futex_requeue(VexGuestAMD64State *gs, Addr a, Bool compare)
{
    const Addr to = gs->guest_R8;
    const Int most = (Int)gs->guest_RDX, move = (Int)gs->guest_R10;
    struct rtm_thread *t;
    Int n, moved = 0;
    UInt value;

    if (compare && !rtm_get(a, &value, sizeof value)) {
        return RTM_SYS_PASS;
    }
    if (compare && value != (UInt)gs->guest_R9) {
        return rtm_sys_done(gs, -VKI_EAGAIN);
    }
    n = wake(a, most, ~0u);
    while (moved < move && (t = longest_waiter(a, ~0u)) != NULL) {
        t->futex = to;
        moved++;
    }
    return rtm_sys_done(gs, compare ? n + moved : n);
}

HWord
rtm_sys_futex(VexGuestAMD64State *gs)
{
    const Addr a = gs->guest_RDI;
    const Int op = (Int)gs->guest_RSI;

    if ((a & 3) || is_shared(a, op)) {
        return RTM_SYS_PASS;
    }
    switch (op & FUTEX_CMD) {
    case CMD_WAIT: return futex_wait(gs, a, op, ~0u);
    case CMD_WAIT_BITSET:
        return (UInt)gs->guest_R9 ? futex_wait(gs, a, op, (UInt)gs->guest_R9) : RTM_SYS_PASS;
    case CMD_WAKE:
        rtm_clock_add(rtm_opt.cost_syscall);
        return rtm_sys_done(gs, wake(a, (Int)gs->guest_RDX, ~0u));
    case CMD_WAKE_BITSET:
        rtm_clock_add(rtm_opt.cost_syscall);
        return rtm_sys_done(gs, wake(a, (Int)gs->guest_RDX, (UInt)gs->guest_R9));
    case CMD_REQUEUE: return futex_requeue(gs, a, False);
    case CMD_CMP_REQUEUE: return futex_requeue(gs, a, True);
    default: return RTM_SYS_PASS; /* priority inheritance and the like */
    }
}

/* A signal handler is about to run on a thread that waits here: the call is
 * over, with EINTR or, for SA_RESTART, begins again after the handler; of those
 * that may have an end, none does. */
void
rtm_sys_interrupted(struct rtm_thread *t, Int sig)
{
    const Bool sleep = t->wait == RTM_W_SLEEP || t->wait == RTM_W_FILE;
    const Bool restart = sig > 0 && sig <= _VKI_NSIG && (rtm_sa_flags[sig] & VKI_SA_RESTART) &&
                         ((t->wait == RTM_W_FUTEX && t->wait_end == RTM_NEVER) ||
                          (t->wait == RTM_W_FILE && t->gs->guest_RAX == __NR_read));
    ULong rax = (ULong)-VKI_EINTR;
    ULong rip = VG_(get_IP)(t->tid) + 2; /* SYSCALL is two bytes */

    if (t->wait == RTM_W_NONE) {
        return;
    }
    if (sleep && t->sleep_rem) {
        const ULong now = rtm_clock();
        const ULong ns = rtm_cycles_to_ns(t->wait_end > now ? t->wait_end - now : 0);
        const struct vki_timespec rem = {ns / NS, ns % NS / t->sleep_unit};
        if (!rtm_put(t->sleep_rem, &rem, sizeof rem)) {
            rax = (ULong)-VKI_EFAULT;
        }
    }
    rtm_unsuspend(t);
    t->wait = RTM_W_NONE;
    t->woken = t->timed_out = False;
    if (!restart) {
        VG_(set_shadow_regs_area)
        (t->tid, 0, offsetof(VexGuestAMD64State, guest_RAX), sizeof rax, (UChar *)&rax);
        VG_(set_shadow_regs_area)
        (t->tid, 0, offsetof(VexGuestAMD64State, guest_RIP), sizeof rip, (UChar *)&rip);
    }
}
