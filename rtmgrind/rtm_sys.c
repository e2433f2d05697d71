/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * System calls in virtual time.  Waiting on a futex, sleeping and reading
 * clocks are answered here; everything else goes to the kernel.
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

#include "rtm_priv.h"
#include "rtm_core.h"

enum {
    FUTEX_CMD = 0x7F,
    FUTEX_PRIVATE = 128,
    FUTEX_REALTIME = 256,
    CMD_WAIT = 0,
    CMD_WAKE = 1,
    CMD_REQUEUE = 3,
    CMD_CMP_REQUEUE = 4,
    CMD_WAKE_OP = 5,
    CMD_WAIT_BITSET = 9,
    CMD_WAKE_BITSET = 10,
    SYS_CLONE3 = 435
};

static ULong real_base_ns; /* CLOCK_REALTIME at virtual time zero */
static ULong mono_base_ns;
static ULong sa_flags[_VKI_NSIG + 1];

static ULong
real_now_ns(Int clock)
{
    struct vki_timespec ts = {0, 0};

    rtm_raw_syscall(__NR_clock_gettime, clock, (HWord)&ts, 0, 0);
    return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* The clocks start at the real time, rounded so that two runs print clock
 * readings that differ only here. */
void
rtm_sys_init(void)
{
    real_base_ns = real_now_ns(VKI_CLOCK_REALTIME);
    mono_base_ns = 1000ULL * 1000000000ULL;
}

static ULong
cycles_to_ns(ULong cycles)
{
    return (ULong)((__uint128_t)cycles * 1000 / rtm_opt.mhz);
}

static ULong
ns_to_cycles(ULong ns)
{
    const __uint128_t c = (__uint128_t)ns * rtm_opt.mhz / 1000;

    return c > RTM_NEVER / 2 ? RTM_NEVER / 2 : (ULong)c;
}

static ULong
virtual_ns(Int clock)
{
    switch (clock) {
    case VKI_CLOCK_REALTIME:
    case 5: /* CLOCK_REALTIME_COARSE */
    case 11: /* CLOCK_TAI */
        return real_base_ns + cycles_to_ns(rtm_clock());
    case 3: /* CLOCK_THREAD_CPUTIME_ID */
        return cycles_to_ns(rtm_cur->cpu + rtm_clock() - rtm_cur->clock);
    case 2: /* CLOCK_PROCESS_CPUTIME_ID */ {
        ULong sum = rtm_clock() - rtm_cur->clock;
        Int i;
        for (i = 1; i < RTM_MAX_THREADS; i++) {
            sum += rtm_threads[i].cpu;
        }
        return cycles_to_ns(sum);
    }
    default:
        return mono_base_ns + cycles_to_ns(rtm_clock());
    }
}

/* ------------------------------------------------------------------ */
/* Clocks                                                              */

static Bool
known_clock(Int clock)
{
    return clock >= 0 && clock <= 11 && clock != 10;
}

/* A store by the program, as far as transactions can tell. */
static void
put(Addr a, const void *value, SizeT n)
{
    rtm_store_n(a, n);
    VG_(memcpy)((void *)a, value, n);
}

static HWord
done(VexGuestAMD64State *gs, Long result)
{
    gs->guest_RAX = (ULong)result;
    return RTM_SYS_DONE;
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
    ns = virtual_ns(clock);
    ts.tv_sec = ns / 1000000000ULL;
    ts.tv_nsec = ns % 1000000000ULL;
    put(gs->guest_RSI, &ts, sizeof ts);
    return done(gs, 0);
}

static HWord
sys_gettimeofday(VexGuestAMD64State *gs)
{
    const ULong us = virtual_ns(VKI_CLOCK_REALTIME) / 1000;
    const struct vki_timeval tv = {us / 1000000, us % 1000000};

    if (gs->guest_RDI) {
        put(gs->guest_RDI, &tv, sizeof tv);
    }
    return gs->guest_RSI ? RTM_SYS_PASS : done(gs, 0);
}

static HWord
sys_time(VexGuestAMD64State *gs)
{
    const Long s = virtual_ns(VKI_CLOCK_REALTIME) / 1000000000ULL;

    if (gs->guest_RDI) {
        put(gs->guest_RDI, &s, sizeof s);
    }
    return done(gs, s);
}

static HWord
sys_getcpu(VexGuestAMD64State *gs)
{
    const UInt cpu = rtm_cur->core, node = 0;

    if (gs->guest_RDI) {
        put(gs->guest_RDI, &cpu, sizeof cpu);
    }
    if (gs->guest_RSI) {
        put(gs->guest_RSI, &node, sizeof node);
    }
    return done(gs, 0);
}

/* ------------------------------------------------------------------ */
/* Waiting                                                             */

static HWord
wait_ended(VexGuestAMD64State *gs, Long result)
{
    rtm_cur->wait = RTM_W_NONE;
    rtm_cur->woken = rtm_cur->timed_out = False;
    rtm_clock_add(rtm_opt.cost_syscall);
    return done(gs, result);
}

static HWord
block(enum rtm_wait kind, ULong wake_at)
{
    struct rtm_thread *t = rtm_cur;

    if (t->wait == RTM_W_NONE) {
        t->wait = kind;
        t->wake_at = wake_at;
        t->woken = t->timed_out = False;
        t->clock_at_wait = rtm_clock();
    }
    rtm_sched_leave_soon();
    return RTM_SYS_AGAIN;
}

/* Virtual time at which a timeout given as in futex(2) and
 * clock_nanosleep(2) ends. */
static ULong
end_of(const struct vki_timespec *ts, Bool absolute, Int clock)
{
    const ULong ns = ts->tv_sec * 1000000000ULL + ts->tv_nsec;
    ULong now;

    if (ts->tv_sec < 0) {
        return rtm_clock();
    }
    if (!absolute) {
        return rtm_clock() + ns_to_cycles(ns);
    }
    now = virtual_ns(clock);
    return rtm_clock() + (ns > now ? ns_to_cycles(ns - now) + 1 : 0);
}

static Bool
bad_timespec(const struct vki_timespec *ts)
{
    return ts->tv_nsec < 0 || ts->tv_nsec >= 1000000000L;
}

static HWord
sys_sleep(VexGuestAMD64State *gs, Int clock, Bool absolute,
          const struct vki_timespec *ts, Addr rem)
{
    struct rtm_thread *t = rtm_cur;

    if (t->wait == RTM_W_SLEEP && (t->timed_out || t->woken)) {
        return wait_ended(gs, 0);
    }
    if (bad_timespec(ts)) {
        return RTM_SYS_PASS; /* the kernel says EINVAL */
    }
    t->sleep_rem = absolute ? 0 : rem;
    return block(RTM_W_SLEEP, end_of(ts, absolute, clock));
}

/* May another process wait or wake here? */
static Bool
is_shared(Addr a, Int op)
{
    const NSegment *seg;

    if (op & FUTEX_PRIVATE) {
        return False;
    }
    seg = VG_(am_find_nsegment)(a);
    return seg && (seg->kind == SkFileC || seg->kind == SkShmC)
           && !rtm_cur->await_change;
}

/* The word will change for certain, by the kernel's hand: wait for that. */
static void
await_change(struct rtm_thread *t, UInt expected)
{
    const volatile UInt *word = (const volatile UInt *)t->await_change;

    while (*word == expected) {
        rtm_raw_syscall(__NR_sched_yield, 0, 0, 0, 0);
    }
    t->await_change = 0;
}

static HWord
futex_wait(VexGuestAMD64State *gs, Addr a, Int op, UInt bitset)
{
    struct rtm_thread *t = rtm_cur;
    const struct vki_timespec *ts = (const struct vki_timespec *)gs->guest_R10;
    const UInt expected = (UInt)gs->guest_RDX;
    const Bool absolute = (op & FUTEX_CMD) == CMD_WAIT_BITSET;
    ULong end = RTM_NEVER;

    if (t->await_change) {
        await_change(t, expected);
    }
    if (t->wait == RTM_W_FUTEX && t->woken) {
        return wait_ended(gs, 0);
    }
    if (t->wait == RTM_W_FUTEX && t->timed_out) {
        return wait_ended(gs, -VKI_ETIMEDOUT);
    }
    rtm_kernel_access(a, sizeof expected, False);
    if (*(volatile UInt *)a != expected) {
        return wait_ended(gs, -VKI_EAGAIN);
    }
    if (ts && bad_timespec(ts)) {
        return RTM_SYS_PASS;
    }
    if (ts) {
        end = end_of(ts, absolute,
                     op & FUTEX_REALTIME ? VKI_CLOCK_REALTIME
                                         : VKI_CLOCK_MONOTONIC);
    }
    t->futex = a;
    t->bitset = bitset;
    return block(RTM_W_FUTEX, end);
}

/* Wakes in the order of waiting time, as the kernel does. */
static struct rtm_thread *
longest_waiter(Addr a, UInt bitset)
{
    struct rtm_thread *best = NULL;
    Int i;

    for (i = 1; i < RTM_MAX_THREADS; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (t->state == RTM_T_BLOCKED && t->wait == RTM_W_FUTEX && !t->woken
            && t->futex == a && (t->bitset & bitset)
            && (!best || t->clock_at_wait < best->clock_at_wait)) {
            best = t;
        }
    }
    return best;
}

static Int
wake(Addr a, Int most, UInt bitset)
{
    struct rtm_thread *t;
    Int n = 0;

    while (n < most && (t = longest_waiter(a, bitset)) != NULL) {
        rtm_sched_wake(t, rtm_clock() + rtm_opt.cost_wake);
        n++;
    }
    return n;
}

static HWord
futex_requeue(VexGuestAMD64State *gs, Addr a, Bool compare)
{
    const Addr to = gs->guest_R8;
    const Int most = (Int)gs->guest_RDX, move = (Int)gs->guest_R10;
    struct rtm_thread *t;
    Int n, moved = 0;

    if (compare && *(volatile UInt *)a != (UInt)gs->guest_R9) {
        return done(gs, -VKI_EAGAIN);
    }
    n = wake(a, most, ~0u);
    while (moved < move && (t = longest_waiter(a, ~0u)) != NULL) {
        t->futex = to;
        moved++;
    }
    return done(gs, compare ? n + moved : n);
}

static HWord
sys_futex(VexGuestAMD64State *gs)
{
    const Addr a = gs->guest_RDI;
    const Int op = (Int)gs->guest_RSI;

    if ((a & 3) || is_shared(a, op)) {
        return RTM_SYS_PASS;
    }
    switch (op & FUTEX_CMD) {
    case CMD_WAIT:
        return futex_wait(gs, a, op, ~0u);
    case CMD_WAIT_BITSET:
        return (UInt)gs->guest_R9 ? futex_wait(gs, a, op, (UInt)gs->guest_R9)
                                  : RTM_SYS_PASS;
    case CMD_WAKE:
        rtm_clock_add(rtm_opt.cost_syscall);
        return done(gs, wake(a, (Int)gs->guest_RDX, ~0u));
    case CMD_WAKE_BITSET:
        rtm_clock_add(rtm_opt.cost_syscall);
        return done(gs, wake(a, (Int)gs->guest_RDX, (UInt)gs->guest_R9));
    case CMD_REQUEUE:
        return futex_requeue(gs, a, False);
    case CMD_CMP_REQUEUE:
        return futex_requeue(gs, a, True);
    default:
        return RTM_SYS_PASS; /* priority inheritance and the like */
    }
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
    case __NR_futex: return sys_futex(gs);
    case __NR_sched_yield:
        rtm_clock_add(rtm_opt.cost_syscall);
        rtm_sched_yield();
        return done(gs, 0);
    case __NR_nanosleep:
        return sys_sleep(gs, VKI_CLOCK_MONOTONIC, False,
                         (const struct vki_timespec *)gs->guest_RDI,
                         gs->guest_RSI);
    case __NR_clock_nanosleep:
        return sys_sleep(gs, (Int)gs->guest_RDI, gs->guest_RSI & 1,
                         (const struct vki_timespec *)gs->guest_RDX,
                         gs->guest_R10);
    default: return RTM_SYS_PASS;
    }
}

static Bool
in_vdso(ULong no, ULong clock)
{
    return (no == __NR_clock_gettime && clock != 2 && clock != 3)
           || no == __NR_gettimeofday || no == __NR_time || no == __NR_getcpu;
}

HWord
rtm_help_syscall(VexGuestAMD64State *gs)
{
    const ULong no = gs->guest_RAX;

    if (rtm_cur->tx.state != RTM_TX_NONE && !in_vdso(no, gs->guest_RDI)) {
        const HChar *name = rtm_sys_name((Int)no);
        if (rtm_cur->tx.state == RTM_TX_LIVE) {
            rtm_count_unfriendly(name, VG_(get_IP)(rtm_cur->tid));
        }
        rtm_tx_doom(0, RTM_C_SYSCALL, name);
        return RTM_SYS_AGAIN;
    }
    return answer(gs);
}

/* A signal handler is about to run on a thread that waits here: the call is
 * over, with EINTR or, for SA_RESTART, begins again after the handler. */
void
rtm_sys_interrupted(struct rtm_thread *t, Int sig)
{
    const Bool sleep = t->wait == RTM_W_SLEEP;
    const Bool restart = sig > 0 && sig <= _VKI_NSIG
                         && (sa_flags[sig] & VKI_SA_RESTART) && !sleep;
    ULong rax = (ULong)-VKI_EINTR;
    ULong rip = VG_(get_IP)(t->tid) + 2; /* SYSCALL is two bytes */

    if (t->wait == RTM_W_NONE) {
        return;
    }
    if (sleep && t->sleep_rem) {
        const ULong now = rtm_clock();
        const ULong ns = cycles_to_ns(t->wake_at > now ? t->wake_at - now : 0);
        const struct vki_timespec rem = {ns / 1000000000ULL, ns % 1000000000ULL};
        VG_(memcpy)((void *)t->sleep_rem, &rem, sizeof rem);
    }
    t->wait = RTM_W_NONE;
    t->woken = t->timed_out = False;
    if (!restart) {
        VG_(set_shadow_regs_area)(t->tid, 0, offsetof(VexGuestAMD64State, guest_RAX),
                                  sizeof rax, (UChar *)&rax);
        VG_(set_shadow_regs_area)(t->tid, 0, offsetof(VexGuestAMD64State, guest_RIP),
                                  sizeof rip, (UChar *)&rip);
    }
}

/* ------------------------------------------------------------------ */
/* Calls that go to the kernel                                         */

/* Only these may take long; others are waited for. */
static Bool
may_block(UInt no, const UWord *args)
{
    struct vg_stat st;

    switch (no) {
    case __NR_read: case __NR_write: case __NR_readv: case __NR_writev:
    case __NR_ioctl:
        return VG_(fstat)((Int)args[0], &st) != 0
               || !(VKI_S_ISREG(st.mode) || VKI_S_ISDIR(st.mode));
    case __NR_poll: case __NR_ppoll: case __NR_select: case __NR_pselect6:
    case __NR_epoll_wait: case __NR_epoll_pwait: case __NR_accept:
    case __NR_accept4: case __NR_connect: case __NR_recvfrom:
    case __NR_recvmsg: case __NR_sendto: case __NR_sendmsg: case __NR_wait4:
    case __NR_waitid: case __NR_pause: case __NR_rt_sigsuspend:
    case __NR_rt_sigtimedwait: case __NR_flock: case __NR_futex:
    case __NR_msgrcv: case __NR_msgsnd: case __NR_semop: case __NR_semtimedop:
    case __NR_fcntl: case __NR_open: case __NR_openat: case __NR_vfork:
        return True;
    default:
        return False;
    }
}

/* Calls that make the kernel interrupt every core that runs this program. */
static Bool
changes_mapping(UInt no)
{
    switch (no) {
    case __NR_munmap: case __NR_mprotect: case __NR_mremap: case __NR_madvise:
    case __NR_brk: case __NR_shmdt:
        return True;
    default:
        return False;
    }
}

static Bool
copies_process(UInt no)
{
    return no == __NR_fork || no == __NR_vfork || no == __NR_clone
           || no == __NR_execve || no == SYS_CLONE3;
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
    if (changes_mapping(no)) {
        rtm_tx_abort_all(RTM_C_TLB, rtm_sys_name(no));
    } else if (copies_process(no)) {
        rtm_tx_abort_all(RTM_C_TLB, rtm_sys_name(no));
        if (no == __NR_clone) {
            t->pending_clear_child_tid =
                args[0] & VKI_CLONE_CHILD_CLEARTID ? args[3] : 0;
        }
    } else if (no == __NR_exit_group) {
        rtm_sched_dying();
    }
}

void
rtm_post_syscall(ThreadId tid, UInt no, UWord *args, UInt n, SysRes res)
{
    struct rtm_thread *t = &rtm_threads[tid];

    (void)n;
    t->in_syscall = False;
    if (no == __NR_rt_sigaction && args[1] && !sr_isError(res)
        && args[0] >= 1 && args[0] <= _VKI_NSIG) {
        /* struct sigaction of the kernel: handler, then flags */
        sa_flags[args[0]] = ((const ULong *)args[1])[1];
    } else if (no == __NR_set_tid_address) {
        t->clear_child_tid = args[0];
    } else if (no == __NR_tgkill || no == __NR_tkill || no == __NR_kill
               || no == __NR_rt_tgsigqueueinfo) {
        rtm_sched_kick(0); /* a waiting thread may have a signal now */
    }
}

const HChar *
rtm_sys_name(Int no)
{
    static HChar names[512][16];
    static const struct {
        Int no;
        const HChar *name;
    } known[] = {
        {__NR_read, "read"}, {__NR_write, "write"}, {__NR_mmap, "mmap"},
        {__NR_munmap, "munmap"}, {__NR_mprotect, "mprotect"},
        {__NR_brk, "brk"}, {__NR_madvise, "madvise"}, {__NR_futex, "futex"},
        {__NR_sched_yield, "sched_yield"}, {__NR_nanosleep, "nanosleep"},
        {__NR_clock_nanosleep, "clock_nanosleep"}, {__NR_clone, "clone"},
        {__NR_fork, "fork"}, {__NR_execve, "execve"}, {__NR_exit, "exit"},
        {__NR_exit_group, "exit_group"}, {__NR_openat, "openat"},
        {__NR_close, "close"}, {__NR_getpid, "getpid"},
        {__NR_gettid, "gettid"}, {__NR_clock_gettime, "clock_gettime"},
        {__NR_rt_sigprocmask, "rt_sigprocmask"}, {__NR_getppid, "getppid"},
        {__NR_rt_sigaction, "rt_sigaction"}, {__NR_tgkill, "tgkill"},
        {__NR_mremap, "mremap"}, {__NR_poll, "poll"}, {__NR_ioctl, "ioctl"},
        {SYS_CLONE3, "clone3"}, {__NR_vfork, "vfork"},
    };
    SizeT i;

    for (i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].no == no) {
            return known[i].name;
        }
    }
    if (no < 0 || no >= 512) {
        return "syscall";
    }
    VG_(snprintf)(names[no], sizeof names[no], "syscall %d", no);
    return names[no];
}
