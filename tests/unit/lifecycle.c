/* SPDX-License-Identifier: MIT
 *
 * What happens to a process and its threads while they use locks: fork (nested, and from a
 * section), vfork, posix_spawn, signals, faults, cancellation, thread exit, longjmp, the end of the
 * process. Runs natively and under rtmgrind (tests/unit/emulated.sh).
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
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/tap.h"

extern char **environ;

static elision_lock_t lock;
static elision_site_t site = ELISION_SITE_INIT("lifecycle");
static long value;
static _Atomic bool stop;

static int
reset(void **unused)
{
    static const elision_lock_t fresh = ELISION_LOCK_INIT;

    (void)unused;
    lock = fresh;
    value = 0;
    atomic_store(&stop, false);
    elision_set_concurrency(2);
    return 0;
}

static void *
add_until_stopped(void *unused)
{
    while (!atomic_load(&stop)) {
        (void)elision_enter(&lock, &site);
        value++;
        value--;
        elision_leave(&lock);
    }
    return unused;
}

static void *
add_thousand(void *unused)
{
    for (int i = 0; i < 1000; i++) {
        (void)elision_enter(&lock, &site);
        value++;
        elision_leave(&lock);
    }
    return unused;
}

static int
status_of(pid_t child)
{
    int status = -1;

    if (waitpid(child, &status, 0) != child) {
        return -1;
    }
    return status;
}

/* In a child: two threads add, and the sum must be right. ret: exit status */
static int
works_here(void)
{
    pthread_t threads[2];
    long before = value;

    elision_set_concurrency(2);
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, add_thousand, NULL) != 0) {
            return 2;
        }
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    return value == before + 2000 && lock.word_ == 0 ? 0 : 1;
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

/* --- Threads -----------------------------------------------------------------------------------*/

static void
leave_on_cancel(void *unused)
{
    (void)unused;
    elision_leave(&lock);
}

static _Atomic bool ready;

static void *
be_cancelled(void *unused)
{
    (void)elision_enter(&lock, &site);
    pthread_cleanup_push(leave_on_cancel, NULL);
    elision_irrevocable(&lock);
    atomic_store(&ready, true);
    for (;;) {
        pause();
    }
    pthread_cleanup_pop(1);
    return unused;
}

static void
cancelled_in_a_section(void **unused)
{
    pthread_t thread;
    void *result = NULL;

    (void)unused;
    atomic_store(&ready, false);
    assert_int_equal(pthread_create(&thread, NULL, be_cancelled, NULL), 0);
    while (!atomic_load(&ready)) {
        sched_yield();
    }
    pthread_cancel(thread);
    pthread_join(thread, &result);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_int_equal(lock.word_, 0);
    assert_int_equal(works_here(), 0);
}

static void *
exit_inside(void *unused)
{
    (void)elision_enter(&lock, &site);
    pthread_exit(unused);
}

/* The lock stays held, as with a mutex; and the process says so. */
static void
thread_exit_in_a_section(void **unused)
{
    char text[1024] = "";
    int ends[2];

    (void)unused;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        dup2(ends[1], STDERR_FILENO);
        pthread_create(&thread, NULL, exit_inside, NULL);
        pthread_join(thread, NULL);
        _exit(lock.word_ != 0 && elision_try_enter(&lock, &site) == ELISION_BUSY ? 0 : 1);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t n; (n = read(ends[0], text + length, sizeof(text) - 1 - length)) > 0;) {
        length += (size_t)n;
    }
    close(ends[0]);
    assert_int_equal(status_of(child), 0);
    assert_non_null(strstr(text, "ended inside a section"));
}

/* Records are reused: many threads one after another do not use more and more memory, and what
 * they counted stays. */
static void
threads_come_and_go(void **unused)
{
    struct elision_stats before, after;

    (void)unused;
    elision_stats(&before);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, add_thousand, NULL), 0);
        pthread_join(thread, NULL);
    }
    elision_stats(&after);
    assert_int_equal(after.commits + after.locked - before.commits - before.locked, 50000);
    assert_int_equal(after.threads - before.threads, 50);
}

static pthread_key_t key;

static void
enter_in_destructor(void *unused)
{
    (void)unused;
    (void)elision_enter(&lock, &site);
    value++;
    elision_leave(&lock);
}

static void *
with_destructor(void *unused)
{
    (void)unused;
    pthread_setspecific(key, &lock);
    return add_thousand(NULL);
}

static void
sections_in_thread_destructors(void **unused)
{
    pthread_t thread;

    (void)unused;
    pthread_key_create(&key, enter_in_destructor);
    assert_int_equal(pthread_create(&thread, NULL, with_destructor, NULL), 0);
    pthread_join(thread, NULL);
    pthread_key_delete(key);
    assert_int_equal(value, 1001);
    assert_int_equal(lock.word_, 0);
}

static void *
never_ends(void *unused)
{
    for (;;) {
        (void)elision_enter(&lock, &site);
        value++;
        elision_leave(&lock);
    }
    return unused;
}

static void
enter_at_exit(void)
{
    (void)elision_enter(&lock, &site);
    value++;
    elision_leave(&lock);
}

/* The end of the process, with other threads still in sections and an atexit handler. */
static void
process_ends_beside_daemon_threads(void **unused)
{
    (void)unused;
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            atexit(enter_at_exit);
            pthread_create(&thread, NULL, never_ends, NULL);
            pthread_create(&thread, NULL, never_ends, NULL);
            (void)add_thousand(NULL);
            fclose(stdout);
            exit(0);
        }
        assert_int_equal(status_of(child), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fork_to_depth_three_beside_a_busy_thread),
        TEST(fork_in_a_section_is_inside_in_both),
        TEST(fork_hooks_may_be_called_twice),
        TEST(child_counts_from_the_parents_sums),
        TEST(vfork_from_a_section),
        TEST(spawn_from_a_section),
        TEST(signals_at_one_kilohertz),
        TEST(page_faults_in_a_section),
        TEST(fault_in_a_section),
        TEST(longjmp_inside_a_section),
        TEST(cancelled_in_a_section),
        TEST(thread_exit_in_a_section),
        TEST(threads_come_and_go),
        TEST(sections_in_thread_destructors),
        TEST(process_ends_beside_daemon_threads),
    };

    return RUN_TAP(tests, NULL, NULL);
}
