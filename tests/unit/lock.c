/* SPDX-License-Identifier: MIT
 *
 * The fallback lock: its word in every state, hand-over, the switch interval, its fences. Its queue
 * is in queue.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/lock.h"

static void
word_states(void **unused)
{
    (void)unused;
    assert_int_equal(lock.word, 0);
    assert_true(elision_fallback_try_(&lock, 7));
    assert_int_equal(lock.word, 7);
    assert_false(elision_fallback_try_(&lock, 8));
    assert_int_equal(lock.word, 7);
    elision_fallback_release_(&lock);
    assert_int_equal(lock.word, 0);
    struct elision_fallback_wait wait = elision_fallback_acquire_(&lock, 9);
    assert_int_equal(wait.parks, 0);
    assert_false(wait.handed);
    elision_fallback_release_(&lock);
    assert_int_equal(lock.attention, 0);
    assert_null(lock.head);
}

static void
watching_a_free_lock_returns(void **unused)
{
    (void)unused;
    assert_int_equal(elision_fallback_watch_(&lock).parks, 0);
    assert_null(lock.head);
}

static void
one_waiter_is_woken(void **unused)
{
    (void)unused;
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t thread = start(acquire_and_release, 1);
    wait_for_sleepers(1);
    assert_int_equal(lock.word, 99);
    assert_int_equal(lock.attention, 1);
    elision_fallback_release_(&lock);
    pthread_join(thread, NULL);
    assert_int_equal(lock.word, 0);
    assert_int_equal(lock.attention, 0);
    assert_int_equal(lock.handovers, 0);
}

/* With no losses allowed the word goes from id to id in the order of arrival and is never free. */
static void
strict_hand_over_is_first_in_first_out(void **unused)
{
    pthread_t threads[8];

    (void)unused;
    elision_fallback_passes_ = 0;
    assert_true(elision_fallback_try_(&lock, 99));
    for (uintptr_t i = 0; i < 8; i++) {
        threads[i] = start(acquire_and_release, i + 1);
        wait_for_sleepers(i + 1);
    }
    elision_fallback_release_(&lock);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(order[i], i + 1);
    }
    assert_int_equal(lock.handovers, 8);
    assert_int_equal(lock.word, 0);
}

/* The lock is held, and a thread sleeps for it. */
static pthread_t
one_sleeps(uint32_t passes)
{
    reset(NULL);
    elision_fallback_passes_ = passes;
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t thread = start(acquire_and_release, 1);
    wait_for_sleepers(1);
    return thread;
}

/* A barging thread that never stops taking the lock cannot keep a waiter out: the waiter loses at
 * most `passes` times once it is the head. */
static void
barging_is_bounded(void **unused)
{
    (void)unused;
    for (uint32_t passes = 0; passes <= 3; passes++) {
        pthread_t thread = one_sleeps(passes);
        unsigned attentive = 0;
        while (atomic_load(&entered) == 0) {
            attentive += atomic_load(&lock.attention) != 0;
            elision_fallback_release_(&lock);
            (void)elision_fallback_acquire_(&lock, 99);
        }
        assert_true(attentive <= passes + 1);
        elision_fallback_release_(&lock);
        pthread_join(thread, NULL);
    }
}

/* A head that was woken and finds the lock taken has lost. When it has lost so often it is handed
 * the lock; the word stays held here as if a barging thread had been faster each time. */
static void
losses_end_in_a_hand_over(void **unused)
{
    (void)unused;
    for (uint32_t passes = 0; passes <= 3; passes++) {
        pthread_t thread = one_sleeps(passes);
        for (uint32_t lost = 0; lost < passes; lost++) {
            elision_fallback_release_slow_(&lock, true);
            while (atomic_load(&lock.attention) == 0) {
                (void)sched_yield();
            }
        }
        assert_int_equal(lock.handovers, 0);
        elision_fallback_release_(&lock);
        pthread_join(thread, NULL);
        assert_int_equal(lock.handovers, 1);
    }
}

static void *
acquire_and_keep(void *arg)
{
    (void)elision_fallback_acquire_(&lock, (uint32_t)(uintptr_t)arg);
    order[atomic_fetch_add(&served, 1)] = (unsigned)(uintptr_t)arg;
    return NULL;
}

/* Release, and take the lock again before the head, which sleeps, can have looked; so it loses, if
 * the lock is not handed over. ret: true if it is, and the head has it and is gone */
static bool
barge_past(pthread_t head)
{
    uint64_t handovers = lock.handovers, parks = atomic_load(&lock.parks);

    hold_up(head);
    assert_int_equal(lock.attention, 1);
    elision_fallback_release_(&lock);
    bool handed = lock.handovers != handovers;
    if (!handed) {
        assert_true(elision_fallback_try_(&lock, 99));
    }
    atomic_store(&go_on, true);
    if (handed) {
        pthread_join(head, NULL);
    }
    else {
        wait_for_sleepers(parks + 1);
    }
    return handed;
}

/* The bound that lock.h states, with somebody who barges in at each release, whoever holds the
 * lock: it is reached and not passed. */
static void
with_others_ahead_it_is_bounded(void **unused)
{
    static const uint32_t passes[] = {0, 1, 2, ELISION_FALLBACK_PASSES};

    (void)unused;
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
        pthread_t threads[3];
        unsigned attentive = 0;
        reset(NULL);
        elision_fallback_passes_ = passes[i];
        assert_true(elision_fallback_try_(&lock, 99));
        for (uintptr_t k = 0; k < 3; k++) {
            threads[k] = start(acquire_and_keep, k + 1);
            wait_for_sleepers(k + 1);
        }
        for (unsigned k = 0; k < 3; k++) {
            do {
                attentive++;
                assert_true(attentive <= (k + 1) * (passes[i] + 1));
            } while (!barge_past(threads[k]));
            assert_int_equal(attentive, (k + 1) * (passes[i] + 1));
            assert_int_equal(order[k], k + 1);
            assert_int_equal(lock.word, k + 1);
        }
        elision_fallback_release_(&lock);
        assert_int_equal(lock.word, 0);
        assert_null(lock.head);
    }
}

static void
switch_interval_asks_for_hand_over(void **unused)
{
    (void)unused;
    elision_fallback_passes_ = 1000000;
    lock.interval = 1000000;
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t thread = start(acquire_and_release, 1);
    while (atomic_load(&lock.handover) == 0) {
        sched_yield();
    }
    elision_fallback_release_(&lock);
    /* It was handed over, so it is not free now, or has been used and released since. */
    assert_int_equal(lock.handovers, 1);
    pthread_join(thread, NULL);
    assert_int_equal(lock.handover, 0);
}

static void
ignore(int signal)
{
    (void)signal;
}

static void
switch_interval_under_signals(void **unused)
{
    struct sigaction action = {.sa_handler = ignore, .sa_flags = SA_RESTART};

    (void)unused;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    elision_fallback_passes_ = 1000000;
    lock.interval = 30000000;
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t thread = start(acquire_and_release, 1);
    /* At one kilohertz. */
    while (atomic_load(&lock.handover) == 0 && atomic_load(&lock.parks) < 1000) {
        pthread_kill(thread, SIGUSR1);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(lock.handover, 1);
    elision_fallback_release_(&lock);
    pthread_join(thread, NULL);
}

static double
cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static double parked_cpu;

static void *
acquire_measured(void *arg)
{
    double before = cpu_seconds();

    acquire_and_release(arg);
    parked_cpu = cpu_seconds() - before;
    return NULL;
}

/* Sleeping is no busy loop: a waiter wakes up once, for its release. */
static void
a_parked_waiter_sleeps_once(void **unused)
{
    (void)unused;
    assert_true(elision_fallback_try_(&lock, 99));
    pthread_t thread = start(acquire_measured, 1);
    wait_for_sleepers(1);
    for (int i = 0; i < 2000; i++) {
        sched_yield();
    }
    assert_int_equal(lock.parks, 1);
    elision_fallback_release_(&lock);
    pthread_join(thread, NULL);
    assert_int_equal(lock.parks, 1);
    print_message("# the waiter used %.6f s of CPU time\n", parked_cpu);
}

/* --- Without membarrier ------------------------------------------------------------------------*/

static long shared;

static void *
add_many(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        (void)elision_fallback_acquire_(&lock, (uint32_t)(uintptr_t)arg);
        shared++;
        elision_fallback_release_(&lock);
    }
    return NULL;
}

static void
counts_exactly(bool asymmetric)
{
    pthread_t threads[4];
    bool before = elision_park_asymmetric_;

    shared = 0;
    elision_park_asymmetric_ = asymmetric && before;
    for (uintptr_t i = 0; i < 4; i++) {
        threads[i] = start(add_many, i + 1);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    elision_park_asymmetric_ = before;
    assert_int_equal(shared, 80000);
    assert_int_equal(lock.word, 0);
    assert_null(lock.head);
}

static void
exact_with_unequal_fences(void **unused)
{
    (void)unused;
    if (!elision_park_asymmetric_) {
        print_message("# skipped: membarrier is not available here\n");
        skip();
    }
    counts_exactly(true);
}

static void
exact_with_equal_fences(void **unused)
{
    (void)unused;
    counts_exactly(false);
}

/* ret:   true if this process and its threads may not call membarrier from now on */
static bool
refuse_membarrier(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
           !elision_park_fence_heavy_();
}

/* A sandbox that closes after load: sleeps are short, and all the same add up to the interval. */
static void
switch_interval_without_membarrier(void **unused)
{
    (void)unused;
    pid_t child = fork();
    if (child == 0) {
        elision_fallback_forked_();
        if (!elision_park_asymmetric_ || !refuse_membarrier()) {
            _exit(2);
        }
        elision_fallback_passes_ = 1000000;
        lock.interval = 5000000;
        (void)elision_fallback_try_(&lock, 99);
        (void)start(acquire_and_release, 1);
        while (atomic_load(&lock.handover) == 0 && atomic_load(&lock.parks) < 300) {
            sched_yield();
        }
        _exit(atomic_load(&lock.handover) == 0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        print_message("# skipped: membarrier is not available here, or cannot be refused\n");
        skip();
    }
    assert_int_equal(status, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(word_states),
        TEST(watching_a_free_lock_returns),
        TEST(one_waiter_is_woken),
        TEST(strict_hand_over_is_first_in_first_out),
        TEST(barging_is_bounded),
        TEST(losses_end_in_a_hand_over),
        TEST(with_others_ahead_it_is_bounded),
        TEST(switch_interval_asks_for_hand_over),
        TEST(switch_interval_under_signals),
        TEST(a_parked_waiter_sleeps_once),
        TEST(exact_with_unequal_fences),
        TEST(exact_with_equal_fences),
        TEST(switch_interval_without_membarrier),
    };

    elision_park_init_();
    return RUN_TAP(tests, NULL, NULL);
}
