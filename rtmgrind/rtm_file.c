/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Timers that are files (timerfd), in virtual time.
 *
 * When one fires (rtm_timer.c), the kernel's is set to fire at once, so that
 * its descriptor is ready for whoever looks at it, in whatever way. Until then
 * the kernel's stands still, with an interval of decades, which also tells whose
 * it is: descriptors are duplicated, closed and used again.
 */

#include "rtm_timer.h"
#include "rtm_sys.h"

enum { HOLD = 1 << 30 }; /* seconds: longer intervals are ours */

static Int n_files, last_id;

static Bool
get_in_kernel(Int fd, struct vki_itimerspec *spec)
{
    return rtm_raw_syscall(__NR_timerfd_gettime, fd, (HWord)spec, 0, 0) == 0;
}

/* The number of the timer behind a descriptor, 0: none that this process has set. */
static Int
id_of(Int fd)
{
    struct vki_itimerspec spec;

    return get_in_kernel(fd, &spec) && spec.it_interval.tv_sec > HOLD &&
                   spec.it_interval.tv_nsec == VG_(getpid)()
               ? (Int)(spec.it_interval.tv_sec - HOLD)
               : 0;
}

/* A descriptor of the timer; -1: all are closed. */
static Int
descriptor_of(struct timer *x)
{
    enum { MOST = 1024 };
    Int fd;

    if (id_of(x->fd) == x->id) {
        return x->fd;
    }
    for (fd = 0; fd < MOST; fd++) {
        if (id_of(fd) == x->id) {
            x->fd = fd;
            return fd;
        }
    }
    return -1;
}

static void
set_descriptor(const struct timer *x, Int fd, ULong ns, Bool for_good)
{
    struct vki_itimerspec spec = {{HOLD + x->id, VG_(getpid)()}, {ns / NS, ns % NS}};

    if (for_good) {
        spec.it_interval = (struct vki_timespec){x->interval_ns / NS, x->interval_ns % NS};
    }
    rtm_raw_syscall(__NR_timerfd_settime, fd, 0, (HWord)&spec, 0);
}

static Bool
is_readable(Int fd, Int wait_ms)
{
    struct vki_pollfd p = {fd, VKI_POLLIN, 0};

    return sr_Res(VG_(poll)(&p, 1, wait_ms)) > 0;
}

Bool
rtm_file_is_unread(struct timer *x)
{
    const Int fd = descriptor_of(x);

    return fd >= 0 && is_readable(fd, 0);
}

void
rtm_file_fire(struct timer *x)
{
    enum { AT_ONCE = 1, MS = 1000 };
    const Int fd = descriptor_of(x);

    if (fd >= 0) {
        set_descriptor(x, fd, AT_ONCE, False);
        x->held = is_readable(fd, MS);
    }
    else {
        x->interval_ns = 0; /* never again */
    }
}

ULong
rtm_file_set_in_kernel(struct timer *x, ULong ns, Bool for_good)
{
    const Int fd = descriptor_of(x);
    struct vki_itimerspec was;

    if (fd < 0 || !get_in_kernel(fd, &was)) {
        return LEAST_REST;
    }
    if (is_readable(fd, 0)) {
        x->held = True;
        return 0;
    }
    set_descriptor(x, fd, ns, for_good);
    return was.it_value.tv_sec >= HOLD ? 0 : was.it_value.tv_sec * (ULong)NS + was.it_value.tv_nsec;
}

/* ------------------------------------------------------------------ */
/* Which are ours                                                      */

struct timer *
rtm_file_timer(Int fd)
{
    const Int id = n_files ? id_of(fd) : 0;

    return id ? *rtm_timer_link(TIMER_FILE, id) : NULL;
}

/* The clock of a timer; the kernel shows it. */
static Int
clock_of(Int fd)
{
    static const HChar key[] = "clockid: ";
    HChar text[512];
    const HChar *at = rtm_descriptor_info(fd, text, sizeof text) ? VG_(strstr)(text, key) : NULL;

    return at ? (Int)VG_(strtoll10)(at + sizeof key - 1, NULL) : VKI_CLOCK_MONOTONIC;
}

static void
drop_closed(void)
{
    struct timer **p = &rtm_itimers[N_ITIMERS - 1].next;

    while (*p) {
        if ((*p)->kind == TIMER_FILE && descriptor_of(*p) < 0) {
            rtm_timer_drop(p);
            n_files--;
        }
        else {
            p = &(*p)->next;
        }
    }
}

struct timer *
rtm_file_adopt(Int fd)
{
    struct vki_itimerspec spec;
    struct timer *x = rtm_file_timer(fd);

    if (!x && get_in_kernel(fd, &spec)) {
        drop_closed();
        x = VG_(calloc)("rtm.timer", 1, sizeof *x);
        x->kind = TIMER_FILE;
        x->id = ++last_id;
        x->fd = fd;
        x->clock = clock_of(fd);
        x->at = RTM_NEVER;
        *rtm_timer_link(TIMER_FILE, x->id) = x;
        n_files++;
    }
    return x;
}

void
rtm_file_hold(struct timer *x, Int fd)
{
    set_descriptor(x, fd, 0, False);
}

void
rtm_files_forget(void)
{
    n_files = 0;
}

Bool
rtm_file_stands_still(Int fd)
{
    struct vki_itimerspec spec;

    return id_of(fd) || (get_in_kernel(fd, &spec) && !spec.it_value.tv_sec &&
                         !spec.it_value.tv_nsec && !spec.it_interval.tv_sec);
}

/* ------------------------------------------------------------------ */
/* Reading how often it has fired                                      */

static Bool
is_nonblocking(Int fd)
{
    const Long flags = rtm_raw_syscall(__NR_fcntl, fd, VKI_F_GETFL, 0, 0);

    return flags < 0 || (flags & VKI_O_NONBLOCK);
}

HWord
rtm_sys_read(VexGuestAMD64State *gs)
{
    const Int fd = (Int)gs->guest_RDI;
    struct timer *x = rtm_file_timer(fd);
    ULong times;

    if (!x) {
        return rtm_sys_eventfd(gs);
    }
    if (gs->guest_RDX < sizeof times) {
        return RTM_SYS_PASS;
    }
    if (is_readable(fd, 0)) {
        if (!rtm_may_write(gs->guest_RSI, sizeof times)) {
            rtm_poll_over();
            return RTM_SYS_PASS;
        }
        rtm_raw_syscall(__NR_read, fd, (HWord)&times, sizeof times, 0);
        set_descriptor(x, fd, 0, False);
        times += rtm_timer_missed(x);
        x->held = False;
        rtm_put(gs->guest_RSI, &times, sizeof times);
        return rtm_wait_ended(gs, sizeof times);
    }
    if (is_nonblocking(fd)) {
        rtm_poll_over();
        return RTM_SYS_PASS;
    }
    return rtm_poll_block(RTM_NEVER, 0, 1);
}
