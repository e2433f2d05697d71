/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Between rtm_sched.c (who runs next), rtm_cores.c (virtual cores) and
 * rtm_biglock.c (the lock that makes it so). All functions are called under
 * `guard`, except rtm_lock_guard.
 */

#ifndef RTM_SCHED_H
#define RTM_SCHED_H

#include "rtm_priv.h"
#include "rtm_core.h"

enum { FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129 };
enum { GRACE_MS = 5 }; /* for a call that may block, before others, and timers, go on */

struct rtm_sched {
    struct rtm_thread *awaited; /* in a system call, or not arrived */
    Int max_thread;             /* highest slot in use */
    Int n_threads;
    Bool queued;                /* perhaps somebody waits for a core */
    Bool changed;               /* since the last turn: a thread's state or core */
    volatile Int guard;         /* the lock of what these three files keep */
    struct rtm_thread *to_wake; /* by whoever releases guard */
    ULong makespan, last_grant;
    ULong cpu;    /* cycles that threads ran, but for the turn of the running one */
    Bool timers;  /* one was set */
    Bool dying;   /* the process ends: everybody may run */
    UInt signals; /* changes when a thread may have been sent one */
};
extern struct rtm_sched rtm_sched;

/* What a thread ran before its turn now, 0: what all threads did; and with that turn. */
struct rtm_thread *rtm_thread_with(Int lwp); /* or NULL */
static inline ULong
rtm_cpu_before(Int lwp)
{
    const struct rtm_thread *t = lwp ? rtm_thread_with(lwp) : NULL;

    return lwp == 0 ? rtm_sched.cpu : t ? t->cpu : 0;
}

static inline ULong
rtm_cpu_now(Int lwp)
{
    return rtm_cpu_before(lwp) +
           (lwp == 0 || lwp == rtm_cur->lwp ? rtm_clock() - rtm_cur->clock : 0);
}

/* Whose host thread holds the big lock: it runs rtm_cur, which may be another thread. NULL while
 * nobody can run. */
extern struct rtm_thread *rtm_holder;

/* rtm_sched.guard: held for short, never over a wait. For a turn: who takes it says itself what it
 * changes. */
void rtm_lock_guard(void);
static inline void
rtm_lock_guard_of_turn(void)
{
    while (__atomic_exchange_n(&rtm_sched.guard, 1, __ATOMIC_ACQUIRE)) {
        rtm_raw_syscall(__NR_sched_yield, 0, 0, 0, 0);
    }
}
void rtm_unlock_guard(void);
void rtm_reset_guard(void); /* in a forked child */
void rtm_sched_seed(void);

/* rtm_sched.c: with nobody running, let the next thread run, or nobody until the awaited one
 * arrives. */
void rtm_pick(void);

/* rtm_pace.c: may virtual time not yet jump there, with nobody to run until then? */
Bool rtm_too_early(ULong when);

/* Without guard: who waits for what another process has changed is to look again. */
void rtm_look_abroad(void);

/* rtm_timer.c: when the next timer fires if t runs on, or NULL: if nobody does; RTM_NEVER: not at
 * all. One that is due does. ret: a thread to be awaited first; NULL: it is done */
ULong rtm_timer_due(const struct rtm_thread *t);
struct rtm_thread *rtm_timer_fire(void);
void rtm_timer_info(vki_siginfo_t *info); /* as its signal was sent: as the program sees it */
/* The kernel's timers run for ours: if all threads are in calls that may take long, or for good;
 * and no longer, as me is back from its call. */
void rtm_timers_to_kernel(Bool for_good);
void rtm_timers_from_kernel(struct rtm_thread *me);
void rtm_timers_inherit(void); /* at start */
void rtm_timers_forget(void);  /* rtm_alarm.c: in a forked child */

/* rtm_signal.c: is t interrupted by the signal, or does it wait for it? Signals that the kernel has
 * for the process, and nobody took. */
Bool rtm_takes(const struct rtm_thread *t, Int sig);
ULong rtm_pending_signals(void);

/* rtm_poll.c: who waits for descriptors looks again: a timer has fired; the running thread has made
 * a call. Is one ready that the blocked thread waits for? */
void rtm_poll_wake(ULong at);
void rtm_poll_after(Int sysno);
Bool rtm_poll_is_ready(const struct rtm_thread *t);

/* rtm_sched.c: a blocked thread is woken; rtm_sched_wake for who has the guard. */
void rtm_sched_unblock(struct rtm_thread *t, ULong at);

/* rtm_cores.c */
void rtm_leave_core(struct rtm_thread *t);
void rtm_fill_cores(void); /* idle cores take threads from the queue */
void rtm_end_slice(struct rtm_thread *t);
void rtm_enqueue(struct rtm_thread *t);
static inline void
rtm_make_ready(struct rtm_thread *t)
{
    t->state = RTM_T_READY;
    if (t->core < 0) {
        rtm_enqueue(t);
    }
}
struct rtm_thread *rtm_first_in_queue(void);

/* rtm_biglock.c */
void rtm_put_down(void);              /* the running thread stops; takes guard */
void rtm_send(void);                  /* the next one is run by its own host thread */
void rtm_park(struct rtm_thread *me); /* until it is sent */
void rtm_await_departure(void);       /* without guard */

#endif
