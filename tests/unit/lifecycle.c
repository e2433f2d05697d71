/* SPDX-License-Identifier: MIT
 *
 * What happens to a process while it uses locks: fork (nested, from a section, and without the C
 * library's handlers), vfork, posix_spawn, signals, faults, longjmp. Threads are in threads.c. Runs
 * natively and under rtmgrind (tests/unit/emulated.sh).
 */
#define _GNU_SOURCE
#include "elision/elision.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elision/core_priv.h"
#include "tests/unit/lifecycle.h"
#include "tests/unit/tap.h"

extern char **environ;

static _Atomic bool started, stop;

static void *
add_until_stopped(void *unused)
{
    while (!atomic_load(&stop)) {
        (void)elision_enter(&lock, &site);
        value++;
        value--;
        elision_leave(&lock);
        atomic_store(&started, true);
    }
    return unused;
}

/* --- Fork --------------------------------------------------------------------------------------*/

static int
fork_deeper(int depth)
{
    pid_t child = fork();

    if (child == 0) {
        int bad = works_here();
        _exit(bad != 0 ? bad : depth > 1 ? fork_deeper(depth - 1) : 0);
    }
    return status_of(child) == 0 ? 0 : 1;
}

static void
fork_to_depth_three_beside_a_busy_thread(void **unused)
{
    pthread_t thread;

    (void)unused;
    assert_int_equal(pthread_create(&thread, NULL, add_until_stopped, NULL), 0);
    /* A thread that starts holds the address sanitizer's own mutex, and a child of that moment
     * would wait for it for ever. */
    while (!atomic_load(&started)) {
        (void)sched_yield();
    }
    for (int i = 0; i < 5; i++) {
        /* The lock is held across fork, as pthread_atfork handlers of an embedder would: nobody
         * else is in the middle of a section in the child. */
        (void)elision_enter(&lock, &site);
        pid_t child = fork();
        if (child == 0) {
            elision_leave(&lock);
            int bad = works_here();
            _exit(bad != 0 ? bad : fork_deeper(2));
        }
        elision_leave(&lock);
        assert_int_equal(status_of(child), 0);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(lock.word_, 0);
}

static void
fork_in_a_section_is_inside_in_both(void **unused)
{
    (void)unused;
    (void)elision_enter(&lock, &site);
    value++;
    pid_t child = fork();
    if (child == 0) {
        bool good = elision_is_inside(&lock) && !elision_is_speculative() && lock.word_ != 0;
        elision_leave(&lock);
        good = good && lock.word_ == 0;
        _exit(good ? works_here() : 3);
    }
    assert_true(elision_is_inside(&lock));
    elision_leave(&lock);
    assert_int_equal(status_of(child), 0);
    assert_int_equal(value, 1);
}

static void *
enter_once(void *unused)
{
    (void)elision_enter(&lock, &site);
    elision_leave(&lock);
    return unused;
}

/* Hold the lock until another thread sleeps for it. */
static pthread_t
hold_until_awaited(void)
{
    uint64_t before, parks, handovers;
    pthread_t thread;

    elision_lock_stats(&lock, &before, &handovers);
    (void)elision_enter(&lock, &site);
    elision_irrevocable(&lock);
    assert_int_equal(pthread_create(&thread, NULL, enter_once, NULL), 0);
    do {
        (void)sched_yield();
        elision_lock_stats(&lock, &parks, &handovers);
    } while (parks == before);
    return thread;
}

/* In the child of a thread that is inside, and was waited for in the parent. ret: exit status */
static int
leave_and_be_awaited_anew(void)
{
    elision_leave(&lock);
    pthread_t waiting = hold_until_awaited(); /* not behind the parent's waiter */
    elision_leave(&lock);
    pthread_join(waiting, NULL);
    return lock.word_ != 0 ? 4 : works_here();
}

/* Who waited in the parent does not in the child, where others would wait behind it for ever. */
static void
a_child_forgets_who_waited(void **unused)
{
    (void)unused;
    pthread_t waiting = hold_until_awaited();
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        _exit(leave_and_be_awaited_anew());
    }
    elision_leave(&lock);
    pthread_join(waiting, NULL);
    assert_int_equal(status_of(child), 0);
}

static _Atomic uint32_t stays[2]; /* ids */

/* A thread that has a record and stays, outside its lock or inside. */
static void *
stay(void *where)
{
    static elision_lock_t own;
    bool inside = where == &stays[1];

    (void)elision_enter(&own, &site);
    elision_irrevocable(&own);
    if (!inside) {
        elision_leave(&own);
    }
    atomic_store((_Atomic uint32_t *)where, elision_self_->id);
    while (!atomic_load(&stop)) {
        (void)sched_yield();
    }
    if (inside) {
        elision_leave(&own);
    }
    return NULL;
}

/* In a child its thread is alone. It has its own record and that of who was inside, whose id is in
 * a lock; the others may be taken. ret: exit status */
static int
alone_with_the_records(void)
{
    for (struct elision_thread *at = elision_thread_first_(); at != NULL; at = at->next) {
        if (at->alive != (at == elision_self_ || at->id == stays[1])) {
            return 3;
        }
    }
    return elision_may_speculate_() ? 4 : works_here();
}

static void
a_child_has_the_records_of_who_was_inside(void **unused)
{
    pthread_t threads[2];

    (void)unused;
    (void)enter_once(NULL);
    atomic_store(&stop, false);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, stay, (void *)&stays[i]), 0);
        while (atomic_load(&stays[i]) == 0) {
            (void)sched_yield();
        }
    }
    pid_t child = fork();
    if (child == 0) {
        _exit(alone_with_the_records());
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(status_of(child), 0);
}

static void
fork_hooks_may_be_called_twice(void **unused)
{
    (void)unused;
    elision_atfork_prepare();
    pid_t child = fork();
    if (child == 0) {
        elision_atfork_child();
        _exit(works_here());
    }
    elision_atfork_parent();
    assert_int_equal(status_of(child), 0);
    assert_int_equal(works_here(), 0);
}

/* --- Children that run no pthread_atfork handlers ----------------------------------------------*/

static pid_t
clone_raw(void)
{
    return (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
}

/* A child by make_child, of a thread that is inside, while another one waits. */
static void
inside_and_awaited(pid_t (*make_child)(void))
{
    pthread_t waiting = hold_until_awaited();
    elision_atfork_prepare();
    pid_t child = make_child();
    if (child == 0) {
        alarm(10);
        elision_atfork_child();
        bool alone = elision_concurrency_ == 0;
        for (struct elision_thread *at = elision_thread_first_(); at != NULL; at = at->next) {
            alone = alone && (at == elision_self_ || !at->alive || at->inside != 0);
        }
        if (!alone || !elision_is_inside(&lock) || lock.word_ != elision_self_->id) {
            _exit(3);
        }
        _exit(leave_and_be_awaited_anew());
    }
    elision_atfork_parent();
    elision_leave(&lock);
    pthread_join(waiting, NULL);
    assert_int_equal(status_of(child), 0);
    assert_int_equal(works_here(), 0);
}

static void
hooks_called_around_raw_clone(void **unused)
{
    (void)unused;
    inside_and_awaited(clone_raw);
}

static void
hooks_called_around_underscore_fork(void **unused)
{
    (void)unused;
    inside_and_awaited(_Fork);
}

/* As when the first process of a namespace forks the first one of another. */
static void
a_child_may_have_its_parents_id(void **unused)
{
    (void)unused;
    pid_t child = fork();
    if (child == 0) {
        elision_atfork_prepare();
        elision_set_concurrency(7);
        elision_atfork_child();
        bool known = elision_concurrency_ == 0;
        elision_set_concurrency(7);
        elision_atfork_child();
        _exit(!known ? 3 : elision_concurrency_ != 7 ? 4 : works_here());
    }
    assert_int_equal(status_of(child), 0);
}

static void
child_counts_from_the_parents_sums(void **unused)
{
    struct elision_stats before;

    (void)unused;
    (void)add_thousand(NULL);
    elision_stats(&before);
    pid_t child = fork();
    if (child == 0) {
        struct elision_stats now;
        elision_stats(&now);
        _exit(now.commits + now.locked == before.commits + before.locked ? 0 : 1);
    }
    assert_int_equal(status_of(child), 0);
}

static void
vfork_from_a_section(void **unused)
{
    (void)unused;
    (void)elision_enter(&lock, &site);
    value++;
    pid_t child = vfork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    elision_leave(&lock);
    assert_int_equal(status_of(child), 0);
    assert_int_equal(value, 1);
}

static void
spawn_from_a_section(void **unused)
{
    char name[] = "true";
    char *arguments[] = {name, NULL};
    pid_t child = -1;

    (void)unused;
    (void)elision_enter(&lock, &site);
    value++;
    int error = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ);
    elision_leave(&lock);
    assert_int_equal(error, 0);
    assert_int_equal(status_of(child), 0);
    assert_int_equal(value, 1);
}

/* --- Signals and faults ------------------------------------------------------------------------*/

static _Atomic long signals;
static elision_lock_t handlers_lock;
static long handlers_value;

static void
on_alarm(int number)
{
    (void)number;
    (void)elision_enter(&handlers_lock, &site);
    handlers_value++;
    elision_leave(&handlers_lock);
    atomic_fetch_add(&signals, 1);
}

static void
signals_at_one_kilohertz(void **unused)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, 1000}, {0, 1000}};
    struct itimerval never = {{0, 0}, {0, 0}};
    long sections = 0;

    (void)unused;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    while (atomic_load(&signals) < 100) {
        (void)elision_enter(&lock, &site);
        for (int i = 0; i < 50; i++) {
            value++;
        }
        elision_leave(&lock);
        sections++;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    assert_int_equal(value, sections * 50);
    assert_int_equal(handlers_value, atomic_load(&signals));
    assert_int_equal(lock.word_ | handlers_lock.word_, 0);
}

/* The first touch of a page inside a section: it aborts, and is done with the lock held. */
static void
page_faults_in_a_section(void **unused)
{
    const size_t pages = 200;
    long page = sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, pages * (size_t)page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)unused;
    assert_ptr_not_equal(memory, MAP_FAILED);
    for (size_t i = 0; i < pages; i++) {
        (void)elision_enter(&lock, &site);
        memory[i * (size_t)page]++;
        elision_leave(&lock);
    }
    for (size_t i = 0; i < pages; i++) {
        assert_int_equal(memory[i * (size_t)page], 1);
    }
    munmap(memory, pages * (size_t)page);
}

static sigjmp_buf after_fault;

static void
on_fault(int number)
{
    (void)number;
    siglongjmp(after_fault, 1);
}

/* A wild write aborts the transaction; with the lock held the signal comes, as it would without
 * elision, and leaves the section by longjmp: the thread is still inside. */
static void
fault_in_a_section(void **unused)
{
    struct sigaction action = {.sa_handler = on_fault};
    struct sigaction before;
    char *volatile nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)unused;
    sigaction(SIGSEGV, &action, &before);
    if (sigsetjmp(after_fault, 1) == 0) {
        (void)elision_enter(&lock, &site);
        *nowhere = 1;
        fail_msg("the write went through");
    }
    sigaction(SIGSEGV, &before, NULL);
    assert_true(elision_is_inside(&lock));
    assert_false(elision_is_speculative());
    elision_leave(&lock);
    assert_int_equal(lock.word_, 0);
}

static void
longjmp_inside_a_section(void **unused)
{
    jmp_buf back;

    (void)unused;
    for (volatile int i = 0; i < 50; i++) {
        (void)elision_enter(&lock, &site);
        if (setjmp(back) == 0) {
            value++;
            longjmp(back, 1);
        }
        value++;
        elision_leave(&lock);
    }
    assert_int_equal(value, 100);
    assert_int_equal(lock.word_, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fork_to_depth_three_beside_a_busy_thread),
        TEST(fork_in_a_section_is_inside_in_both),
        TEST(a_child_forgets_who_waited),
        TEST(a_child_has_the_records_of_who_was_inside),
        TEST(fork_hooks_may_be_called_twice),
        TEST(hooks_called_around_raw_clone),
        TEST(hooks_called_around_underscore_fork),
        TEST(a_child_may_have_its_parents_id),
        TEST(child_counts_from_the_parents_sums),
        TEST(vfork_from_a_section),
        TEST(spawn_from_a_section),
        TEST(signals_at_one_kilohertz),
        TEST(page_faults_in_a_section),
        TEST(fault_in_a_section),
        TEST(longjmp_inside_a_section),
    };

    return RUN_TAP(tests, NULL, NULL);
}
