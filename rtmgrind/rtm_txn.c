/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Transactions: begin, commit, abort.  Section numbers are those of the Intel
 * SDM, volume 1, chapter 16.
 *
 * A transaction runs in place, on the program's own memory; its first write to
 * a line saves the line.  Rolling back restores lines and registers:
 *
 *   a victim (conflict, mapping change) is parked between two blocks, outside
 *   translated code, so whoever aborts it restores both at once;
 *
 *   a transaction that dooms itself in the middle of a block (capacity, an
 *   unfriendly instruction) runs to the block's end, or leaves it where the
 *   hook says so, and is rolled back when the thread gives up the big lock,
 *   which it does before the next block: the event counter is zeroed.
 */

#include "rtm_touch.h"
#include "rtm_core.h"

Int rtm_live;
Bool rtm_hooks_on;
ULong rtm_tx_cycles_avg = 400;
ULong rtm_last_tx;
static Bool hooks_wanted;

const HChar *const rtm_cause_name[RTM_C_LAST] = {
    "conflict", "capacity_write", "capacity_read", "explicit", "syscall", "instruction",
    "fault",    "signal",         "timer",         "tlb",      "nesting", "injected",
};

/* ------------------------------------------------------------------ */
/* End of a transaction                                                */

static void
leave_tx(struct rtm_thread *t)
{
    struct rtm_tx *tx = &t->tx;

    rtm_lines_release(tx);
    tx->state = RTM_TX_NONE;
    tx->nest = 0;
    tx->suspended = False;
    t->shadow->in_tx = 0;
}

static ULong
clock_of(struct rtm_thread *t)
{
    return t == rtm_cur ? rtm_clock() : t->clock;
}

/* Average length, in cycles, weighted towards the latest: it sets how finely
 * threads are interleaved. */
static void
note_length(ULong now, ULong cycles)
{
    rtm_last_tx = now > rtm_last_tx ? now : rtm_last_tx;
    rtm_tx_cycles_avg += ((Long)cycles - (Long)rtm_tx_cycles_avg) / 16;
}

static void
copy_extended(UChar *to, const UChar *from)
{
    rtm_copy(to + RTM_EXTENDED, from + RTM_EXTENDED, RTM_SHADOW_BASE - RTM_EXTENDED);
}

/* Restore memory and registers: 16.3.5, "restores the architectural state".
 * The thread continues at the fallback address with the status in EAX. */
static void
roll_back(struct rtm_thread *t, UInt status)
{
    /* host_EvC_FAILADDR and host_EvC_COUNTER belong to the dispatcher. */
    const SizeT skip = offsetof(VexGuestAMD64State, guest_RAX);
    const struct rtm_tx *tx = &t->tx;
    const struct rtm_touch *w = tx->touch + tx->n_touch;

    while (w-- > tx->touch) {
        /* A store to a read-only page faulted and changed nothing: leave the page alone. */
        if (w->write && rtm_lines_differ((const void *)w->addr, w->old)) {
            rtm_kernel_restore(w->addr, w->old);
        }
    }
    rtm_copy((UChar *)t->gs + skip, tx->saved + skip, RTM_EXTENDED - skip);
    t->gs->guest_RAX = status;
    t->gs->guest_RIP = tx->fallback;
    if (t->shadow->extended) {
        copy_extended((UChar *)t->gs, tx->saved);
        t->shadow->extended = 0;
    }
}

static void
abort_now(struct rtm_thread *t, UInt status, enum rtm_cause cause, const HChar *what)
{
    struct rtm_tx *tx = &t->tx;
    const ULong now = clock_of(t);
    const ULong length = now > tx->begin_clock ? now - tx->begin_clock : 0;

    if (tx->nest > 1) {
        status |= RTM_NESTED;
    }
    tx->cause = cause;
    tx->what = what;
    rtm_count_abort(t, length);
    note_length(rtm_clock(), length);
    if (tx->state == RTM_TX_LIVE) {
        rtm_live--;
    }
    roll_back(t, status);
    if (t == rtm_cur) {
        rtm_page_give_back();
    }
    t->n_labels = tx->n_labels;
    t->awaits = 0;
    leave_tx(t);
    if (t == rtm_cur) {
        rtm_clock_add(rtm_opt.cost_abort);
    }
    else {
        t->clock += rtm_opt.cost_abort;
    }
    t->aborted_at = clock_of(t);
}

void
rtm_tx_abort_parked(struct rtm_thread *victim, UInt status, enum rtm_cause cause, const HChar *what)
{
    tl_assert(victim->tx.state == RTM_TX_LIVE);
    abort_now(victim, status, cause, what);
}

void
rtm_tx_doom(UInt status, enum rtm_cause cause, const HChar *what)
{
    struct rtm_tx *tx = &rtm_cur->tx;

    if (tx->state != RTM_TX_LIVE) {
        return; /* the first reason stands */
    }
    tx->state = RTM_TX_DOOMED;
    tx->status = status;
    tx->cause = cause;
    tx->what = what;
    rtm_live--;
    rtm_sched_leave_soon();
}

void
rtm_tx_page_fault(void)
{
    static const HChar what[] = "page fault (first touch)";

    if (rtm_cur->tx.state == RTM_TX_LIVE) {
        rtm_count_unfriendly(what, rtm_cur->gs->guest_RIP);
        rtm_tx_doom(0, RTM_C_FAULT, what);
    }
}

void
rtm_tx_roll_back(struct rtm_thread *t)
{
    abort_now(t, t->tx.status, t->tx.cause, t->tx.what);
}

void
rtm_tx_abort_all(enum rtm_cause cause, const HChar *what)
{
    const UInt status = cause == RTM_C_CONFLICT ? RTM_CONFLICT | RTM_RETRY : 0;
    Int i;

    if (rtm_live == 0) {
        return;
    }
    for (i = 0; i < RTM_MAX_CORES; i++) {
        struct rtm_thread *t = rtm_on_core[i];
        if (t && t->tx.state == RTM_TX_LIVE && t != rtm_cur) {
            rtm_tx_abort_parked(t, status, cause, what);
        }
    }
}

/* In a forked child only the forking thread exists.  The others' transactions
 * were aborted before the fork. */
void
rtm_tx_forget_others(struct rtm_thread *me)
{
    rtm_live = me->tx.state == RTM_TX_LIVE ? 1 : 0;
}

/* ------------------------------------------------------------------ */
/* Helpers called from translated code                                 */

/* Blocks are translated with hooks from the first
 * transaction on, and without again when there has been none for long; twice
 * as long each time, since translating anew takes host time. */
void
rtm_hooks_update(ULong now)
{
    static ULong quiet = 50 * 1000 * 1000;

    if (hooks_wanted && !rtm_hooks_on) {
        rtm_hooks_on = True;
        rtm_last_tx = now;
        VG_(discard_translations)(0, ~0ULL, "rtmgrind: transactions begin");
    }
    else if (rtm_hooks_on && !rtm_opt.coherence && now > rtm_last_tx + quiet) {
        rtm_hooks_on = hooks_wanted = False;
        quiet *= 2;
        VG_(discard_translations)(0, ~0ULL, "rtmgrind: no transactions any more");
    }
}

static void
plan_injection(struct rtm_tx *tx, ULong now)
{
    tx->inject = rtm_opt.abort_rate && rtm_random() % 10000 < (UInt)rtm_opt.abort_rate;
    tx->inject_at = tx->inject ? now + rtm_random() % 1000 : RTM_NEVER;
}

static const HChar *
label_of(const struct rtm_thread *t)
{
    const Int n = t->n_labels < RTM_MAX_LABELS ? t->n_labels : RTM_MAX_LABELS;

    return n ? t->labels[n - 1] : NULL;
}

static void
begin(struct rtm_thread *t, const UChar *gs, Addr pc, Addr fallback)
{
    struct rtm_tx *tx = &t->tx;
    const Bool lately = rtm_tx_lately(rtm_clock());

    rtm_clock_add(rtm_opt.cost_begin);
    tx->state = RTM_TX_LIVE;
    tx->core = t->core;
    tx->nest = 1;
    tx->fallback = fallback;
    tx->suspended = False;
    tx->begin_clock = rtm_clock();
    rtm_new_generation(tx);
    rtm_copy(tx->saved, gs, RTM_EXTENDED);
    if (t->shadow->extended) { /* else those saved last are these */
        copy_extended(tx->saved, gs);
        t->shadow->extended = 0;
    }
    tx->site = rtm_site_of(pc, label_of(t));
    tx->n_labels = t->n_labels;
    rtm_live++;
    t->shadow->in_tx = t->shadow->active = 1;
    rtm_count_begin(t);
    plan_injection(tx, tx->begin_clock);
    if (!lately || tx->inject || rtm_opt.timer_tick) { /* else the deadline takes it into account */
        rtm_sched_refresh();
    }
}

/* XBEGIN, 16.3.1 and the instruction's reference.  0: go on behind it, with
 * EAX unchanged.  1: leave the block; the scheduler sorts it out. */
HWord
rtm_help_xbegin(HWord gs, HWord pc, HWord fallback)
{
    struct rtm_thread *t = rtm_cur;
    struct rtm_tx *tx = &t->tx;

    if (!rtm_hooks_on) {
        hooks_wanted = True;
        rtm_sched_leave_soon(); /* comes back here with hooks in place */
        return 1;
    }
    if (tx->state == RTM_TX_LIVE) {
        /* 16.3.2: nesting is flattened; one level too many aborts.  So does
           nesting while loads are not tracked. */
        if (tx->nest >= RTM_MAX_NEST || tx->suspended) {
            rtm_tx_doom(0, RTM_C_NESTING, "XBEGIN");
            return 1;
        }
        tx->nest++;
        return 0;
    }
    begin(t, (const UChar *)gs, pc, fallback);
    if (rtm_opt.always_abort) {
        rtm_tx_doom(0, RTM_C_INJECTED, "RTM_ALWAYS_ABORT");
        return 1;
    }
    return 0;
}

/* XEND. 0: go on.  1: not in a transaction, #GP(0).  2: leave the block. */
HWord
rtm_help_xend(void)
{
    struct rtm_thread *t = rtm_cur;
    struct rtm_tx *tx = &t->tx;
    ULong now;

    if (tx->state == RTM_TX_NONE) {
        return 1;
    }
    if (tx->state == RTM_TX_DOOMED) {
        return 2;
    }
    if (tx->suspended) {
        /* TSXLDTRK: XEND, even a nested one, while loads are not tracked
           aborts. */
        rtm_tx_doom(0, RTM_C_INSTRUCTION, "XEND after XSUSLDTRK");
        return 2;
    }
    if (tx->nest > 1) {
        tx->nest--;
        return 0;
    }
    if (tx->inject) {
        rtm_tx_doom(rtm_opt.abort_status, RTM_C_INJECTED, NULL);
        return 2;
    }
    rtm_clock_add(rtm_opt.cost_commit);
    now = rtm_clock();
    rtm_count_commit(t, now - tx->begin_clock);
    note_length(now, now - tx->begin_clock);
    rtm_live--;
    leave_tx(t);
    t->shadow->active = rtm_checks_plain();
    return 0;
}

/* XABORT imm8: nothing outside a transaction. 1: leave the block. */
HWord
rtm_help_xabort(HWord code)
{
    if (rtm_cur->tx.state == RTM_TX_NONE) {
        return 0;
    }
    rtm_tx_doom(RTM_EXPLICIT | (UInt)(code & 0xFF) << 24, RTM_C_EXPLICIT, NULL);
    return 1;
}

/* XSUSLDTRK and XRESLDTRK: unbalanced use aborts; nothing outside. */
HWord
rtm_help_ldtrk(HWord suspend)
{
    struct rtm_tx *tx = &rtm_cur->tx;

    if (tx->state == RTM_TX_NONE) {
        return 0;
    }
    if (tx->state == RTM_TX_DOOMED) {
        return 2;
    }
    if (tx->suspended == (Bool)suspend) {
        rtm_tx_doom(0, RTM_C_INSTRUCTION, suspend ? "XSUSLDTRK" : "XRESLDTRK");
        return 2;
    }
    tx->suspended = (Bool)suspend;
    return 0;
}

/* An instruction on which transactions abort, 16.3.8.1; called only inside
 * one. */
HWord
rtm_help_unfriendly(HWord name, HWord cause, HWord status)
{
    if (rtm_cur->tx.state == RTM_TX_LIVE) {
        rtm_count_unfriendly((const HChar *)name, VG_(get_IP)(rtm_cur->tid));
        rtm_tx_doom((UInt)status, (enum rtm_cause)cause, (const HChar *)name);
    }
    return 1;
}

/* --abort-at=N: called before every instruction while in a transaction. */
static ULong insns;

HWord
rtm_help_insn(void)
{
    if (rtm_cur->tx.state != RTM_TX_LIVE || ++insns != (ULong)rtm_opt.abort_at) {
        return rtm_cur->tx.state == RTM_TX_DOOMED;
    }
    rtm_tx_doom(rtm_opt.abort_status, RTM_C_INJECTED, NULL);
    return 1;
}

void
rtm_tx_uncount_insn(void)
{
    if (rtm_opt.abort_at && rtm_cur->tx.state == RTM_TX_LIVE) {
        insns--;
    }
}

ULong
rtm_help_rdtsc(void)
{
    return rtm_clock();
}

void
rtm_help_rdtscp(VexGuestAMD64State *gs)
{
    gs->guest_RAX = (UInt)rtm_clock();
    gs->guest_RDX = rtm_clock() >> 32;
    gs->guest_RCX = (ULong)rtm_cur->core;
}

/* CPUID leaf 7: RTM is EBX[11], RTM_ALWAYS_ABORT EDX[11], TSXLDTRK EDX[16]; leaf 0 must reach 7;
 * leaf 1 names the preset's processor. HLE (EBX[4]) is not emulated and not shown. */
void
rtm_help_cpuid(VexGuestAMD64State *gs, HWord rax, HWord rcx)
{
    if ((UInt)rax == 0 && gs->guest_RAX < 7) {
        gs->guest_RAX = 7;
    }
    if ((UInt)rax == 1) {
        gs->guest_RAX = rtm_opt.signature;
    }
    if ((UInt)rax != 7 || (UInt)rcx != 0) {
        return;
    }
    gs->guest_RBX &= ~(1UL << 11 | 1UL << 4);
    gs->guest_RDX &= ~(1UL << 11 | 1UL << 16);
    if (rtm_opt.rtm) {
        gs->guest_RBX |= 1UL << 11;
    }
    if (rtm_opt.always_abort) {
        gs->guest_RDX |= 1UL << 11;
    }
    if (rtm_opt.tsxldtrk && rtm_opt.rtm) {
        gs->guest_RDX |= 1UL << 16;
    }
}
