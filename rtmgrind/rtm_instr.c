/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Instrumentation.  Each block gets, in this order:
 *
 *   if the clock has passed the deadline, zero the dispatcher's event counter
 *   and leave for this same block, which the thread then reaches by way of
 *   the scheduler; else clock += number of instructions;
 *   before each memory access, while transactions are live, a helper call;
 *   an RTM instruction, and others that need care, always begin a block of
 *   their own (the superblock is cut there), so that all guest registers are
 *   in memory when their helper runs.
 *
 * A helper that ends the current block asks for it with a side exit to the
 * instruction's own address: with the event counter at zero the thread goes to
 * the scheduler before it would run again, and there transactions are rolled
 * back or waiting threads blocked (rtm_sched.c).
 */

#include "rtm_priv.h"

struct ctx {
    IRSB *out;
    IRTemp active;   /* Ity_I1: accesses must be checked; made on demand */
    IRTemp in_tx;    /* Ity_I1 */
    Addr pc;         /* current instruction */
    Int n_insns;     /* begun in this block */
    IRTemp rax, rcx; /* CPUID's inputs */
    enum rtm_insn kind;
    /* accesses already checked in this block: same address atom */
    struct {
        IRTemp addr;
        SizeT size;
        Bool write;
    } seen[32];
    Int n_seen;
};

#define GUEST(field) ((Int)offsetof(VexGuestAMD64State, field))
#define SHADOW(field)                                                         \
    (RTM_SHADOW_BASE + (Int)offsetof(struct rtm_shadow, field))

static void
add(struct ctx *c, IRStmt *s)
{
    addStmtToIRSB(c->out, s);
}

static IRExpr *
assign(struct ctx *c, IRType ty, IRExpr *e)
{
    const IRTemp t = newIRTemp(c->out->tyenv, ty);

    add(c, IRStmt_WrTmp(t, e));
    return IRExpr_RdTmp(t);
}

static IRExpr *
u64(ULong v)
{
    return IRExpr_Const(IRConst_U64(v));
}

/* ------------------------------------------------------------------ */
/* Pieces                                                              */

static void
emit_add_clock(struct ctx *c, ULong cycles)
{
    IRExpr *now = assign(c, Ity_I64, IRExpr_Get(SHADOW(clock), Ity_I64));
    IRExpr *then = assign(c, Ity_I64, IRExpr_Binop(Iop_Add64, now, u64(cycles)));

    add(c, IRStmt_Put(SHADOW(clock), then));
}

/* At the head of a block: leave if the deadline has passed, before anything of
 * the block is done. */
static void
emit_leave_if_late(struct ctx *c, Addr pc)
{
    IRExpr *now = assign(c, Ity_I64, IRExpr_Get(SHADOW(clock), Ity_I64));
    IRExpr *deadline = assign(c, Ity_I64, IRExpr_Get(SHADOW(deadline), Ity_I64));
    IRExpr *late = assign(c, Ity_I1, IRExpr_Binop(Iop_CmpLE64U, deadline, now));
    IRExpr *left = assign(c, Ity_I32, IRExpr_Get(GUEST(host_EvC_COUNTER), Ity_I32));
    IRExpr *zero = IRExpr_Const(IRConst_U32(0));
    IRExpr *next = assign(c, Ity_I32, IRExpr_ITE(late, zero, left));

    add(c, IRStmt_Put(GUEST(host_EvC_COUNTER), next));
    add(c, IRStmt_Exit(late, Ijk_Boring, IRConst_U64(pc), c->out->offsIP));
}

static IRExpr *
flag(struct ctx *c, IRTemp *cache, Int offset)
{
    if (*cache == IRTemp_INVALID) {
        IRExpr *word = assign(c, Ity_I64, IRExpr_Get(offset, Ity_I64));
        IRExpr *bit = assign(c, Ity_I1, IRExpr_Binop(Iop_CmpNE64, word, u64(0)));
        *cache = bit->Iex.RdTmp.tmp;
    }
    return IRExpr_RdTmp(*cache);
}

static IRExpr *
is_active(struct ctx *c)
{
    return flag(c, &c->active, SHADOW(active));
}

static IRExpr *
is_in_tx(struct ctx *c)
{
    return flag(c, &c->in_tx, SHADOW(in_tx));
}

static IRExpr *
both(struct ctx *c, IRExpr *a, IRExpr *b)
{
    IRExpr *x, *y;

    if (!b) {
        return a;
    }
    x = assign(c, Ity_I64, IRExpr_Unop(Iop_1Uto64, a));
    y = assign(c, Ity_I64, IRExpr_Unop(Iop_1Uto64, b));
    x = assign(c, Ity_I64, IRExpr_Binop(Iop_And64, x, y));
    return assign(c, Ity_I1, IRExpr_Binop(Iop_CmpNE64, x, u64(0)));
}

static void
declare_fx(IRDirty *d, IREffect fx, Int offset, Int size)
{
    const Int n = d->nFxState++;

    VG_(memset)(&d->fxState[n], 0, sizeof d->fxState[n]);
    d->fxState[n].fx = fx;
    d->fxState[n].offset = offset;
    d->fxState[n].size = size;
}

static void
exit_to(struct ctx *c, IRExpr *guard, IRJumpKind kind, Addr to)
{
    add(c, IRStmt_Exit(guard, kind, IRConst_U64(to), c->out->offsIP));
}

static void
exit_if(struct ctx *c, IRTemp ret, ULong value, IRJumpKind kind, Addr to)
{
    IRExpr *is = assign(c, Ity_I1,
                        IRExpr_Binop(Iop_CmpEQ64, IRExpr_RdTmp(ret), u64(value)));

    exit_to(c, is, kind, to);
}

#define HELPER(ret, fn, args)                                                 \
    unsafeIRDirty_1_N(ret, 0, #fn, VG_(fnptr_to_fnentry)(fn), args)

/* ------------------------------------------------------------------ */
/* Memory accesses                                                     */

static Bool
already_seen(struct ctx *c, IRExpr *addr, SizeT size, Bool write)
{
    Int i;

    if (addr->tag != Iex_RdTmp) {
        return False;
    }
    for (i = 0; i < c->n_seen; i++) {
        if (c->seen[i].addr == addr->Iex.RdTmp.tmp && c->seen[i].size >= size
            && (c->seen[i].write || !write)) {
            return True;
        }
    }
    if (c->n_seen < 32) {
        c->seen[c->n_seen].addr = addr->Iex.RdTmp.tmp;
        c->seen[c->n_seen].size = size;
        c->seen[c->n_seen].write = write;
        c->n_seen++;
    }
    return False;
}

struct helper {
    const HChar *name;
    void *fn;
};

static struct helper
helper_for(SizeT size, Bool write)
{
#define CASE(n)                                                               \
    case n:                                                                   \
        return write ? (struct helper){"rtm_store", rtm_store_##n}            \
                     : (struct helper){"rtm_load", rtm_load_##n};
    switch (size) {
        RTM_ACCESS_LIST(CASE)
    default:
        return (struct helper){NULL, NULL};
    }
#undef CASE
}

static void
emit_access(struct ctx *c, IRExpr *addr, SizeT size, Bool write, IRExpr *guard)
{
    struct helper h = helper_for(size, write);
    IRDirty *d;

    if (!rtm_hooks_on || (!guard && already_seen(c, addr, size, write))) {
        return;
    }
    if (h.fn) {
        d = unsafeIRDirty_0_N(1, h.name, VG_(fnptr_to_fnentry)(h.fn),
                              mkIRExprVec_1(addr));
    } else {
        h.fn = write ? (void *)rtm_store_n : (void *)rtm_load_n;
        d = unsafeIRDirty_0_N(2, "rtm_access_n", VG_(fnptr_to_fnentry)(h.fn),
                              mkIRExprVec_2(addr, u64(size)));
    }
    d->guard = both(c, is_active(c), guard);
    add(c, IRStmt_Dirty(d));
}

static void
emit_atomic(struct ctx *c, IRExpr *addr, SizeT size)
{
    IRDirty *d = unsafeIRDirty_0_N(2, "rtm_atomic_n",
                                   VG_(fnptr_to_fnentry)(rtm_atomic_n),
                                   mkIRExprVec_2(addr, u64(size)));

    add(c, IRStmt_Dirty(d));
}

static void
emit_accesses(struct ctx *c, const IRStmt *s)
{
    IRTypeEnv *env = c->out->tyenv;

    switch (s->tag) {
    case Ist_WrTmp: {
        const IRExpr *e = s->Ist.WrTmp.data;
        if (e->tag == Iex_Load) {
            emit_access(c, e->Iex.Load.addr, sizeofIRType(e->Iex.Load.ty),
                        False, NULL);
        }
        break;
    }
    case Ist_Store:
        emit_access(c, s->Ist.Store.addr,
                    sizeofIRType(typeOfIRExpr(env, s->Ist.Store.data)), True,
                    NULL);
        break;
    case Ist_StoreG: {
        const IRStoreG *g = s->Ist.StoreG.details;
        emit_access(c, g->addr, sizeofIRType(typeOfIRExpr(env, g->data)), True,
                    g->guard);
        break;
    }
    case Ist_LoadG: {
        const IRLoadG *g = s->Ist.LoadG.details;
        IRType wide, loaded;
        typeOfIRLoadGOp(g->cvt, &wide, &loaded);
        emit_access(c, g->addr, sizeofIRType(loaded), False, g->guard);
        break;
    }
    case Ist_CAS: {
        const IRCAS *cas = s->Ist.CAS.details;
        SizeT size = sizeofIRType(typeOfIRExpr(env, cas->dataLo));
        emit_atomic(c, cas->addr, cas->dataHi ? 2 * size : size);
        break;
    }
    case Ist_Dirty: {
        const IRDirty *d = s->Ist.Dirty.details;
        IRExpr *g = d->guard->tag == Iex_Const ? NULL : d->guard;
        if (d->mFx == Ifx_Read || d->mFx == Ifx_Modify) {
            emit_access(c, d->mAddr, d->mSize, False, g);
        }
        if (d->mFx == Ifx_Write || d->mFx == Ifx_Modify) {
            emit_access(c, d->mAddr, d->mSize, True, g);
        }
        break;
    }
    default:
        break;
    }
}

/* ------------------------------------------------------------------ */
/* RTM instructions: each makes a block of its own                     */

static void
end_block(struct ctx *c, Addr next)
{
    c->out->next = u64(next);
    c->out->jumpkind = Ijk_Boring;
}

static void
emit_xbegin(struct ctx *c, const struct rtm_decoded *d)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);
    const Addr next = c->pc + d->len;
    IRDirty *h = HELPER(ret, rtm_help_xbegin,
                        mkIRExprVec_3(IRExpr_GSPTR(), u64(c->pc),
                                      u64(next + (Long)d->imm)));

    declare_fx(h, Ifx_Read, GUEST(guest_RAX), sizeof(ULong));
    add(c, IRStmt_Dirty(h));
    exit_if(c, ret, 1, Ijk_Boring, c->pc);
    end_block(c, next);
}

static void
emit_xend(struct ctx *c, const struct rtm_decoded *d)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);

    add(c, IRStmt_Dirty(HELPER(ret, rtm_help_xend, mkIRExprVec_0())));
    exit_if(c, ret, 1, Ijk_SigSEGV, c->pc);
    exit_if(c, ret, 2, Ijk_Boring, c->pc);
    end_block(c, c->pc + d->len);
}

static void
emit_xabort(struct ctx *c, const struct rtm_decoded *d)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);

    add(c, IRStmt_Dirty(HELPER(ret, rtm_help_xabort, mkIRExprVec_1(u64(d->imm)))));
    exit_if(c, ret, 1, Ijk_Boring, c->pc);
    end_block(c, c->pc + d->len);
}

static void
emit_ldtrk(struct ctx *c, const struct rtm_decoded *d)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);
    const Bool suspend = d->kind == RTM_I_XSUSLDTRK;

    if (!rtm_opt.tsxldtrk) { /* #UD */
        c->out->next = u64(c->pc);
        c->out->jumpkind = Ijk_NoDecode;
        return;
    }
    add(c, IRStmt_Dirty(HELPER(ret, rtm_help_ldtrk, mkIRExprVec_1(u64(suspend)))));
    exit_if(c, ret, 1, Ijk_SigSEGV, c->pc);
    exit_if(c, ret, 2, Ijk_Boring, c->pc);
    end_block(c, c->pc + d->len);
}

/* XTEST: ZF is clear in a transaction, set outside; CF, OF, SF, PF and AF are
 * cleared. */
static void
emit_xtest(struct ctx *c, const struct rtm_decoded *d)
{
    enum { CC_OP_COPY = 0, MASK_Z = 1 << 6 };
    IRExpr *flags = assign(c, Ity_I64,
                           IRExpr_ITE(is_in_tx(c), u64(0), u64(MASK_Z)));

    add(c, IRStmt_Put(GUEST(guest_CC_OP), u64(CC_OP_COPY)));
    add(c, IRStmt_Put(GUEST(guest_CC_DEP1), flags));
    add(c, IRStmt_Put(GUEST(guest_CC_DEP2), u64(0)));
    add(c, IRStmt_Put(GUEST(guest_CC_NDEP), u64(0)));
    end_block(c, c->pc + d->len);
}

static Bool
emit_rtm(struct ctx *c, const struct rtm_decoded *d)
{
    switch (d->kind) {
    case RTM_I_XBEGIN: emit_xbegin(c, d); return True;
    case RTM_I_XEND: emit_xend(c, d); return True;
    case RTM_I_XABORT: emit_xabort(c, d); return True;
    case RTM_I_XTEST: emit_xtest(c, d); return True;
    case RTM_I_XSUSLDTRK:
    case RTM_I_XRESLDTRK: emit_ldtrk(c, d); return True;
    case RTM_I_OTHER: case RTM_I_CPUID: case RTM_I_RDTSC: case RTM_I_RDTSCP:
    case RTM_I_PAUSE: case RTM_I_SYSCALL: case RTM_I_UNFRIENDLY:
        return False;
    }
    return False;
}

/* ------------------------------------------------------------------ */
/* Other instructions that need care                                   */

/* In a transaction, abort it and leave. */
static void
emit_unfriendly(struct ctx *c, const HChar *name, enum rtm_cause cause,
                IRExpr *guard)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);
    IRExpr *when = both(c, is_in_tx(c), guard);
    IRDirty *d = HELPER(ret, rtm_help_unfriendly,
                        mkIRExprVec_2(u64((HWord)name), u64(cause)));

    d->guard = when;
    add(c, IRStmt_Dirty(d));
    exit_to(c, when, Ijk_Boring, c->pc);
}

static void
emit_cpuid_fix(struct ctx *c)
{
    IRDirty *d = unsafeIRDirty_0_N(0, "rtm_help_cpuid",
                                   VG_(fnptr_to_fnentry)(rtm_help_cpuid),
                                   mkIRExprVec_3(IRExpr_GSPTR(),
                                                 IRExpr_RdTmp(c->rax),
                                                 IRExpr_RdTmp(c->rcx)));

    declare_fx(d, Ifx_Modify, GUEST(guest_RAX), 8);
    declare_fx(d, Ifx_Modify, GUEST(guest_RBX), 8);
    declare_fx(d, Ifx_Modify, GUEST(guest_RDX), 8);
    add(c, IRStmt_Dirty(d));
}

static void
put_tsc(struct ctx *c, IRExpr *tsc)
{
    IRExpr *hi = assign(c, Ity_I64, IRExpr_Binop(Iop_Shr64, tsc,
                                                 IRExpr_Const(IRConst_U8(32))));
    IRExpr *lo = assign(c, Ity_I64, IRExpr_Binop(Iop_And64, tsc,
                                                 u64(0xFFFFFFFFULL)));

    add(c, IRStmt_Put(GUEST(guest_RAX), lo));
    add(c, IRStmt_Put(GUEST(guest_RDX), hi));
}

/* RDTSC and RDTSCP read virtual time; ECX of RDTSCP is the processor number.
 * Written behind the instruction's own IR, over its result. */
static void
emit_rdtsc_fix(struct ctx *c)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);

    add(c, IRStmt_Dirty(HELPER(ret, rtm_help_rdtsc, mkIRExprVec_0())));
    put_tsc(c, IRExpr_RdTmp(ret));
}

static void
begin_insn(struct ctx *c, const struct rtm_decoded *d)
{
    c->kind = d->kind;
    if (rtm_opt.abort_at) {
        const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);
        IRDirty *h = HELPER(ret, rtm_help_insn, mkIRExprVec_0());
        h->guard = is_in_tx(c);
        add(c, IRStmt_Dirty(h));
        /* The helper did not run: ret is undefined, so test the flag too. */
        exit_to(c, both(c, is_in_tx(c),
                        assign(c, Ity_I1,
                               IRExpr_Binop(Iop_CmpEQ64, IRExpr_RdTmp(ret), u64(1)))),
                Ijk_Boring, c->pc);
    }
    switch (d->kind) {
    case RTM_I_CPUID:
        emit_unfriendly(c, "CPUID", RTM_C_INSTRUCTION, NULL);
        c->rax = assign(c, Ity_I64, IRExpr_Get(GUEST(guest_RAX), Ity_I64))->Iex.RdTmp.tmp;
        c->rcx = assign(c, Ity_I64, IRExpr_Get(GUEST(guest_RCX), Ity_I64))->Iex.RdTmp.tmp;
        break;
    case RTM_I_PAUSE:
        emit_unfriendly(c, "PAUSE", RTM_C_INSTRUCTION, NULL);
        emit_add_clock(c, rtm_opt.cost_pause);
        break;
    case RTM_I_UNFRIENDLY:
        emit_unfriendly(c, d->name, RTM_C_INSTRUCTION, NULL);
        break;
    case RTM_I_OTHER: case RTM_I_XBEGIN: case RTM_I_XEND: case RTM_I_XABORT:
    case RTM_I_XTEST: case RTM_I_XSUSLDTRK: case RTM_I_XRESLDTRK:
    case RTM_I_RDTSC: case RTM_I_RDTSCP: case RTM_I_SYSCALL:
        break;
    }
}

static void
finish_insn(struct ctx *c)
{
    if (c->kind == RTM_I_CPUID) {
        emit_cpuid_fix(c);
    } else if (c->kind == RTM_I_RDTSC || c->kind == RTM_I_RDTSCP) {
        emit_rdtsc_fix(c);
    }
    c->kind = RTM_I_OTHER;
}

static void
emit_syscall(struct ctx *c, Addr pc, Addr next)
{
    const IRTemp ret = newIRTemp(c->out->tyenv, Ity_I64);
    IRDirty *d = HELPER(ret, rtm_help_syscall, mkIRExprVec_1(IRExpr_GSPTR()));

    declare_fx(d, Ifx_Modify, GUEST(guest_RAX), 8);
    add(c, IRStmt_Dirty(d));
    exit_if(c, ret, RTM_SYS_DONE, Ijk_Boring, next);
    exit_if(c, ret, RTM_SYS_AGAIN, Ijk_Boring, pc);
}

/* Does leaving a block this way raise an exception or enter the kernel? */
static Bool
is_trap(IRJumpKind kind)
{
    switch (kind) {
    case Ijk_NoDecode: case Ijk_SigILL: case Ijk_SigTRAP: case Ijk_SigSEGV:
    case Ijk_SigBUS: case Ijk_SigFPE: case Ijk_SigFPE_IntDiv:
    case Ijk_SigFPE_IntOvf: case Ijk_Sys_int32: case Ijk_Sys_int128:
    case Ijk_Sys_int129: case Ijk_Sys_int130: case Ijk_Sys_int145:
    case Ijk_Sys_int210: case Ijk_Sys_sysenter:
        return True;
    default:
        return False;
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

/* A new instruction. True: the block ends here. */
static Bool
at_imark(struct ctx *c, const IRStmt *s)
{
    const struct rtm_decoded d = rtm_decode((const UChar *)s->Ist.IMark.addr);

    finish_insn(c);
    c->pc = s->Ist.IMark.addr;
    if (c->n_insns > 0 && d.kind != RTM_I_OTHER && d.kind != RTM_I_SYSCALL) {
        end_block(c, c->pc);
        return True;
    }
    c->n_insns++;
    add(c, (IRStmt *)s);
    begin_insn(c, &d);
    return emit_rtm(c, &d);
}

static void
copy_end(struct ctx *c, const IRSB *in)
{
    finish_insn(c);
    if (in->jumpkind == Ijk_Sys_syscall) {
        emit_syscall(c, c->pc, in->next->tag == Iex_Const
                                   ? in->next->Iex.Const.con->Ico.U64
                                   : c->pc + 2);
    } else if (is_trap(in->jumpkind)) {
        emit_unfriendly(c, "exception", RTM_C_FAULT, NULL);
    }
}

IRSB *
rtm_instrument(VgCallbackClosure *closure, IRSB *in,
               const VexGuestLayout *layout, const VexGuestExtents *vge,
               const VexArchInfo *arch, IRType gWordTy, IRType hWordTy)
{
    struct ctx c = {.active = IRTemp_INVALID, .in_tx = IRTemp_INVALID};
    Int i = 0;

    (void)closure, (void)layout, (void)vge, (void)arch;
    if (gWordTy != hWordTy || gWordTy != Ity_I64) {
        VG_(tool_panic)("rtmgrind emulates 64-bit programs only");
    }
    c.out = deepCopyIRSBExceptStmts(in);
    for (; i < in->stmts_used && in->stmts[i]->tag != Ist_IMark; i++) {
        add(&c, in->stmts[i]); /* the core's preamble */
    }
    if (i < in->stmts_used) {
        emit_leave_if_late(&c, in->stmts[i]->Ist.IMark.addr);
    }
    emit_add_clock(&c, (ULong)count_insns(in) * rtm_opt.cost_insn);
    for (; i < in->stmts_used; i++) {
        IRStmt *s = in->stmts[i];
        if (s->tag == Ist_IMark) {
            if (at_imark(&c, s)) {
                return c.out;
            }
            continue;
        }
        if (s->tag == Ist_Exit && is_trap(s->Ist.Exit.jk)) {
            emit_unfriendly(&c, "exception", RTM_C_FAULT, s->Ist.Exit.guard);
        }
        emit_accesses(&c, s);
        add(&c, s);
    }
    copy_end(&c, in);
    return c.out;
}
