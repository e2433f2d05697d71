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

/* Has this process any? *ended: one that waits to be asked for, or 0 */
static Bool
has_children(Int *ended)
{
    enum { ALL = 0, NOHANG = 1, EXITED = 4, NOWAIT = 0x1000000 };
    vki_siginfo_t info;
    Bool any;

    info._sifields._sigchld._pid = 0;
    any = rtm_raw_syscall(__NR_waitid, ALL, 0, (HWord)&info, NOHANG | EXITED | NOWAIT) == 0;
    *ended = info._sifields._sigchld._pid;
    return any;
}

static Bool
awaits_children(void)
{
    Int ended;

    return has_children(&ended) && !ended;
}

/* Who sleeps or waits for a signal does so for a child, if there is one. */
static Bool
somebody_away(void)
{
    Int i;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        const struct rtm_thread *t = &rtm_threads[i];
        if (t->state == RTM_T_AWAY ||
            (t->state == RTM_T_BLOCKED && t->wait != RTM_W_FUTEX && awaits_children())) {
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

static Bool
word_changed(const struct rtm_thread *t)
{
    Int ended;

    return t->futex_shared && (rtm_forked_child || has_children(&ended)) &&
           VG_(am_is_valid_for_client)(t->futex, sizeof(UInt), VKI_PROT_READ) &&
           *(const volatile UInt *)t->futex != t->futex_value;
}

void
rtm_look_abroad(void)
{
    Int i;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (t->state == RTM_T_BLOCKED &&
            (t->wait == RTM_W_FUTEX ? word_changed(t)
                                    : t->wait == RTM_W_FILE && rtm_poll_is_ready(t))) {
            rtm_nondeterministic++;
            rtm_sched_wake(t, rtm_clock());
            t->woken = False; /* asks again */
        }
    }
}
