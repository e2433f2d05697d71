/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Between rtm_sys.c and rtm_wait.c. Handlers return RTM_SYS_PASS, _DONE or
 * _AGAIN, see rtm_sys.c.
 */

#ifndef RTM_SYS_H
#define RTM_SYS_H

#include "rtm_priv.h"

extern ULong rtm_sa_flags[_VKI_NSIG + 1]; /* as the program set them */

/* A clock's reading, in nanoseconds; when it reads so much, or now if it does; cycles and
 * nanoseconds, these rounded down, those up. */
ULong rtm_virtual_ns(Int clock);
ULong rtm_when_it_reads(Int clock, ULong ns);
ULong rtm_cycles_to_ns(ULong cycles);
ULong rtm_ns_to_cycles(ULong ns);

/* Not in all kernel headers that the core comes with. */
enum {
    SYS_PROCESS_VM_READV = 310,
    SYS_PROCESS_VM_WRITEV = 311,
    SYS_GETRANDOM = 318,
    SYS_IO_URING_SETUP = 425,
    SYS_CLONE3 = 435,
    SYS_EPOLL_PWAIT2 = 441
};

/* futex(2): a command, with flags. */
enum {
    FUTEX_CMD = 0x7F,
    FUTEX_PRIVATE = 128,
    FUTEX_REALTIME = 256,
    CMD_WAIT = 0,
    CMD_WAKE = 1,
    CMD_REQUEUE = 3,
    CMD_CMP_REQUEUE = 4,
    CMD_LOCK_PI = 6,
    CMD_WAIT_BITSET = 9,
    CMD_WAKE_BITSET = 10,
    CMD_WAIT_REQUEUE_PI = 11,
    CMD_LOCK_PI2 = 13
};

/* Whose processor time the clock shows: a thread's number, or 0: all threads'; -1: nobody's, or
 * another process's. */
Int rtm_cpu_clock(Int clock);

/* The program's memory. False: it may not be accessed so, and the kernel is to say that. A read by
 * the kernel; a store by the program, as far as transactions can tell. */
Bool rtm_may_read(Addr a, SizeT n);
Bool rtm_may_write(Addr a, SizeT n);
Bool rtm_get(Addr a, void *value, SizeT n);
Bool rtm_put(Addr a, const void *value, SizeT n);

HWord rtm_sys_done(VexGuestAMD64State *gs, Long result);
HWord rtm_sys_put(VexGuestAMD64State *gs, Addr a, const void *value, SizeT n, Long result);

/* rtm_clock.c */
void rtm_clocks_init(void);
HWord rtm_sys_clock(VexGuestAMD64State *gs);

/* rtm_wait.c: the running thread waits, until a time; its wait is over. When a time-out ends that
 * is given as in futex(2) and clock_nanosleep(2). A time as the program gives it, False: which the
 * kernel refuses; in nanoseconds. */
HWord rtm_block(enum rtm_wait kind, ULong wake_at);
HWord rtm_wait_ended(VexGuestAMD64State *gs, Long result);
ULong rtm_wait_end(const struct vki_timespec *ts, Bool absolute, Int clock);
Bool rtm_get_timespec(Addr a, struct vki_timespec *ts);
Bool rtm_is_timespec(const struct vki_timespec *ts);
ULong rtm_timespec_ns(const struct vki_timespec *ts);

/* rtm_limit.c: when the call's time-out ends, RTM_NEVER: it has none; False: the kernel refuses it.
 * The running thread's call goes to the kernel; it is back from there. */
Bool rtm_limit_end(VexGuestAMD64State *gs, ULong *end);
void rtm_limit_begins(VexGuestAMD64State *gs);
void rtm_limit_over(struct rtm_thread *t, Long result);

HWord rtm_sys_futex(VexGuestAMD64State *gs);
HWord rtm_sys_nanosleep(VexGuestAMD64State *gs);
HWord rtm_sys_poll(VexGuestAMD64State *gs);
HWord rtm_sys_read(VexGuestAMD64State *gs);
Bool rtm_has_mask(Addr a); /* of pselect6: an address and a size */

/* rtm_poll.c: a call that waits for descriptors. The running thread waits for some, until a time,
 * and what is left of that goes to `rest`; it waits no more. */
HWord rtm_sys_descriptors(VexGuestAMD64State *gs);
HWord rtm_sys_eventfd(VexGuestAMD64State *gs); /* read or write */
HWord rtm_poll_block(ULong end, Addr rest, Int unit);
void rtm_poll_over(void);
/* What a file of the kernel's says, and what /proc/self/fdinfo says of a descriptor. False:
 * nothing, or too much. */
Bool rtm_read_text(const HChar *path, HChar *text, Int size);
Bool rtm_descriptor_info(Int fd, HChar *text, Int size);
Bool rtm_file_stands_still(Int fd); /* rtm_file.c: a timer, and not the kernel's own */
HWord rtm_sys_pause(VexGuestAMD64State *gs);
HWord rtm_sys_sigsuspend(VexGuestAMD64State *gs);
HWord rtm_sys_sigtimedwait(VexGuestAMD64State *gs);
void rtm_unsuspend(struct rtm_thread *t); /* a handler ends its sigsuspend, if it is in one */
HWord rtm_sys_timer(VexGuestAMD64State *gs);
void rtm_timer_created(Int clock, Addr event, Addr id);

/* rtm_kernel.c: a call accesses memory of the process that it names. */
void rtm_kernel_remote(Int pid, Addr vector, SizeT n, Bool write);
HWord rtm_sys_io_uring(VexGuestAMD64State *gs);

#endif
