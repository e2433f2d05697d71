/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where virtual time must not outrun real time.
 *
 * When all threads wait for a time to come, virtual time jumps there. But while
 * one is away in the kernel, waiting for another process, say, or sleeps until a
 * child has ended, the jump would make time-outs come first that are far longer
 * than what they guard. It is put off then, until as much real time has passed.
 */

#include "rtm_sched.h"

static struct {
    ULong virtual;
    ULong real_ns;
} since; /* nothing has run */

/* Does one run, and none that has ended waits to be asked for? */
static Bool
has_children(void)
{
    enum { ALL = 0, NOHANG = 1, EXITED = 4, NOWAIT = 0x1000000 };
    vki_siginfo_t info;

    info._sifields._sigchld._pid = 0;
    return rtm_raw_syscall(__NR_waitid, ALL, 0, (HWord)&info, NOHANG | EXITED | NOWAIT) == 0 &&
           info._sifields._sigchld._pid == 0;
}

/* Who sleeps or waits for a signal does so for a child, if there is one. */
static Bool
somebody_away(void)
{
    Int i;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        const struct rtm_thread *t = &rtm_threads[i];
        if (t->state == RTM_T_AWAY ||
            (t->state == RTM_T_BLOCKED && t->wait != RTM_W_FUTEX && has_children())) {
            return True;
        }
    }
    return False;
}

Bool
rtm_too_early(ULong when)
{
    ULong now;

    if (rtm_sched.dying || !somebody_away()) {
        return False;
    }
    now = rtm_real_ns(VKI_CLOCK_MONOTONIC);
    if (since.virtual != rtm_sched.makespan) {
        since.virtual = rtm_sched.makespan;
        since.real_ns = now;
    }
    rtm_nondeterministic++;
    return when > since.virtual &&
           (when - since.virtual) / rtm_opt.mhz * 1000 > now - since.real_ns;
}
