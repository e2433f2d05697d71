/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A fault inside a transaction (page fault, divide error, ...) aborts it and
 * is not delivered; if the program makes the same access on the fallback path,
 * it faults there for real (SDM vol. 1, 16.3.8.2).
 *
 * The core turns host faults in translated code into client signals.  Our
 * handler goes in front of the core's: in a transaction it dooms it and has
 * the interrupted code continue where a block goes whose event counter ran
 * out, that is, back to the scheduler.  All other faults it hands on.
 */

#include "rtm_priv.h"
#include "rtm_core.h"

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

static void
on_fault(Int sig, vki_siginfo_t *info, struct vki_ucontext *uc)
{
    struct rtm_thread *t = rtm_cur;
    Int i;

    if (t && t->lwp == VG_(gettid)() && VG_(in_generated_code) && t->tx.state != RTM_TX_NONE &&
        info->si_code > 0) {
        VexGuestAMD64State *gs = (VexGuestAMD64State *)t->gen_rbp;
        rtm_count_unfriendly(fault_name(sig), VG_(get_IP)(t->tid));
        rtm_tx_doom(0, RTM_C_FAULT, fault_name(sig));
        gs->host_EvC_COUNTER = (UInt)-1; /* as the dispatcher expects it */
        uc->uc_mcontext.rsp = t->gen_rsp;
        uc->uc_mcontext.rbp = t->gen_rbp;
        uc->uc_mcontext.rip = (HWord)&VG_(disp_cp_evcheck_fail);
        return;
    }
    for (i = 0; i < N_FAULTS; i++) {
        if (fault_signals[i] == sig && core_handler[i]) {
            core_handler[i](sig, info, uc);
        }
    }
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
