/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A signal aborts the transaction first, with status 0; its handler runs outside, with the context
 * that the fallback path will have, on the stack as it was at the begin; returning goes to the
 * fallback path.
 */

#include "rtmgrind/tests/litmus.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { SPIN = 2000000 }; /* virtual cycles that a victim waits for its signal: a bound */

static struct line data;
static struct {
    _Alignas(LINE) volatile sig_atomic_t runs;
    volatile int in_tx;
    volatile uint64_t data, rip, rsp, rax, rbx, r12, handler_sp;
    volatile unsigned inner;
} seen;

static void
look(int sig, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    char here;

    (void)sig, (void)info;
    seen.runs++;
    seen.in_tx = tx_test();
    seen.data = data.word[0];
    seen.rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    seen.rsp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
    seen.rax = (uint64_t)uc->uc_mcontext.gregs[REG_RAX];
    seen.rbx = (uint64_t)uc->uc_mcontext.gregs[REG_RBX];
    seen.r12 = (uint64_t)uc->uc_mcontext.gregs[REG_R12];
    seen.handler_sp = (uint64_t)&here;
    seen.inner = IN_TX(data.word[5]++);
}

static void
on_signal(int flags)
{
    struct sigaction sa = {.sa_sigaction = look, .sa_flags = SA_SIGINFO | flags};

    memset((void *)&seen, 0, sizeof seen);
    data.word[0] = 1;
    data.word[5] = 0;
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
}

/* Sends the signal while the victim spins in its transaction. */
struct sender {
    _Alignas(LINE) pthread_t victim;
    uint64_t at;
    pthread_t self;
};
static struct sender sender;

static void *
send(void *p)
{
    const struct sender s = *(struct sender *)p;

    wait_until(s.at);
    pthread_kill(s.victim, SIGUSR1);
    wait_until(s.at + 2 * SPIN);
    return NULL;
}

static void
send_at(uint64_t at)
{
    sender.victim = pthread_self();
    sender.at = at;
    assert_int_equal(pthread_create(&sender.self, NULL, send, &sender), 0);
}

/* A transaction that spins until a signal aborts it, or SPIN is over; RBX and R12 are patterns
 * before, and others inside; the stack pointer is lower inside. */
struct outcome {
    uint64_t status, rbx, r12, fallback, rsp;
};
void spin_in_tx(struct outcome *out, uint64_t until, volatile uint64_t *store);
__asm__(".text\n.type spin_in_tx, @function\nspin_in_tx:\n"
        "push %rbx\n push %r12\n"
        "mov %rdx, %r8\n"
        "mov $0x1111, %ebx\n mov $0x2222, %r12d\n"
        "mov %rsp, 32(%rdi)\n"
        "mov $-1, %rax\n"
        "xbegin 1f\n"
        "mov $0x3333, %ebx\n mov $0x4444, %r12d\n"
        "movq $2, (%r8)\n"
        "sub $1024, %rsp\n movq $5, (%rsp)\n"
        "2: rdtsc\n shl $32, %rdx\n or %rdx, %rax\n cmp %rsi, %rax\n jb 2b\n"
        "add $1024, %rsp\n"
        "xend\n"
        "mov $-1, %rax\n"
        "1: mov %rax, (%rdi)\n mov %rbx, 8(%rdi)\n mov %r12, 16(%rdi)\n"
        "lea 1b(%rip), %rax\n mov %rax, 24(%rdi)\n"
        "pop %r12\n pop %rbx\n ret\n"
        ".size spin_in_tx, . - spin_in_tx\n");

static void
interrupted(struct outcome *out)
{
    const uint64_t start = now() + SPIN;

    memset(out, 0, sizeof *out);
    send_at(start + 1000);
    wait_until(start);
    spin_in_tx(out, start + SPIN, &data.word[0]);
    assert_int_equal(pthread_join(sender.self, NULL), 0);
}

static void
signal_aborts_with_zero(void **state)
{
    struct outcome out;

    (void)state;
    on_signal(0);
    interrupted(&out);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(out.status, 0);
}

static void
handler_runs_outside(void **state)
{
    struct outcome out;

    (void)state;
    on_signal(0);
    interrupted(&out);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(seen.in_tx, 0);
}

static void
handler_sees_memory_rolled_back(void **state)
{
    struct outcome out;

    (void)state;
    on_signal(0);
    interrupted(&out);
    assert_int_equal(seen.data, 1);
}

static void
handler_sees_fallback_context(void **state)
{
    struct outcome out;

    (void)state;
    on_signal(0);
    interrupted(&out);
    assert_int_equal(seen.rip, out.fallback);
    assert_int_equal(seen.rsp, out.rsp);
    assert_int_equal(seen.rax, 0);
    assert_int_equal(seen.rbx, 0x1111);
    assert_int_equal(seen.r12, 0x2222);
}

static void
sigreturn_goes_to_the_fallback(void **state)
{
    struct outcome out;

    (void)state;
    on_signal(0);
    interrupted(&out);
    assert_int_equal(out.rbx, 0x1111);
    assert_int_equal(out.r12, 0x2222);
    assert_int_equal(data.word[0], 1);
    assert_int_equal(tx_test(), 0);
}

static void
handler_may_use_transactions(void **state)
{
    struct outcome out;

    (void)state;
    on_signal(0);
    interrupted(&out);
    assert_int_equal(seen.inner, STARTED);
    assert_int_equal(data.word[5], 1);
}

static void
handler_on_the_normal_stack_is_below_the_begin(void **state)
{
    struct outcome out;

    (void)state;
    on_signal(0);
    interrupted(&out);
    assert_true(seen.handler_sp < out.rsp);
    assert_true(seen.handler_sp > out.rsp - 65536);
}

static void
handler_on_the_alternate_stack(void **state)
{
    static char stack[65536];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    const stack_t none = {.ss_flags = SS_DISABLE};
    struct outcome out;

    (void)state;
    assert_int_equal(sigaltstack(&alternate, NULL), 0);
    on_signal(SA_ONSTACK);
    interrupted(&out);
    assert_int_equal(sigaltstack(&none, NULL), 0);
    assert_int_equal(out.status, 0);
    assert_true(seen.handler_sp >= (uint64_t)stack);
    assert_true(seen.handler_sp < (uint64_t)stack + sizeof stack);
    assert_int_equal(seen.rsp, out.rsp);
    assert_int_equal(data.word[0], 1);
}

/* What the handler changes in its context, sigreturn takes over. */
static void
change_context(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)sig, (void)info;
    seen.runs++;
    uc->uc_mcontext.gregs[REG_RBX] = 0x5555;
}

static void
context_may_be_changed(void **state)
{
    struct sigaction sa = {.sa_sigaction = change_context, .sa_flags = SA_SIGINFO};
    struct outcome out;

    (void)state;
    on_signal(0);
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
    interrupted(&out);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(out.status, 0);
    assert_int_equal(out.rbx, 0x5555);
    assert_int_equal(out.r12, 0x2222);
}

/* Vector registers behind the handler are those of the begin, whatever it did with them. (The
 * frame itself carries none of them under Valgrind.) */
static void
use_vectors(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info, (void)context;
    seen.runs++;
    __asm__ volatile("pcmpeqd %%xmm7, %%xmm7" : : : "xmm7");
}

static void
vectors_of_the_begin_after_the_handler(void **state)
{
    struct sigaction sa = {.sa_sigaction = use_vectors, .sa_flags = SA_SIGINFO};
    unsigned char in[16], after[16] = {0};
    uint64_t start;
    unsigned status = STARTED;
    int i;

    (void)state;
    for (i = 0; i < 16; i++) {
        in[i] = (unsigned char)(0xA0 + i);
    }
    on_signal(0);
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
    start = now() + SPIN;
    send_at(start + 1000);
    wait_until(start);
    __asm__ volatile(
        "movups %[in], %%xmm7\n\txbegin 1f\n\tpxor %%xmm7, %%xmm7\n"
        "2: rdtsc\n\tshl $32, %%rdx\n\tor %%rdx, %%rax\n\tcmp %[until], %%rax\n\tjb 2b\n\t"
        "xend\n\tmov $-1, %%eax\n"
        "1: movups %%xmm7, %[after]"
        : "+a"(status), [after] "=m"(after)
        : [in] "m"(in), [until] "r"(start + SPIN)
        : "rdx", "xmm7", "memory", "cc");
    assert_int_equal(pthread_join(sender.self, NULL), 0);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(status, 0);
    assert_memory_equal(after, in, 16);
}

/* A blocked signal waits, and disturbs nothing; unblocked later, it comes. */
static void
blocked_signal_does_not_abort(void **state)
{
    struct outcome out;
    sigset_t set;

    (void)state;
    on_signal(0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    interrupted(&out);
    assert_int_equal(out.status, UINT64_MAX);
    assert_int_equal(data.word[0], 2);
    assert_int_equal(seen.runs, 0);
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    assert_int_equal(seen.runs, 1);
}

static void
ignored_signal_is_not_delivered(void **state)
{
    struct sigaction sa = {.sa_handler = SIG_IGN};
    struct outcome out;

    (void)state;
    on_signal(0);
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
    interrupted(&out);
    assert_int_equal(seen.runs, 0);
    assert_true(out.status == 0 || out.status == UINT64_MAX);
}

/* A timer's signal in the middle of retries: every attempt is all or nothing. */
static volatile sig_atomic_t ticks;

static void
tick(int sig)
{
    (void)sig;
    ticks++;
}

static void *
send_many(void *p)
{
    const struct sender s = *(struct sender *)p;
    int i;

    for (i = 0; i < 50; i++) {
        wait_until(s.at + (uint64_t)i * 3000);
        pthread_kill(s.victim, SIGUSR1);
    }
    wait_until(s.at + SPIN);
    return NULL;
}

static void
signals_among_many_transactions(void **state)
{
    struct sigaction sa = {.sa_handler = tick, .sa_flags = SA_RESTART};
    uint64_t commits = 0, aborts = 0, until;

    (void)state;
    ticks = 0;
    data.word[0] = data.word[1] = 0;
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
    sender.victim = pthread_self();
    sender.at = now() + SPIN;
    until = sender.at + SPIN / 2;
    assert_int_equal(pthread_create(&sender.self, NULL, send_many, &sender), 0);
    wait_until(sender.at);
    while (now() < until) {
        const unsigned status = tx_begin();
        if (status == STARTED) {
            data.word[0]++;
            wait_until(now() + 500);
            data.word[1]++;
            tx_end();
            commits++;
        }
        else {
            aborts++;
        }
        assert_int_equal(data.word[0], data.word[1]);
    }
    assert_int_equal(pthread_join(sender.self, NULL), 0);
    assert_true(ticks > 0 && ticks <= 50);
    assert_true(aborts > 0);
    assert_int_equal(data.word[0], commits);
}

/* A page fault's handler may repair and go on, after the abort (tm-signal-pagefault). */
static volatile char *page;

static void
repair(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info, (void)context;
    seen.runs++;
    seen.in_tx = tx_test();
    mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
}

static void
fault_is_repaired_on_the_fallback(void **state)
{
    struct sigaction sa = {.sa_sigaction = repair, .sa_flags = SA_SIGINFO};
    unsigned first, second;

    (void)state;
    on_signal(0);
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    assert_int_equal(sigaction(SIGSEGV, &sa, NULL), 0);
    first = IN_TX(page[0] = 1);
    if (first != STARTED) {
        page[0] = 1;
    }
    second = IN_TX(page[0] = 2);
    assert_int_equal(first, 0);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(seen.in_tx, 0);
    assert_int_equal(second, STARTED);
    assert_int_equal(page[0], 2);
    signal(SIGSEGV, SIG_DFL);
}

static sigjmp_buf away;

static void
leave(int sig)
{
    (void)sig;
    siglongjmp(away, 1);
}

static void
longjmp_out_of_the_handler(void **state)
{
    struct sigaction sa = {.sa_handler = leave};
    struct outcome out;
    volatile int left = 0;

    (void)state;
    on_signal(0);
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
    if (sigsetjmp(away, 1) == 0) {
        interrupted(&out);
    }
    else {
        left = 1;
        assert_int_equal(pthread_join(sender.self, NULL), 0);
    }
    assert_int_equal(left, 1);
    assert_int_equal(tx_test(), 0);
    assert_int_equal(data.word[0], 1);
}

/* A signal interrupts an emulated wait: EINTR, and the rest of a sleep. */
static void
signal_ends_a_sleep(void **state)
{
    const struct timespec long_time = {10, 0};
    struct timespec rest = {0, 0};

    (void)state;
    on_signal(0);
    send_at(now() + SPIN);
    assert_int_equal(nanosleep(&long_time, &rest), -1);
    assert_int_equal(errno, EINTR);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(rest.tv_sec, 9);
    assert_int_equal(pthread_join(sender.self, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signal_aborts_with_zero),
        cmocka_unit_test(handler_runs_outside),
        cmocka_unit_test(handler_sees_memory_rolled_back),
        cmocka_unit_test(handler_sees_fallback_context),
        cmocka_unit_test(sigreturn_goes_to_the_fallback),
        cmocka_unit_test(handler_may_use_transactions),
        cmocka_unit_test(handler_on_the_normal_stack_is_below_the_begin),
        cmocka_unit_test(handler_on_the_alternate_stack),
        cmocka_unit_test(context_may_be_changed),
        cmocka_unit_test(vectors_of_the_begin_after_the_handler),
        cmocka_unit_test(blocked_signal_does_not_abort),
        cmocka_unit_test(ignored_signal_is_not_delivered),
        cmocka_unit_test(signals_among_many_transactions),
        cmocka_unit_test(fault_is_repaired_on_the_fallback),
        cmocka_unit_test(longjmp_out_of_the_handler),
        cmocka_unit_test(signal_ends_a_sleep),
    };

    return LITMUS_MAIN(tests);
}
