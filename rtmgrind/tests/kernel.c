/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the kernel reads and writes in a system call conflicts with other threads' transactions as
 * the program's own accesses do.
 */

#include "rtmgrind/tests/duel.h"

#include <stdio.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t seen[4];

static void
fight(struct duel *d, void (*touch)(void *), void (*disturb)(void *), int peer_in_tx)
{
    memset((void *)lines, 0, sizeof lines);
    *d = (struct duel){
        .touch = touch, .disturb = disturb, .arg = (void *)AT, .peer_in_tx = peer_in_tx};
    duel_run(d);
}

static int pipe_fd[2];

static void
kernel_reads(void *p)
{
    (void)!write(pipe_fd[1], p, 8);
}

static void
kernel_writes(void *p)
{
    (void)!write(pipe_fd[1], "abcdefgh", 8);
    (void)!read(pipe_fd[0], p, 8);
}

static void
kernel_writes_by_vector(void *p)
{
    struct iovec iov[2] = {{(void *)&seen[1], 4}, {p, 4}};

    (void)!write(pipe_fd[1], "abcdefgh", 8);
    (void)!readv(pipe_fd[0], iov, 2);
}

static void
clock_writes(void *p)
{
    clock_gettime(CLOCK_MONOTONIC, p);
}

static void
kernel_writes_to_reader(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, read_word, kernel_writes, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_memory_equal((void *)AT, "abcdefgh", 8);
}

static void
kernel_writes_to_writer(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, write_word, kernel_writes, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_memory_equal((void *)AT, "abcdefgh", 8);
}

static void
kernel_scatters_to_reader(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, read_word, kernel_writes_by_vector, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_memory_equal((void *)AT, "efgh", 4);
}

/* The kernel copies what was there before the transaction. */
static void
kernel_reads_from_writer(void **state)
{
    struct duel d;
    uint64_t got = 99;

    (void)state;
    fight(&d, write_word, kernel_reads, 0);
    assert_int_equal(read(pipe_fd[0], &got, 8), 8);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_int_equal(got, 0);
}

static void
kernel_reads_from_reader(void **state)
{
    struct duel d;
    uint64_t got = 99;

    (void)state;
    fight(&d, read_word, kernel_reads, 0);
    assert_int_equal(read(pipe_fd[0], &got, 8), 8);
    assert_int_equal(d.victim, STARTED);
}

static void
clock_gettime_writes_to_reader(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, read_word, clock_writes, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
}

/* In a transaction too: a clock read is a store like any other. */
static void
clock_gettime_in_transaction_writes_to_reader(void **state)
{
    struct duel d;

    (void)state;
    clock_writes((void *)&seen); /* resolves the symbol */
    fight(&d, read_word, clock_writes, 1);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_int_equal(d.peer, STARTED);
}

static void
system_call_elsewhere_does_not_conflict(void **state)
{
    struct duel d = {.touch = write_word, .disturb = kernel_writes, .arg = (void *)&lines[2]};

    (void)state;
    fight(&d, write_word, nothing, 0);
    assert_int_equal(d.victim, STARTED);
    d = (struct duel){.touch = nothing, .disturb = kernel_writes, .arg = (void *)AT};
    duel_run(&d);
    assert_int_equal(d.victim, STARTED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_writes_to_reader),
        cmocka_unit_test(kernel_writes_to_writer),
        cmocka_unit_test(kernel_scatters_to_reader),
        cmocka_unit_test(kernel_reads_from_writer),
        cmocka_unit_test(kernel_reads_from_reader),
        cmocka_unit_test(clock_gettime_writes_to_reader),
        cmocka_unit_test(clock_gettime_in_transaction_writes_to_reader),
        cmocka_unit_test(system_call_elsewhere_does_not_conflict),
    };

    if (pipe(pipe_fd) != 0) {
        puts("Bail out! no pipe");
        return 1;
    }
    return LITMUS_MAIN(tests);
}
