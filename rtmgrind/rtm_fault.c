/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A fault inside a transaction (page fault, divide error, ...) aborts it and
 * is not delivered; if the program makes the same access on the fallback path,
 * it faults there for real (SDM vol. 1, 16.3.8.2).
 *
 * The core turns host faults in translated code into client signals.  Our
 * handler goes in front of the core's: in a transaction it dooms it and has
 * the thread leave its code (rtm_ride.c).  All other faults it hands on.
 */

#include "rtm_sched.h"

typedef void handler_fn(Int sig, vki_siginfo_t *info, struct vki_ucontext *uc);

struct ksigaction {
    handler_fn *handler;
    ULong flags;
    void (*restorer)(void);
    ULong mask;
};

static const Int fault_signals[] = {VKI_SIGSEGV, VKI_SIGBUS, VKI_SIGFPE, VKI_SIGILL, VKI_SIGTRAP};
enum { N_FAULTS = sizeof fault_signals / sizeof fault_signals[0] };

static handler_fn *core_handler[N_FAULTS];

enum { REDZONE = 128 }; /* below the stack pointer, in use */

static const HChar *
fault_name(Int sig)
{
    switch (sig) {
    case VKI_SIGSEGV: return "page fault (SIGSEGV)";
    case VKI_SIGBUS: return "page fault (SIGBUS)";
    case VKI_SIGFPE: return "divide error";
    case VKI_SIGILL: return "invalid opcode";
    default: return "debug trap";
    }
}

/* A fault of a thread that another's host thread runs waits here for its own. */
static struct {
    Int sig;
    vki_siginfo_t info;
    struct vki_ucontext uc;
} pending;

static void
to_core(Int sig, vki_siginfo_t *info, struct vki_ucontext *uc)
{
    Int i;

    for (i = 0; i < N_FAULTS; i++) {
        if (fault_signals[i] == sig && core_handler[i]) {
            core_handler[i](sig, info, uc);
        }
    }
}

/* The main thread's stack grows where it is touched, which the core would do only on that thread's
 * own host thread. */
static Bool
grow_stack(const struct rtm_thread *t, Int sig, const vki_siginfo_t *info)
{
    const Addr at = (Addr)info->_sifields._sigfault._addr;
    const Addr lowest = VG_(get_SP)(t->tid) - REDZONE;

    return sig == VKI_SIGSEGV && info->si_code == VKI_SEGV_MAPERR && at >= lowest &&
           VG_(am_addr_is_in_extensible_client_stack)(at) &&
           VG_(extend_stack)(t->tid, VG_PGROUNDDN(lowest));
}

static void
on_fault(Int sig, vki_siginfo_t *info, struct vki_ucontext *uc)
{
    struct rtm_thread *t = rtm_cur;

    if (!t || info->si_code <= 0 || !VG_(in_generated_code) || VG_(gettid)() != rtm_holder->lwp) {
        rtm_sched.signals++; /* perhaps sent by a thread: the core puts it in a queue */
        to_core(sig, info, uc);
    }
    else if (t->tx.state != RTM_TX_NONE) {
        rtm_count_unfriendly(fault_name(sig), VG_(get_IP)(t->tid));
        rtm_tx_doom(0, RTM_C_FAULT, fault_name(sig));
        rtm_leave_code(uc);
    }
    else if (t == rtm_holder) {
        rtm_back_to_core(t);
        to_core(sig, info, uc);
    }
    else if (!grow_stack(t, sig, info)) {
        pending.sig = sig;
        VG_(memcpy)(&pending.info, info, sizeof pending.info);
        VG_(memcpy)(&pending.uc, uc, sizeof pending.uc);
        rtm_leave_code(uc);
    }
}

Bool
rtm_fault_pending(void)
{
    return pending.sig != 0;
}

void
rtm_fault_deliver(void)
{
    const Int sig = pending.sig;

    pending.sig = 0;
    VG_(in_generated_code) = True;
    to_core(sig, &pending.info, &pending.uc); /* jumps to the core's scheduler */
    tl_assert2(False, "a fault was not delivered");
}

/* A jump to where there is no code: the core finds out when it translates, with
 * no host fault, and would deliver the signal at once.  True: a transaction was
 * aborted instead, and its registers are those of the fallback path. */
static Bool
abort_on_jump(ThreadId tid)
{
    struct rtm_thread *t = &rtm_threads[tid];

    if (t->tx.state == RTM_TX_NONE) {
        return False;
    }
    if (t->tx.state == RTM_TX_LIVE) {
        rtm_count_unfriendly(fault_name(VKI_SIGSEGV), VG_(get_IP)(tid));
        rtm_tx_doom(0, RTM_C_FAULT, fault_name(VKI_SIGSEGV));
    }
    rtm_tx_settle(t);
    return True;
}

void
__wrap_vgPlain_synth_fault_perms(ThreadId tid, Addr a)
{
    if (!abort_on_jump(tid)) {
        __real_vgPlain_synth_fault_perms(tid, a);
    }
}

void
__wrap_vgPlain_synth_fault_mapping(ThreadId tid, Addr a)
{
    if (!abort_on_jump(tid)) {
        __real_vgPlain_synth_fault_mapping(tid, a);
    }
}

/* A handler is about to run: the transaction is rolled back before the core lays out the frame,
 * whose contents and place come from the registers.  Signals that are blocked or ignored never
 * come here. */
void
__wrap_vgPlain_sigframe_create(ThreadId tid, Bool on_altstack, Addr top, const void *info,
                               const void *uc, void *handler, UInt flags, const void *mask,
                               void *restorer)
{
    struct rtm_thread *t = &rtm_threads[tid];
    vki_siginfo_t seen = *(const vki_siginfo_t *)info;

    rtm_timer_info(&seen);
    rtm_tx_settle(t);
    if (t->tx.state == RTM_TX_LIVE) {
        rtm_tx_abort_parked(t, 0, RTM_C_SIGNAL, NULL);
        if (!on_altstack) {
            top = VG_(get_SP)(tid) - REDZONE;
        }
    }
    __real_vgPlain_sigframe_create(tid, on_altstack, top, &seen, uc, handler, flags, mask,
                                   restorer);
}

/* The handler returns. The frame holds the shadow registers, too, as they were when it was made;
 * but time has gone on since. */
void
__wrap_vgPlain_sigframe_destroy(ThreadId tid, Bool is_rt)
{
    struct rtm_thread *t = &rtm_threads[tid];
    const struct rtm_shadow now = *t->shadow;

    __real_vgPlain_sigframe_destroy(tid, is_rt);
    *t->shadow = now;
    t->shadow->extended = 1;
}

/* Once, after the core has installed its handlers; it does not install those
 * for faults again. */
void
rtm_fault_install(void)
{
    static Bool installed;
    Int i;

    if (installed) {
        return;
    }
    installed = True;
    for (i = 0; i < N_FAULTS; i++) {
        struct ksigaction sa;
        VG_(memset)(&sa, 0, sizeof sa);
        rtm_raw_syscall(__NR_rt_sigaction, fault_signals[i], 0, (HWord)&sa, 8);
        core_handler[i] = sa.handler;
        sa.handler = on_fault;
        rtm_raw_syscall(__NR_rt_sigaction, fault_signals[i], (HWord)&sa, 0, 8);
    }
}
