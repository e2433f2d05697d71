/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Instructions on which a transaction always aborts, and those on which it does not: SDM volume 1,
 * 16.3.8.1. Most of the former are never carried out here, so their operands do not matter.
 */

#include "rtmgrind/tests/litmus.h"

#include <stdio.h>

static _Alignas(LINE) unsigned char area[4096];

/* RAX points to the area when the instruction is reached; RDI too, for the string instructions. */
#define OPERANDS : : "a"(area), "D"(area), "c"(0), "d"(0) : "memory", "cc", "rbx", "rsi"

#define UNFRIENDLY(F)                                  \
    F(CPUID, "cpuid")                                  \
    F(PAUSE, "pause")                                  \
    F(FXSAVE, "fxsave (%%rax)")                        \
    F(FXRSTOR, "fxrstor (%%rax)")                      \
    F(XSAVE, "xsave (%%rax)")                          \
    F(XSAVE64, "xsave64 (%%rax)")                      \
    F(XRSTOR, "xrstor (%%rax)")                        \
    F(XSAVEOPT, "xsaveopt (%%rax)")                    \
    F(XSAVEC, "xsavec (%%rax)")                        \
    F(XSAVES, "xsaves (%%rax)")                        \
    F(XRSTORS, "xrstors (%%rax)")                      \
    F(CLFLUSH, "clflush (%%rax)")                      \
    F(CLFLUSHOPT, "clflushopt (%%rax)")                \
    F(CLWB, "clwb (%%rax)")                            \
    F(WRFSBASE, "wrfsbase %%rax")                      \
    F(WRGSBASE, "wrgsbase %%rax")                      \
    F(POPF, "popfq")                                   \
    F(MOVNTI, "movnti %%rcx, (%%rax)")                 \
    F(MOVNTPS, "movntps %%xmm0, (%%rax)")              \
    F(MOVNTPD, "movntpd %%xmm0, (%%rax)")              \
    F(MOVNTDQ, "movntdq %%xmm0, (%%rax)")              \
    F(MOVNTQ, "movntq %%mm0, (%%rax)")                 \
    F(MOVNTDQA, "movntdqa (%%rax), %%xmm0")            \
    F(MASKMOVDQU, "maskmovdqu %%xmm0, %%xmm1")         \
    F(MASKMOVQ, "maskmovq %%mm0, %%mm1")               \
    F(VMOVNTPS, "vmovntps %%ymm0, (%%rax)")            \
    F(VMOVNTPD, "vmovntpd %%ymm0, (%%rax)")            \
    F(VMOVNTDQ, "vmovntdq %%ymm0, (%%rax)")            \
    F(VMOVNTDQA, "vmovntdqa (%%rax), %%ymm0")          \
    F(VMASKMOVDQU, "vmaskmovdqu %%xmm0, %%xmm1")       \
    F(VZEROUPPER, "vzeroupper")                        \
    F(VZEROUPPER_long, ".byte 0xC4, 0xE1, 0x78, 0x77") \
    F(MOV_SEGMENT, "mov %%ecx, %%es")                  \
    F(POP_SEGMENT, "pop %%fs")                         \
    F(LSS, "lss (%%rax), %%ecx")                       \
    F(INT_0x80, "int $0x80")                           \
    F(IRET, "iretq")                                   \
    F(IN, "inb %%dx, %%al")                            \
    F(IN_imm, "inl $0x80, %%eax")                      \
    F(OUT, "outb %%al, %%dx")                          \
    F(OUT_imm, "outl %%eax, $0x80")                    \
    F(INS, "insb")                                     \
    F(REP_INS, "rep insb")                             \
    F(OUTS, "outsb")                                   \
    F(REP_OUTS, "rep outsb")                           \
    F(HLT, "hlt")                                      \
    F(CLI, "cli")                                      \
    F(STI, "sti")                                      \
    F(MONITOR, ".byte 0x0F, 0x01, 0xC8")               \
    F(MWAIT, ".byte 0x0F, 0x01, 0xC9")                 \
    F(XSETBV, "xsetbv")                                \
    F(ENCLU, "enclu")                                  \
    F(ENCLS, "encls")                                  \
    F(VMCALL, "vmcall")                                \
    F(VMFUNC, "vmfunc")                                \
    F(VMREAD, "vmread %%rcx, (%%rax)")                 \
    F(INVPCID, "invpcid (%%rax), %%rcx")               \
    F(RSM, "rsm")                                      \
    F(INVD, "invd")                                    \
    F(WBINVD, "wbinvd")                                \
    F(SYSENTER, "sysenter")                            \
    F(SYSEXIT, "sysexitl")                             \
    F(SYSRET, "sysretl")                               \
    F(SGDT, "sgdt (%%rax)")                            \
    F(SIDT, "sidt (%%rax)")                            \
    F(LGDT, "lgdt (%%rax)")                            \
    F(SLDT, "sldt (%%rax)")                            \
    F(STR, "str %%ecx")                                \
    F(SMSW, "smsw %%ecx")                              \
    F(LMSW, "lmsw %%cx")                               \
    F(VERR, "verr %%cx")                               \
    F(INVLPG, "invlpg (%%rax)")                        \
    F(SWAPGS, "swapgs")                                \
    F(CLTS, "clts")                                    \
    F(MOV_CR, "mov %%cr0, %%rcx")                      \
    F(MOV_DR, "mov %%rcx, %%db7")                      \
    F(RDMSR, "rdmsr")                                  \
    F(WRMSR, "wrmsr")                                  \
    F(GETSEC, "getsec")                                \
    F(FAR_CALL, "lcall *(%%rax)")                      \
    F(FAR_JMP, "ljmp *(%%rax)")                        \
    F(FAR_RET, "lretl")                                \
    F(UD2, "ud2")

/* Debug exceptions, 16.3.7: the status says so. */
#define TRAPS(F)    \
    F(INT3, "int3") \
    F(INT1, ".byte 0xF1")

#define FRIENDLY(F)                                                \
    F(RDTSC, "rdtsc")                                              \
    F(RDTSCP, "rdtscp")                                            \
    F(MFENCE, "mfence")                                            \
    F(LFENCE, "lfence")                                            \
    F(SFENCE, "sfence")                                            \
    F(PREFETCHT0, "prefetcht0 (%%rax)")                            \
    F(NOP, "nop")                                                  \
    F(PUSHF, "pushfq\n\tpop %%rbx")                                \
    F(CLD, "cld")                                                  \
    F(LOCK_INC, "lock incl (%%rax)")                               \
    F(XCHG, "xchg %%rcx, (%%rax)")                                 \
    F(CMPXCHG16B, "lock cmpxchg16b 16(%%rdi)")                     \
    F(REP_STOS, "mov $16, %%ecx\n\trep stosb")                     \
    F(REP_MOVS, "mov %%rdi, %%rsi\n\tmov $16, %%ecx\n\trep movsb") \
    F(MOVUPS, "movups %%xmm0, (%%rax)")                            \
    F(XTEST, "xtest")                                              \
    F(STMXCSR, "stmxcsr (%%rax)")                                  \
    F(X87, "fld1\n\tfstpl (%%rax)")                                \
    F(VZEROALL, "vzeroall")                                        \
    F(XGETBV, "xgetbv")                                            \
    F(BSWAP, "bswap %%rcx")

#define DEFINE(name, text)                   \
    static unsigned run_##name(void)         \
    {                                        \
        const unsigned status = tx_begin();  \
        if (status == STARTED) {             \
            __asm__ volatile(text OPERANDS); \
            tx_end();                        \
        }                                    \
        return status;                       \
    }
UNFRIENDLY(DEFINE)
TRAPS(DEFINE)
FRIENDLY(DEFINE)

struct instruction {
    const char *name;
    unsigned (*run)(void);
};

static void
aborts_with_zero(void **state)
{
    const struct instruction *i = *state;
    int in;

    assert_int_equal(i->run(), 0);
    in = tx_test();
    assert_int_equal(in, 0);
}

static void
aborts_as_debug_exception(void **state)
{
    const struct instruction *i = *state;

    assert_int_equal(i->run(), DEBUG);
}

static void
commits(void **state)
{
    const struct instruction *i = *state;

    assert_int_equal(i->run(), STARTED);
}

static char names[256][64];
static struct CMUnitTest tests[256];
static size_t n_tests;

static void
add(const struct instruction *rows, size_t n, const char *what, void (*test)(void **))
{
    size_t i;

    for (i = 0; i < n; i++, n_tests++) {
        void *arg = (void *)(uintptr_t)&rows[i];
        snprintf(names[n_tests], sizeof names[0], "%s_%s", rows[i].name, what);
        tests[n_tests] = (struct CMUnitTest){names[n_tests], test, NULL, NULL, arg};
    }
}

#define ROW(name, text) {#name, run_##name},
static const struct instruction unfriendly[] = {UNFRIENDLY(ROW)};
static const struct instruction traps[] = {TRAPS(ROW)};
static const struct instruction friendly[] = {FRIENDLY(ROW)};
#define N(rows) (sizeof(rows) / sizeof(rows)[0])

int
main(void)
{
    add(unfriendly, N(unfriendly), "aborts_with_zero", aborts_with_zero);
    add(traps, N(traps), "aborts_as_debug_exception", aborts_as_debug_exception);
    add(friendly, N(friendly), "commits", commits);
    return litmus_run(__FILE__, tests, n_tests);
}
