/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Threads' code runs on whatever host thread is at hand (rtm_ride.c); faults, signals and system
 * calls find the thread they belong to all the same.
 */

#include "rtmgrind/tests/litmus.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEAM = 4, ROUNDS = 50, PAGE = 4096 };

static _Thread_local sigjmp_buf back;
static _Thread_local volatile int faults, signals, me = -1;
static volatile char *forbidden; /* a page for each thread */
static atomic_int ready, done, wrong, doomed;
static volatile int *volatile nowhere = (volatile int *)8;
static pthread_t team[TEAM];

/* Computes for so many cycles, across many turns. */
static void
compute(long n)
{
    __asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(n) : : "cc");
}

static void
on_fault(int sig, siginfo_t *info, void *uc)
{
    (void)sig, (void)uc;
    if (info->si_addr != (void *)(forbidden + me * PAGE)) {
        atomic_fetch_add(&wrong, 1);
    }
    faults++;
    siglongjmp(back, 1);
}

static void
handle(int sig, void (*fn)(int, siginfo_t *, void *))
{
    struct sigaction sa = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO | SA_NODEFER};

    assert_int_equal(sigaction(sig, &sa, NULL), 0);
}

static void
run(void *(*body)(void *))
{
    intptr_t i;

    atomic_store(&ready, 0);
    atomic_store(&done, 0);
    atomic_store(&wrong, 0);
    for (i = 0; i < TEAM; i++) {
        assert_int_equal(pthread_create(&team[i], NULL, body, (void *)i), 0);
    }
}

static void
join(void)
{
    int i;

    for (i = 0; i < TEAM; i++) {
        assert_int_equal(pthread_join(team[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&wrong), 0);
}

/* ------------------------------------------------------------------ */

static void *
fault_often(void *p)
{
    int i;

    me = (int)(intptr_t)p;
    for (i = 0; i < ROUNDS; i++) {
        compute(500 + 70 * me);
        if (sigsetjmp(back, 1) == 0) {
            (void)forbidden[me * PAGE];
            atomic_fetch_add(&wrong, 1);
        }
    }
    if (faults != ROUNDS) {
        atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

static void
faults_reach_their_thread(void **state)
{
    (void)state;
    forbidden = mmap(NULL, TEAM * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(forbidden, MAP_FAILED);
    handle(SIGSEGV, on_fault);
    run(fault_often);
    join();
    signal(SIGSEGV, SIG_DFL);
    munmap((void *)forbidden, TEAM * PAGE);
}

/* ------------------------------------------------------------------ */

static void *
call_often(void *p)
{
    const pid_t tid = (pid_t)syscall(SYS_gettid);

    (void)p;
    while (!atomic_load(&done)) {
        compute(300);
        if (syscall(SYS_gettid) != tid) {
            atomic_fetch_add(&wrong, 1);
        }
    }
    return NULL;
}

static void
system_calls_are_their_threads(void **state)
{
    (void)state;
    run(call_often);
    compute(300000);
    atomic_store(&done, 1);
    join();
}

static __attribute__((noinline)) int
deepen(int n)
{
    volatile char frame[PAGE];
    int below;

    compute(200);
    frame[0] = 1;
    below = n > 1 ? deepen(n - 1) : 0;
    return below + frame[0]; /* each frame is needed to the end */
}

/* While the others' host threads run its code. */
static void
main_stack_grows(void **state)
{
    (void)state;
    run(call_often);
    assert_int_equal(deepen(1000), 1000);
    atomic_store(&done, 1);
    join();
}

/* ------------------------------------------------------------------ */

static void
on_signal(int sig, siginfo_t *info, void *uc)
{
    (void)sig, (void)uc;
    if (me < 0 || info->si_code != SI_TKILL) {
        atomic_fetch_add(&wrong, 1);
    }
    signals++;
    atomic_fetch_add(&done, 1);
}

static void *
spin(void *p)
{
    me = (int)(intptr_t)p;
    atomic_fetch_add(&ready, 1);
    while (signals < ROUNDS) {
        compute(100);
    }
    return NULL;
}

/* Each signal reaches the thread it was sent to, which makes no system call. */
static void
signal_each(int sig)
{
    int i, round;

    handle(sig, on_signal);
    run(spin);
    while (atomic_load(&ready) < TEAM) {
        compute(100);
    }
    for (round = 1; round <= ROUNDS; round++) {
        for (i = 0; i < TEAM; i++) {
            assert_int_equal(pthread_kill(team[i], sig), 0);
        }
        while (atomic_load(&done) < round * TEAM) {
            compute(100);
        }
    }
    join();
    signal(sig, SIG_DFL);
}

static void
signals_reach_their_thread(void **state)
{
    (void)state;
    signal_each(SIGUSR1);
}

/* The host thread that it hits may be running another thread's code. */
static void
sent_faults_reach_their_thread(void **state)
{
    (void)state;
    signal_each(SIGSEGV);
}

/* ------------------------------------------------------------------ */

static void *
spin_for_ever(void *p)
{
    atomic_fetch_add(&ready, 1);
    while (!p || !atomic_load(&doomed)) {
        compute(100);
    }
    *nowhere = 0;
    return p;
}

/* A child whose threads make no system call any more; then its main thread does last(). Returns
 * its status. */
static int
end_of_child(void (*last)(void), int sig)
{
    int fd[2], status;
    char c;
    pid_t child;

    assert_int_equal(pipe(fd), 0);
    child = fork();
    if (child == 0) {
        run(spin_for_ever);
        while (atomic_load(&ready) < TEAM) {
            compute(100);
        }
        (void)!write(fd[1], "x", 1);
        last();
    }
    assert_int_equal(read(fd[0], &c, 1), 1);
    if (sig) {
        kill(child, sig);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    close(fd[0]);
    close(fd[1]);
    return status;
}

static void
spin_too(void)
{
    spin_for_ever(NULL);
}

static void
wait_for_them(void)
{
    pthread_join(team[0], NULL);
}

static void
leave(void)
{
    _exit(3);
}

static void
crash(void)
{
    *nowhere = 0;
}

static void
doom_the_others(void)
{
    atomic_store(&doomed, 1);
    spin_for_ever(NULL);
}

static void
signals_end_spinning_programs(void **state)
{
    (void)state;
    assert_int_equal(end_of_child(spin_too, SIGTERM), SIGTERM);
    assert_int_equal(end_of_child(wait_for_them, SIGTERM), SIGTERM);
}

static void
exit_ends_spinning_programs(void **state)
{
    (void)state;
    assert_int_equal(end_of_child(leave, 0), 3 << 8);
}

static void
faults_end_spinning_programs(void **state)
{
    (void)state;
    signal(SIGSEGV, SIG_DFL);                                 /* not cmocka's */
    assert_int_equal(end_of_child(crash, 0) & 0x7f, SIGSEGV); /* without the core's bit */
    assert_int_equal(end_of_child(doom_the_others, 0) & 0x7f, SIGSEGV);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_reach_their_thread),
        cmocka_unit_test(system_calls_are_their_threads),
        cmocka_unit_test(main_stack_grows),
        cmocka_unit_test(signals_reach_their_thread),
        cmocka_unit_test(sent_faults_reach_their_thread),
        cmocka_unit_test(signals_end_spinning_programs),
        cmocka_unit_test(exit_ends_spinning_programs),
        cmocka_unit_test(faults_end_spinning_programs),
    };

    return LITMUS_MAIN(tests);
}
