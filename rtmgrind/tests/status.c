/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Begin, commit and abort, and their status bits: SDM volume 1, 16.3.1, 16.3.2, 16.3.5; XBEGIN,
 * XEND, XABORT, XTEST in volume 2. (XEND outside is in fault.c, nested aborts by faults too.)
 */

#include "rtmgrind/tests/litmus.h"

static struct line data;

static void
commit_publishes(void **state)
{
    (void)state;
    data.word[0] = 1;
    assert_int_equal(IN_TX(data.word[0] = 2), STARTED);
    assert_int_equal(data.word[0], 2);
}

static void
begin_keeps_eax(void **state)
{
    unsigned eax = 0x1234567;

    (void)state;
    __asm__ volatile("xbegin 1f\n\txend\n1:" : "+a"(eax) : : "memory");
    assert_int_equal(eax, 0x1234567);
}

static void
abort_clears_upper_rax(void **state)
{
    uint64_t rax = ~0ULL;

    (void)state;
    __asm__ volatile("xbegin 1f\n\txabort $9\n1:" : "+a"(rax) : : "memory");
    assert_int_equal(rax, 9ULL << 24 | EXPLICIT);
}

static void
begin_jumps_backwards(void **state)
{
    unsigned status = STARTED;

    (void)state;
    __asm__ volatile("jmp 2f\n"
                     "1: jmp 3f\n"
                     "2: xbegin 1b\n\txabort $3\n"
                     "3:"
                     : "+a"(status)
                     :
                     : "memory");
    assert_int_equal(status, 3 << 24 | EXPLICIT);
}

static void
begin_with_16_bit_displacement(void **state)
{
    unsigned status = STARTED;

    (void)state;
    /* 66 C7 F8 rel16: XABORT $4 is three bytes. In 64-bit mode the target is not truncated. */
    __asm__ volatile(".byte 0x66, 0xC7, 0xF8, 0x03, 0x00\n\txabort $4" : "+a"(status) : : "memory");
    assert_int_equal(status, 4 << 24 | EXPLICIT);
}

#define EXPLICIT_TEST(code)                                                         \
    static void explicit_##code(void **state)                                       \
    {                                                                               \
        (void)state;                                                                \
        assert_int_equal(IN_TX(TX_ABORT(code)), (unsigned)(code) << 24 | EXPLICIT); \
    }
EXPLICIT_TEST(0)
EXPLICIT_TEST(1)
EXPLICIT_TEST(127)
EXPLICIT_TEST(128)
EXPLICIT_TEST(255)

static void
xabort_outside_does_nothing(void **state)
{
    uint64_t rax = 0xABCDEF0123456789ULL;

    (void)state;
    __asm__ volatile("xabort $5" : "+a"(rax) : : "memory");
    assert_int_equal(rax, 0xABCDEF0123456789ULL);
}

static void
zero_on_unfriendly_instruction(void **state)
{
    (void)state;
    assert_int_equal(IN_TX(__asm__ volatile("pause")), 0);
}

static void
xtest_outside(void **state)
{
    (void)state;
    assert_int_equal(tx_test(), 0);
}

static void
xtest_inside(void **state)
{
    int in = -1;

    (void)state;
    assert_int_equal(IN_TX(in = tx_test()), STARTED);
    assert_int_equal(in, 1);
}

static void
xtest_after_abort(void **state)
{
    (void)state;
    assert_int_not_equal(IN_TX(TX_ABORT(1)), STARTED);
    assert_int_equal(tx_test(), 0);
}

/* XTEST clears all status flags but ZF. */
static void
xtest_flags(void **state)
{
    uint64_t flags;

    (void)state;
    __asm__ volatile("movl $0x7fffffff, %%eax\n\taddl $1, %%eax\n\tstc\n\txtest\n\tpushfq\n\tpop %0"
                     : "=r"(flags)
                     :
                     : "rax", "cc", "memory");
    assert_int_equal(flags & 0x8D5, 0x40);
}

static void
nest_to(int depth, unsigned *status, int *in_after_inner)
{
    int i;

    *status = tx_begin();
    if (*status != STARTED) {
        return;
    }
    for (i = 1; i < depth; i++) {
        unsigned inner = tx_begin();
        if (inner != STARTED) {
            *status = 0xDEAD; /* flattened: an inner begin never sees an abort */
            return;
        }
    }
    for (i = 1; i < depth; i++) {
        tx_end();
    }
    *in_after_inner = tx_test();
    tx_end();
}

static void
nesting_to_7_commits(void **state)
{
    unsigned status;
    int in = -1;

    (void)state;
    nest_to(7, &status, &in);
    assert_int_equal(status, STARTED);
    assert_int_equal(in, 1);
    assert_int_equal(tx_test(), 0);
}

static void
nesting_to_8_aborts(void **state)
{
    unsigned status;
    int in = -1;

    (void)state;
    nest_to(8, &status, &in);
    assert_int_equal(status & ~(unsigned)NESTED, 0);
    assert_int_equal(in, -1);
    assert_int_equal(tx_test(), 0);
}

/* An abort in the inner transaction goes to the outer fallback, and undoes the outer's stores. */
static void
inner_abort_undoes_all(void **state)
{
    unsigned outer, inner;

    (void)state;
    data.word[0] = 1;
    data.word[1] = 1;
    outer = tx_begin();
    if (outer == STARTED) {
        data.word[0] = 2;
        inner = tx_begin();
        if (inner != STARTED) {
            outer = 0xDEAD;
        }
        else {
            data.word[1] = 2;
            TX_ABORT(6);
        }
    }
    assert_int_equal(outer, 6u << 24 | EXPLICIT | NESTED);
    assert_int_equal(data.word[0], 1);
    assert_int_equal(data.word[1], 1);
}

static void
inner_end_does_not_publish(void **state)
{
    unsigned status;

    (void)state;
    data.word[0] = 1;
    status = tx_begin();
    if (status == STARTED) {
        if (tx_begin() == STARTED) {
            data.word[0] = 2;
            tx_end();
        }
        TX_ABORT(7);
    }
    assert_int_equal(status, 7u << 24 | EXPLICIT); /* no longer nested when it aborted */
    assert_int_equal(data.word[0], 1);
}

static void
depth_is_forgotten_by_abort(void **state)
{
    unsigned status;
    int in = -1, i;

    (void)state;
    for (i = 0; i < 3; i++) {
        nest_to(8, &status, &in);
    }
    nest_to(7, &status, &in);
    assert_int_equal(status, STARTED);
}

static void
thousand_commits(void **state)
{
    int i;

    (void)state;
    data.word[0] = 0;
    for (i = 0; i < 1000; i++) {
        assert_int_equal(IN_TX(data.word[0]++), STARTED);
    }
    assert_int_equal(data.word[0], 1000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commit_publishes),
        cmocka_unit_test(begin_keeps_eax),
        cmocka_unit_test(abort_clears_upper_rax),
        cmocka_unit_test(begin_jumps_backwards),
        cmocka_unit_test(begin_with_16_bit_displacement),
        cmocka_unit_test(explicit_0),
        cmocka_unit_test(explicit_1),
        cmocka_unit_test(explicit_127),
        cmocka_unit_test(explicit_128),
        cmocka_unit_test(explicit_255),
        cmocka_unit_test(xabort_outside_does_nothing),
        cmocka_unit_test(zero_on_unfriendly_instruction),
        cmocka_unit_test(xtest_outside),
        cmocka_unit_test(xtest_inside),
        cmocka_unit_test(xtest_after_abort),
        cmocka_unit_test(xtest_flags),
        cmocka_unit_test(nesting_to_7_commits),
        cmocka_unit_test(nesting_to_8_aborts),
        cmocka_unit_test(inner_abort_undoes_all),
        cmocka_unit_test(inner_end_does_not_publish),
        cmocka_unit_test(depth_is_forgotten_by_abort),
        cmocka_unit_test(thousand_commits),
    };

    return LITMUS_MAIN(tests);
}
