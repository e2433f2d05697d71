/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory accesses: each gets a helper call (rtm_track.c), guarded by the
 * thread's `active` flag, so that while no transaction is live an access costs
 * a test. Before the first transaction blocks carry no hooks at all.
 */

#include "rtm_ir.h"

static Bool
already_seen(struct rtm_ir *c, IRExpr *addr, SizeT size, Bool write)
{
    Int i;

    if (addr->tag != Iex_RdTmp) {
        return False;
    }
    for (i = 0; i < c->n_seen; i++) {
        if (c->seen[i].addr == addr->Iex.RdTmp.tmp && c->seen[i].size >= size &&
            (c->seen[i].write || !write)) {
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
#define CASE(n)                                                    \
    case n:                                                        \
        return write ? (struct helper){"rtm_store", rtm_store_##n} \
                     : (struct helper){"rtm_load", rtm_load_##n};
    switch (size) {
        RTM_ACCESS_LIST(CASE)
    default: return (struct helper){NULL, NULL};
    }
#undef CASE
}

/* Cycles that the block has charged for this instruction and the rest, which are taken back if it
 * is left to begin anew here; negative: what the instruction has done cannot be done again. */
static IRExpr *
rest(const struct rtm_ir *c)
{
    const Long insns = c->n_block - c->n_insns + 1;

    return rtm_ir_u64((ULong)(c->changed ? -1 : insns * rtm_opt.cost_insn));
}

static void
emit_access(struct rtm_ir *c, IRExpr *addr, SizeT size, Bool write, IRExpr *guard)
{
    struct helper h = helper_for(size, write);
    IRDirty *d;

    if (!rtm_hooks_on || (!guard && already_seen(c, addr, size, write))) {
        return;
    }
    if (h.fn) {
        d = unsafeIRDirty_0_N(2, h.name, VG_(fnptr_to_fnentry)(h.fn), mkIRExprVec_2(addr, rest(c)));
    }
    else {
        h.fn = write ? (void *)rtm_store_n : (void *)rtm_load_n;
        d = unsafeIRDirty_0_N(2, "rtm_access_n", VG_(fnptr_to_fnentry)(h.fn),
                              mkIRExprVec_2(addr, rtm_ir_u64(size)));
    }
    d->guard = rtm_ir_both(c, rtm_ir_is_active(c), guard);
    rtm_ir_add(c, IRStmt_Dirty(d));
}

static void
emit_atomic(struct rtm_ir *c, IRExpr *addr, SizeT size)
{
    IRDirty *d = unsafeIRDirty_0_N(3, "rtm_atomic_n", VG_(fnptr_to_fnentry)(rtm_atomic_n),
                                   mkIRExprVec_3(addr, rtm_ir_u64(size), rest(c)));

    rtm_ir_add(c, IRStmt_Dirty(d));
}

void
rtm_ir_accesses(struct rtm_ir *c, const IRStmt *s)
{
    IRTypeEnv *env = c->out->tyenv;

    switch (s->tag) {
    case Ist_WrTmp: {
        const IRExpr *e = s->Ist.WrTmp.data;
        if (e->tag == Iex_Load) {
            emit_access(c, e->Iex.Load.addr, sizeofIRType(e->Iex.Load.ty), False, NULL);
        }
        break;
    }
    case Ist_Store:
        emit_access(c, s->Ist.Store.addr, sizeofIRType(typeOfIRExpr(env, s->Ist.Store.data)), True,
                    NULL);
        break;
    case Ist_StoreG: {
        const IRStoreG *g = s->Ist.StoreG.details;
        emit_access(c, g->addr, sizeofIRType(typeOfIRExpr(env, g->data)), True, g->guard);
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
    default: break;
    }
}
