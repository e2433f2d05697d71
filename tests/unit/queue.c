/* SPDX-License-Identifier: MIT
 *
 * The fallback lock's queue: watchers and lockers in it, who is sent away, what a child of fork has
 * of it. Each release that nobody else would make up for is made by whoever leaves the queue.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/lock.h"

/* Calls of the lock's that show nowhere else are counted on their way (--wrap, see build.mk). */
static _Atomic unsigned fences, wakes;
static _Atomic uint64_t clock_ns; /* what the lock takes for the time */
static _Atomic bool refused;      /* the kernel makes no fences */
static _Atomic bool freed;        /* the lock becomes free while a waiter makes its fence */

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
bool __real_elision_park_fence_heavy_(void);
bool __wrap_elision_park_fence_heavy_(void);
void __real_elision_park_wake_(_Atomic uint32_t *word);
void __wrap_elision_park_wake_(_Atomic uint32_t *word);

int
__wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    uint64_t ns = atomic_load(&clock_ns);

    (void)clock;
    *now = (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    return 0;
}

bool
__wrap_elision_park_fence_heavy_(void)
{
    atomic_fetch_add(&fences, 1);
    if (atomic_load(&freed)) {
        atomic_store(&lock.word, 0);
    }
    return __real_elision_park_fence_heavy_() && !atomic_load(&refused);
}

void
__wrap_elision_park_wake_(_Atomic uint32_t *word)
{
    atomic_fetch_add(&wakes, 1);
    __real_elision_park_wake_(word);
}

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
    atomic_store(&fences, 0);
    for (unsigned i = 0; i < 20; i++) {
        threads[i] = start(watch, 1u << i);
        wait_for_sleepers(i + 1);
        assert_int_equal(lock.word, 99);
    }
    assert_int_equal(fences, 20); /* each may find itself the head, of a queue that changes */
    /* One release wakes all of them, more than fit one round, and nobody else. */
    atomic_store(&wakes, 0);
    elision_fallback_release_(&lock);
    for (int i = 0; i < 20; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(entered, (1u << 20) - 1);
    assert_int_equal(wakes, 20);
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

static void
interrupt(int signal)
{
    (void)signal;
}

/* Wake a sleeper that is told nothing, until it has looked around and sleeps again; twice, since it
 * may have been about to sleep. */
static void
disturb(pthread_t thread)
{
    const struct sigaction action = {.sa_handler = interrupt};
    uint64_t parks = atomic_load(&lock.parks);

    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    while (atomic_load(&lock.parks) < parks + 2) {
        (void)pthread_kill(thread, SIGUSR1);
        (void)sched_yield();
    }
}

/* A hand-over is asked for when the interval is over by the clock, counted from the first sleep or
 * from when the lock was lost, and asked for again after another one. */
static void
the_interval_is_by_the_clock(void **unused)
{
    (void)unused;
    elision_fallback_passes_ = 100;
    lock.interval = 2500000000;
    atomic_store(&clock_ns, 10900000000);
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t thread = start(acquire_and_release, 1);
    wait_for_sleepers(1);
    for (int round = 0; round < 2; round++) {
        disturb(thread);
        atomic_fetch_add(&clock_ns, 2499999999);
        disturb(thread);
        assert_int_equal(lock.handover, 0);
        atomic_fetch_add(&clock_ns, 1);
        disturb(thread);
        assert_int_equal(lock.handover, 1);
        atomic_store(&lock.handover, 0);
    }
    atomic_fetch_add(&clock_ns, 2499999999);
    disturb(thread);
    uint64_t parks = atomic_load(&lock.parks);
    elision_fallback_release_slow_(&lock, true);
    wait_for_sleepers(parks + 1);
    atomic_fetch_add(&clock_ns, 1);
    disturb(thread);
    assert_int_equal(lock.handover, 0);
    elision_fallback_release_(&lock);
    pthread_join(thread, NULL);
}

/* A head that was woken and lost marks itself anew, so it needs another fence before it sleeps, or
 * a release could miss the mark and it the free word. Told once it has lost once, and sleeps. */
static void
who_has_lost_starts_anew(void **unused)
{
    (void)unused;
    elision_fallback_passes_ = 4;
    assert_true(elision_fallback_try_(&lock, 99));
    atomic_store(&fences, 0);
    pthread_t thread = start(acquire_and_release, 1);
    wait_for_sleepers(1);
    for (unsigned lost = 1; lost <= 3; lost++) {
        assert_int_equal(fences, lost);
        elision_fallback_release_slow_(&lock, true);
        while (atomic_load(&lock.parks) <= lost && atomic_load(&fences) <= lost + 1) {
            (void)sched_yield();
        }
    }
    elision_fallback_release_(&lock);
    pthread_join(thread, NULL);
    assert_int_equal(lock.handovers, 0);
    assert_int_equal(lock.parks, 4);
}

/* A release that was missed is found all the same, since nobody sleeps for long then. */
static void
who_gets_no_fence_looks_again(void **unused)
{
    (void)unused;
    atomic_store(&refused, true);
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t thread = start(acquire_and_release, 1);
    wait_for_sleepers(3);
    atomic_store(&lock.word, 0);
    pthread_join(thread, NULL);
    atomic_store(&refused, false);
    assert_int_equal(entered, 1);
}

/* The lock is held while one waits for it, and is free again when it has slept for so long.
 * ret:   the lock's patience then */
static uint32_t
patience_after(uint64_t slept)
{
    uint64_t parks = atomic_load(&lock.parks);

    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t thread = start(acquire_and_release, 1);
    wait_for_sleepers(parks + 1);
    atomic_fetch_add(&clock_ns, slept);
    elision_fallback_release_(&lock);
    pthread_join(thread, NULL);
    return lock.patience;
}

/* Longer and longer spins while waits are short, by the clock; shorter ones when they are not. */
static void
patience_follows_the_waits(void **unused)
{
    (void)unused;
    for (uint32_t i = 1; i <= 5; i++) {
        assert_int_equal(patience_after(100000), i < 3 ? i : 3);
    }
    for (uint32_t i = 1; i <= 5; i++) {
        assert_int_equal(patience_after(100001), i < 3 ? 3 - i : 0);
    }
    /* Who need not sleep at all has waited shortly. */
    atomic_store(&freed, true);
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_join(start(acquire_and_release, 1), NULL);
    atomic_store(&freed, false);
    assert_int_equal(lock.patience, 1);
    assert_int_equal(lock.parks, 10);
}

/* How long somebody sleeps behind others says nothing about the sections. */
static void
only_the_head_teaches_patience(void **unused)
{
    (void)unused;
    lock.patience = 3;
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t head = start(acquire_and_release, 1);
    wait_for_sleepers(1);
    pthread_t next = start(acquire_and_release, 2);
    wait_for_sleepers(2);
    atomic_fetch_add(&clock_ns, 100001);
    elision_fallback_release_(&lock);
    pthread_join(head, NULL);
    pthread_join(next, NULL);
    assert_int_equal(lock.patience, 2);
}

/* --- Leaving the queue -------------------------------------------------------------------------*/

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

/* All who may be, wherever they are in the queue and however many; who must stay is told, since
 * the head may be another one now. The lock stays held meanwhile. */
static void
all_who_may_be_are_sent_away(void **unused)
{
    enum { WAITERS = 20, STAYS = 3 };
    pthread_t threads[WAITERS];

    (void)unused;
    atomic_store(&sent, 0);
    assert_true(elision_fallback_try_(&lock, 99));
    for (uintptr_t i = 0; i < WAITERS; i++) {
        threads[i] = start(i == STAYS ? acquire_and_release : acquire_or_be_sent, i + 1);
        wait_for_sleepers(i + 1);
    }
    atomic_store(&wakes, 0);
    elision_fallback_send_away_(&lock);
    assert_int_equal(wakes, WAITERS);
    for (int i = 0; i < WAITERS; i++) {
        if (i != STAYS) {
            pthread_join(threads[i], NULL);
        }
    }
    assert_int_equal(sent, ((1u << WAITERS) - 1) & ~(1u << STAYS));
    assert_int_equal(lock.word, 99);
    assert_ptr_equal(lock.head, lock.tail);
    elision_fallback_release_(&lock);
    pthread_join(threads[STAYS], NULL);
    assert_int_equal(entered, 1u << STAYS);
    assert_null(lock.head);
}

/* What the head before it has lost does not count for the next. */
static void
each_head_has_losses_of_its_own(void **unused)
{
    (void)unused;
    elision_fallback_passes_ = 2;
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t goes = start(acquire_or_be_sent, 1);
    wait_for_sleepers(1);
    pthread_t stays = start(acquire_and_release, 2);
    wait_for_sleepers(2);
    for (unsigned lost = 1; lost <= 2; lost++) {
        elision_fallback_release_slow_(&lock, true);
        wait_for_sleepers(2 + lost);
    }
    elision_fallback_send_away_(&lock);
    pthread_join(goes, NULL);
    wait_for_sleepers(5);
    elision_fallback_release_(&lock);
    pthread_join(stays, NULL);
    assert_int_equal(lock.handovers, 0);
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
        TEST(the_interval_is_by_the_clock),
        TEST(who_has_lost_starts_anew),
        TEST(who_gets_no_fence_looks_again),
        TEST(patience_follows_the_waits),
        TEST(only_the_head_teaches_patience),
        TEST(each_head_has_losses_of_its_own),
        TEST(all_who_may_be_are_sent_away),
        TEST(who_is_sent_away_leaves_nobody_asleep),
        TEST(who_has_seen_it_free_leaves_nobody_asleep),
        TEST(fork_drops_the_queue),
    };

    elision_park_init_();
    return RUN_TAP(tests, NULL, NULL);
}
