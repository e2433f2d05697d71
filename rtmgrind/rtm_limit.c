/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Time-outs that the kernel waits for. It does so in real time; when one is over, virtual time has
 * come to its end as well, so that a program that looks at the clock does not wait again. One that
 * is given as a time of a clock is given to the kernel as what its own clock says then: the
 * program's says another time.
 */

#include "rtm_sys.h"

enum form {
    NONE = 0,
    MILLISECONDS, /* negative: for ever */
    TIMESPEC,     /* where it is; 0: for ever */
    TIMEVAL,
    UNTIL /* a timespec that is a time of `clock` */
};

struct limit {
    enum form form;
    ULong *arg;
    Int clock;
    Long says; /* the result when it is over */
};

static struct limit
futex_limit(VexGuestAMD64State *gs)
{
    const Int op = (Int)gs->guest_RSI;
    const Int clock = op & FUTEX_REALTIME ? VKI_CLOCK_REALTIME : VKI_CLOCK_MONOTONIC;

    switch (op & FUTEX_CMD) {
    case CMD_WAIT: return (struct limit){TIMESPEC, &gs->guest_R10, 0, -VKI_ETIMEDOUT};
    case CMD_LOCK_PI:
        return (struct limit){UNTIL, &gs->guest_R10, VKI_CLOCK_REALTIME, -VKI_ETIMEDOUT};
    case CMD_LOCK_PI2:
    case CMD_WAIT_BITSET:
    case CMD_WAIT_REQUEUE_PI: return (struct limit){UNTIL, &gs->guest_R10, clock, -VKI_ETIMEDOUT};
    default: return (struct limit){.form = NONE};
    }
}

static struct limit
limit_of(VexGuestAMD64State *gs)
{
    switch (gs->guest_RAX) {
    case __NR_poll: return (struct limit){MILLISECONDS, &gs->guest_RDX, 0, 0};
    case __NR_epoll_wait:
    case __NR_epoll_pwait: return (struct limit){MILLISECONDS, &gs->guest_R10, 0, 0};
    case SYS_EPOLL_PWAIT2: return (struct limit){TIMESPEC, &gs->guest_R10, 0, 0};
    case __NR_ppoll: return (struct limit){TIMESPEC, &gs->guest_RDX, 0, 0};
    case __NR_pselect6: return (struct limit){TIMESPEC, &gs->guest_R8, 0, 0};
    case __NR_select: return (struct limit){TIMEVAL, &gs->guest_R8, 0, 0};
    case __NR_semtimedop: return (struct limit){TIMESPEC, &gs->guest_R10, 0, -VKI_EAGAIN};
    case __NR_mq_timedsend:
    case __NR_mq_timedreceive:
        return (struct limit){UNTIL, &gs->guest_R8, VKI_CLOCK_REALTIME, -VKI_ETIMEDOUT};
    case __NR_futex: return futex_limit(gs);
    default: return (struct limit){.form = NONE};
    }
}

/* What the kernel's clock says when the program's says this. */
static struct vki_timespec
host_time(Int clock, const struct vki_timespec *ts)
{
    const Long rest = (Long)(rtm_timespec_ns(ts) - rtm_virtual_ns(clock));
    const Long then = (Long)rtm_real_ns(clock) + rest;
    const ULong ns = then > 0 ? (ULong)then : 1;

    return (struct vki_timespec){ns / 1000000000, ns % 1000000000};
}

Bool
rtm_limit_end(VexGuestAMD64State *gs, ULong *end)
{
    const struct limit l = limit_of(gs);
    struct vki_timespec ts;

    *end = RTM_NEVER;
    switch (l.form) {
    case NONE: return True;
    case MILLISECONDS:
        if ((Int)*l.arg >= 0) {
            *end = rtm_clock() + rtm_ns_to_cycles((UInt)*l.arg * 1000000ULL);
        }
        return True;
    case TIMESPEC:
    case TIMEVAL:
    case UNTIL: break;
    }
    if (!*l.arg) {
        return True;
    }
    if (!rtm_get(*l.arg, &ts, sizeof ts)) {
        return False;
    }
    ts.tv_nsec *= l.form == TIMEVAL ? 1000 : 1;
    if (!rtm_is_timespec(&ts)) {
        return False;
    }
    *end = rtm_wait_end(&ts, l.form == UNTIL, l.clock);
    return True;
}

/* A time of a clock: the kernel is given its own in its place, until the call is over. */
static void
replace(const struct limit *l)
{
    struct vki_timespec ts;

    if (l->form == UNTIL && rtm_get_timespec(*l->arg, &ts)) {
        rtm_cur->host_limit = host_time(l->clock, &ts);
        rtm_cur->limit_at = *l->arg;
        *l->arg = (ULong)&rtm_cur->host_limit;
    }
}

void
rtm_limit_begins(VexGuestAMD64State *gs)
{
    const struct limit l = limit_of(gs);

    rtm_limit_end(gs, &rtm_cur->limit);
    rtm_cur->limit_says = l.says;
    replace(&l);
}

/* A call that a signal ended and that begins anew finds what it was given before. */
static void
take_back(const struct rtm_thread *t, volatile ULong *arg)
{
    if (*arg == (ULong)&t->host_limit) {
        *arg = t->limit_at;
    }
}

void
rtm_limit_over(struct rtm_thread *t, Long result)
{
    take_back(t, &t->gs->guest_R10);
    take_back(t, &t->gs->guest_R8);
    if (t->limit != RTM_NEVER && result == t->limit_says && rtm_clock() < t->limit) {
        rtm_clock_add(t->limit - rtm_clock());
    }
    t->limit = RTM_NEVER;
}
