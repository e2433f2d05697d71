/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the kernel reads and writes in a system call conflicts with other threads' transactions as
 * the program's own accesses do.
 */

#include "rtmgrind/tests/duel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
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

/* A call that takes long, but waits for nothing: a hundred milliseconds, beside the five after
 * which others go on. */
enum { MUCH = 256 << 20 };
static volatile int is_over;

static void *
read_much(void *much)
{
    const int zeros = open("/dev/zero", O_RDONLY);

    (void)!read(zeros, much, MUCH);
    close(zeros);
    is_over = 1;
    return NULL;
}

static void
slow_kernel_is_waited_for(void **state)
{
    void *much = mmap(NULL, MUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const uint64_t begin = now();
    pthread_t thread;

    (void)state;
    assert_true(much != MAP_FAILED);
    assert_int_equal(pthread_create(&thread, NULL, read_much, much), 0);
    while (!is_over) {
    }
    assert_in_range(now() - begin, 0, 1000 * 1000);
    pthread_join(thread, NULL);
    munmap(much, MUCH);
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

/* By the calls that name another process's memory. */
static void
process_writes(void *p)
{
    static char from[8] = "abcdefgh";
    const struct iovec local = {from, 8}, remote = {p, 8};

    (void)!process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
}

static void
process_reads(void *p)
{
    const struct iovec local = {(void *)&seen[2], 8}, remote = {p, 8};

    (void)!process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

static void
process_writes_to_itself(void **state)
{
    struct duel d;

    (void)state;
    fight(&d, read_word, process_writes, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_memory_equal((void *)AT, "abcdefgh", 8);
    fight(&d, write_word, process_writes, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_memory_equal((void *)AT, "abcdefgh", 8);
}

static void
process_reads_from_itself(void **state)
{
    struct duel d;

    (void)state;
    seen[2] = 99;
    fight(&d, write_word, process_reads, 0);
    assert_int_equal(d.victim, CONFLICT | RETRY);
    assert_int_equal(seen[2], 0);
    fight(&d, read_word, process_reads, 0);
    assert_int_equal(d.victim, STARTED);
}

/* A read that waits ends while a transaction has written to its line, and aborts: by the read, or
 * by a store that comes first. */
enum { LATER = 30000000, LONG = 300000000 }; /* cycles: far more than a call takes */

static struct {
    uint64_t start;
    int stores;
} meanwhile;

static void *
read_beside(void *p)
{
    const ssize_t got = read(pipe_fd[0], (void *)&lines[1].word[1], 8);

    (void)p;
    wait_until(meanwhile.start + 2 * LONG); /* the end of a thread aborts transactions */
    return (void *)(intptr_t)(got != 8);
}

static void *
write_late_to_pipe(void *p)
{
    ssize_t done;

    (void)p;
    wait_until(meanwhile.start);
    done = write(pipe_fd[1], "abcdefgh", 8);
    if (meanwhile.stores) {
        lines[1].word[2] = 5;
    }
    wait_until(meanwhile.start + 2 * LONG);
    return (void *)(intptr_t)(done != 8);
}

static void
read_ends_beside_a_transaction(int stores)
{
    pthread_t reader, writer;
    unsigned status;
    void *failed;

    memset((void *)lines, 0, sizeof lines);
    meanwhile.start = now() + LATER;
    meanwhile.stores = stores;
    assert_int_equal(pthread_create(&reader, NULL, read_beside, NULL), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_late_to_pipe, NULL), 0);
    wait_until(meanwhile.start - LATER / 2);
    status = tx_held(write_word, (void *)AT, meanwhile.start + LONG);
    assert_int_equal(pthread_join(reader, &failed), 0);
    assert_null(failed);
    assert_int_equal(pthread_join(writer, &failed), 0);
    assert_null(failed);
    assert_int_equal(status, CONFLICT | RETRY);
    assert_int_equal(lines[1].word[0], 0);
    assert_memory_equal((void *)&lines[1].word[1], "abcdefgh", 8);
    assert_int_equal(lines[1].word[2], stores ? 5 : 0);
}

static void
what_the_kernel_wrote_meanwhile_stays(void **state)
{
    (void)state;
    read_ends_beside_a_transaction(0);
    read_ends_beside_a_transaction(1);
}

/* A call that is over is no reason to leave anything. */
static void
what_the_kernel_wrote_before_is_put_back(void **state)
{
    unsigned status;

    (void)state;
    kernel_writes((void *)AT);
    status = IN_TX(write_word((void *)AT); TX_ABORT(1));
    assert_int_equal(status, EXPLICIT | 1u << 24);
    assert_memory_equal((void *)AT, "abcdefgh", 8);
}

/* What the kernel does behind the program's back no transaction would notice. */
static void
io_uring_is_refused(void **state)
{
    char params[120] = {0};

    (void)state;
    assert_int_equal(syscall(425 /* io_uring_setup */, 4, params), -1);
    assert_int_equal(errno, ENOSYS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_writes_to_reader),
        cmocka_unit_test(kernel_writes_to_writer),
        cmocka_unit_test(kernel_scatters_to_reader),
        cmocka_unit_test(slow_kernel_is_waited_for),
        cmocka_unit_test(kernel_reads_from_writer),
        cmocka_unit_test(kernel_reads_from_reader),
        cmocka_unit_test(clock_gettime_writes_to_reader),
        cmocka_unit_test(clock_gettime_in_transaction_writes_to_reader),
        cmocka_unit_test(system_call_elsewhere_does_not_conflict),
        cmocka_unit_test(io_uring_is_refused),
        cmocka_unit_test(process_writes_to_itself),
        cmocka_unit_test(process_reads_from_itself),
        cmocka_unit_test(what_the_kernel_wrote_meanwhile_stays),
        cmocka_unit_test(what_the_kernel_wrote_before_is_put_back),
    };

    if (pipe(pipe_fd) != 0) {
        puts("Bail out! no pipe");
        return 1;
    }
    return LITMUS_MAIN(tests);
}
