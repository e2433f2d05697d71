/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Small pieces of IR.
 */

#include "rtm_ir.h"

void
rtm_ir_add(struct rtm_ir *c, IRStmt *s)
{
    addStmtToIRSB(c->out, s);
}

IRExpr *
rtm_ir_assign(struct rtm_ir *c, IRType ty, IRExpr *e)
{
    const IRTemp t = newIRTemp(c->out->tyenv, ty);

    rtm_ir_add(c, IRStmt_WrTmp(t, e));
    return IRExpr_RdTmp(t);
}

IRExpr *
rtm_ir_u64(ULong v)
{
    return IRExpr_Const(IRConst_U64(v));
}

static IRExpr *
flag(struct rtm_ir *c, IRTemp *cache, Int offset)
{
    if (*cache == IRTemp_INVALID) {
        IRExpr *word = rtm_ir_assign(c, Ity_I64, IRExpr_Get(offset, Ity_I64));
        IRExpr *bit = rtm_ir_assign(c, Ity_I1, IRExpr_Binop(Iop_CmpNE64, word, rtm_ir_u64(0)));
        *cache = bit->Iex.RdTmp.tmp;
    }
    return IRExpr_RdTmp(*cache);
}

IRExpr *
rtm_ir_is_active(struct rtm_ir *c)
{
    return flag(c, &c->active, SHADOW(active));
}

IRExpr *
rtm_ir_is_in_tx(struct rtm_ir *c)
{
    return flag(c, &c->in_tx, SHADOW(in_tx));
}

IRExpr *
rtm_ir_both(struct rtm_ir *c, IRExpr *a, IRExpr *b)
{
    IRExpr *x, *y;

    if (!b) {
        return a;
    }
    x = rtm_ir_assign(c, Ity_I64, IRExpr_Unop(Iop_1Uto64, a));
    y = rtm_ir_assign(c, Ity_I64, IRExpr_Unop(Iop_1Uto64, b));
    x = rtm_ir_assign(c, Ity_I64, IRExpr_Binop(Iop_And64, x, y));
    return rtm_ir_assign(c, Ity_I1, IRExpr_Binop(Iop_CmpNE64, x, rtm_ir_u64(0)));
}

void
rtm_ir_declare_fx(IRDirty *d, IREffect fx, Int offset, Int size)
{
    const Int n = d->nFxState++;

    VG_(memset)(&d->fxState[n], 0, sizeof d->fxState[n]);
    d->fxState[n].fx = fx;
    d->fxState[n].offset = offset;
    d->fxState[n].size = size;
}

void
rtm_ir_exit_to(struct rtm_ir *c, IRExpr *guard, IRJumpKind kind, Addr to)
{
    rtm_ir_add(c, IRStmt_Exit(guard, kind, IRConst_U64(to), c->out->offsIP));
}

void
rtm_ir_exit_if(struct rtm_ir *c, IRTemp ret, ULong value, IRJumpKind kind, Addr to)
{
    IRExpr *is =
        rtm_ir_assign(c, Ity_I1, IRExpr_Binop(Iop_CmpEQ64, IRExpr_RdTmp(ret), rtm_ir_u64(value)));

    rtm_ir_exit_to(c, is, kind, to);
}

static Bool
writes_extended(const IRStmt *s)
{
    const IRDirty *d;
    Int i;

    switch (s->tag) {
    case Ist_Put: return s->Ist.Put.offset >= RTM_EXTENDED && s->Ist.Put.offset < RTM_SHADOW_BASE;
    case Ist_PutI: return s->Ist.PutI.details->descr->base >= RTM_EXTENDED;
    case Ist_Dirty:
        d = s->Ist.Dirty.details;
        for (i = 0; i < d->nFxState; i++) {
            const Int last = d->fxState[i].offset + d->fxState[i].size +
                             d->fxState[i].nRepeats * d->fxState[i].repeatLen;
            if (d->fxState[i].fx != Ifx_Read && last > RTM_EXTENDED) {
                return True;
            }
        }
        return False;
    default: return False;
    }
}

void
rtm_ir_note_extended(struct rtm_ir *c, const IRStmt *s)
{
    if (!c->extended && writes_extended(s)) {
        c->extended = True;
        rtm_ir_add(c, IRStmt_Put(SHADOW(extended), rtm_ir_u64(1)));
    }
}
