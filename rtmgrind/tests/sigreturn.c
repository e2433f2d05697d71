/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a handler that returns puts back, and what it does not: registers, not time.
 */

#include "rtmgrind/tests/litmus.h"

#include <signal.h>
#include <sys/syscall.h>

enum { LONG = 2000000 }; /* virtual cycles */

static void
take_time(int sig)
{
    (void)sig;
    wait_until(now() + LONG);
}

static void
time_goes_on_in_a_handler(void **state)
{
    const uint64_t start = now();

    (void)state;
    assert_true(signal(SIGUSR1, take_time) != SIG_ERR);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_true(now() >= start + LONG);
}

/* Its transaction begins with its vectors. */
static void
change_vectors(int sig)
{
    (void)sig;
    __asm__ volatile("pcmpeqd %%xmm7, %%xmm7\n\txbegin 1f\n\txend\n1:" : : : "rax", "xmm7");
}

/* The next one behind it begins with the old ones. */
static void
next_transaction_has_the_vectors_of_before(void **state)
{
    unsigned char in[16], after[16] = {0};
    uint64_t pid = (uint64_t)getpid();

    (void)state;
    memset(in, 0xA5, sizeof in);
    assert_true(signal(SIGUSR1, change_vectors) != SIG_ERR);
    __asm__ volatile("movups %[in], %%xmm7\n\txbegin 1f\n\txend\n"
                     "1: mov %[kill], %%eax\n\tmov %[usr1], %%esi\n\tsyscall\n\t"
                     "xbegin 2f\n\tpxor %%xmm7, %%xmm7\n\txabort $1\n"
                     "2: movups %%xmm7, %[after]"
                     : [after] "=m"(after), "+D"(pid)
                     : [in] "m"(in), [kill] "i"(SYS_kill), [usr1] "i"(SIGUSR1)
                     : "rax", "rcx", "rsi", "r11", "xmm7", "memory", "cc");
    assert_memory_equal(after, in, sizeof in);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_goes_on_in_a_handler),
        cmocka_unit_test(next_transaction_has_the_vectors_of_before),
    };

    return LITMUS_MAIN(tests);
}
