/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Instrumentation.  Each block gets, in this order:
 *
 *   if the clock has passed the deadline, leave for this same block, which
 *   the thread then reaches by way of the scheduler (rtm_ride.c); else
 *   clock += number of instructions;
 *   before each memory access, while transactions are live, a helper call,
 *   which may leave in the middle of the block, to begin this instruction
 *   anew when the line that it accesses has come (rtm_track.c);
 *   an RTM instruction, and others that need care, always begin a block of
 *   their own (the superblock is cut there), so that all guest registers are
 *   in memory when their helper runs.
 *
 * A helper that ends the current block asks for it with a side exit to the
 * instruction's own address: with the event counter at zero the thread goes to
 * the scheduler before it would run again, and there transactions are rolled
 * back or waiting threads blocked (rtm_biglock.c).
 */

#include "rtm_ir.h"
#include "rtm_heap.h"

static void
emit_add_clock(struct rtm_ir *c, ULong cycles)
{
    IRExpr *now = rtm_ir_assign(c, Ity_I64, IRExpr_Get(SHADOW(clock), Ity_I64));
    IRExpr *then = rtm_ir_assign(c, Ity_I64, IRExpr_Binop(Iop_Add64, now, rtm_ir_u64(cycles)));

    rtm_ir_add(c, IRStmt_Put(SHADOW(clock), then));
}

/* At the head of a block: leave if the deadline has passed, before anything of the block is done.
 * Nothing else leaves by this kind of jump: rtm_ride.c takes it for what it is. */
static void
emit_leave_if_late(struct rtm_ir *c, Addr pc)
{
    IRExpr *now = rtm_ir_assign(c, Ity_I64, IRExpr_Get(SHADOW(clock), Ity_I64));
    IRExpr *deadline = rtm_ir_assign(c, Ity_I64, IRExpr_Get(SHADOW(deadline), Ity_I64));
    IRExpr *late = rtm_ir_assign(c, Ity_I1, IRExpr_Binop(Iop_CmpLE64U, deadline, now));

    rtm_ir_add(c, IRStmt_Exit(late, Ijk_Yield, IRConst_U64(pc), c->out->offsIP));
}

/* ------------------------------------------------------------------ */
/* RTM instructions: each makes a block of its own                     */

static void
end_block(struct rtm_ir *c, Addr next)
{
    c->out->next = rtm_ir_u64(next);
    c->out->jumpkind = Ijk_Boring;
}

static void
emit_xbegin(struct rtm_ir *c, const struct rtm_decoded *d)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);
    const Addr next = c->pc + d->len;
    IRDirty *h =
        HELPER(ret, rtm_help_xbegin,
               mkIRExprVec_3(IRExpr_GSPTR(), rtm_ir_u64(c->pc), rtm_ir_u64(next + (Long)d->imm)));

    rtm_ir_declare_fx(h, Ifx_Read, GUEST(guest_RAX), sizeof(ULong));
    rtm_ir_add(c, IRStmt_Dirty(h));
    rtm_ir_exit_if(c, ret, 1, Ijk_Boring, c->pc);
    end_block(c, next);
}

static void
emit_xend(struct rtm_ir *c, const struct rtm_decoded *d)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);

    rtm_ir_add(c, IRStmt_Dirty(HELPER(ret, rtm_help_xend, mkIRExprVec_0())));
    rtm_ir_exit_if(c, ret, 1, Ijk_SigSEGV, c->pc);
    rtm_ir_exit_if(c, ret, 2, Ijk_Boring, c->pc);
    end_block(c, c->pc + d->len);
}

static void
emit_xabort(struct rtm_ir *c, const struct rtm_decoded *d)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);

    rtm_ir_add(c, IRStmt_Dirty(HELPER(ret, rtm_help_xabort, mkIRExprVec_1(rtm_ir_u64(d->imm)))));
    rtm_ir_exit_if(c, ret, 1, Ijk_Boring, c->pc);
    end_block(c, c->pc + d->len);
}

static void
emit_ldtrk(struct rtm_ir *c, const struct rtm_decoded *d)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);
    const Bool suspend = d->kind == RTM_I_XSUSLDTRK;

    if (!rtm_opt.tsxldtrk) { /* #UD */
        c->out->next = rtm_ir_u64(c->pc);
        c->out->jumpkind = Ijk_NoDecode;
        return;
    }
    rtm_ir_add(c, IRStmt_Dirty(HELPER(ret, rtm_help_ldtrk, mkIRExprVec_1(rtm_ir_u64(suspend)))));
    rtm_ir_exit_if(c, ret, 2, Ijk_Boring, c->pc);
    end_block(c, c->pc + d->len);
}

/* XTEST: ZF is clear in a transaction, set outside; CF, OF, SF, PF and AF are
 * cleared. */
static void
emit_xtest(struct rtm_ir *c, const struct rtm_decoded *d)
{
    enum { CC_OP_COPY = 0, MASK_Z = 1 << 6 };
    IRExpr *flags = rtm_ir_assign(
        c, Ity_I64, IRExpr_ITE(rtm_ir_is_in_tx(c), rtm_ir_u64(0), rtm_ir_u64(MASK_Z)));

    rtm_ir_add(c, IRStmt_Put(GUEST(guest_CC_OP), rtm_ir_u64(CC_OP_COPY)));
    rtm_ir_add(c, IRStmt_Put(GUEST(guest_CC_DEP1), flags));
    rtm_ir_add(c, IRStmt_Put(GUEST(guest_CC_DEP2), rtm_ir_u64(0)));
    rtm_ir_add(c, IRStmt_Put(GUEST(guest_CC_NDEP), rtm_ir_u64(0)));
    end_block(c, c->pc + d->len);
}

static Bool
emit_rtm(struct rtm_ir *c, const struct rtm_decoded *d)
{
    switch (d->kind) {
    case RTM_I_XBEGIN: emit_xbegin(c, d); return True;
    case RTM_I_XEND: emit_xend(c, d); return True;
    case RTM_I_XABORT: emit_xabort(c, d); return True;
    case RTM_I_XTEST: emit_xtest(c, d); return True;
    case RTM_I_XSUSLDTRK:
    case RTM_I_XRESLDTRK: emit_ldtrk(c, d); return True;
    case RTM_I_OTHER:
    case RTM_I_CPUID:
    case RTM_I_RDTSC:
    case RTM_I_RDTSCP:
    case RTM_I_PAUSE:
    case RTM_I_SYSCALL:
    case RTM_I_UNFRIENDLY: return False;
    }
    return False;
}

/* ------------------------------------------------------------------ */
/* Other instructions that need care                                   */

/* In a transaction, abort it and leave. */
static void
emit_unfriendly(struct rtm_ir *c, const HChar *name, enum rtm_cause cause, UInt status,
                IRExpr *guard)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);
    IRExpr *when = rtm_ir_both(c, rtm_ir_is_in_tx(c), guard);
    IRDirty *d =
        HELPER(ret, rtm_help_unfriendly,
               mkIRExprVec_3(rtm_ir_u64((HWord)name), rtm_ir_u64(cause), rtm_ir_u64(status)));

    d->guard = when;
    rtm_ir_add(c, IRStmt_Dirty(d));
    rtm_ir_exit_to(c, when, Ijk_Boring, c->pc);
}

static void
emit_cpuid_fix(struct rtm_ir *c)
{
    IRDirty *d = unsafeIRDirty_0_N(
        0, "rtm_help_cpuid", VG_(fnptr_to_fnentry)(rtm_help_cpuid),
        mkIRExprVec_3(IRExpr_GSPTR(), IRExpr_RdTmp(c->rax), IRExpr_RdTmp(c->rcx)));

    rtm_ir_declare_fx(d, Ifx_Modify, GUEST(guest_RAX), 8);
    rtm_ir_declare_fx(d, Ifx_Modify, GUEST(guest_RBX), 8);
    rtm_ir_declare_fx(d, Ifx_Modify, GUEST(guest_RDX), 8);
    rtm_ir_add(c, IRStmt_Dirty(d));
}

/* RDTSC reads virtual time. VEX calls a helper of its own; ours takes its place, and not more, for
 * the block's later instructions use the result as VEX has passed it on to them. */
static IRStmt *
virtual_rdtsc(const IRStmt *s)
{
    return IRStmt_Dirty(HELPER(s->Ist.Dirty.details->tmp, rtm_help_rdtsc, mkIRExprVec_0()));
}

/* RDTSCP: behind VEX's helper, which writes the registers in memory. ECX is the processor. */
static void
emit_rdtscp_fix(struct rtm_ir *c)
{
    IRDirty *d = unsafeIRDirty_0_N(0, "rtm_help_rdtscp", VG_(fnptr_to_fnentry)(rtm_help_rdtscp),
                                   mkIRExprVec_1(IRExpr_GSPTR()));

    rtm_ir_declare_fx(d, Ifx_Write, GUEST(guest_RAX), 8);
    rtm_ir_declare_fx(d, Ifx_Write, GUEST(guest_RCX), 8);
    rtm_ir_declare_fx(d, Ifx_Write, GUEST(guest_RDX), 8);
    rtm_ir_add(c, IRStmt_Dirty(d));
}

static void
begin_insn(struct rtm_ir *c, const struct rtm_decoded *d)
{
    c->kind = d->kind;
    if (rtm_opt.abort_at) {
        const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);
        IRDirty *h = HELPER(ret, rtm_help_insn, mkIRExprVec_0());
        h->guard = rtm_ir_is_in_tx(c);
        rtm_ir_add(c, IRStmt_Dirty(h));
        /* The helper did not run: ret is undefined, so test the flag too. */
        rtm_ir_exit_to(
            c,
            rtm_ir_both(c, rtm_ir_is_in_tx(c),
                        rtm_ir_assign(c, Ity_I1,
                                      IRExpr_Binop(Iop_CmpEQ64, IRExpr_RdTmp(ret), rtm_ir_u64(1)))),
            Ijk_Boring, c->pc);
    }
    switch (d->kind) {
    case RTM_I_CPUID:
        emit_unfriendly(c, "CPUID", RTM_C_INSTRUCTION, 0, NULL);
        c->rax = rtm_ir_assign(c, Ity_I64, IRExpr_Get(GUEST(guest_RAX), Ity_I64))->Iex.RdTmp.tmp;
        c->rcx = rtm_ir_assign(c, Ity_I64, IRExpr_Get(GUEST(guest_RCX), Ity_I64))->Iex.RdTmp.tmp;
        break;
    case RTM_I_PAUSE:
        emit_unfriendly(c, "PAUSE", RTM_C_INSTRUCTION, 0, NULL);
        rtm_ir_add(c, IRStmt_Dirty(unsafeIRDirty_0_N(0, "rtm_help_pause",
                                                     VG_(fnptr_to_fnentry)(rtm_help_pause),
                                                     mkIRExprVec_0())));
        emit_add_clock(c, rtm_opt.cost_pause);
        break;
    case RTM_I_UNFRIENDLY:
        emit_unfriendly(c, d->name, RTM_C_INSTRUCTION, (UInt)d->imm, NULL);
        break;
    case RTM_I_OTHER:
    case RTM_I_XBEGIN:
    case RTM_I_XEND:
    case RTM_I_XABORT:
    case RTM_I_XTEST:
    case RTM_I_XSUSLDTRK:
    case RTM_I_XRESLDTRK:
    case RTM_I_RDTSC:
    case RTM_I_RDTSCP:
    case RTM_I_SYSCALL: break;
    }
}

static void
finish_insn(struct rtm_ir *c)
{
    if (c->kind == RTM_I_CPUID) {
        emit_cpuid_fix(c);
    }
    else if (c->kind == RTM_I_RDTSCP) {
        emit_rdtscp_fix(c);
    }
    c->kind = RTM_I_OTHER;
}

static void
emit_syscall(struct rtm_ir *c, Addr pc, Addr next)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);
    IRDirty *d = HELPER(ret, rtm_help_syscall, mkIRExprVec_1(IRExpr_GSPTR()));

    rtm_ir_declare_fx(d, Ifx_Modify, GUEST(guest_RAX), 8);
    rtm_ir_declare_fx(d, Ifx_Modify, GUEST(guest_R8), 8); /* rtm_limit.c */
    rtm_ir_declare_fx(d, Ifx_Modify, GUEST(guest_R10), 8);
    rtm_ir_add(c, IRStmt_Dirty(d));
    rtm_ir_exit_if(c, ret, RTM_SYS_DONE, Ijk_Boring, next);
    rtm_ir_exit_if(c, ret, RTM_SYS_AGAIN, Ijk_Boring, pc);
}

/* Does leaving a block this way raise an exception or enter the kernel? */
static Bool
is_trap(IRJumpKind kind)
{
    switch (kind) {
    case Ijk_NoDecode:
    case Ijk_SigILL:
    case Ijk_SigTRAP:
    case Ijk_SigSEGV:
    case Ijk_SigBUS:
    case Ijk_SigFPE:
    case Ijk_SigFPE_IntDiv:
    case Ijk_SigFPE_IntOvf:
    case Ijk_Sys_int32:
    case Ijk_Sys_int128:
    case Ijk_Sys_int129:
    case Ijk_Sys_int130:
    case Ijk_Sys_int145:
    case Ijk_Sys_int210:
    case Ijk_Sys_sysenter: return True;
    default: return False;
    }
}

/* ------------------------------------------------------------------ */

/* Number of instructions up to where this block will be cut. */
static Int
count_insns(const IRSB *in)
{
    Int i, n = 0;

    for (i = 0; i < in->stmts_used; i++) {
        const IRStmt *s = in->stmts[i];
        if (s->tag == Ist_IMark) {
            const struct rtm_decoded d = rtm_decode((const UChar *)s->Ist.IMark.addr);
            if (n > 0 && d.kind != RTM_I_OTHER && d.kind != RTM_I_SYSCALL) {
                break;
            }
            n++;
        }
    }
    return n;
}

/* Can the current instruction not be begun anew any more? */
static void
note_change(struct rtm_ir *c, const IRStmt *s)
{
    switch (s->tag) {
    case Ist_Put: c->changed |= s->Ist.Put.offset != c->out->offsIP; break;
    case Ist_PutI:
    case Ist_Store:
    case Ist_StoreG:
    case Ist_CAS:
    case Ist_LLSC:
    case Ist_Dirty: c->changed = True; break;
    default: break;
    }
}

/* A new instruction. True: the block ends here. */
static Bool
at_imark(struct rtm_ir *c, const IRStmt *s)
{
    const struct rtm_decoded d = rtm_decode((const UChar *)s->Ist.IMark.addr);

    finish_insn(c);
    c->pc = s->Ist.IMark.addr;
    if (c->n_insns > 0 && d.kind != RTM_I_OTHER && d.kind != RTM_I_SYSCALL) {
        end_block(c, c->pc);
        return True;
    }
    c->n_insns++;
    c->changed = False;
    rtm_ir_add(c, (IRStmt *)s);
    begin_insn(c, &d);
    return emit_rtm(c, &d);
}

static void
copy_end(struct rtm_ir *c, const IRSB *in)
{
    finish_insn(c);
    if (in->jumpkind == Ijk_Yield) { /* PAUSE: rtm_help_pause() does what is to do */
        c->out->jumpkind = Ijk_Boring;
    }
    if (in->jumpkind == Ijk_Ret) {
        rtm_heap_return(c);
    }
    else if (in->jumpkind == Ijk_Sys_syscall) {
        emit_syscall(c, c->pc,
                     in->next->tag == Iex_Const ? in->next->Iex.Const.con->Ico.U64 : c->pc + 2);
    }
    else if (is_trap(in->jumpkind)) {
        emit_unfriendly(c, "exception", RTM_C_FAULT, 0, NULL);
    }
}

IRSB *
rtm_instrument(VgCallbackClosure *closure, IRSB *in, const VexGuestLayout *layout,
               const VexGuestExtents *vge, const VexArchInfo *arch, IRType gWordTy, IRType hWordTy)
{
    struct rtm_ir c = {.active = IRTemp_INVALID, .in_tx = IRTemp_INVALID};
    Int i = 0;

    (void)closure, (void)layout, (void)vge, (void)arch;
    if (gWordTy != hWordTy || gWordTy != Ity_I64) {
        VG_(tool_panic)("rtmgrind emulates 64-bit programs only");
    }
    c.out = deepCopyIRSBExceptStmts(in);
    for (; i < in->stmts_used && in->stmts[i]->tag != Ist_IMark; i++) {
        rtm_ir_add(&c, in->stmts[i]); /* the core's preamble */
    }
    if (i < in->stmts_used) {
        emit_leave_if_late(&c, in->stmts[i]->Ist.IMark.addr);
        rtm_heap_entry(&c, in->stmts[i]->Ist.IMark.addr);
    }
    c.n_block = count_insns(in);
    emit_add_clock(&c, (ULong)c.n_block * rtm_opt.cost_insn);
    for (; i < in->stmts_used; i++) {
        IRStmt *s = in->stmts[i];
        if (s->tag == Ist_IMark) {
            if (at_imark(&c, s)) {
                return c.out;
            }
            continue;
        }
        if (s->tag == Ist_Exit && is_trap(s->Ist.Exit.jk)) {
            emit_unfriendly(&c, "exception", RTM_C_FAULT, 0, s->Ist.Exit.guard);
        }
        if (s->tag == Ist_Dirty && c.kind == RTM_I_RDTSC) {
            s = virtual_rdtsc(s);
        }
        rtm_ir_accesses(&c, s);
        note_change(&c, s);
        rtm_ir_note_extended(&c, s);
        rtm_ir_add(&c, s);
    }
    copy_end(&c, in);
    return c.out;
}
