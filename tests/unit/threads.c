/* SPDX-License-Identifier: MIT
 *
 * What happens to threads while they use locks: cancellation, exit, destructors, many of them one
 * after another, the end of the process. Runs natively and under rtmgrind
 * (tests/unit/emulated.sh).
 */
#define _GNU_SOURCE
#include "elision/elision.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/lifecycle.h"
#include "tests/unit/tap.h"

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

/* Somebody writes the line that sections read, without end. */
static _Atomic long disturbed;
static _Atomic bool undisturbed;

static void *
disturb(void *unused)
{
    while (!atomic_load(&undisturbed)) {
        atomic_fetch_add(&disturbed, 1);
        for (volatile int i = 0; i < 40; i++) {
        }
    }
    return unused;
}

/* A section knows how many of its own transactions conflicts have undone: as many as its site
 * counts meanwhile. */
static void
sections_know_their_conflicts(void **unused)
{
    static elision_site_t fresh = ELISION_SITE_INIT("disturbed");
    pthread_t thread;
    unsigned most = 0;

    (void)unused;
    elision_set_concurrency(2);
    pthread_create(&thread, NULL, disturb, NULL);
    for (int i = 0; i < 200; i++) {
        struct elision_stats before, after;
        elision_site_stats(&fresh, &before);
        (void)elision_enter(&lock, &fresh);
        for (volatile int k = 0; k < 20; k++) {
            value += atomic_load_explicit(&disturbed, memory_order_relaxed) != 0;
        }
        unsigned conflicts = elision_section_conflicts();
        elision_leave(&lock);
        elision_site_stats(&fresh, &after);
        assert_int_equal(after.aborts[ELISION_ABORT_CONFLICT] -
                             before.aborts[ELISION_ABORT_CONFLICT],
                         conflicts);
        most = conflicts > most ? conflicts : most;
    }
    atomic_store(&undisturbed, true);
    pthread_join(thread, NULL);
    elision_set_concurrency(0);
    print_message("# at most %u conflicts in a section\n", most);
    assert_true(elision_verdict()->can_elide ? most > 0 : most == 0);
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cancelled_in_a_section),        TEST(thread_exit_in_a_section),
        TEST(threads_come_and_go),           TEST(sections_in_thread_destructors),
        TEST(sections_know_their_conflicts), TEST(process_ends_beside_daemon_threads),
    };

    return RUN_TAP(tests, NULL, NULL);
}
