/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Waiting for signals, in virtual time: pause, sigsuspend, sigwait. Signals
 * come through the core, which knows what each thread blocks; the kernel has
 * those that nobody took.
 */

#include "rtm_sched.h"
#include "rtm_sys.h"

static ULong
bit_of(Int sig)
{
    return 1ULL << (sig - 1);
}

Bool
rtm_takes(const struct rtm_thread *t, Int sig)
{
    const ULong awaited = t->wait == RTM_W_SIGNAL ? t->awaited : 0;
    vki_sigset_t blocked;

    VG_(do_sys_sigprocmask)(t->tid, 0, NULL, &blocked);
    return ((~blocked.sig[0] | awaited) & bit_of(sig)) != 0;
}

/* Host threads block all signals but in system calls. */
ULong
rtm_pending_signals(void)
{
    ULong set = 0;

    rtm_raw_syscall(__NR_rt_sigpending, (HWord)&set, sizeof set, 0, 0);
    return set;
}

HWord
rtm_sys_pause(VexGuestAMD64State *gs)
{
    (void)gs;
    rtm_cur->awaited = 0;
    return rtm_block(RTM_W_SIGNAL, RTM_NEVER);
}

HWord
rtm_sys_sigsuspend(VexGuestAMD64State *gs)
{
    struct rtm_thread *t = rtm_cur;
    vki_sigset_t set;

    if (!t->suspended) {
        if (gs->guest_RSI != sizeof set || !rtm_get(gs->guest_RDI, &set, sizeof set)) {
            return RTM_SYS_PASS;
        }
        VG_(do_sys_sigprocmask)(t->tid, VKI_SIG_SETMASK, &set, &t->blocked);
        t->suspended = True;
        rtm_sys_pause(gs);
        t->woken = True; /* through the core first: one may be there */
        t->signals = rtm_sched.signals - 1;
        return RTM_SYS_AGAIN;
    }
    t->woken = False;
    return rtm_sys_pause(gs);
}

void
rtm_unsuspend(struct rtm_thread *t)
{
    if (t->suspended) {
        VG_(do_sys_sigprocmask)(t->tid, VKI_SIG_SETMASK, &t->blocked, NULL);
        t->suspended = False;
    }
}

/* One of the set that the kernel has for the thread, whose host thread this is; or 0. */
static Int
take(ULong set, vki_siginfo_t *info)
{
    const struct vki_timespec at_once = {0, 0};
    const Long sig = rtm_raw_syscall(__NR_rt_sigtimedwait, (HWord)&set, (HWord)info,
                                     (HWord)&at_once, sizeof set);

    return sig > 0 ? (Int)sig : 0;
}

HWord
rtm_sys_sigtimedwait(VexGuestAMD64State *gs)
{
    const Addr to = gs->guest_RSI, limit = gs->guest_RDX;
    struct rtm_thread *t = rtm_cur;
    struct vki_timespec ts;
    vki_siginfo_t info;
    Int sig;

    if (t->wait == RTM_W_NONE &&
        (gs->guest_R10 != sizeof t->awaited ||
         !rtm_get(gs->guest_RDI, &t->awaited, sizeof t->awaited) ||
         (limit && !rtm_get_timespec(limit, &ts)) || (to && !rtm_may_write(to, sizeof info)))) {
        return RTM_SYS_PASS; /* the kernel says why not */
    }
    if (t != rtm_holder) { /* another's host thread: through the core to its own */
        t->signals = rtm_sched.signals - 1;
        rtm_sched_leave_soon();
        return RTM_SYS_AGAIN;
    }
    sig = take(t->awaited, &info);
    if (sig && to) {
        rtm_timer_info(&info);
        rtm_put(to, &info, sizeof info);
    }
    if (sig) {
        return rtm_wait_ended(gs, sig);
    }
    if (t->wait == RTM_W_SIGNAL && t->timed_out) {
        return rtm_wait_ended(gs, -VKI_EAGAIN);
    }
    if (t->wait == RTM_W_SIGNAL) {
        return rtm_block(RTM_W_SIGNAL, RTM_NEVER);
    }
    return rtm_block(RTM_W_SIGNAL,
                     limit ? rtm_wait_end(&ts, False, VKI_CLOCK_MONOTONIC) : RTM_NEVER);
}
