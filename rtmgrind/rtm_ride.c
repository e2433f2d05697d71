/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One host thread runs many threads' code in turn.
 *
 * A thread's translated code works on the thread's guest state alone, so any
 * host thread can run it; only what the core does between two blocks (system
 * calls, signals, new translations) has to happen on the thread's own host
 * thread. When a thread stops between two blocks because its time is up, its
 * host thread stays here, "aboard", and runs the next thread's code itself, if
 * that one stopped here too. Changing threads then costs a function call and
 * no wake.
 *
 *             core's scheduler of thread A (host thread A)
 *                 | disp_run_translations          ^ A's reason (TRC)
 *                 v                                |
 *            run A --time is up--> pick B: aboard? --yes--> run B --> ...
 *                                    | no                     | B has to leave
 *                                    v                        v
 *                          wake host thread B;      wake host thread B, which
 *                          A's parks, aboard        returns B's reason; A's parks
 *
 * Now and then each thread goes back to the core for signals, a visit: it
 * releases the big lock and takes it again at once, with nothing in between.
 */

#include "rtm_sched.h"
#include "libvex_trc_values.h"

enum {
    BLOCKS = 100000,       /* of a turn at most: the core's SCHEDULING_QUANTUM */
    VISIT_TURNS = 10000,   /* a thread visits the core after so many turns, */
    VISIT_CYCLES = 1000000 /* or cycles */
};

static void *left[5]; /* where run() goes on when its thread's code is left by force */
static HWord frame;   /* of the translated code that runs, its stack pointer; 0: not known yet */
static Bool turned;   /* translated code was left after the next turn was given out, with guard */

/* Does the thread have to go through the core, for signals? */
static Bool
must_visit(const struct rtm_thread *t)
{
    return rtm_sched.dying || t->signals != rtm_sched.signals || t->turns > VISIT_TURNS ||
           t->clock - t->visited_at > VISIT_CYCLES;
}

/* The core is to find the thread's event counter as it left it: turns here end with more blocks
 * than it had given, and not where it had said. */
void
rtm_back_to_core(struct rtm_thread *t)
{
    if ((Int)t->gs->host_EvC_COUNTER > t->budget) {
        t->gs->host_EvC_COUNTER = (UInt)t->budget;
    }
    t->gs->host_EvC_FAILADDR = (HWord)&VG_(disp_cp_evcheck_fail);
}

static void
jump_out(void)
{
    __builtin_longjmp(left, 1);
}

/* In a fault's handler: the interrupted translated code is left, as if its time had been up. */
void
rtm_leave_code(struct vki_ucontext *uc)
{
    uc->uc_mcontext.rsp = VG_ROUNDDN(uc->uc_mcontext.rsp, 16) - 8; /* as a call would leave it */
    uc->uc_mcontext.rip = (HWord)jump_out;
}

static __attribute__((noinline)) void
run(struct rtm_thread *t, HWord *volatile trc, Addr code)
{
    trc[0] = trc[1] = 0;
    VG_(running_tid) = t->tid;
    VG_(in_generated_code) = True;
    frame = 0;
    if (__builtin_setjmp(left) == 0) {
        __real_vgPlain_disp_run_translations(trc, t->gs, code);
    }
    else {
        trc[0] = RTM_TRC_COUNTERZERO;
    }
    VG_(in_generated_code) = False;
}

/* Can the thread go on without the core? */
static Bool
goes_on(struct rtm_thread *t, const HWord *trc)
{
    Addr unused;

    switch (trc[0]) {
    case RTM_TRC_BORING:
    case VEX_TRC_JMP_BORING: return True;
    case RTM_TRC_FASTMISS: return VG_(search_transtab)(&unused, NULL, NULL, t->gs->guest_RIP, True);
    case VEX_TRC_JMP_CLIENTREQ: return rtm_own_request(t);
    default: return False;
    }
}

/* The running thread's time is up. Who runs now is rtm_cur; NULL: nobody can. With guard. */
static void
next_turn(void)
{
    rtm_cur->turns++;
    rtm_cur->gs->host_EvC_COUNTER = BLOCKS;
    rtm_put_down();
    rtm_pick();
}

/* The thread that ran has left its code. As next_turn. */
static void
turn(const HWord *trc)
{
    struct rtm_thread *t = rtm_cur;

    if (turned) { /* on its way here */
        turned = False;
        return;
    }
    if (trc[0] == RTM_TRC_COUNTERZERO && !rtm_fault_pending()) {
        next_turn();
        return;
    }
    rtm_lock_guard();
    if (rtm_fault_pending() || !goes_on(t, trc)) {
        t->returns = True;
        t->trc[0] = trc[0];
        t->trc[1] = trc[1];
    }
}

/* May the host thread of `me` run the code of t, and need not return to the core for itself? */
static Bool
rides_on(const struct rtm_thread *me, const struct rtm_thread *t)
{
    return t && (t == me || t->aboard) && !t->returns && !must_visit(t);
}

/* Most turns end here, without leaving translated code's frame. The guest state of who runs now;
 * NULL, with guard: it takes the way through ride(). */
volatile VexGuestAMD64State *
rtm_next_guest(void)
{
    struct rtm_thread *me = rtm_holder;

    VG_(in_generated_code) = False;
    me->aboard = True;
    frame = (HWord)__builtin_frame_address(0) + 2 * sizeof(HWord);
    next_turn();
    if (!rides_on(me, rtm_cur)) {
        turned = True;
        return NULL;
    }
    rtm_unlock_guard();
    me->aboard = rtm_cur != me;
    VG_(running_tid) = rtm_cur->tid;
    VG_(in_generated_code) = True;
    return rtm_cur->gs;
}

/* Where translated code jumps when the event counter has run out, in the frame that
 * disp_run_translations made: %rbp is the guest state, every other register is free, the stack
 * is aligned for a call. And where it jumps for what the core has to do, %rbp saying what: when
 * the deadline has passed that is a yield. */
void rtm_time_is_up(void);
_Static_assert(VEX_TRC_JMP_YIELD == 67, "as compared with below");
__asm__(".text\n"
        ".globl __wrap_vgPlain_disp_cp_xassisted\n"
        "__wrap_vgPlain_disp_cp_xassisted:\n"
        "    cmp $67, %rbp\n"
        "    jne __real_vgPlain_disp_cp_xassisted\n"
        "rtm_time_is_up:\n"
        "    call rtm_next_guest\n"
        "    test %rax, %rax\n"
        "    jz vgPlain_disp_cp_evcheck_fail\n"
        "    mov %rax, %rbp\n"
        "    jmp vgPlain_disp_cp_xindir\n");

void
rtm_leave_insn(ULong rest)
{
    rtm_cur->shadow->clock -= rest;
    rtm_tx_uncount_insn();
    if (frame == 0) {
        jump_out();
    }
    __asm__ volatile("mov %0, %%rsp\n jmp rtm_time_is_up" : : "r"(frame) : "memory");
    __builtin_unreachable();
}

/* Another host thread goes on, until it is this one's turn. With guard. */
static void
hand_over(struct rtm_thread *me)
{
    VG_(running_tid) = VG_INVALID_THREADID;
    VG_(stats__n_xIndirs_32) = 0;
    VG_(stats__n_xIndir_hits1_32) = VG_(stats__n_xIndir_hits2_32) = 0;
    VG_(stats__n_xIndir_hits3_32) = VG_(stats__n_xIndir_misses_32) = 0;
    rtm_send();
    rtm_park(me);
    rtm_unlock_guard();
    rtm_await_departure();
}

/* From the end of the first turn until the core is needed for this thread. */
static void
ride(struct rtm_thread *me, HWord *trc)
{
    for (;;) {
        struct rtm_thread *t;

        me->aboard = True;
        turn(trc);
        t = rtm_cur;
        if (t != me && !rides_on(me, t)) {
            hand_over(me);
            t = me;
        }
        else {
            rtm_unlock_guard();
        }
        me->aboard = t != me;
        if (t == me && (t->returns || must_visit(t))) {
            return;
        }
        run(t, trc, (Addr)&VG_(disp_cp_xindir));
    }
}

/* The core runs a thread. */
void
__wrap_vgPlain_disp_run_translations(HWord *two_words, volatile void *guest_state, Addr host_addr)
{
    struct rtm_thread *me = rtm_cur;
    HWord trc[2];

    if (!me->gs) {
        me->gs = guest_state;
        me->shadow = (volatile struct rtm_shadow *)((HWord)guest_state + RTM_SHADOW_BASE);
        *me->shadow = me->early;
    }
    me->budget = (Int)me->gs->host_EvC_COUNTER;
    me->gs->host_EvC_FAILADDR = (HWord)rtm_time_is_up;
    if (rtm_sched.dying || me->signals == rtm_sched.signals) {
        run(me, trc, host_addr);
        ride(me, trc);
    }
    VG_(running_tid) = me->tid;
    rtm_back_to_core(me);
    if (me->returns) {
        me->returns = False;
        if (rtm_fault_pending()) {
            rtm_fault_deliver();
        }
        two_words[0] = me->trc[0];
        two_words[1] = me->trc[1];
    }
    else {
        me->visit = !rtm_sched.dying; /* then it may leave the core's loop at once, to exit */
        me->gs->host_EvC_COUNTER = (UInt)-1; /* as when it has run out */
        two_words[0] = RTM_TRC_COUNTERZERO;
    }
    VG_(in_generated_code) = True;
}

/* A thread dies of a fault: from its handler the core lets the others go through its scheduler, to
 * their end, and then leaves the handler as it leaves translated code. Those that were aboard say
 * that they have left theirs. */
void
__wrap_vgPlain_reap_threads(ThreadId me)
{
    const Bool in_code = VG_(in_generated_code);

    __real_vgPlain_reap_threads(me);
    VG_(in_generated_code) = in_code;
}
