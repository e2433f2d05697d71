/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * System calls in virtual time.  Reading clocks is answered in rtm_clock.c, waiting on a
 * futex and sleeping in rtm_wait.c; what nobody answers goes to the kernel.
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

ULong rtm_sa_flags[_VKI_NSIG + 1];

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

void
rtm_sys_init(void)
{
    rtm_clocks_init();
    seed_start_up();
    rtm_timers_inherit();
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
/* Small calls                                                         */

HWord
rtm_sys_done(VexGuestAMD64State *gs, Long result)
{
    gs->guest_RAX = (ULong)result;
    return RTM_SYS_DONE;
}

/* The result goes where it was asked for, if anywhere; the kernel says what is wrong there. */
HWord
rtm_sys_put(VexGuestAMD64State *gs, Addr a, const void *value, SizeT n, Long result)
{
    return !a || rtm_put(a, value, n) ? rtm_sys_done(gs, result) : (HWord)RTM_SYS_PASS;
}

static HWord
sys_getcpu(VexGuestAMD64State *gs)
{
    const UInt cpu = rtm_cur->core, node = 0;

    if (gs->guest_RSI && !rtm_put(gs->guest_RSI, &node, sizeof node)) {
        return RTM_SYS_PASS;
    }
    return rtm_sys_put(gs, gs->guest_RDI, &cpu, sizeof cpu, 0);
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
    case __NR_clock_gettime:
    case __NR_gettimeofday:
    case __NR_time:
    case __NR_times:
    case __NR_getrusage: return rtm_sys_clock(gs);
    case __NR_getcpu: return sys_getcpu(gs);
    case __NR_futex: return rtm_sys_futex(gs);
    case SYS_GETRANDOM: return sys_getrandom(gs);
    case SYS_IO_URING_SETUP: return rtm_sys_io_uring(gs);
    case __NR_sched_yield:
        rtm_clock_add(rtm_opt.cost_syscall);
        rtm_sched_yield();
        return rtm_sys_done(gs, 0);
    case __NR_nanosleep:
    case __NR_clock_nanosleep: return rtm_sys_nanosleep(gs);
    case __NR_poll:
    case __NR_ppoll:
    case __NR_select:
    case __NR_pselect6:
    case __NR_epoll_wait:
    case __NR_epoll_pwait:
    case SYS_EPOLL_PWAIT2: return rtm_sys_poll(gs);
    case __NR_read: return rtm_sys_read(gs);
    case __NR_write: return rtm_sys_eventfd(gs);
    case __NR_pause: return rtm_sys_pause(gs);
    case __NR_rt_sigsuspend: return rtm_sys_sigsuspend(gs);
    case __NR_rt_sigtimedwait: return rtm_sys_sigtimedwait(gs);
    case __NR_alarm:
    case __NR_setitimer:
    case __NR_getitimer:
    case __NR_timer_settime:
    case __NR_timer_gettime:
    case __NR_timer_getoverrun:
    case __NR_timer_delete:
    case __NR_timerfd_settime:
    case __NR_timerfd_gettime: return rtm_sys_timer(gs);
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
    rtm_kernel_over(tid); /* one that a signal ended and that begins anew */
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
    else if (no == SYS_PROCESS_VM_READV || no == SYS_PROCESS_VM_WRITEV) {
        rtm_kernel_remote((Int)args[0], args[3], args[4], no == SYS_PROCESS_VM_WRITEV);
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
    rtm_kernel_over(tid);
    rtm_limit_over(t, sr_isError(res) ? -(Long)sr_Err(res) : (Long)sr_Res(res));
    rtm_poll_after((Int)no);
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
