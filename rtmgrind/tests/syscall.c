/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * System calls abort with status 0 (SYSCALL is a ring transition, SDM volume 1, 16.3.8.1), are not
 * carried out, and succeed on the fallback path. Clock reads are code in the vDSO and RDTSC, and do
 * not abort. So do fork, vfork, clone, exec and the end of a thread.
 */

#include "rtmgrind/tests/litmus.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct line data;

INLINE long
raw(long no, long a, long b, long c)
{
    long ret;

    __asm__ volatile("xor %%r10d, %%r10d\n\tsyscall"
                     : "=a"(ret)
                     : "0"(no), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "r10", "memory");
    return ret;
}

#define ABORTS(name, no, a, b, c)                           \
    static void name##_aborts(void **state)                 \
    {                                                       \
        unsigned status;                                    \
        (void)state;                                        \
        data.word[0] = 1;                                   \
        status = IN_TX({                                    \
            data.word[0] = 2;                               \
            (void)raw(no, (long)(a), (long)(b), (long)(c)); \
        });                                                 \
        assert_int_equal(status, 0);                        \
        assert_int_equal(data.word[0], 1);                  \
    }

static const struct timespec one_ns = {0, 1};
static int futex_word;

ABORTS(getppid, SYS_getppid, 0, 0, 0)
ABORTS(write, SYS_write, -1, "x", 1)
ABORTS(futex_wake, SYS_futex, &futex_word, 129, 1)
ABORTS(sched_yield, SYS_sched_yield, 0, 0, 0)
ABORTS(nanosleep, SYS_nanosleep, &one_ns, 0, 0)
ABORTS(mmap, SYS_mmap, 0, 4096, 0)
ABORTS(unknown_number, 9999, 0, 0, 0)
ABORTS(thread_cpu_clock, SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &data.word[2], 0)
ABORTS(fork, SYS_fork, 0, 0, 0)
ABORTS(vfork, SYS_vfork, 0, 0, 0)
ABORTS(clone3, SYS_clone3, 0, 0, 0)
ABORTS(execve, SYS_execve, "/bin/false", 0, 0)
ABORTS(exit, SYS_exit, 7, 0, 0)
ABORTS(exit_group, SYS_exit_group, 7, 0, 0)

/* Not carried out: what would be written is not. */
static void
aborted_call_has_no_effect(void **state)
{
    int fd[2];
    char c;

    (void)state;
    assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
    assert_int_equal(IN_TX((void)raw(SYS_write, fd[1], (long)"x", 1)), 0);
    assert_int_equal(read(fd[0], &c, 1), -1);
    assert_int_equal(errno, EAGAIN);
    close(fd[0]);
    close(fd[1]);
}

static void
call_works_on_the_fallback_path(void **state)
{
    long ret = 0;

    (void)state;
    if (tx_begin() == STARTED) {
        (void)raw(SYS_getppid, 0, 0, 0);
        tx_end();
    }
    else {
        ret = raw(SYS_getppid, 0, 0, 0);
    }
    assert_int_equal(ret, getppid());
}

static void
legacy_int_0x80_aborts(void **state)
{
    (void)state;
    assert_int_equal(IN_TX(__asm__ volatile("int $0x80" : : "a"(20) : "memory")), 0);
}

/* ------------------------------------------------------------------ */
/* Friendly                                                            */

static void
clock_gettime_commits(void **state)
{
    struct timespec ts = {0, 0}, after;
    unsigned status;

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &after); /* resolves the symbol */
    status = IN_TX(clock_gettime(CLOCK_MONOTONIC, &ts));
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_int_equal(status, STARTED);
    assert_true(ts.tv_sec > 0);
    assert_true(after.tv_sec > ts.tv_sec ||
                (after.tv_sec == ts.tv_sec && after.tv_nsec >= ts.tv_nsec));
}

static void
gettimeofday_commits(void **state)
{
    struct timeval tv = {0, 0};

    (void)state;
    gettimeofday(&tv, NULL);
    tv.tv_sec = 0;
    assert_int_equal(IN_TX(gettimeofday(&tv, NULL)), STARTED);
    assert_true(tv.tv_sec > 0);
}

static void
time_commits(void **state)
{
    time_t t = time(NULL);

    (void)state;
    assert_int_equal(IN_TX(t = time(NULL)), STARTED);
    assert_true(t > 0);
}

static void
getcpu_commits(void **state)
{
    int cpu = sched_getcpu();

    (void)state;
    assert_int_equal(IN_TX(cpu = sched_getcpu()), STARTED);
    assert_true(cpu >= 0);
}

static void
clock_result_is_rolled_back(void **state)
{
    struct timespec ts = {1, 2};

    (void)state;
    (void)IN_TX({
        clock_gettime(CLOCK_MONOTONIC, &ts);
        TX_ABORT(1);
    });
    assert_int_equal(ts.tv_sec, 1);
    assert_int_equal(ts.tv_nsec, 2);
}

static void
rdtsc_commits_and_advances(void **state)
{
    uint64_t a = 0, b = 0;

    (void)state;
    assert_int_equal(IN_TX({
                         a = now();
                         b = now();
                     }),
                     STARTED);
    assert_true(b > a);
}

static void
time_does_not_roll_back(void **state)
{
    const uint64_t before = now();

    (void)state;
    (void)IN_TX({
        wait_until(before + 5000);
        TX_ABORT(1);
    });
    assert_true(now() >= before + 5000);
}

/* ------------------------------------------------------------------ */
/* Processes and threads                                               */

/* A child made on the fallback path sees what was there before, and has transactions of its own. */
static void
fork_after_abort(void **state)
{
    int wait_status;
    pid_t child;

    (void)state;
    data.word[0] = 1;
    if (tx_begin() == STARTED) {
        data.word[0] = 2;
        (void)raw(SYS_fork, 0, 0, 0);
        tx_end();
    }
    child = fork();
    if (child == 0) {
        const unsigned status = IN_TX(data.word[1] = 5);
        _exit(data.word[0] == 1 && tx_test() == 0 && status == STARTED && data.word[1] == 5 ? 21
                                                                                            : 1);
    }
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_true(WIFEXITED(wait_status));
    assert_int_equal(WEXITSTATUS(wait_status), 21);
}

static void
vfork_and_exec_after_abort(void **state)
{
    int wait_status;
    pid_t child;

    (void)state;
    (void)IN_TX((void)raw(SYS_execve, (long)"/bin/false", 0, 0));
    child = vfork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 23", (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_int_equal(WEXITSTATUS(wait_status), 23);
}

static void *
exit_inside(void *p)
{
    unsigned *status = p;

    *status = tx_begin();
    if (*status == STARTED) {
        (void)raw(SYS_exit, 0, 0, 0);
        tx_end();
    }
    return NULL;
}

static void
thread_exit_inside_aborts(void **state)
{
    pthread_t t;
    unsigned status = STARTED;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, exit_inside, &status), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(status, 0);
}

static void
create_thread_inside_aborts(void **state)
{
    (void)state;
    assert_int_equal(IN_TX((void)raw(SYS_clone, SIGCHLD, 0, 0)), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child was made */
}

/* A fork by one thread aborts the others' transactions: their pages become read-only. */
static void
fork_it(void *arg)
{
    pid_t child = fork();

    (void)arg;
    if (child == 0) {
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void
write_it(void *arg)
{
    ((struct line *)arg)->word[0] = 99;
}

static void
fork_by_another_thread_aborts(void **state)
{
    struct duel d = {.touch = write_it, .disturb = fork_it, .arg = &data};

    (void)state;
    data.word[0] = 1;
    duel_run(&d);
    assert_int_equal(d.victim, 0);
    assert_int_equal(data.word[0], 1);
}

/* So does a change of mappings: the kernel interrupts every core for it. */
static void
protect(void *arg)
{
    static _Alignas(4096) char page[4096];

    (void)arg;
    mprotect(page, sizeof page, PROT_READ | PROT_WRITE);
}

static void
mprotect_by_another_thread_aborts(void **state)
{
    struct duel d = {.touch = write_it, .disturb = protect, .arg = &data};

    (void)state;
    data.word[0] = 1;
    duel_run(&d);
    assert_int_equal(d.victim, 0);
    assert_int_equal(data.word[0], 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(getppid_aborts),
        cmocka_unit_test(write_aborts),
        cmocka_unit_test(futex_wake_aborts),
        cmocka_unit_test(sched_yield_aborts),
        cmocka_unit_test(nanosleep_aborts),
        cmocka_unit_test(mmap_aborts),
        cmocka_unit_test(unknown_number_aborts),
        cmocka_unit_test(thread_cpu_clock_aborts),
        cmocka_unit_test(fork_aborts),
        cmocka_unit_test(vfork_aborts),
        cmocka_unit_test(clone3_aborts),
        cmocka_unit_test(execve_aborts),
        cmocka_unit_test(exit_aborts),
        cmocka_unit_test(exit_group_aborts),
        cmocka_unit_test(aborted_call_has_no_effect),
        cmocka_unit_test(call_works_on_the_fallback_path),
        cmocka_unit_test(legacy_int_0x80_aborts),
        cmocka_unit_test(clock_gettime_commits),
        cmocka_unit_test(gettimeofday_commits),
        cmocka_unit_test(time_commits),
        cmocka_unit_test(getcpu_commits),
        cmocka_unit_test(clock_result_is_rolled_back),
        cmocka_unit_test(rdtsc_commits_and_advances),
        cmocka_unit_test(time_does_not_roll_back),
        cmocka_unit_test(fork_after_abort),
        cmocka_unit_test(vfork_and_exec_after_abort),
        cmocka_unit_test(thread_exit_inside_aborts),
        cmocka_unit_test(create_thread_inside_aborts),
        cmocka_unit_test(fork_by_another_thread_aborts),
        cmocka_unit_test(mprotect_by_another_thread_aborts),
    };

    return LITMUS_MAIN(tests);
}
