/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Waiting for descriptors, in virtual time: poll, select and epoll_wait of
 * nothing but timers (rtm_file.c) and eventfds, which this process makes ready.
 * A thread that waits asks the kernel again when one of these may have become
 * ready. Other descriptors are made ready from outside: those calls are the
 * kernel's, in real time.
 */

#include "rtm_timer.h"
#include "rtm_sys.h"

enum { MOST = 64, MOST_SELECTED = 1024 }; /* descriptors of a call that waits here */
enum { BITS = 64, POLL_PRI = 2, POLL_OUT = 4 };
enum { EPOLL_EVENT = 12 }; /* bytes of a struct epoll_event, which is packed */

static const HChar EVENTFD[] = "anon_inode:[eventfd]";

/* What a call waits for. */
struct set {
    struct vki_pollfd of[MOST];
    Int n;
};

/* ------------------------------------------------------------------ */
/* The thread that waits                                               */

void
rtm_poll_over(void)
{
    rtm_cur->wait = RTM_W_NONE;
    rtm_cur->woken = rtm_cur->timed_out = False;
}

HWord
rtm_poll_block(ULong end, Addr rem, Int unit)
{
    rtm_cur->woken = False;
    rtm_cur->sleep_rem = rem;
    rtm_cur->sleep_unit = unit;
    return rtm_block(RTM_W_FILE, end);
}

static Bool
waits(const struct rtm_thread *t)
{
    return t->state == RTM_T_BLOCKED && t->wait == RTM_W_FILE;
}

void
rtm_poll_wake(ULong at)
{
    Int i;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        if (waits(&rtm_threads[i])) {
            rtm_sched_unblock(&rtm_threads[i], at);
        }
    }
}

void
rtm_poll_after(Int no)
{
    Int i;

    switch (no) {
    case __NR_write:
    case __NR_writev:
    case __NR_splice:
    case __NR_io_submit:
    case __NR_epoll_ctl: break;
    default: return;
    }
    for (i = 1; i <= rtm_sched.max_thread; i++) {
        if (waits(&rtm_threads[i])) {
            rtm_sched_wake(&rtm_threads[i], rtm_clock() + rtm_opt.cost_wake);
        }
    }
}

/* ------------------------------------------------------------------ */
/* What it waits for                                                   */

Bool
rtm_read_text(const HChar *path, HChar *text, Int size)
{
    const SysRes file = VG_(open)(path, VKI_O_RDONLY, 0);
    Int n;

    if (sr_isError(file)) {
        return False;
    }
    n = VG_(read)((Int)sr_Res(file), text, size - 1);
    VG_(close)((Int)sr_Res(file));
    text[n > 0 ? n : 0] = '\0';
    return n > 0 && n < size - 1;
}

Bool
rtm_descriptor_info(Int fd, HChar *text, Int size)
{
    HChar path[64];

    VG_(snprintf)(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    return rtm_read_text(path, text, size);
}

static Bool
is_called(Int fd, const HChar *name)
{
    HChar path[64], text[64];
    SSizeT n;

    VG_(snprintf)(path, sizeof path, "/proc/self/fd/%d", fd);
    n = VG_(readlink)(path, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return VG_STREQ(text, name);
}

/* Does only this process make it ready? */
static Bool
is_own(Int fd)
{
    return rtm_file_stands_still(fd) || is_called(fd, EVENTFD);
}

/* What an epoll waits for; the kernel shows it. */
static Bool
epoll_is_own(Int fd)
{
    static const HChar key[] = "tfd: ";
    HChar text[4096];
    const HChar *at = text;

    if (!is_called(fd, "anon_inode:[eventpoll]") || !rtm_descriptor_info(fd, text, sizeof text)) {
        return False;
    }
    while ((at = VG_(strstr)(at, key)) != NULL) {
        HChar *end;
        at += sizeof key - 1;
        while (*at == ' ') {
            at++;
        }
        if (!is_own((Int)VG_(strtoll10)(at, &end))) {
            return False;
        }
    }
    return True;
}

static Bool
set_is_own(const struct set *s)
{
    Int i;

    for (i = 0; i < s->n; i++) {
        if (s->of[i].fd >= 0 && !is_own(s->of[i].fd)) {
            return False;
        }
    }
    return True;
}

static Bool
has_mask(const VexGuestAMD64State *gs)
{
    switch (gs->guest_RAX) {
    case __NR_ppoll: return gs->guest_R10 != 0;
    case __NR_pselect6: return rtm_has_mask(gs->guest_R9);
    case __NR_epoll_pwait:
    case SYS_EPOLL_PWAIT2: return gs->guest_R8 != 0;
    default: return False;
    }
}

/* Of one of select's sets, the words of n bits at a. */
static Bool
add_bits(struct set *s, Addr a, Int n, Short events)
{
    ULong word = 0;
    Int fd;

    for (fd = 0; a && fd < n; fd++) {
        if (fd % BITS == 0 && !rtm_get(a + fd / 8, &word, sizeof word)) {
            return False;
        }
        if (word >> fd % BITS & 1) {
            if (s->n == MOST) {
                return False;
            }
            s->of[s->n++] = (struct vki_pollfd){fd, events, 0};
        }
    }
    return True;
}

/* False: the kernel is to answer. */
static Bool
gather(const VexGuestAMD64State *gs, struct set *s)
{
    const Int n = (Int)gs->guest_RDI;

    s->n = 0;
    switch (gs->guest_RAX) {
    case __NR_poll:
    case __NR_ppoll:
        s->n = gs->guest_RSI <= MOST ? (Int)gs->guest_RSI : 0;
        return s->n && rtm_get(gs->guest_RDI, s->of, s->n * sizeof s->of[0]) &&
               rtm_may_write(gs->guest_RDI, s->n * sizeof s->of[0]);
    case __NR_select:
    case __NR_pselect6:
        return n <= MOST_SELECTED && add_bits(s, gs->guest_RSI, n, VKI_POLLIN) &&
               add_bits(s, gs->guest_RDX, n, POLL_OUT) && add_bits(s, gs->guest_R10, n, POLL_PRI);
    default: s->of[s->n++] = (struct vki_pollfd){n, VKI_POLLIN, 0}; return True;
    }
}

static Bool
is_ready(struct set *s)
{
    return sr_Res(VG_(poll)(s->of, s->n, 0)) > 0;
}

Bool
rtm_poll_is_ready(const struct rtm_thread *t)
{
    struct set s;

    return !gather((const VexGuestAMD64State *)t->gs, &s) || is_ready(&s);
}

/* ------------------------------------------------------------------ */
/* The calls                                                           */

static void
clear_bits(Addr a, Int n)
{
    static const ULong none;
    Int i;

    for (i = 0; a && i < n; i += BITS) {
        rtm_put(a + i / 8, &none, sizeof none);
    }
}

/* Where a call leaves what is left of its time-out, or 0; the nanoseconds that the second word
 * counts in. */
static Addr
rest_of(const VexGuestAMD64State *gs, Int *unit)
{
    *unit = gs->guest_RAX == __NR_select ? NS_OF_US : 1;
    switch (gs->guest_RAX) {
    case __NR_ppoll: return gs->guest_RDX;
    case __NR_select:
    case __NR_pselect6: return gs->guest_R8;
    default: return 0;
    }
}

/* Nothing is ready. */
static HWord
timed_out(VexGuestAMD64State *gs, struct set *s)
{
    static const struct vki_timespec none;
    Int unit, n = (Int)gs->guest_RDI;
    const Addr rest = rest_of(gs, &unit);

    switch (gs->guest_RAX) {
    case __NR_poll:
    case __NR_ppoll: rtm_put(gs->guest_RDI, s->of, s->n * sizeof s->of[0]); break;
    case __NR_select:
    case __NR_pselect6:
        clear_bits(gs->guest_RSI, n);
        clear_bits(gs->guest_RDX, n);
        clear_bits(gs->guest_R10, n);
        break;
    default: break;
    }
    if (rest) {
        rtm_put(rest, &none, sizeof none);
    }
    return rtm_wait_ended(gs, 0);
}

/* What is ready is told here, too: in the kernel the call would race with other threads' calls. */
static HWord
ready(VexGuestAMD64State *gs, const struct set *s, Bool is_epoll)
{
    UChar events[MOST * EPOLL_EVENT];
    const ULong most = (Int)gs->guest_RDX < MOST ? gs->guest_RDX : MOST;
    Int i, n = 0;

    if (is_epoll && (Int)most > 0 && rtm_may_write(gs->guest_RSI, most * EPOLL_EVENT)) {
        n = (Int)rtm_raw_syscall(__NR_epoll_wait, gs->guest_RDI, (HWord)events, most, 0);
        if (n > 0) {
            rtm_put(gs->guest_RSI, events, n * EPOLL_EVENT);
            return rtm_wait_ended(gs, n);
        }
    }
    else if (gs->guest_RAX == __NR_poll || gs->guest_RAX == __NR_ppoll) {
        for (i = 0; i < s->n; i++) {
            n += s->of[i].revents != 0;
        }
        rtm_put(gs->guest_RDI, s->of, s->n * sizeof s->of[0]);
        return rtm_wait_ended(gs, n);
    }
    rtm_poll_over();
    return RTM_SYS_PASS;
}

HWord
rtm_sys_descriptors(VexGuestAMD64State *gs)
{
    const Bool is_epoll = gs->guest_RAX == __NR_epoll_wait || gs->guest_RAX == __NR_epoll_pwait ||
                          gs->guest_RAX == SYS_EPOLL_PWAIT2;
    Int unit;
    const Addr rest = rest_of(gs, &unit);
    struct set s;
    ULong end;

    if (has_mask(gs) || !gather(gs, &s) || !rtm_limit_end(gs, &end) ||
        !(is_epoll ? epoll_is_own(s.of[0].fd) : set_is_own(&s))) {
        rtm_poll_over();
        return RTM_SYS_PASS;
    }
    if (is_ready(&s)) {
        return ready(gs, &s, is_epoll);
    }
    if (rtm_cur->timed_out || end <= rtm_clock()) {
        return timed_out(gs, &s);
    }
    return rtm_poll_block(end, rest, unit);
}

/* ------------------------------------------------------------------ */
/* Eventfds                                                            */

HWord
rtm_sys_eventfd(VexGuestAMD64State *gs)
{
    const Bool writes = gs->guest_RAX == __NR_write;
    struct vki_pollfd p = {(Int)gs->guest_RDI, writes ? POLL_OUT : VKI_POLLIN, 0};
    ULong value;

    if (gs->guest_RDX != sizeof value || !is_called(p.fd, EVENTFD) ||
        sr_Res(VG_(poll)(&p, 1, 0)) == 0 ||
        !(writes ? rtm_get(gs->guest_RSI, &value, sizeof value)
                 : rtm_may_write(gs->guest_RSI, sizeof value)) ||
        rtm_raw_syscall((Long)gs->guest_RAX, p.fd, (HWord)&value, sizeof value, 0) < 0) {
        return RTM_SYS_PASS;
    }
    if (writes) {
        rtm_poll_after(__NR_write);
    }
    else {
        rtm_put(gs->guest_RSI, &value, sizeof value);
    }
    rtm_clock_add(rtm_opt.cost_syscall);
    return rtm_sys_done(gs, sizeof value);
}
