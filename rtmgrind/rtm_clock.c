/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What clocks say: virtual time, and processor time, which is the cycles that threads ran.
 */

#include "rtm_sys.h"
#include "rtm_timer.h"

static ULong real_base_ns; /* CLOCK_REALTIME at virtual time zero */
static ULong mono_base_ns;

ULong
rtm_real_ns(Int clock)
{
    struct vki_timespec ts = {0, 0};

    rtm_raw_syscall(__NR_clock_gettime, clock, (HWord)&ts, 0, 0);
    return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Not the host's time, unless asked for: programs take more instructions to print one date than
 * another, and no two runs would be the same. */
void
rtm_clocks_init(void)
{
    real_base_ns = rtm_opt.epoch == RTM_HOST_EPOCH ? rtm_real_ns(VKI_CLOCK_REALTIME)
                                                   : rtm_opt.epoch * 1000000000ULL;
    mono_base_ns = 1000ULL * 1000000000ULL;
}

ULong
rtm_cycles_to_ns(ULong cycles)
{
    return (ULong)((__uint128_t)cycles * 1000 / rtm_opt.mhz);
}

ULong
rtm_ns_to_cycles(ULong ns)
{
    const __uint128_t c = ((__uint128_t)ns * rtm_opt.mhz + 999) / 1000;

    return c > RTM_NEVER / 2 ? RTM_NEVER / 2 : (ULong)c;
}

enum { REALTIME_COARSE = 5, REALTIME_ALARM = 8, TAI = 11 };

/* What a clock reads at virtual time zero. */
static ULong
base_ns(Int clock)
{
    switch (clock) {
    case VKI_CLOCK_REALTIME:
    case REALTIME_COARSE:
    case REALTIME_ALARM:
    case TAI: return real_base_ns;
    default: return mono_base_ns;
    }
}

Int
rtm_cpu_clock(Int clock)
{
    enum { PROCESS = 2, THREAD = 3 }; /* CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID */
    enum { OF_FILE = 3, OF_THREAD = 4, SHIFT = 3 };
    const Int id = ~(clock >> SHIFT); /* clock_getcpuclockid, pthread_getcpuclockid */

    if (clock >= 0) {
        return clock == PROCESS ? 0 : clock == THREAD ? rtm_cur->lwp : -1;
    }
    if ((clock & OF_FILE) == OF_FILE) {
        return -1;
    }
    if (clock & OF_THREAD) {
        return id == 0 ? rtm_cur->lwp : rtm_thread_with(id) ? id : -1;
    }
    return id == 0 || id == VG_(getpid)() ? 0 : -1;
}

ULong
rtm_when_it_reads(Int clock, ULong ns)
{
    const ULong now = rtm_clock();
    const ULong start =
        rtm_cpu_clock(clock) >= 0 ? rtm_virtual_ns(clock) - rtm_cycles_to_ns(now) : base_ns(clock);
    const ULong then = ns > start ? rtm_ns_to_cycles(ns - start) : 0;

    return then > now ? then : now;
}

ULong
rtm_virtual_ns(Int clock)
{
    const Int whose = rtm_cpu_clock(clock);

    return whose >= 0 ? rtm_cycles_to_ns(rtm_cpu_now(whose))
                      : base_ns(clock) + rtm_cycles_to_ns(rtm_clock());
}

/* ------------------------------------------------------------------ */
/* The calls that read them                                            */

static Bool
known_clock(Int clock)
{
    return (clock >= 0 && clock <= TAI && clock != 10) || rtm_cpu_clock(clock) >= 0;
}

static HWord
sys_clock_gettime(VexGuestAMD64State *gs)
{
    const Int clock = (Int)gs->guest_RDI;
    struct vki_timespec ts;
    ULong ns;

    if (!known_clock(clock)) {
        return RTM_SYS_PASS;
    }
    ns = rtm_virtual_ns(clock);
    ts.tv_sec = ns / (ULong)NS;
    ts.tv_nsec = ns % NS;
    return rtm_put(gs->guest_RSI, &ts, sizeof ts) ? rtm_sys_done(gs, 0) : (HWord)RTM_SYS_PASS;
}

static HWord
sys_gettimeofday(VexGuestAMD64State *gs)
{
    const ULong us = rtm_virtual_ns(VKI_CLOCK_REALTIME) / 1000;
    const struct vki_timeval tv = {us / 1000000, us % 1000000};
    static const struct vki_timezone utc;

    if (gs->guest_RSI && !rtm_put(gs->guest_RSI, &utc, sizeof utc)) {
        return RTM_SYS_PASS;
    }
    return rtm_sys_put(gs, gs->guest_RDI, &tv, sizeof tv, 0);
}

static HWord
sys_time(VexGuestAMD64State *gs)
{
    const Long s = rtm_virtual_ns(VKI_CLOCK_REALTIME) / (ULong)NS;

    return rtm_sys_put(gs, gs->guest_RDI, &s, sizeof s, s);
}

/* The kernel knows of its children; all that this process runs is user time. */
static HWord
sys_times(VexGuestAMD64State *gs)
{
    enum { TICK = NS / 100 };
    struct vki_tms tms;

    if (gs->guest_RDI && !rtm_may_write(gs->guest_RDI, sizeof tms)) {
        return RTM_SYS_PASS;
    }
    rtm_raw_syscall(__NR_times, (HWord)&tms, 0, 0, 0);
    tms.tms_utime = (vki_clock_t)(rtm_cycles_to_ns(rtm_cpu_now(0)) / TICK);
    tms.tms_stime = 0;
    return rtm_sys_put(gs, gs->guest_RDI, &tms, sizeof tms,
                       (Long)(rtm_virtual_ns(VKI_CLOCK_MONOTONIC) / TICK));
}

static HWord
sys_getrusage(VexGuestAMD64State *gs)
{
    enum { SELF = 0, THREAD = 1 };
    const Int who = (Int)gs->guest_RDI;
    struct vki_rusage usage;
    ULong us;

    if ((who != SELF && who != THREAD) || !rtm_may_write(gs->guest_RSI, sizeof usage)) {
        return RTM_SYS_PASS;
    }
    rtm_raw_syscall(__NR_getrusage, who, (HWord)&usage, 0, 0);
    us = rtm_cycles_to_ns(rtm_cpu_now(who == SELF ? 0 : rtm_cur->lwp)) / NS_OF_US;
    usage.ru_utime = (struct vki_timeval){us / US, us % US};
    usage.ru_stime = (struct vki_timeval){0, 0};
    return rtm_sys_put(gs, gs->guest_RSI, &usage, sizeof usage, 0);
}

HWord
rtm_sys_clock(VexGuestAMD64State *gs)
{
    switch (gs->guest_RAX) {
    case __NR_clock_gettime: return sys_clock_gettime(gs);
    case __NR_gettimeofday: return sys_gettimeofday(gs);
    case __NR_time: return sys_time(gs);
    case __NR_times: return sys_times(gs);
    case __NR_getrusage: return sys_getrusage(gs);
    default: return RTM_SYS_PASS;
    }
}
