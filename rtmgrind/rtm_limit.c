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
    UNTIL, /* a timespec that is a time of `clock` */
    EVERY  /* an itimerspec, and no time-out */
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

/* The clock of a timerfd; the kernel shows it. */
static Int
clock_of_file(Int fd)
{
    static const HChar key[] = "clockid: ";
    HChar path[64], text[512];
    const HChar *at;
    SysRes file;
    Int n;

    VG_(snprintf)(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    file = VG_(open)(path, VKI_O_RDONLY, 0);
    if (sr_isError(file)) {
        return VKI_CLOCK_MONOTONIC;
    }
    n = VG_(read)((Int)sr_Res(file), text, sizeof text - 1);
    VG_(close)((Int)sr_Res(file));
    text[n > 0 ? n : 0] = '\0';
    at = VG_(strstr)(text, key);
    return at ? (Int)VG_(strtoll10)(at + sizeof key - 1, NULL) : VKI_CLOCK_MONOTONIC;
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
    case __NR_timerfd_settime:
        return gs->guest_RSI & 1
                   ? (struct limit){EVERY, &gs->guest_RDX, clock_of_file((Int)gs->guest_RDI), 0}
                   : (struct limit){.form = NONE};
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

/* The kernel is given this in its place, until the call is over. */
static void
replace(ULong *arg, void *by, Int clock, const struct vki_timespec *ts)
{
    rtm_cur->host_limit.it_value = host_time(clock, ts);
    rtm_cur->limit_at = *arg;
    *arg = (ULong)by;
}

void
rtm_limit_begins(VexGuestAMD64State *gs)
{
    const struct limit l = limit_of(gs);
    struct rtm_thread *t = rtm_cur;
    struct vki_itimerspec spec;
    struct vki_timespec ts;

    t->limit = RTM_NEVER;
    t->limit_says = l.says;
    if (l.form == MILLISECONDS && (Int)*l.arg >= 0) {
        t->limit = rtm_clock() + rtm_ns_to_cycles((UInt)*l.arg * 1000000ULL);
    }
    else if ((l.form == TIMESPEC || l.form == TIMEVAL) && rtm_get(*l.arg, &ts, sizeof ts)) {
        ts.tv_nsec *= l.form == TIMEVAL ? 1000 : 1;
        if (rtm_is_timespec(&ts)) {
            t->limit = rtm_wait_end(&ts, False, VKI_CLOCK_MONOTONIC);
        }
    }
    else if (l.form == UNTIL && rtm_get_timespec(*l.arg, &ts)) {
        t->limit = rtm_wait_end(&ts, True, l.clock);
        replace(l.arg, &t->host_limit.it_value, l.clock, &ts);
    }
    else if (l.form == EVERY && rtm_get(*l.arg, &spec, sizeof spec) &&
             rtm_is_timespec(&spec.it_value) && rtm_timespec_ns(&spec.it_value) > 0) {
        t->host_limit.it_interval = spec.it_interval;
        replace(l.arg, &t->host_limit, l.clock, &spec.it_value);
    }
}

/* A call that a signal ended and that begins anew finds what it was given before. */
static void
take_back(const struct rtm_thread *t, volatile ULong *arg)
{
    if (*arg == (ULong)&t->host_limit || *arg == (ULong)&t->host_limit.it_value) {
        *arg = t->limit_at;
    }
}

void
rtm_limit_over(struct rtm_thread *t, Long result)
{
    take_back(t, &t->gs->guest_RDX);
    take_back(t, &t->gs->guest_R10);
    take_back(t, &t->gs->guest_R8);
    if (t->limit != RTM_NEVER && result == t->limit_says && rtm_clock() < t->limit) {
        rtm_clock_add(t->limit - rtm_clock());
    }
    t->limit = RTM_NEVER;
}
