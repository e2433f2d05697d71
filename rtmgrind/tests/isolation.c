/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Strong isolation, eager, requester wins, by lines of 64 bytes: SDM volume 1, 16.3.3 and 16.3.7.
 * The victim holds a line read or written; the peer touches it, with every kind of access, outside
 * and inside a transaction of its own.
 */

#include "rtmgrind/tests/duel.h"

#include <stdio.h>

static volatile uint64_t seen;

/* ------------------------------------------------------------------ */
/* What the peer does: each to the 32 bytes at p                       */

#define ACCESS(name, text, ...)                                                    \
    static void name(void *p)                                                      \
    {                                                                              \
        __asm__ volatile(text : : "D"(p), "S"(p) : "memory", "cc", ##__VA_ARGS__); \
    }

ACCESS(load_1, "movb (%0), %%al", "rax")
ACCESS(load_2, "movw (%0), %%ax", "rax")
ACCESS(load_4, "movl (%0), %%eax", "rax")
ACCESS(load_8, "movq (%0), %%rax", "rax")
ACCESS(load_16, "movups (%0), %%xmm0", "xmm0")
ACCESS(load_32, "vmovups (%0), %%ymm0", "xmm0")
ACCESS(load_x87, "fldt (%0)\n\tfstp %%st(0)", "st")
ACCESS(load_compare, "cmpl $0, (%0)")
ACCESS(load_masked, "vpcmpeqd %%xmm1, %%xmm1, %%xmm1\n\tvmaskmovps (%0), %%xmm1, %%xmm0", "xmm0",
       "xmm1")
ACCESS(load_gather,
       "vpcmpeqd %%xmm1, %%xmm1, %%xmm1\n\tvpxor %%xmm2, %%xmm2, %%xmm2\n\t"
       "vpgatherdd %%xmm1, (%0,%%xmm2,4), %%xmm0",
       "xmm0", "xmm1", "xmm2")
ACCESS(load_string, "lodsq", "rax")
ACCESS(load_pop, "mov %%rsp, %%rbx\n\tmov %0, %%rsp\n\tpop %%rax\n\tmov %%rbx, %%rsp", "rax", "rbx")

ACCESS(store_1, "movb $1, (%0)")
ACCESS(store_2, "movw $1, (%0)")
ACCESS(store_4, "movl $1, (%0)")
ACCESS(store_8, "movq $1, (%0)")
ACCESS(store_16, "movups %%xmm0, (%0)")
ACCESS(store_32, "vmovups %%ymm0, (%0)")
ACCESS(store_x87, "fld1\n\tfstpt (%0)", "st")
ACCESS(store_add, "addl $1, (%0)")
ACCESS(store_masked, "vpcmpeqd %%xmm1, %%xmm1, %%xmm1\n\tvmaskmovps %%xmm0, %%xmm1, (%0)", "xmm0",
       "xmm1")
ACCESS(store_string, "stosq\n\tsub $8, %0", "rax")
ACCESS(store_rep, "mov $32, %%ecx\n\tmov %0, %%rdi\n\trep stosb", "rcx", "rax")
ACCESS(store_non_temporal, "movnti %%rax, (%0)")
ACCESS(store_push, "mov %%rsp, %%rbx\n\tlea 8(%0), %%rsp\n\tpush %%rax\n\tmov %%rbx, %%rsp", "rax",
       "rbx")
ACCESS(store_fxsave, "fxsave (%0)")
ACCESS(locked_inc, "lock incl (%0)")
ACCESS(locked_xadd, "mov $1, %%eax\n\tlock xaddl %%eax, (%0)", "rax")
ACCESS(locked_or_nothing, "lock orl $0, (%0)")
ACCESS(xchg, "xchg %%rax, (%0)", "rax")
ACCESS(cmpxchg_fails, "mov $-1, %%rax\n\tlock cmpxchgq %%rcx, (%0)", "rax", "rcx")
ACCESS(cmpxchg16b, "lock cmpxchg16b (%0)", "rax", "rbx", "rcx", "rdx")

struct access {
    const char *name;
    void (*run)(void *);
    int writes, aborts_in_tx;
};

#define READ(name)        \
    {                     \
#name, name, 0, 0 \
    }
#define WRITE(name)       \
    {                     \
#name, name, 1, 0 \
    }
static const struct access accesses[] = {
    READ(load_1),
    READ(load_2),
    READ(load_4),
    READ(load_8),
    READ(load_16),
    READ(load_32),
    READ(load_x87),
    READ(load_compare),
    READ(load_masked),
    READ(load_gather),
    READ(load_string),
    READ(load_pop),
    WRITE(store_1),
    WRITE(store_2),
    WRITE(store_4),
    WRITE(store_8),
    WRITE(store_16),
    WRITE(store_32),
    WRITE(store_x87),
    WRITE(store_add),
    WRITE(store_masked),
    WRITE(store_string),
    WRITE(store_rep),
    {"store_non_temporal", store_non_temporal, 1, 1},
    WRITE(store_push),
    {"store_fxsave", store_fxsave, 1, 1},
    WRITE(locked_inc),
    WRITE(locked_xadd),
    WRITE(locked_or_nothing),
    WRITE(xchg),
    WRITE(cmpxchg_fails),
    WRITE(cmpxchg16b),
};
enum { N_ACCESSES = sizeof accesses / sizeof accesses[0] };

static void
fight(struct duel *d, void (*touch)(void *), void (*disturb)(void *), int peer_in_tx)
{
    memset((void *)lines, 0, sizeof lines);
    *d = (struct duel){
        .touch = touch, .disturb = disturb, .arg = (void *)AT, .peer_in_tx = peer_in_tx};
    duel_run(d);
}

/* A reader loses its line to a write, and keeps it against a read. */
static void
against_reader(void **state)
{
    const struct access *a = *state;
    struct duel d;

    fight(&d, read_word, a->run, 0);
    assert_int_equal(d.victim, a->writes ? CONFLICT | RETRY : STARTED);
}

/* A writer loses its line to anything, and its store is never seen. */
static void
against_writer(void **state)
{
    const struct access *a = *state;
    struct duel d;

    fight(&d, write_word, a->run, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_int_not_equal(lines[1].word[0], 77);
}

/* The same from inside a transaction: requester wins, and commits. */
static void
transaction_against_writer(void **state)
{
    const struct access *a = *state;
    struct duel d;

    fight(&d, write_word, a->run, 1);
    if (a->aborts_in_tx) {
        assert_int_equal(d.peer, 0);
        assert_int_equal(d.victim, STARTED);
    }
    else {
        assert_int_equal(d.victim, CONFLICT | RETRY);
        assert_int_equal(d.peer, STARTED);
    }
}

/* ------------------------------------------------------------------ */

static void
two_readers_commit(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, read_word, read_word, 1);
    assert_int_equal(d.victim, STARTED);
    assert_int_equal(d.peer, STARTED);
}

static void
transactional_write_beats_reader(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, read_word, write_word, 1);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_int_equal(d.peer, STARTED);
    assert_int_equal(lines[1].word[0], 77);
}

/* It holds the line already when it writes. */
static void
add_word(void *p)
{
    *(volatile uint64_t *)p += 1;
}

static void
reader_that_writes_beats_reader(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, read_word, add_word, 1);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_int_equal(d.peer, STARTED);
}

/* Same line, other words. */
static void
store_offset_56(void *p)
{
    *(volatile uint64_t *)((char *)p + 56) = 5;
}

static void
false_sharing_conflicts(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, write_word, store_offset_56, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_int_equal(lines[1].word[7], 5); /* the rollback spares the other word */
    assert_int_equal(lines[1].word[0], 0);
}

static void
false_sharing_conflicts_for_reader(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, read_word, store_offset_56, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
}

static void
store_neighbours(void *p)
{
    ((volatile char *)p)[-1] = 1;
    ((volatile char *)p)[LINE] = 1;
}

static void
neighbouring_lines_do_not_conflict(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, write_word, store_neighbours, 0);
    assert_int_equal(d.victim, STARTED);
    assert_int_equal(lines[1].word[0], 77);
}

static void
store_across_boundary(void *p)
{
    *(volatile uint64_t *)((char *)p - 4) = ~0ULL;
}

static void
access_across_two_lines_takes_both(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, read_word, store_across_boundary, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
}

static void
masked_off_store(void *p)
{
    __asm__ volatile("vpxor %%xmm1, %%xmm1, %%xmm1\n\tvmaskmovps %%xmm0, %%xmm1, (%0)"
                     :
                     : "r"(p)
                     : "xmm0", "xmm1", "memory");
}

/* A masked store that stores nothing takes no line. */
static void
masked_off_store_does_not_conflict(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, write_word, masked_off_store, 0);
    assert_int_equal(d.victim, STARTED);
}

static void
load_and_keep(void *p)
{
    seen = *(volatile uint64_t *)p;
}

static void
uncommitted_store_is_not_seen(void **state)
{
    struct duel d;

    (void)state;
    seen = 99;
    fight(&d, write_word, load_and_keep, 0);
    assert_int_equal(seen, 0);
}

static void
uncommitted_store_is_not_seen_in_transaction(void **state)
{
    struct duel d;

    (void)state;
    seen = 99;
    fight(&d, write_word, load_and_keep, 1);
    assert_int_equal(d.peer, STARTED);
    assert_int_equal(seen, 0);
}

/* The requester's own value stands: the undo comes before the store. */
static void
plain_store_stands(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, write_word, store_8, 0);
    assert_int_equal(lines[1].word[0], 1);
}

static void
locked_add_adds_to_the_old_value(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, write_word, locked_inc, 0);
    assert_int_equal(lines[1].word[0], 1);
}

/* After its commit a transaction holds nothing. */
static void
commit_releases_lines(void **state)
{
    struct duel d = {.touch = nothing, .disturb = store_8, .arg = (void *)AT};

    (void)state;
    assert_int_equal(IN_TX(lines[1].word[0] = 1), STARTED);
    duel_run(&d);
    assert_int_equal(d.victim, STARTED);
}

static void
abort_releases_lines(void **state)
{
    struct duel d = {.touch = nothing, .disturb = store_8, .arg = (void *)AT};

    (void)state;
    (void)IN_TX({
        lines[1].word[0] = 1;
        TX_ABORT(1);
    });
    duel_run(&d);
    assert_int_equal(d.victim, STARTED);
}

/* ------------------------------------------------------------------ */

static void *
write_in_tx(void *p)
{
    assert_int_equal(IN_TX(lines[1].word[0]++), STARTED);
    return p;
}

/* What reading the line in a transaction takes. */
static uint64_t
reading_time(void)
{
    uint64_t start = 0, end = 0;

    assert_int_equal(IN_TX({
                         start = now();
                         seen = *(volatile uint64_t *)lines[1].word;
                         end = now();
                     }),
                     STARTED);
    return end - start;
}

/* Another core had it last: it has to be moved, once. */
static void
lines_move_between_transactions(void **state)
{
    uint64_t own, moved;
    pthread_t t;

    (void)state;
    write_in_tx(NULL);
    reading_time(); /* `seen` may have to be moved here, too */
    own = reading_time();
    assert_int_equal(pthread_create(&t, NULL, write_in_tx, NULL), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    moved = reading_time();
    assert_int_equal(moved - own, 100);
    assert_int_equal(reading_time(), own);
}

static void
add_matrix(struct CMUnitTest *tests, size_t *n, const char *suffix, CMUnitTestFunction f)
{
    static char names[3 * N_ACCESSES][64];
    static size_t used;
    size_t i;

    for (i = 0; i < N_ACCESSES; i++, used++) {
        snprintf(names[used], sizeof names[used], "%s_%s", accesses[i].name, suffix);
        tests[(*n)++] =
            (struct CMUnitTest){names[used], f, NULL, NULL, (void *)(uintptr_t)&accesses[i]};
    }
}

int
main(void)
{
    const struct CMUnitTest single[] = {
        cmocka_unit_test(two_readers_commit),
        cmocka_unit_test(transactional_write_beats_reader),
        cmocka_unit_test(reader_that_writes_beats_reader),
        cmocka_unit_test(false_sharing_conflicts),
        cmocka_unit_test(false_sharing_conflicts_for_reader),
        cmocka_unit_test(neighbouring_lines_do_not_conflict),
        cmocka_unit_test(access_across_two_lines_takes_both),
        cmocka_unit_test(masked_off_store_does_not_conflict),
        cmocka_unit_test(uncommitted_store_is_not_seen),
        cmocka_unit_test(uncommitted_store_is_not_seen_in_transaction),
        cmocka_unit_test(plain_store_stands),
        cmocka_unit_test(locked_add_adds_to_the_old_value),
        cmocka_unit_test(commit_releases_lines),
        cmocka_unit_test(abort_releases_lines),
        cmocka_unit_test(lines_move_between_transactions),
    };
    enum { N_SINGLE = sizeof single / sizeof single[0] };
    static struct CMUnitTest tests[3 * N_ACCESSES + N_SINGLE];
    size_t n = 0;

    add_matrix(tests, &n, "against_reader", against_reader);
    add_matrix(tests, &n, "against_writer", against_writer);
    add_matrix(tests, &n, "in_transaction_against_writer", transaction_against_writer);
    memcpy(&tests[n], single, sizeof single);
    return litmus_run(__FILE__, tests, n + N_SINGLE);
}
