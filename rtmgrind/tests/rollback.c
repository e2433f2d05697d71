/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An abort restores memory, and general, flag, x87, SSE and AVX state: SDM volume 1, 16.3.5. In
 * each test the state is set, a transaction changes it and aborts, and the fallback path looks.
 */

#include "rtmgrind/tests/litmus.h"

/* ------------------------------------------------------------------ */
/* Memory                                                              */

static struct line data[4];

static void
memory_of_every_width(void **state)
{
    struct line before[4];
    unsigned status;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof data; i++) {
        ((volatile unsigned char *)data)[i] = (unsigned char)(i * 7);
    }
    memcpy(before, (void *)data, sizeof data);
    status = tx_begin();
    if (status == STARTED) {
        *(volatile uint8_t *)data = 0xFF;
        *(volatile uint16_t *)((char *)data + 2) = 0xFFFF;
        *(volatile uint32_t *)((char *)data + 4) = ~0u;
        *(volatile uint64_t *)((char *)data + 8) = ~0ULL;
        __asm__ volatile(
            "movups %%xmm0, 16(%0)\n\tvmovups %%ymm0, 32(%0)\n\tfld1\n\tfstpt 100(%0)\n\t"
            "incq 120(%0)\n\tlock xaddl %%eax, 128(%0)\n\tpushq $1\n\tpop 160(%0)"
            :
            : "r"(data)
            : "memory", "rax", "cc");
        TX_ABORT(1);
    }
    assert_int_equal(status, 1u << 24 | EXPLICIT);
    assert_memory_equal((void *)data, before, sizeof data);
}

static void
store_across_two_lines(void **state)
{
    uint64_t *p = (uint64_t *)((char *)data + LINE - 4);
    unsigned status;

    (void)state;
    memset((void *)data, 0x5A, sizeof data);
    status = tx_begin();
    if (status == STARTED) {
        *(volatile uint64_t *)p = 0;
        TX_ABORT(1);
    }
    assert_int_not_equal(status, STARTED);
    assert_int_equal(*p, 0x5A5A5A5A5A5A5A5AULL);
}

static void
string_store(void **state)
{
    unsigned status;
    size_t i;

    (void)state;
    memset((void *)data, 0x5A, sizeof data);
    status = tx_begin();
    if (status == STARTED) {
        void *to = (void *)data;
        size_t n = sizeof data;
        __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
        TX_ABORT(1);
    }
    assert_int_not_equal(status, STARTED);
    for (i = 0; i < sizeof data; i++) {
        assert_int_equal(((volatile unsigned char *)data)[i], 0x5A);
    }
}

static void
many_lines(void **state)
{
    enum { N = 600 }; /* in every set less than its ways */
    static _Alignas(4096) struct line many[N];
    unsigned status;
    int i;

    (void)state;
    for (i = 0; i < N; i++) {
        many[i].word[3] = (uint64_t)i;
    }
    status = tx_begin();
    if (status == STARTED) {
        for (i = 0; i < N; i++) {
            many[i].word[3] = ~0ULL;
        }
        TX_ABORT(1);
    }
    assert_int_equal(status, 1u << 24 | EXPLICIT);
    for (i = 0; i < N; i++) {
        assert_int_equal(many[i].word[3], i);
    }
}

/* The function that begins has returned when the transaction aborts, and its frame has been
 * overwritten: the stack is memory like any other. */
static __attribute__((noinline)) unsigned
begin_and_return(volatile uint64_t *mark)
{
    volatile uint64_t local = 0xC0FFEE;
    unsigned status = tx_begin();

    *mark = local; /* on the fallback path, what the frame holds then */
    return status;
}

static __attribute__((noinline)) void
overwrite_stack(void)
{
    uint64_t junk[64];

    memset(junk, 0xDE, sizeof junk);
    __asm__ volatile("" : : "r"(junk) : "memory"); /* it is used */
}

static void
stack_of_a_function_that_returned(void **state)
{
    volatile uint64_t mark = 0;
    unsigned status;

    (void)state;
    status = begin_and_return(&mark);
    if (status == STARTED) {
        overwrite_stack();
        TX_ABORT(8);
    }
    assert_int_equal(status, 8u << 24 | EXPLICIT);
    assert_int_equal(mark, 0xC0FFEE);
}

static jmp_buf env;

static __attribute__((noinline)) void
jump(void)
{
    __builtin_longjmp(env, 1);
}

static void
longjmp_inside(void **state)
{
    volatile unsigned status;

    (void)state;
    data[0].word[0] = 1;
    status = tx_begin();
    if (status == STARTED) {
        if (__builtin_setjmp(env) == 0) {
            data[0].word[0] = 2;
            jump();
        }
        data[0].word[1] = data[0].word[0];
        tx_end();
    }
    assert_int_equal(status, STARTED);
    assert_int_equal(data[0].word[1], 2);
}

/* A longjmp out of the code between begin and end leaves the transaction running. */
static void
longjmp_out(void **state)
{
    volatile unsigned status = 0;
    int in = -1;

    (void)state;
    data[0].word[0] = 1;
    if (__builtin_setjmp(env) == 0) {
        status = tx_begin();
        if (status == STARTED) {
            data[0].word[0] = 2;
            jump();
        }
    }
    else {
        in = tx_test();
        tx_end();
    }
    (void)status;
    assert_int_equal(in, 1);
    assert_int_equal(data[0].word[0], 2);
    assert_int_equal(tx_test(), 0);
}

static void
longjmp_then_abort(void **state)
{
    volatile unsigned status;

    (void)state;
    data[0].word[0] = 1;
    status = tx_begin();
    if (status == STARTED) {
        if (__builtin_setjmp(env) == 0) {
            data[0].word[0] = 2;
            jump();
        }
        TX_ABORT(2);
    }
    assert_int_equal(status, 2u << 24 | EXPLICIT);
    assert_int_equal(data[0].word[0], 1);
}

/* ------------------------------------------------------------------ */
/* Registers                                                           */

enum { N_GPR = 15 }; /* all but RAX, which gets the status; RSP last */

/* Sets all to patterns, changes them in a transaction, stores at the fallback. */
void gpr_roll_back(uint64_t *out);
__asm__(".text\n.type gpr_roll_back, @function\ngpr_roll_back:\n"
        "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n push %rdi\n"
        "mov $101, %rbx\n mov $102, %rcx\n mov $103, %rdx\n mov $104, %rsi\n mov $105, %rdi\n"
        "mov $106, %rbp\n mov $107, %r8\n mov $108, %r9\n mov $109, %r10\n mov $110, %r11\n"
        "mov $111, %r12\n mov $112, %r13\n mov $113, %r14\n mov $114, %r15\n"
        "xbegin 1f\n"
        "xor %ebx, %ebx\n xor %ecx, %ecx\n xor %edx, %edx\n xor %esi, %esi\n xor %edi, %edi\n"
        "xor %ebp, %ebp\n xor %r8d, %r8d\n xor %r9d, %r9d\n xor %r10d, %r10d\n xor %r11d, %r11d\n"
        "xor %r12d, %r12d\n xor %r13d, %r13d\n xor %r14d, %r14d\n xor %r15d, %r15d\n"
        "sub $4096, %rsp\n"
        "xabort $1\n"
        "1: xchg %rdi, (%rsp)\n" /* RDI: out; its own value goes to the stack */
        "mov %rbx, (%rdi)\n mov %rcx, 8(%rdi)\n mov %rdx, 16(%rdi)\n mov %rsi, 24(%rdi)\n"
        "pop %rsi\n mov %rsi, 32(%rdi)\n"
        "mov %rbp, 40(%rdi)\n mov %r8, 48(%rdi)\n mov %r9, 56(%rdi)\n mov %r10, 64(%rdi)\n"
        "mov %r11, 72(%rdi)\n mov %r12, 80(%rdi)\n mov %r13, 88(%rdi)\n mov %r14, 96(%rdi)\n"
        "mov %r15, 104(%rdi)\n mov %rax, 112(%rdi)\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
        ".size gpr_roll_back, . - gpr_roll_back\n");

static void
general_registers(void **state)
{
    uint64_t out[N_GPR];
    int i;

    (void)state;
    gpr_roll_back(out);
    for (i = 0; i < N_GPR - 1; i++) {
        assert_int_equal(out[i], 101 + i);
    }
    assert_int_equal(out[N_GPR - 1], 1u << 24 | EXPLICIT);
}

#define FLAG_BITS 0xCD5 /* CF PF AF ZF SF DF OF */

static uint64_t
flags_after_abort(uint64_t before, uint64_t inside)
{
    uint64_t after;

    /* Flags are set by arithmetic inside, not by POPF, which aborts. */
    __asm__ volatile("push %1\n\tpopfq\n\txbegin 1f\n\t"
                     "mov %2, %%rcx\n\ttest %%rcx, %%rcx\n\tcld\n\tadd $-1, %%rcx\n\tcmc\n\t"
                     "xabort $1\n"
                     "1: pushfq\n\tpop %0\n\tcld"
                     : "=&r"(after)
                     : "r"(before | 0x202), "r"(inside)
                     : "rax", "rcx", "cc", "memory");
    return after & FLAG_BITS;
}

static void
flags_set(void **state)
{
    (void)state;
    assert_int_equal(flags_after_abort(FLAG_BITS, 0), FLAG_BITS);
}

static void
flags_clear(void **state)
{
    (void)state;
    assert_int_equal(flags_after_abort(0, 1), 0);
}

static void
segment_bases(void **state)
{
    uint64_t before, after;

    (void)state;
    __asm__ volatile("mov %%fs:0, %0" : "=r"(before));
    (void)IN_TX(TX_ABORT(1));
    __asm__ volatile("mov %%fs:0, %0" : "=r"(after));
    assert_int_equal(before, after);
}

/* Stack top, condition codes, contents, and control word. */
static void
x87_state(void **state)
{
    uint16_t sw_before, sw_after, cw_after;
    const uint16_t cw = 0x0C7F, cw_inside = 0x007F; /* toward zero; nearest */
    double st0 = 0, st1 = 0;

    (void)state;
    __asm__ volatile(
        "fninit\n\tfldcw %[cw]\n\tfldpi\n\tfld1\n\tfnstsw %[swb]\n\t"
        "xbegin 1f\n\t"
        "fldcw %[cwi]\n\tfstp %%st(0)\n\tfstp %%st(0)\n\tfldz\n\tfldz\n\tfldz\n\tftst\n\t"
        "xabort $1\n"
        "1: fnstsw %[swa]\n\tfnstcw %[cwa]\n\tfstpl %[st0]\n\tfstpl %[st1]\n\tfninit"
        : [swb] "=m"(sw_before), [swa] "=m"(sw_after), [cwa] "=m"(cw_after), [st0] "=m"(st0),
          [st1] "=m"(st1)
        : [cw] "m"(cw), [cwi] "m"(cw_inside)
        : "rax", "memory");
    assert_int_equal(sw_after & 0x7F00, sw_before & 0x7F00);
    assert_int_equal(cw_after & 0x0C00, cw & 0x0C00);
    assert_true(st0 == 1.0);
    assert_true(st1 > 3.14159 && st1 < 3.1416);
}

/* What changes the stack's contents alone, or all of it at once. */
#define ST0_SURVIVES(change)                                         \
    double st0 = 0;                                                  \
    __asm__ volatile("fninit\n\tfld1\n\txbegin 1f\n\t" change "\n\t" \
                     "xabort $1\n1: fstpl %0\n\tfninit"              \
                     : "=m"(st0)                                     \
                     :                                               \
                     : "rax", "memory");                             \
    assert_true(st0 == 1.0)

static void
x87_register_alone(void **state)
{
    ST0_SURVIVES("fchs");
    (void)state;
}

static void
x87_reset_alone(void **state)
{
    ST0_SURVIVES("fninit");
    (void)state;
}

static void
mxcsr_rounding(void **state)
{
    const uint32_t up = 0x1F80 | 2 << 13, nearest = 0x1F80;
    uint32_t after;

    (void)state;
    __asm__ volatile("ldmxcsr %[up]\n\txbegin 1f\n\tldmxcsr %[nearest]\n\txabort $1\n"
                     "1: stmxcsr %[after]\n\tldmxcsr %[nearest]"
                     : [after] "=m"(after)
                     : [up] "m"(up), [nearest] "m"(nearest)
                     : "rax", "memory");
    assert_int_equal(after & 0x6000, up & 0x6000);
}

#define FOR_16(F) \
    F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)
#define LOAD_X(n) "movups " #n "*16(%[in]), %%xmm" #n "\n\t"
#define ZERO_X(n) "pxor %%xmm" #n ", %%xmm" #n "\n\t"
#define STORE_X(n) "movups %%xmm" #n ", " #n "*16(%[out])\n\t"
#define LOAD_Y(n) "vmovups " #n "*32(%[in]), %%ymm" #n "\n\t"
#define ZERO_Y(n) "vpxor %%xmm" #n ", %%xmm" #n ", %%xmm" #n "\n\t" /* clears the upper half too */
#define STORE_Y(n) "vmovups %%ymm" #n ", " #n "*32(%[out])\n\t"
#define CLOBBER_X                                                                            \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

static void
fill(unsigned char *p, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        p[i] = (unsigned char)(i + 1);
    }
}

/* Registers are loaded with a pattern, changed inside, stored behind the abort. */
#define SURVIVES(bytes, load, change, store)                                 \
    unsigned char in[bytes], out[bytes] = {0};                               \
    fill(in, sizeof in);                                                     \
    __asm__ volatile(FOR_16(load) "xbegin 1f\n\t" change                     \
                                  "xabort $1\n1:" FOR_16(store) "vzeroupper" \
                     :                                                       \
                     : [in] "r"(in), [out] "r"(out)                          \
                     : "rax", "memory", CLOBBER_X);                          \
    assert_memory_equal(out, in, sizeof in)

static void
sse_registers(void **state)
{
    SURVIVES(256, LOAD_X, FOR_16(ZERO_X), STORE_X);
    (void)state;
}

static void
avx_registers(void **state)
{
    SURVIVES(512, LOAD_Y, FOR_16(ZERO_Y), STORE_Y);
    (void)state;
}

static void
avx_registers_after_vzeroall(void **state)
{
    SURVIVES(512, LOAD_Y, "vzeroall\n\t", STORE_Y);
    (void)state;
}

/* A commit keeps what the transaction did. */
static void
commit_keeps_registers(void **state)
{
    unsigned char in[512], out[512] = {0};
    uint64_t rbx = 1;

    (void)state;
    fill(in, sizeof in);
    __asm__ volatile("vzeroall\n\txbegin 1f\n\t" FOR_16(LOAD_Y) "mov $2, %[rbx]\n\txend\n1:" FOR_16(
                         STORE_Y) "vzeroupper"
                     : [rbx] "+b"(rbx)
                     : [in] "r"(in), [out] "r"(out)
                     : "rax", "memory", CLOBBER_X);
    assert_memory_equal(out, in, sizeof in);
    assert_int_equal(rbx, 2);
}

/* The next transaction starts from a clean slate. */
static void
second_abort_restores_its_own_begin(void **state)
{
    (void)state;
    data[0].word[0] = 1;
    (void)IN_TX({
        data[0].word[0] = 2;
        TX_ABORT(1);
    });
    data[0].word[0] = 3;
    (void)IN_TX({
        data[0].word[0] = 4;
        TX_ABORT(1);
    });
    assert_int_equal(data[0].word[0], 3);
}

/* errno, as all thread-local data, is memory. */
static void
thread_local_data(void **state)
{
    static __thread volatile int tls;

    (void)state;
    tls = 5;
    (void)IN_TX({
        tls = 6;
        TX_ABORT(1);
    });
    assert_int_equal(tls, 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_of_every_width),
        cmocka_unit_test(store_across_two_lines),
        cmocka_unit_test(string_store),
        cmocka_unit_test(many_lines),
        cmocka_unit_test(stack_of_a_function_that_returned),
        cmocka_unit_test(longjmp_inside),
        cmocka_unit_test(longjmp_out),
        cmocka_unit_test(longjmp_then_abort),
        cmocka_unit_test(general_registers),
        cmocka_unit_test(flags_set),
        cmocka_unit_test(flags_clear),
        cmocka_unit_test(segment_bases),
        cmocka_unit_test(x87_state),
        cmocka_unit_test(x87_register_alone),
        cmocka_unit_test(x87_reset_alone),
        cmocka_unit_test(mxcsr_rounding),
        cmocka_unit_test(sse_registers),
        cmocka_unit_test(avx_registers),
        cmocka_unit_test(avx_registers_after_vzeroall),
        cmocka_unit_test(commit_keeps_registers),
        cmocka_unit_test(second_abort_restores_its_own_begin),
        cmocka_unit_test(thread_local_data),
    };

    return LITMUS_MAIN(tests);
}
