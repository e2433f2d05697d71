/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Building IR: what rtm_instr.c and rtm_access.c share.
 */

#ifndef RTM_IR_H
#define RTM_IR_H

#include "rtm_priv.h"

/* A block under construction. */
struct rtm_ir {
    IRSB *out;
    IRTemp active;   /* Ity_I1: accesses must be checked; made on demand */
    IRTemp in_tx;    /* Ity_I1 */
    Bool extended;   /* writes extended registers: noted */
    Addr pc;         /* current instruction */
    Int n_insns;     /* begun in this block, */
    Int n_block;     /* of so many */
    Bool changed;    /* by the current instruction: a register, or memory */
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
#define SHADOW(field) (RTM_SHADOW_BASE + (Int)offsetof(struct rtm_shadow, field))

#define HELPER(ret, fn, args) unsafeIRDirty_1_N(ret, 0, #fn, VG_(fnptr_to_fnentry)(fn), args)

void rtm_ir_add(struct rtm_ir *c, IRStmt *s);
IRExpr *rtm_ir_assign(struct rtm_ir *c, IRType ty, IRExpr *e);
IRExpr *rtm_ir_u64(ULong v);

/* Flags of the running thread, read once a block; Ity_I1. */
IRExpr *rtm_ir_is_active(struct rtm_ir *c);
IRExpr *rtm_ir_is_in_tx(struct rtm_ir *c);
IRExpr *rtm_ir_both(struct rtm_ir *c, IRExpr *a, IRExpr *b); /* b may be NULL */

void rtm_ir_declare_fx(IRDirty *d, IREffect fx, Int offset, Int size);
void rtm_ir_exit_to(struct rtm_ir *c, IRExpr *guard, IRJumpKind kind, Addr to);
void rtm_ir_exit_if(struct rtm_ir *c, IRTemp ret, ULong value, IRJumpKind kind, Addr to);

/* Before statement s: the block is about to write extended registers, if s does. */
void rtm_ir_note_extended(struct rtm_ir *c, const IRStmt *s);

/* rtm_access.c: before statement s, a helper call for each of its accesses. */
void rtm_ir_accesses(struct rtm_ir *c, const IRStmt *s);

#endif
