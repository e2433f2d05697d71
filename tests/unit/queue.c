/* SPDX-License-Identifier: MIT
 *
 * The fallback lock's queue: watchers and lockers in it, who is sent away, what a child of fork has
 * of it. Each release that nobody else would make up for is made by whoever leaves the queue.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/lock.h"

static void *
watch(void *arg)
{
    (void)elision_fallback_watch_(&lock);
    atomic_fetch_or(&entered, (unsigned)(uintptr_t)arg);
    return NULL;
}

static void
watchers_do_not_write_the_word(void **unused)
{
    pthread_t threads[20];

    (void)unused;
    assert_true(elision_fallback_try_(&lock, 99));
    for (unsigned i = 0; i < 20; i++) {
        threads[i] = start(watch, 1u << i);
        wait_for_sleepers(i + 1);
        assert_int_equal(lock.word, 99);
    }
    /* One release wakes all of them, more than fit one round. */
    elision_fallback_release_(&lock);
    for (int i = 0; i < 20; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(entered, (1u << 20) - 1);
    assert_int_equal(lock.word, 0);
    assert_null(lock.head);
}

static void
watchers_and_lockers_mixed(void **unused)
{
    pthread_t threads[9];

    (void)unused;
    assert_true(elision_fallback_try_(&lock, 99));
    for (uintptr_t i = 0; i < 9; i++) {
        threads[i] = i % 3 == 0 ? start(acquire_and_release, i + 1) : start(watch, 1u << i);
        wait_for_sleepers(i + 1);
    }
    elision_fallback_release_(&lock);
    for (int i = 0; i < 9; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(entered, (1u << 9) - 1);
    assert_int_equal(lock.word, 0);
    assert_null(lock.head);
}

/* --- Leaving the queue --------------------------------------------------------------------------*/

static _Atomic bool stopped, go_on;

/* Holds a thread up where it is, so that it has been told something and has not looked yet. */
static void
stop(int signal)
{
    (void)signal;
    atomic_store(&stopped, true);
    while (!atomic_load(&go_on)) {
        (void)sched_yield();
    }
}

static void
hold_up(pthread_t thread)
{
    const struct sigaction action = {.sa_handler = stop};

    atomic_store(&stopped, false);
    atomic_store(&go_on, false);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
    while (!atomic_load(&stopped)) {
        (void)sched_yield();
    }
}

static _Atomic unsigned sent; /* bit per waiter that came back without the lock */

static void *
acquire_or_be_sent(void *arg)
{
    uint32_t id = (uint32_t)(uintptr_t)arg;

    if (elision_fallback_acquire_slow_(&lock, id, true).sent) {
        atomic_fetch_or(&sent, 1u << (id - 1));
        return NULL;
    }
    elision_fallback_release_(&lock);
    return NULL;
}

/* A release has told the head, and that is sent away before it looks: nobody else will come to tell
 * the one behind it, who must stay. */
static void
who_is_sent_away_leaves_nobody_asleep(void **unused)
{
    (void)unused;
    atomic_store(&sent, 0);
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t goes = start(acquire_or_be_sent, 1);
    wait_for_sleepers(1);
    pthread_t stays = start(acquire_and_release, 2);
    wait_for_sleepers(2);
    hold_up(goes);
    elision_fallback_release_(&lock);
    assert_int_equal(lock.attention, 0);
    elision_fallback_send_away_(&lock);
    assert_int_equal(lock.attention, 0); /* the other has been told, and may have been in since */
    pthread_join(stays, NULL);
    atomic_store(&go_on, true);
    pthread_join(goes, NULL);
    assert_int_equal(sent, 1);
    assert_int_equal(entered, 2);
    assert_null(lock.head);
}

static void
interrupt(int signal)
{
    (void)signal;
}

/* The holder looked at attention before the watcher set it, and freed the word afterwards: stores
 * may pass loads. The watcher finds the word free and does not want it, so it tells the next. */
static void
who_has_seen_it_free_leaves_nobody_asleep(void **unused)
{
    const struct sigaction action = {.sa_handler = interrupt}; /* ends the sleep */

    (void)unused;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t watcher = start(watch, 1);
    wait_for_sleepers(1);
    pthread_t locker = start(acquire_and_release, 2);
    wait_for_sleepers(2);
    atomic_store(&lock.word, 0);
    while ((atomic_load(&entered) & 1) == 0) {
        (void)pthread_kill(watcher, SIGUSR1);
        (void)sched_yield();
    }
    pthread_join(watcher, NULL);
    assert_int_equal(lock.attention, 0);
    pthread_join(locker, NULL);
    assert_int_equal(entered, 3);
    assert_null(lock.head);
}

/* A child has the word as it was, and none of the waiters. */
static void
fork_drops_the_queue(void **unused)
{
    (void)unused;
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t thread = start(acquire_and_release, 1);
    wait_for_sleepers(1);
    pid_t child = fork();
    if (child == 0) {
        elision_fallback_forked_();
        elision_fallback_release_(&lock);
        bool good = lock.word == 0 && lock.head == NULL && lock.attention == 0;
        (void)elision_fallback_acquire_(&lock, 5);
        good = good && lock.word == 5;
        elision_fallback_release_(&lock);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    elision_fallback_release_(&lock);
    pthread_join(thread, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(watchers_do_not_write_the_word),
        TEST(watchers_and_lockers_mixed),
        TEST(who_is_sent_away_leaves_nobody_asleep),
        TEST(who_has_seen_it_free_leaves_nobody_asleep),
        TEST(fork_drops_the_queue),
    };

    elision_park_init_();
    return RUN_TAP(tests, NULL, NULL);
}
