/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Tells RTM instructions, and instructions on which a transaction aborts, from
 * the guest's bytes.  VEX resolves RTM before a tool sees the IR, so the bytes
 * are the only place to look.
 */

#include "rtm_priv.h"

struct bytes {
    const UChar *p;
    Bool opsize, rep, repne; /* 66, F3, F2 */
    Int len;                 /* prefixes */
};

static struct bytes
skip_prefixes(const UChar *p)
{
    struct bytes b = {p, False, False, False, 0};

    for (; b.len < 14; b.len++, b.p++) {
        switch (*b.p) {
        case 0x66: b.opsize = True; break;
        case 0xF2: b.repne = True; break;
        case 0xF3: b.rep = True; break;
        case 0x26:
        case 0x2E:
        case 0x36:
        case 0x3E:
        case 0x64:
        case 0x65:
        case 0x67:
        case 0xF0: break;
        default:
            if ((*b.p & 0xF0) != 0x40) {
                return b;
            }
            /* REX */
        }
    }
    return b;
}

#define IS_MEM(modrm) (((modrm)&0xC0) != 0xC0)
#define REG(modrm) (((modrm) >> 3) & 7)

/* Group 15, 0F AE: state saving, cache control, segment bases. */
static const HChar *
group15(const struct bytes *b, UChar modrm)
{
    if (!IS_MEM(modrm)) {
        /* F3 0F AE /2, /3 with a register: fences otherwise */
        return b->rep && (REG(modrm) == 2 || REG(modrm) == 3) ? "WRFSBASE" : NULL;
    }
    switch (REG(modrm)) {
    case 0: return "FXSAVE";
    case 1: return "FXRSTOR";
    case 4: return "XSAVE";
    case 5: return "XRSTOR";
    case 6: return b->opsize ? "CLWB" : "XSAVEOPT";
    case 7: return b->opsize ? "CLFLUSHOPT" : "CLFLUSH";
    default: return NULL;
    }
}

static const HChar *
group9(UChar modrm)
{
    if (!IS_MEM(modrm)) {
        return NULL; /* RDRAND, RDSEED */
    }
    switch (REG(modrm)) {
    case 3: return "XRSTORS";
    case 4: return "XSAVEC";
    case 5: return "XSAVES";
    default: return NULL; /* CMPXCHG8B/16B */
    }
}

/* Groups 6 and 7, 0F 00 and 0F 01: descriptor tables, task register, machine status. */
static const HChar *
group6(UChar modrm)
{
    static const HChar *const name[8] = {"SLDT", "STR", "LLDT", "LTR", "VERR", "VERW", NULL, NULL};

    return name[REG(modrm)];
}

static const HChar *
group7(UChar modrm)
{
    static const HChar *const name[8] = {"SGDT", "SIDT", "LGDT", "LIDT",
                                         "SMSW", NULL,   "LMSW", "INVLPG"};

    switch (modrm) {
    case 0xC1: return "VMCALL";
    case 0xC8: return "MONITOR";
    case 0xC9: return "MWAIT";
    case 0xCF: return "ENCLS";
    case 0xD1: return "XSETBV";
    case 0xD4: return "VMFUNC";
    case 0xD7: return "ENCLU";
    case 0xF8: return "SWAPGS";
    default: break;
    }
    return IS_MEM(modrm) || REG(modrm) == 4 || REG(modrm) == 6 ? name[REG(modrm)] : NULL;
}

static const HChar *
group5(UChar modrm)
{
    if (!IS_MEM(modrm)) {
        return NULL;
    }
    return REG(modrm) == 3 ? "far CALL" : REG(modrm) == 5 ? "far JMP" : NULL;
}

/* The two-byte opcodes, SDM vol. 1, 16.3.8.1. */
static const HChar *
unfriendly_0f(const struct bytes *b)
{
    const UChar op = b->p[1], modrm = b->p[2];

    switch (op) {
    case 0x00: return group6(modrm);
    case 0x01: return group7(modrm);
    case 0x05: return NULL; /* SYSCALL: rtm_sys.c names the call */
    case 0x06: return "CLTS";
    case 0x07: return "SYSRET";
    case 0x08: return "INVD";
    case 0x09: return "WBINVD";
    case 0x20:
    case 0x22: return "MOV control register";
    case 0x21:
    case 0x23: return "MOV debug register";
    case 0x30: return "WRMSR";
    case 0x32: return "RDMSR";
    case 0x34: return "SYSENTER";
    case 0x35: return "SYSEXIT";
    case 0x37: return "GETSEC";
    case 0xA1:
    case 0xA9: return "POP segment";
    case 0xB2:
    case 0xB4:
    case 0xB5: return "LSS/LFS/LGS";
    case 0xAE: return group15(b, modrm);
    case 0xC7: return group9(modrm);
    case 0x2B: return b->opsize ? "MOVNTPD" : "MOVNTPS";
    case 0xC3: return "MOVNTI";
    case 0xE7: return b->opsize ? "MOVNTDQ" : "MOVNTQ";
    case 0xF7: return b->opsize ? "MASKMOVDQU" : "MASKMOVQ";
    case 0x38: return modrm == 0x2A && b->opsize ? "MOVNTDQA" : NULL;
    default: return NULL;
    }
}

static const HChar *
unfriendly_1(const struct bytes *b)
{
    switch (b->p[0]) {
    case 0x8E: return "MOV segment";
    case 0x9D: return "POPF";
    case 0xCC: return "INT3";
    case 0xCD: return "INT n";
    case 0xF1: return "INT1";
    case 0xCF: return "IRET";
    case 0xE4:
    case 0xE5:
    case 0xEC:
    case 0xED: return "IN";
    case 0xE6:
    case 0xE7:
    case 0xEE:
    case 0xEF: return "OUT";
    case 0x6C:
    case 0x6D: return "INS";
    case 0x6E:
    case 0x6F: return "OUTS";
    case 0xCA:
    case 0xCB: return "far RET";
    case 0xFF: return group5(b->p[1]);
    case 0xF4: return "HLT";
    case 0xFA: return "CLI";
    case 0xFB: return "STI";
    default: return NULL;
    }
}

/* #BP and #DB: 16.3.7. */
static Bool
is_debug_trap(UChar op)
{
    return op == 0xCC || op == 0xF1;
}

/* VEX-coded (C4, C5): non-temporal moves, and VZEROUPPER, but not VZEROALL. */
static const HChar *
unfriendly_vex(const UChar *p)
{
    const Bool three = p[0] == 0xC4;
    const Int map = three ? p[1] & 0x1F : 1;
    const Int pp = (three ? p[2] : p[1]) & 3;
    const Bool wide = ((three ? p[2] : p[1]) & 4) != 0;
    const UChar op = three ? p[3] : p[2];

    if (map == 1 && op == 0x77 && !wide) {
        return "VZEROUPPER";
    }
    if (map == 1 && op == 0x2B) {
        return "VMOVNTPS";
    }
    if (map == 1 && op == 0xE7 && pp == 1) {
        return "VMOVNTDQ";
    }
    if (map == 1 && op == 0xF7 && pp == 1) {
        return "VMASKMOVDQU";
    }
    if (map == 2 && op == 0x2A && pp == 1) {
        return "VMOVNTDQA";
    }
    return NULL;
}

/* 0F 01 with a register operand: the RTM and TSXLDTRK instructions. */
static enum rtm_insn
decode_0f01(const struct bytes *b)
{
    switch (b->p[2]) {
    case 0xD5: return RTM_I_XEND;
    case 0xD6: return RTM_I_XTEST;
    case 0xE8: return b->repne ? RTM_I_XSUSLDTRK : RTM_I_OTHER;
    case 0xE9: return b->repne ? RTM_I_XRESLDTRK : RTM_I_OTHER;
    case 0xF9: return RTM_I_RDTSCP;
    default: return RTM_I_OTHER;
    }
}

static struct rtm_decoded
decode_0f(const struct bytes *b)
{
    struct rtm_decoded d = {RTM_I_OTHER, b->len + 2, 0, NULL};

    switch (b->p[1]) {
    case 0x01:
        d.kind = decode_0f01(b);
        d.len = b->len + 3;
        break;
    case 0x05: d.kind = RTM_I_SYSCALL; break;
    case 0x31: d.kind = RTM_I_RDTSC; break;
    case 0xA2: d.kind = RTM_I_CPUID; break;
    default: break;
    }
    return d;
}

struct rtm_decoded
rtm_decode(const UChar *p)
{
    const struct bytes b = skip_prefixes(p);
    struct rtm_decoded d = {RTM_I_OTHER, 0, 0, NULL};

    if (b.p[0] == 0xC7 && b.p[1] == 0xF8) {
        Int rel;
        if (b.opsize) { /* XBEGIN rel16 */
            rel = (Short)(b.p[2] | b.p[3] << 8);
            d.len = b.len + 4;
        }
        else {
            rel = (Int)(b.p[2] | b.p[3] << 8 | b.p[4] << 16 | (UInt)b.p[5] << 24);
            d.len = b.len + 6;
        }
        d.kind = RTM_I_XBEGIN;
        d.imm = rel;
        return d;
    }
    if (b.p[0] == 0xC6 && b.p[1] == 0xF8) {
        d.kind = RTM_I_XABORT;
        d.imm = b.p[2];
        d.len = b.len + 3;
        return d;
    }
    if (b.p[0] == 0x90 && b.rep) {
        d.kind = RTM_I_PAUSE;
        return d;
    }
    if (b.p[0] == 0x0F) {
        d = decode_0f(&b);
        if (d.kind == RTM_I_OTHER) {
            d.name = unfriendly_0f(&b);
        }
    }
    else if (b.p[0] == 0xC4 || b.p[0] == 0xC5) {
        d.name = unfriendly_vex(b.p);
    }
    else {
        d.name = unfriendly_1(&b);
        d.imm = is_debug_trap(b.p[0]) ? RTM_DEBUG : 0;
    }
    if (d.name) {
        d.kind = RTM_I_UNFRIENDLY;
    }
    return d;
}
