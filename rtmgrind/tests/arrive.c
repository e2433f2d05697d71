/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A line that another core has to itself takes its time to come, and that core keeps it until the
 * request is there; an instruction that waits is done once.
 * options: --cost-line=2000 --quantum=16 --coherence=yes
 *
 *   arrive once    one transaction of 6 instructions, the first of which waits for a line; says
 *                  whether it committed. For model.sh
 */

#include "rtmgrind/tests/litmus.h"

enum { COST = 2000, MARGIN = 300, SOON = 200, SLOT = 50000, START = 20 * SLOT };

static struct line hot;

/* What one thread does `after` cycles behind the start, another having taken `hot` before. */
struct asker {
    void (*body)(void *);
    void *arg;
    uint64_t start, after, began, ended;
    pthread_t thread;
};

/* Of a page each: a line of somebody's transaction is not to be theirs. */
static _Alignas(4096) struct {
    struct asker asker;
    char apart[4096 - sizeof(struct asker)];
} askers[2];

static void *
ask(void *p)
{
    struct asker *a = p;

    wait_until(a->start + a->after);
    a->began = now();
    a->body(a->arg);
    a->ended = now();
    wait_until(a->start + 2 * SLOT); /* the end of a thread unmaps memory, which aborts */
    return NULL;
}

static struct asker *
begin(int i, void (*body)(void *), void *arg, uint64_t start, uint64_t after)
{
    struct asker *a = &askers[i].asker;

    *a = (struct asker){.body = body, .arg = arg, .start = start, .after = after};
    assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
    return a;
}

static uint64_t
lasted(struct asker *a)
{
    assert_int_equal(pthread_join(a->thread, NULL), 0);
    return a->ended - a->began;
}

static void
take(void)
{
    __atomic_fetch_add(&hot.word[7], 1, __ATOMIC_SEQ_CST);
}

/* In one block with an instruction that changes a register, before. */
static void
read_hot(void *p)
{
    uint64_t value;

    __asm__ volatile("mov $1, %0\n\tmov %1, %0" : "=r"(value) : "m"(hot.word[0]) : "memory");
    *(uint64_t *)p = value;
}

static void
add_to_hot(void *p)
{
    (void)p;
    __atomic_fetch_add(&hot.word[0], 1, __ATOMIC_SEQ_CST);
}

/* A transaction that holds the line for so long. ret: its status */
static unsigned
hold(uint64_t start, uint64_t cycles)
{
    unsigned status;

    wait_until(start);
    status = tx_begin();
    if (status == STARTED) {
        hot.word[0] = 7;
        wait_until(start + cycles);
        tx_end();
    }
    return status;
}

static void
who_has_the_line_keeps_it_until_asked(void **state)
{
    const uint64_t start = now() + START;
    static struct line seen;
    struct asker *a = begin(0, read_hot, (void *)seen.word, start, SOON);

    (void)state;
    hot.word[0] = 1;
    assert_int_equal(hold(start, COST / 2), STARTED);
    assert_in_range(lasted(a), COST, COST + MARGIN);
    assert_int_equal(seen.word[0], 7);
}

static void
and_no_longer(void **state)
{
    const uint64_t start = now() + START;
    static struct line seen;
    struct asker *a = begin(0, read_hot, (void *)seen.word, start, SOON);

    (void)state;
    hot.word[0] = 1;
    assert_int_equal(hold(start, 2 * COST), CONFLICT | RETRY);
    assert_in_range(now(), start + SOON + COST / 2, start + SOON + COST / 2 + 2 * MARGIN);
    assert_in_range(lasted(a), COST, COST + MARGIN);
    assert_int_equal(seen.word[0], 1);
}

static void
read_in_transaction(void *p)
{
    struct line *seen = p;
    uint64_t value = 0;

    seen->word[1] = IN_TX(value = hot.word[0]);
    seen->word[0] = value;
}

static void
transactions_wait_as_well(void **state)
{
    const uint64_t start = now() + START;
    static struct line seen;
    struct asker *a = begin(0, read_in_transaction, (void *)&seen, start, SOON);

    (void)state;
    hot.word[0] = 1;
    assert_int_equal(hold(start, COST / 2), STARTED);
    assert_in_range(lasted(a), COST, COST + MARGIN);
    assert_int_equal(seen.word[1], STARTED);
    assert_int_equal(seen.word[0], 7);
}

static void
requests_are_served_one_after_the_other(void **state)
{
    const uint64_t start = now() + START;
    struct asker *a = begin(0, add_to_hot, NULL, start, SOON);
    struct asker *b = begin(1, add_to_hot, NULL, start, SOON + COST / 2);

    (void)state;
    hot.word[0] = 0;
    take();
    assert_in_range(lasted(a), COST, COST + MARGIN);
    assert_in_range(lasted(b), COST + COST / 2 - MARGIN, COST + COST / 2 + MARGIN);
    assert_int_equal(hot.word[0], 2);
}

/* ------------------------------------------------------------------ */

/* The cycles of a piece of code without a branch, with an access in it. */
static __attribute__((noinline)) void
measure(uint32_t *cycles)
{
    uint32_t from, to;

    __asm__ volatile("rdtsc\n\tmov %%eax, %0\n\t"
                     "nop\n\tnop\n\tlock incl %2\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\t"
                     "rdtsc\n\tmov %%eax, %1"
                     : "=&r"(from), "=&r"(to), "+m"(hot.word[0])
                     :
                     : "rax", "rdx", "memory");
    *cycles = to - from;
}

static void
measure_twice(void *p)
{
    measure((uint32_t *)p);
    measure((uint32_t *)p + 1);
    __asm__ volatile(""); /* no tail call */
}

static void
waiting_costs_what_the_line_costs(void **state)
{
    static uint32_t cycles[2];
    const uint64_t start = now() + START;
    struct asker *a = begin(0, measure_twice, cycles, start, SOON);

    (void)state;
    take();
    wait_until(start + SLOT); /* so that who waits lets another go on */
    (void)lasted(a);
    assert_int_equal(cycles[0] - cycles[1], COST);
}

/* ------------------------------------------------------------------ */

/* Instructions, each with the line's address in rdi, and a place for results in rsi. */
#define INSN(name, text)                                                                          \
    static __attribute__((noinline)) void name(void *line, void *out)                             \
    {                                                                                             \
        __asm__ volatile(text                                                                     \
                         : "+D"(line), "+S"(out)                                                  \
                         :                                                                        \
                         : "rax", "rbx", "rcx", "rdx", "r8", "r9", "xmm0", "memory", "cc", "st"); \
    }

INSN(do_add, "stc; adcq $5, (%%rdi); setc (%%rsi)")
INSN(do_inc, "incl 4(%%rdi); setz (%%rsi)")
INSN(do_xadd, "mov $9, %%eax; xadd %%rax, (%%rdi); mov %%rax, (%%rsi)")
INSN(do_lock_xadd, "mov $9, %%eax; lock xadd %%rax, (%%rdi); mov %%rax, (%%rsi)")
INSN(do_xchg, "mov $9, %%eax; xchg %%rax, 8(%%rdi); mov %%rax, (%%rsi)")
INSN(do_cmpxchg16b, "mov (%%rdi), %%rax; mov 8(%%rdi), %%rdx; mov $3, %%ebx; mov $4, %%ecx;"
                    "lock cmpxchg16b (%%rdi); setz (%%rsi)")
INSN(do_push, "mov %%rsp, %%r8; lea 32(%%rdi), %%rsp; push $77; mov %%rsp, %%r9;"
              "mov %%r8, %%rsp; sub %%rdi, %%r9; mov %%r9, (%%rsi)")
INSN(do_pop, "mov %%rsp, %%r8; lea 16(%%rdi), %%rsp; pop 8(%%rdi); mov %%rsp, %%r9;"
             "mov %%r8, %%rsp; sub %%rdi, %%r9; mov %%r9, (%%rsi)")
INSN(do_call, "mov %%rsp, %%r8; lea 32(%%rdi), %%rsp; call 1f; 1: mov %%rsp, %%r9; popq %%rax;"
              "mov %%r8, %%rsp; sub %%rdi, %%r9; mov %%r9, (%%rsi)")
INSN(do_movs, "mov %%rsi, %%r9; mov %%rdi, %%r8; mov %%rdi, %%rsi; lea 32(%%rdi), %%rdi; movsq;"
              "sub %%r8, %%rdi; sub %%r8, %%rsi; mov %%rdi, (%%r9); mov %%rsi, 8(%%r9)")
INSN(do_rep_stos, "mov %%rdi, %%r8; mov $3, %%ecx; mov $0x55, %%eax; rep stosq; sub %%r8, %%rdi;"
                  "mov %%rdi, (%%rsi); mov %%rcx, 8(%%rsi)")
INSN(do_lods, "mov %%rsi, %%r9; mov %%rdi, %%rsi; lodsq; sub %%rdi, %%rsi; mov %%rsi, (%%r9);"
              "mov %%rax, 8(%%r9)")
INSN(do_sse, "movups 3(%%rdi), %%xmm0; movups %%xmm0, 24(%%rdi)")
INSN(do_x87, "fildll (%%rdi); fiaddl 8(%%rdi); fistpll 16(%%rdi)")

static const struct {
    const char *name;
    void (*fn)(void *, void *);
} insns[] = {{"adc", do_add},           {"inc", do_inc},
             {"xadd", do_xadd},         {"lock xadd", do_lock_xadd},
             {"xchg", do_xchg},         {"lock cmpxchg16b", do_cmpxchg16b},
             {"push", do_push},         {"pop", do_pop},
             {"call", do_call},         {"movs", do_movs},
             {"rep stos", do_rep_stos}, {"lods", do_lods},
             {"movups", do_sse},        {"fild, fiadd, fistp", do_x87}};
enum { N_INSNS = sizeof insns / sizeof insns[0] };

static struct line after[N_INSNS], results[N_INSNS];

static uint64_t
word(int i, int j)
{
    return (uint64_t)(i + 1) * 1000 + (uint64_t)j * 3;
}

static void
fill(struct line *l, int i)
{
    int j;

    for (j = 0; j < LINE / 8; j++) {
        l->word[j] = word(i, j);
    }
}

static void
do_all(void *p)
{
    const uint64_t start = *(uint64_t *)p;
    int i;

    for (i = 0; i < N_INSNS; i++) {
        wait_until(start + (uint64_t)i * SLOT + SLOT / 2);
        insns[i].fn(&hot, &results[i]);
        after[i] = hot;
    }
}

static void
what_waits_is_done_once(void **state)
{
    static uint64_t start;
    struct asker *a;
    int i, wrong = 0;

    (void)state;
    start = now() + START;
    a = begin(0, do_all, &start, start, 0);
    for (i = 0; i < N_INSNS; i++) {
        wait_until(start + (uint64_t)i * SLOT);
        fill(&hot, i);
        take();
        hot.word[7] = word(i, 7);
    }
    (void)lasted(a);
    for (i = 0; i < N_INSNS; i++) {
        static struct line alone, result; /* at a line's begin, as hot is */
        fill(&alone, i);
        memset((void *)&result, 0, sizeof result);
        insns[i].fn(&alone, &result);
        if (memcmp((void *)&alone, (void *)&after[i], LINE) != 0 ||
            memcmp((void *)&result, (void *)&results[i], LINE) != 0) {
            print_message("# %s\n", insns[i].name);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

/* ------------------------------------------------------------------ */

static void
six_instructions(void *p)
{
    unsigned status = STARTED;

    __asm__ volatile("xbegin 1f\n\tmov %1, %%rdx\n\tnop\n\tnop\n\tnop\n\tnop\n\txend\n1:"
                     : "+a"(status)
                     : "m"(hot.word[0])
                     : "rdx", "memory");
    *(unsigned *)p = status;
}

static int
once(void)
{
    static unsigned status;
    const uint64_t start = now() + START;
    struct asker *a = begin(0, six_instructions, &status, start, SOON);

    take();
    wait_until(start + SLOT);
    (void)lasted(a);
    return puts(status == STARTED ? "committed" : "aborted") < 0;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_the_line_keeps_it_until_asked),
        cmocka_unit_test(and_no_longer),
        cmocka_unit_test(transactions_wait_as_well),
        cmocka_unit_test(requests_are_served_one_after_the_other),
        cmocka_unit_test(waiting_costs_what_the_line_costs),
        cmocka_unit_test(what_waits_is_done_once),
    };

    if (argc > 1) {
        return strcmp(argv[1], "once") ? 2 : once();
    }
    return LITMUS_MAIN(tests);
}
