/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A fault inside a transaction aborts it with status 0, is not delivered, and happens for real on
 * the fallback path: SDM volume 1, 16.3.8.2.
 */

#include "rtmgrind/tests/litmus.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static struct line data;
static volatile sig_atomic_t delivered, in_tx_when_delivered;
static sigjmp_buf back;
static volatile char *read_only, *no_access, *beyond_file;

static void
on_signal(int sig)
{
    delivered = sig;
    in_tx_when_delivered = tx_test();
    siglongjmp(back, 1);
}

/* ------------------------------------------------------------------ */

static void
null_read(void)
{
    __asm__ volatile("movl 0, %%eax" : : : "rax", "memory");
}

static void
null_write(void)
{
    __asm__ volatile("movl $1, 8" : : : "memory");
}

static void
null_call(void)
{
    __asm__ volatile("sub $128, %%rsp\n\tcall *%0\n\tadd $128, %%rsp" : : "r"(0L) : "memory");
}

static void
divide_by_zero(void)
{
    __asm__ volatile("xor %%edx, %%edx\n\tdivl %0" : : "r"(0) : "rax", "rdx", "cc");
}

static void
divide_overflow(void)
{
    __asm__ volatile("movl $0x80000000, %%eax\n\tcltd\n\tidivl %0"
                     :
                     : "r"(-1)
                     : "rax", "rdx", "cc");
}

static void
ud2(void)
{
    __asm__ volatile("ud2");
}

static void
int3(void)
{
    __asm__ volatile("int3");
}

static void
misaligned_movaps(void)
{
    __asm__ volatile("movaps %%xmm0, 4(%0)" : : "r"(&data) : "memory");
}

static void
misaligned_vmovaps(void)
{
    __asm__ volatile("vmovaps 16(%0), %%ymm0" : : "r"(&data) : "xmm0", "memory");
}

static void
write_read_only(void)
{
    read_only[5] = 1;
}

static void
touch_no_access(void)
{
    (void)no_access[5];
}

static void
read_beyond_file(void)
{
    (void)beyond_file[5];
}

static void
locked_write_read_only(void)
{
    __asm__ volatile("lock incl %0" : "+m"(*(volatile int *)read_only) : : "cc");
}

static void
string_into_no_access(void)
{
    void *to = (void *)(no_access - 100);
    size_t n = 200;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
}

static void
non_canonical(void)
{
    __asm__ volatile("movl (%0), %%eax" : : "r"(0x8000000000000000UL) : "rax", "memory");
}

struct fault {
    const char *name;
    void (*op)(void);
    int sig;
    unsigned status; /* of the abort */
};

static const struct fault faults[] = {
    {"null_read", null_read, SIGSEGV, 0},
    {"null_write", null_write, SIGSEGV, 0},
    {"null_call", null_call, SIGSEGV, 0},
    {"divide_by_zero", divide_by_zero, SIGFPE, 0},
    {"divide_overflow", divide_overflow, SIGFPE, 0},
    {"ud2", ud2, SIGILL, 0},
    {"int3", int3, SIGTRAP, DEBUG},
    {"misaligned_movaps", misaligned_movaps, SIGSEGV, 0},
    {"misaligned_vmovaps", misaligned_vmovaps, SIGSEGV, 0},
    {"write_read_only", write_read_only, SIGSEGV, 0},
    {"touch_no_access", touch_no_access, SIGSEGV, 0},
    {"read_beyond_file", read_beyond_file, SIGBUS, 0},
    {"locked_write_read_only", locked_write_read_only, SIGSEGV, 0},
    {"string_into_no_access", string_into_no_access, SIGSEGV, 0},
    {"non_canonical", non_canonical, SIGSEGV, 0},
};
enum { N_FAULTS = sizeof faults / sizeof faults[0] };

static void
catch_all(void)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};
    const int sigs[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    size_t i;

    for (i = 0; i < sizeof sigs / sizeof sigs[0]; i++) {
        assert_int_equal(sigaction(sigs[i], &sa, NULL), 0);
    }
    delivered = 0;
    in_tx_when_delivered = 0;
}

static void
aborts_and_is_not_delivered(void **state)
{
    const struct fault *f = *state;
    volatile unsigned status = 0xDEAD;

    catch_all();
    data.word[7] = 1;
    if (sigsetjmp(back, 1) == 0) {
        const unsigned s = tx_begin();
        if (s == STARTED) {
            data.word[7] = 2;
            f->op();
            tx_end();
        }
        status = s;
    }
    assert_int_equal(delivered, 0);
    assert_int_equal(status, f->status);
    assert_int_equal(data.word[7], 1);
}

static void
happens_on_the_fallback_path(void **state)
{
    const struct fault *f = *state;
    volatile unsigned status = 0xDEAD;

    catch_all();
    if (sigsetjmp(back, 1) == 0) {
        const unsigned s = tx_begin();
        if (s == STARTED) {
            f->op();
            tx_end();
        }
        status = s;
        f->op();
        fail_msg("%s did not fault", f->name);
    }
    assert_int_equal(status, f->status);
    assert_int_equal(delivered, f->sig);
    assert_int_equal(in_tx_when_delivered, 0);
}

static void
nested_bit_on_fault(void **state)
{
    volatile unsigned status = 0xDEAD;

    (void)state;
    catch_all();
    if (sigsetjmp(back, 1) == 0) {
        unsigned s = tx_begin();
        if (s == STARTED && tx_begin() == STARTED) {
            null_read();
            tx_end();
            tx_end();
        }
        status = s;
    }
    assert_int_equal(delivered, 0);
    assert_int_equal(status, NESTED);
}

/* XEND outside a transaction is #GP(0); the address is its own. */
static void
xend_outside_faults(void **state)
{
    (void)state;
    catch_all();
    if (sigsetjmp(back, 1) == 0) {
        tx_end();
        fail_msg("%s", "XEND outside a transaction did nothing");
    }
    assert_int_equal(delivered, SIGSEGV);
}

static void
xend_after_abort_faults(void **state)
{
    volatile unsigned status = 0;

    (void)state;
    catch_all();
    status = IN_TX(TX_ABORT(1));
    if (sigsetjmp(back, 1) == 0) {
        tx_end();
        fail_msg("%s", "XEND outside a transaction did nothing");
    }
    assert_int_equal(status, 1u << 24 | EXPLICIT);
    assert_int_equal(delivered, SIGSEGV);
}

/* An undo after a fault in mid-block covers what the block did before it. */
static void
stores_before_the_fault_are_undone(void **state)
{
    unsigned status = STARTED;

    (void)state;
    catch_all();
    data.word[0] = 1;
    data.word[1] = 1;
    __asm__ volatile(
        "xbegin 1f\n\tmovq $2, (%1)\n\tincq 8(%1)\n\tmovl 0, %%ecx\n\tmovq $3, (%1)\n\t"
        "xend\n1:"
        : "+a"(status)
        : "r"(&data)
        : "rcx", "memory", "cc");
    assert_int_equal(status, 0);
    assert_int_equal(data.word[0], 1);
    assert_int_equal(data.word[1], 1);
}

static void
hundred_faults(void **state)
{
    int i;

    (void)state;
    catch_all();
    for (i = 0; i < 100; i++) {
        assert_int_equal(IN_TX(null_read()), 0);
    }
    assert_int_equal(delivered, 0);
}

static int
set_up(void)
{
    FILE *f = tmpfile();

    read_only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    no_access = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (read_only == MAP_FAILED || no_access == MAP_FAILED || !f) {
        return -1;
    }
    no_access += 4096;
    beyond_file = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0);
    return beyond_file == MAP_FAILED ? -1 : mprotect((void *)no_access, 4096, PROT_NONE);
}

int
main(void)
{
    static char names[2 * N_FAULTS][64];
    struct CMUnitTest tests[2 * N_FAULTS + 5];
    size_t i, n = 0;

    if (set_up() != 0) {
        puts("Bail out! no memory to map");
        return 1;
    }
    for (i = 0; i < N_FAULTS; i++) {
        void *f = (void *)(uintptr_t)&faults[i];
        snprintf(names[n], sizeof names[n], "%s_aborts_and_is_not_delivered", faults[i].name);
        tests[n] = (struct CMUnitTest){names[n], aborts_and_is_not_delivered, NULL, NULL, f};
        n++;
        snprintf(names[n], sizeof names[n], "%s_happens_on_the_fallback_path", faults[i].name);
        tests[n] = (struct CMUnitTest){names[n], happens_on_the_fallback_path, NULL, NULL, f};
        n++;
    }
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(nested_bit_on_fault);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(xend_outside_faults);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(xend_after_abort_faults);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(stores_before_the_fault_are_undone);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(hundred_faults);
    return litmus_run(__FILE__, tests, n);
}
