/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * System calls in virtual time.  Reading clocks is answered here, waiting on a
 * futex and sleeping in rtm_wait.c; everything else goes to the kernel.
 *
 * The hook runs just before a SYSCALL instruction takes effect and says
 *   RTM_SYS_PASS   let it through
 *   RTM_SYS_DONE   answered: RAX is set, go on behind the instruction
 *   RTM_SYS_AGAIN  leave; the thread comes back to the same instruction, when
 *                  woken or timed out, or aborts its transaction
 *
 * Clock reads are ordinary code in the kernel's vDSO, with RDTSC, and do not
 * abort a transaction; under Valgrind they arrive as system calls (it takes
 * the vDSO away), so they are answered inside transactions too.
 */

#include "rtm_sys.h"
#include "rtm_sched.h"

static ULong real_base_ns; /* CLOCK_REALTIME at virtual time zero */
static ULong mono_base_ns;
ULong rtm_sa_flags[_VKI_NSIG + 1];

ULong
rtm_real_ns(Int clock)
{
    struct vki_timespec ts = {0, 0};

    rtm_raw_syscall(__NR_clock_gettime, clock, (HWord)&ts, 0, 0);
    return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Byte n of what stands for the kernel's random numbers. Allocators place their pages and programs
 * seed their hashes by them: from the host, no two runs would be the same. */
static UChar
entropy(ULong n)
{
    ULong x = (n + ((ULong)rtm_opt.seed << 32)) * 0x9E3779B97F4A7C15ULL; /* splitmix64 */

    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ x >> 27) * 0x94D049BB133111EBULL;
    return (UChar)(x >> 56);
}

/* The bytes that the kernel gives a program at its start, by getauxval(AT_RANDOM). */
static void
seed_start_up(void)
{
    enum { AT_NULL = 0, AT_RANDOM = 25, BYTES = 16 };
    const UWord *a;
    ULong i;

    for (a = VG_(client_auxv); a && a[0] != AT_NULL && !rtm_opt.host_entropy; a += 2) {
        for (i = 0; a[0] == AT_RANDOM && i < BYTES; i++) {
            ((UChar *)a[1])[i] = entropy(RTM_NEVER - i);
        }
    }
}

/* Not the host's time, unless asked for: programs take more instructions to print one date than
 * another, and no two runs would be the same. */
void
rtm_sys_init(void)
{
    real_base_ns = rtm_opt.epoch == RTM_HOST_EPOCH ? rtm_real_ns(VKI_CLOCK_REALTIME)
                                                   : rtm_opt.epoch * 1000000000ULL;
    mono_base_ns = 1000ULL * 1000000000ULL;
    seed_start_up();
    rtm_timers_inherit();
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
/* The program's memory                                                */

Bool
rtm_may_read(Addr a, SizeT n)
{
    return VG_(am_is_valid_for_client)(a, n, VKI_PROT_READ);
}

Bool
rtm_may_write(Addr a, SizeT n)
{
    return VG_(am_is_valid_for_client)(a, n, VKI_PROT_WRITE);
}

Bool
rtm_get(Addr a, void *value, SizeT n)
{
    if (!rtm_may_read(a, n)) {
        return False;
    }
    rtm_kernel_access(a, n, False);
    VG_(memcpy)(value, (const void *)a, n);
    return True;
}

Bool
rtm_put(Addr a, const void *value, SizeT n)
{
    if (!rtm_may_write(a, n)) {
        return False;
    }
    rtm_store_n(a, n);
    VG_(memcpy)((void *)a, value, n);
    return True;
}

/* ------------------------------------------------------------------ */
/* Clocks                                                              */

static Bool
known_clock(Int clock)
{
    return (clock >= 0 && clock <= TAI && clock != 10) || rtm_cpu_clock(clock) >= 0;
}

HWord
rtm_sys_done(VexGuestAMD64State *gs, Long result)
{
    gs->guest_RAX = (ULong)result;
    return RTM_SYS_DONE;
}

/* The result goes where it was asked for, if anywhere; the kernel says what is wrong there. */
static HWord
put_or_pass(VexGuestAMD64State *gs, Addr a, const void *value, SizeT n, Long result)
{
    return !a || rtm_put(a, value, n) ? rtm_sys_done(gs, result) : (HWord)RTM_SYS_PASS;
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
    ts.tv_sec = ns / 1000000000ULL;
    ts.tv_nsec = ns % 1000000000ULL;
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
    return put_or_pass(gs, gs->guest_RDI, &tv, sizeof tv, 0);
}

static HWord
sys_time(VexGuestAMD64State *gs)
{
    const Long s = rtm_virtual_ns(VKI_CLOCK_REALTIME) / 1000000000ULL;

    return put_or_pass(gs, gs->guest_RDI, &s, sizeof s, s);
}

static HWord
sys_getcpu(VexGuestAMD64State *gs)
{
    const UInt cpu = rtm_cur->core, node = 0;

    if (gs->guest_RSI && !rtm_put(gs->guest_RSI, &node, sizeof node)) {
        return RTM_SYS_PASS;
    }
    return put_or_pass(gs, gs->guest_RDI, &cpu, sizeof cpu, 0);
}

static HWord
sys_getrandom(VexGuestAMD64State *gs)
{
    static ULong drawn;
    enum { MOST = 256 }; /* so much is never cut short by a signal */
    const SizeT n = gs->guest_RSI < MOST ? gs->guest_RSI : MOST;
    UChar bytes[MOST];
    SizeT i;

    if (rtm_opt.host_entropy || !rtm_may_write(gs->guest_RDI, n)) {
        return RTM_SYS_PASS;
    }
    for (i = 0; i < n; i++) {
        bytes[i] = entropy(++drawn);
    }
    rtm_put(gs->guest_RDI, bytes, n);
    rtm_clock_add(rtm_opt.cost_syscall);
    return rtm_sys_done(gs, (Long)n);
}

/* ------------------------------------------------------------------ */
/* The hook                                                            */

static HWord
answer(VexGuestAMD64State *gs)
{
    switch (gs->guest_RAX) {
    case __NR_clock_gettime: return sys_clock_gettime(gs);
    case __NR_gettimeofday: return sys_gettimeofday(gs);
    case __NR_time: return sys_time(gs);
    case __NR_getcpu: return sys_getcpu(gs);
    case __NR_futex: return rtm_sys_futex(gs);
    case SYS_GETRANDOM: return sys_getrandom(gs);
    case __NR_sched_yield:
        rtm_clock_add(rtm_opt.cost_syscall);
        rtm_sched_yield();
        return rtm_sys_done(gs, 0);
    case __NR_nanosleep:
    case __NR_clock_nanosleep: return rtm_sys_nanosleep(gs);
    case __NR_poll:
    case __NR_ppoll:
    case __NR_select:
    case __NR_pselect6: return rtm_sys_poll(gs);
    case __NR_pause: return rtm_sys_pause(gs);
    case __NR_rt_sigsuspend: return rtm_sys_sigsuspend(gs);
    case __NR_rt_sigtimedwait: return rtm_sys_sigtimedwait(gs);
    case __NR_alarm:
    case __NR_setitimer:
    case __NR_getitimer:
    case __NR_timer_settime:
    case __NR_timer_gettime:
    case __NR_timer_getoverrun:
    case __NR_timer_delete: return rtm_sys_timer(gs);
    default: return RTM_SYS_PASS;
    }
}

static Bool
in_vdso(ULong no, ULong clock)
{
    enum { CLOCKS = 0x8F3 }; /* 0, 1, 4 to 7, 11 */

    return (no == __NR_clock_gettime && clock < 32 && (CLOCKS & 1u << clock)) ||
           no == __NR_gettimeofday || no == __NR_time || no == __NR_getcpu;
}

HWord
rtm_help_syscall(VexGuestAMD64State *gs)
{
    const ULong no = gs->guest_RAX;
    const Bool in_tx = rtm_cur->tx.state != RTM_TX_NONE;
    const HWord r = in_tx && !in_vdso(no, gs->guest_RDI) ? (HWord)RTM_SYS_PASS : answer(gs);

    if (in_tx && r == RTM_SYS_PASS) {
        const HChar *name = rtm_sys_name((Int)no);
        if (rtm_cur->tx.state == RTM_TX_LIVE) {
            rtm_count_unfriendly(name, VG_(get_IP)(rtm_cur->tid));
        }
        rtm_tx_doom(0, RTM_C_SYSCALL, name);
        return RTM_SYS_AGAIN;
    }
    if (r == RTM_SYS_PASS) {
        rtm_limit_begins(gs);
    }
    return r;
}

/* ------------------------------------------------------------------ */
/* Calls that go to the kernel                                         */

/* Only these may take long; others are waited for. */
static Bool
may_block(UInt no, const UWord *args)
{
    struct vg_stat st;

    switch (no) {
    case __NR_read:
    case __NR_write:
    case __NR_readv:
    case __NR_writev:
    case __NR_ioctl:
        return VG_(fstat)((Int)args[0], &st) != 0 ||
               !(VKI_S_ISREG(st.mode) || VKI_S_ISDIR(st.mode));
    case __NR_poll:
    case __NR_ppoll:
    case __NR_select:
    case __NR_pselect6:
    case __NR_epoll_wait:
    case __NR_epoll_pwait:
    case SYS_EPOLL_PWAIT2:
    case __NR_accept:
    case __NR_accept4:
    case __NR_connect:
    case __NR_recvfrom:
    case __NR_recvmsg:
    case __NR_sendto:
    case __NR_sendmsg:
    case __NR_recvmmsg:
    case __NR_sendmmsg:
    case __NR_mq_timedreceive:
    case __NR_mq_timedsend:
    case __NR_splice:
    case __NR_sendfile:
    case __NR_wait4:
    case __NR_waitid:
    case __NR_pause:
    case __NR_rt_sigsuspend:
    case __NR_rt_sigtimedwait:
    case __NR_flock:
    case __NR_futex:
    case __NR_msgrcv:
    case __NR_msgsnd:
    case __NR_semop:
    case __NR_semtimedop:
    case __NR_fcntl:
    case __NR_open:
    case __NR_openat:
    case __NR_vfork: return True;
    default: return False;
    }
}

/* Calls that make the kernel interrupt every core that runs this program. */
static Bool
changes_mapping(UInt no)
{
    switch (no) {
    case __NR_munmap:
    case __NR_mprotect:
    case __NR_mremap:
    case __NR_madvise:
    case __NR_brk:
    case __NR_shmdt: return True;
    default: return False;
    }
}

static Bool
copies_process(UInt no)
{
    return no == __NR_fork || no == __NR_vfork || no == __NR_clone || no == __NR_execve ||
           no == SYS_CLONE3;
}

void
rtm_pre_syscall(ThreadId tid, UInt no, UWord *args, UInt n)
{
    struct rtm_thread *t = &rtm_threads[tid];

    (void)n;
    t->sysno = no;
    t->in_syscall = True;
    t->may_block = may_block(no, args);
    rtm_clock_add(rtm_opt.cost_syscall);
    if (changes_mapping(no) || no == __NR_mmap) {
        rtm_page_forget();
    }
    if (changes_mapping(no)) {
        rtm_tx_abort_all(RTM_C_TLB, rtm_sys_name(no));
    }
    else if (copies_process(no)) {
        rtm_tx_abort_all(RTM_C_TLB, rtm_sys_name(no));
        rtm_page_forget(); /* pages are shared with a child until written */
        if (no == __NR_clone) {
            t->pending_clear_child_tid = args[0] & VKI_CLONE_CHILD_CLEARTID ? args[3] : 0;
        }
    }
    else if (no == __NR_exit_group) {
        rtm_sched_dying();
    }
    if (no == __NR_execve) {
        rtm_timers_to_kernel(True);
    }
}

void
rtm_post_syscall(ThreadId tid, UInt no, UWord *args, UInt n, SysRes res)
{
    struct rtm_thread *t = &rtm_threads[tid];

    (void)n;
    t->in_syscall = False;
    rtm_limit_over(t, sr_isError(res) ? -(Long)sr_Err(res) : (Long)sr_Res(res));
    if (no == __NR_rt_sigaction && args[1] && !sr_isError(res) && args[0] >= 1 &&
        args[0] <= _VKI_NSIG) {
        /* struct sigaction of the kernel: handler, then flags */
        rtm_sa_flags[args[0]] = ((const ULong *)args[1])[1];
    }
    else if (no == __NR_clone && !sr_isError(res)) {
        rtm_sched_child_is((Int)sr_Res(res));
    }
    else if (no == __NR_set_tid_address) {
        t->clear_child_tid = args[0];
    }
    else if (no == __NR_set_robust_list && !sr_isError(res)) {
        t->robust_list = args[0];
    }
    else if (no == __NR_tgkill || no == __NR_tkill || no == __NR_kill ||
             no == __NR_rt_tgsigqueueinfo) {
        rtm_sched_kick(0); /* a waiting thread may have a signal now */
    }
    else if (no == __NR_timer_create && !sr_isError(res)) {
        rtm_timer_created((Int)args[0], args[1], args[2]);
    }
    else if (no == __NR_execve) { /* failed */
        rtm_timers_from_kernel(t);
    }
}
