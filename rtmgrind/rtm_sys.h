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

HWord rtm_sys_done(VexGuestAMD64State *gs, Long result);
HWord rtm_sys_futex(VexGuestAMD64State *gs);
HWord rtm_sys_sleep(VexGuestAMD64State *gs, Int clock, Bool absolute, const struct vki_timespec *ts,
                    Addr rem);
HWord rtm_sys_poll(VexGuestAMD64State *gs);

#endif
