/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * --heap=yes: which heap block an address lies in, and who allocated it.
 *
 * The program keeps its own allocator, since its cache lines are what conflicts
 * are about.  Blocks that begin a function with an allocator's name call a
 * helper with the arguments; blocks that return from one call another, which
 * finds the result in RAX.  A call that leaves otherwise (longjmp, tail call)
 * is forgotten when an older frame returns.
 */

#include "rtm_ir.h"
#include "rtm_heap.h"
#include "pub_tool_debuginfo.h"
#include "pub_tool_oset.h"
#include "pub_tool_stacktrace.h"

enum { MAX_PENDING = 16 };

struct block {
    Addr start;
    SizeT size;
    Addr frames[RTM_HEAP_FRAMES];
};

/* Calls in progress, innermost last. */
struct pending {
    Addr sp;
    SizeT size;
    Addr frames[RTM_HEAP_FRAMES]; /* unwound at entry, where that is simple */
};

static struct {
    struct pending call[MAX_PENDING];
    Int n;
} calls[RTM_MAX_THREADS];

static OSet *blocks;

/* Which argument registers make the size: bit 0 RDI, bit 1 RSI, bit 2 RDX;
 * two bits: their product. */
static const struct {
    const HChar *name;
    Int size_args;
} allocators[] = {
    {"malloc", 1},          {"__libc_malloc", 1},  {"calloc", 3},   {"__libc_calloc", 3},
    {"realloc", 2},         {"__libc_realloc", 2}, {"memalign", 2}, {"aligned_alloc", 2},
    {"__libc_memalign", 2}, {"valloc", 1},
};

static Word
compare(const void *key, const void *elem)
{
    const Addr a = *(const Addr *)key;
    const struct block *b = elem;

    return a < b->start ? -1 : a >= b->start + b->size ? 1 : 0;
}

static void
forget(Addr a)
{
    struct block *b = VG_(OSetGen_Remove)(blocks, &a);

    if (b) {
        VG_(OSetGen_FreeNode)(blocks, b);
    }
}

/* ------------------------------------------------------------------ */
/* Helpers called from translated code                                 */

static void
on_entry(HWord sp, HWord size)
{
    const ThreadId tid = rtm_cur->tid;
    Int n = calls[tid].n;

    while (n > 0 && calls[tid].call[n - 1].sp <= sp) {
        n--; /* left without returning */
    }
    if (n < MAX_PENDING) {
        calls[tid].call[n].sp = sp;
        calls[tid].call[n].size = size ? size : 1;
        VG_(memset)(calls[tid].call[n].frames, 0, sizeof calls[tid].call[n].frames);
        VG_(get_StackTrace)(tid, calls[tid].call[n].frames, RTM_HEAP_FRAMES, NULL, NULL, 0);
        n++;
    }
    calls[tid].n = n;
}

/* sp is behind the return address, which has been popped. */
static void
on_return(HWord sp, HWord result)
{
    const ThreadId tid = rtm_cur->tid;
    Int n = calls[tid].n;

    while (n > 0 && calls[tid].call[n - 1].sp + 8 < sp) {
        n--;
    }
    calls[tid].n = n;
    if (n > 0 && calls[tid].call[n - 1].sp + 8 == sp) {
        calls[tid].n = n - 1;
        if (result) {
            struct block *b = VG_(OSetGen_AllocNode)(blocks, sizeof *b);
            forget(result);
            b->start = result;
            b->size = calls[tid].call[n - 1].size;
            VG_(memcpy)(b->frames, calls[tid].call[n - 1].frames, sizeof b->frames);
            VG_(OSetGen_Insert)(blocks, b);
        }
    }
}

static void
on_free(HWord a)
{
    forget(a);
}

/* ------------------------------------------------------------------ */

static Int
allocator(const HChar *name)
{
    SizeT i;

    for (i = 0; i < sizeof allocators / sizeof allocators[0]; i++) {
        if (VG_STREQ(allocators[i].name, name)) {
            return allocators[i].size_args;
        }
    }
    return 0;
}

static IRExpr *
reg(struct rtm_ir *c, Int offset)
{
    return rtm_ir_assign(c, Ity_I64, IRExpr_Get(offset, Ity_I64));
}

static IRExpr *
size_expr(struct rtm_ir *c, Int args)
{
    switch (args) {
    case 1: return reg(c, GUEST(guest_RDI));
    case 2: return reg(c, GUEST(guest_RSI));
    default:
        return rtm_ir_assign(
            c, Ity_I64,
            IRExpr_Binop(Iop_Mul64, reg(c, GUEST(guest_RDI)), reg(c, GUEST(guest_RSI))));
    }
}

static void
call(struct rtm_ir *c, const HChar *name, void *fn, IRExpr **args)
{
    rtm_ir_add(c, IRStmt_Dirty(unsafeIRDirty_0_N(0, name, VG_(fnptr_to_fnentry)(fn), args)));
}

void
rtm_heap_entry(struct rtm_ir *c, Addr pc)
{
    const HChar *name;
    Int args;

    if (!rtm_opt.heap) {
        return;
    }
    rtm_names_read(pc);
    if (!VG_(get_fnname_if_entry)(VG_(current_DiEpoch)(), pc, &name)) {
        return;
    }
    if (VG_STREQ(name, "free") || VG_STREQ(name, "__libc_free") || VG_STREQ(name, "cfree")) {
        call(c, "on_free", on_free, mkIRExprVec_1(reg(c, GUEST(guest_RDI))));
        return;
    }
    args = allocator(name);
    if (args) {
        call(c, "on_entry", on_entry, mkIRExprVec_2(reg(c, GUEST(guest_RSP)), size_expr(c, args)));
    }
}

/* At any return: an allocator may have gone on in a function without a name (aligned_alloc does in
 * a stripped C library), so only the stack pointer tells whose return it is. */
void
rtm_heap_return(struct rtm_ir *c)
{
    if (rtm_opt.heap) {
        call(c, "on_return", on_return,
             mkIRExprVec_2(reg(c, GUEST(guest_RSP)), reg(c, GUEST(guest_RAX))));
    }
}

Bool
rtm_heap_find(Addr a, struct rtm_heap_place *place)
{
    const struct block *b = rtm_opt.heap ? VG_(OSetGen_Lookup)(blocks, &a) : NULL;

    if (!b) {
        return False;
    }
    place->offset = a - b->start;
    place->size = b->size;
    VG_(memcpy)(place->frames, b->frames, sizeof place->frames);
    return True;
}

void
rtm_heap_init(void)
{
    blocks = VG_(OSetGen_Create)(offsetof(struct block, start), compare, VG_(malloc), "rtm.heap",
                                 VG_(free));
}
