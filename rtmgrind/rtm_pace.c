/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where virtual time must not outrun real time.
 *
 * When all threads wait for a time to come, virtual time jumps there. But while
 * one is away in the kernel, waiting for another process, say, or while a timer
 * of the kernel's is to send a signal, the jump would make time-outs come first
 * that are far longer than what they guard. It is put off then, until as much
 * real time has passed.
 */

#include "rtm_sched.h"

static struct {
    ULong virtual;
    ULong real_ns;
} since; /* nothing has run */

static ULong timer_until; /* real time by which a timer fires; RTM_NEVER: again and again */

static Bool
somebody_away(void)
{
    Int i;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        if (rtm_threads[i].state == RTM_T_AWAY) {
            return True;
        }
    }
    return False;
}

Bool
rtm_too_early(ULong when)
{
    ULong now;

    if (rtm_sched.dying || (timer_until == 0 && !somebody_away())) {
        return False;
    }
    now = rtm_real_ns(VKI_CLOCK_MONOTONIC);
    if (since.virtual != rtm_sched.makespan) {
        since.virtual = rtm_sched.makespan;
        since.real_ns = now;
    }
    if (now >= timer_until && !somebody_away()) {
        timer_until = 0;
        return False;
    }
    rtm_nondeterministic++;
    return when > since.virtual &&
           (when - since.virtual) / rtm_opt.mhz * 1000 > now - since.real_ns;
}

/* alarm, setitimer(ITIMER_REAL), timer_settime, timerfd_settime: a second late is early enough. */
void
rtm_pace_timer(UInt no, const UWord *args)
{
    const ULong second = 1000000000ULL;
    const struct vki_itimerval *tv;

    switch (no) {
    case __NR_alarm:
        timer_until = args[0] ? rtm_real_ns(VKI_CLOCK_MONOTONIC) + (args[0] + 1) * second : 0;
        break;
    case __NR_setitimer:
        tv = (const struct vki_itimerval *)args[1];
        if (args[0] != 0 || !tv) {
            break;
        }
        if (tv->it_interval.tv_sec || tv->it_interval.tv_usec) {
            timer_until = RTM_NEVER;
        }
        else if (tv->it_value.tv_sec || tv->it_value.tv_usec) {
            timer_until = rtm_real_ns(VKI_CLOCK_MONOTONIC) + (tv->it_value.tv_sec + 2) * second;
        }
        else {
            timer_until = 0;
        }
        break;
    case __NR_timer_settime:
    case __NR_timerfd_settime: timer_until = RTM_NEVER; break;
    default: break;
    }
}
