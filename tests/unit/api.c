/* SPDX-License-Identifier: MIT
 *
 * The public interface on whatever backend the machine has: paths, nesting, checkpoints, sites,
 * statistics, switches. Runs natively and under rtmgrind (tests/unit/emulated.sh).
 */
#define _GNU_SOURCE
#include "elision/elision.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/tap.h"

static elision_lock_t lock, other;
static elision_site_t site = ELISION_SITE_INIT("api");
static elision_site_t inner = ELISION_SITE_INIT("api inner");
static long value;

static int
reset(void **unused)
{
    static const elision_lock_t fresh = ELISION_LOCK_INIT;

    (void)unused;
    lock = fresh;
    other = fresh;
    value = 0;
    elision_set_enabled(true);
    elision_set_concurrency(2);
    return 0;
}

static void
enters_and_leaves(void **unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++) {
        enum elision_path path = elision_enter(&lock, &site);
        bool speculative = path == ELISION_SPECULATIVE;
        bool agrees = speculative == elision_is_speculative() && elision_is_inside(&lock) &&
                      !elision_is_inside(&other) && (lock.word_ == 0) == speculative;
        value += agrees;
        elision_leave(&lock);
        assert_false(elision_is_speculative());
        assert_false(elision_is_inside(&lock));
        assert_int_equal(lock.word_, 0);
    }
    assert_int_equal(value, 1000);
}

static void
speculates_where_it_can(void **unused)
{
    struct elision_stats before, after;

    (void)unused;
    elision_stats(&before);
    for (int i = 0; i < 100; i++) {
        (void)elision_enter(&lock, &site);
        value++;
        elision_leave(&lock);
    }
    elision_stats(&after);
    uint64_t commits = after.commits - before.commits;
    uint64_t locked = after.locked - before.locked;
    assert_int_equal(commits + locked, 100);
    if (elision_enabled()) {
        assert_true(commits > 90);
    }
    else {
        assert_int_equal(commits, 0);
        assert_int_equal(after.starts, 0);
    }
}

static void
errno_is_kept(void **unused)
{
    (void)unused;
    errno = 4711;
    (void)elision_enter(&lock, &site);
    elision_leave(&lock);
    (void)elision_try_enter(&lock, &site);
    elision_leave(&lock);
    assert_int_equal(errno, 4711);
}

static void
sections_of_two_locks_nest(void **unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++) {
        (void)elision_enter(&lock, &site);
        (void)elision_enter(&other, &inner);
        value += elision_is_inside(&lock) && elision_is_inside(&other);
        if (i % 2 != 0) {
            elision_leave(&other);
            elision_leave(&lock);
        }
        else {
            elision_leave(&lock);
            elision_leave(&other);
        }
        assert_int_equal(lock.word_ | other.word_, 0);
    }
    assert_int_equal(value, 200);
}

static void
irrevocable_holds_the_lock(void **unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++) {
        (void)elision_enter(&lock, &site);
        value++;
        elision_irrevocable(&lock);
        assert_false(elision_is_speculative());
        assert_int_not_equal(lock.word_, 0);
        elision_leave(&lock);
    }
    assert_int_equal(value, 100);
}

static void
checkpoints_cut(void **unused)
{
    struct elision_stats before, after;

    (void)unused;
    elision_stats(&before);
    (void)elision_enter(&lock, &site);
    for (int i = 0; i < 5000; i++) {
        value++;
        if (elision_checkpoint(&lock, &site) == ELISION_BUSY) {
            value -= 1000000;
        }
    }
    elision_leave(&lock);
    elision_stats(&after);
    assert_int_equal(value, 5000);
    if (elision_enabled()) {
        assert_true(after.cuts - before.cuts > 10);
    }
}

static void
length_is_at_least_one(void **unused)
{
    elision_site_t fresh = ELISION_SITE_INIT("fresh");

    (void)unused;
    assert_true(elision_section_length(&fresh) >= 1);
    assert_true(elision_section_length(&site) >= 1);
}

static void
try_and_speculative(void **unused)
{
    (void)unused;
    enum elision_path path = elision_try_enter(&lock, &site);
    value += path != ELISION_BUSY;
    elision_leave(&lock);
    path = elision_enter_speculative(&lock, &site);
    if (path == ELISION_SPECULATIVE) {
        elision_leave(&lock);
    }
    assert_int_not_equal(path, ELISION_LOCKED);
    assert_int_equal(value, 1);
    assert_int_equal(lock.word_, 0);
}

static void
kill_switch(void **unused)
{
    (void)unused;
    elision_set_enabled(false);
    assert_false(elision_enabled());
    for (int i = 0; i < 200; i++) {
        enum elision_path path = elision_enter(&lock, &site);
        elision_leave(&lock);
        assert_int_equal(path, ELISION_LOCKED);
    }
    assert_int_equal(elision_enter_speculative(&lock, &site), ELISION_BUSY);
    elision_set_enabled(true);
    assert_int_equal(elision_enabled(), elision_verdict()->can_elide);
}

static void
alone_takes_the_lock(void **unused)
{
    (void)unused;
    elision_set_concurrency(1);
    for (int i = 0; i < 200; i++) {
        enum elision_path path = elision_enter(&lock, &site);
        elision_leave(&lock);
        assert_int_equal(path, ELISION_LOCKED);
    }
    elision_set_concurrency(0); /* one thread lives */
    enum elision_path path = elision_enter(&lock, &site);
    elision_leave(&lock);
    assert_int_equal(path, ELISION_LOCKED);
}

static const char *early_reason;

/* The linker puts it before the library's, which comes from an archive behind. */
__attribute__((constructor)) static void
ask_early(void)
{
    early_reason = elision_verdict()->reason;
}

static void
verdict_and_text(void **unused)
{
    const struct elision_verdict *verdict = elision_verdict();
    char text[8192];
    FILE *file = tmpfile();

    (void)unused;
    print_message("# backend %d: %s\n", verdict->backend, verdict->reason);
    assert_string_equal(early_reason, verdict->reason);
    assert_int_equal(verdict->can_elide, verdict->backend != ELISION_BACKEND_NONE);
    assert_true(verdict->can_elide || verdict->remedy[0] != '\0');
    assert_non_null(file);
    elision_show(fileno(file));
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    assert_non_null(strstr(text, verdict->reason));
    assert_non_null(strstr(text, "ELISION_POLICY="));
    assert_non_null(strstr(text, elision_version()));
    for (int i = 0; i < ELISION_ABORT_REASONS; i++) {
        assert_string_not_equal(elision_abort_name((enum elision_abort)i), "unknown");
    }
    assert_string_equal(elision_abort_name(ELISION_ABORT_REASONS), "unknown");
    assert_string_equal(elision_abort_name((enum elision_abort)99), "unknown");
}

/* --- Sites -------------------------------------------------------------------------------------*/

static void
dynamic_sites(void **unused)
{
    elision_site_t *sites[600];

    (void)unused;
    /* More than the table holds: keys share, no call fails, the same key has the same site. */
    for (uintptr_t i = 0; i < 600; i++) {
        sites[i] = elision_site_dynamic(0x1000 + i * 16, "dynamic");
        assert_non_null(sites[i]);
    }
    unsigned shared = 0;
    for (uintptr_t i = 0; i < 600; i++) {
        assert_ptr_equal(elision_site_dynamic(0x1000 + i * 16, NULL), sites[i]);
        for (uintptr_t k = 0; k < i; k++) {
            shared += sites[i] == sites[k];
        }
    }
    assert_true(shared < 600);
    /* As long as there is room they do not. */
    for (uintptr_t i = 0; i < 64; i++) {
        for (uintptr_t k = 0; k < i; k++) {
            assert_ptr_not_equal(sites[i], sites[k]);
        }
    }
    (void)elision_enter(&lock, sites[3]);
    elision_leave(&lock);
}

static void
sites_beyond_the_limit_share(void **unused)
{
    static elision_site_t many[ELISION_SITES_MAX + 50];
    struct elision_stats stats;

    (void)unused;
    for (size_t i = 0; i < ELISION_SITES_MAX + 50; i++) {
        many[i].name_ = "many";
        (void)elision_enter(&lock, &many[i]);
        value++;
        elision_leave(&lock);
    }
    assert_int_equal(value, ELISION_SITES_MAX + 50);
    elision_stats(&stats);
    assert_int_equal(stats.sites, ELISION_SITES_MAX);
}

static int
find_site(const elision_site_t *at, const char *name, void *found)
{
    struct elision_stats stats;

    /* A visit may enter sections and ask. */
    (void)elision_enter(&lock, &site);
    elision_leave(&lock);
    elision_site_stats(at, &stats);
    if (at == &site && strcmp(name, "api") == 0) {
        *(bool *)found = true;
        return 17;
    }
    return 0;
}

static void
site_statistics(void **unused)
{
    struct elision_stats before, after;
    bool found = false;

    (void)unused;
    elision_site_stats(&site, &before);
    for (int i = 0; i < 300; i++) {
        (void)elision_enter(&lock, &site);
        elision_leave(&lock);
    }
    elision_site_stats(&site, &after);
    assert_int_equal(after.commits + after.locked - before.commits - before.locked, 300);
    assert_int_equal(elision_sites_visit(find_site, &found), 17);
    assert_true(found);
}

/* Counters never decrease while their owner works. */
static _Atomic bool stop;

static void *
work(void *unused)
{
    while (!atomic_load(&stop)) {
        (void)elision_enter(&lock, &site);
        value++;
        elision_leave(&lock);
    }
    return unused;
}

/* Every counter, of the process and of the site. */
static void
counters_are_monotonic(void **unused)
{
    enum { COUNTERS = sizeof(struct elision_stats) / sizeof(uint64_t) };
    pthread_t threads[2];
    struct elision_stats stats[2];
    uint64_t last[2][COUNTERS] = {{0}}, now[2][COUNTERS];

    (void)unused;
    atomic_store(&stop, false);
    for (int i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, work, NULL);
    }
    for (int round = 0; round < 300; round++) {
        elision_stats(&stats[0]);
        elision_site_stats(&site, &stats[1]);
        memcpy(now, stats, sizeof(now));
        for (int i = 0; i < 2; i++) {
            for (int k = 0; k < COUNTERS; k++) {
                if (now[i][k] < last[i][k]) {
                    fail_msg("counter %d of %s fell", k, i == 0 ? "the process" : "the site");
                }
            }
        }
        memcpy(last, now, sizeof(last));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void *
enter_some(void *unused)
{
    struct elision_stats before[2], after[2];

    (void)elision_enter(&lock, &site); /* from here on the thread has counters */
    elision_leave(&lock);
    elision_thread_stats(&site, &before[0]);
    elision_thread_stats(NULL, &before[1]);
    for (int i = 0; i < 200; i++) {
        (void)elision_enter(&lock, i % 4 == 0 ? &inner : &site);
        elision_leave(&lock);
    }
    elision_thread_stats(&site, &after[0]);
    elision_thread_stats(NULL, &after[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(after[i].commits + after[i].locked - before[i].commits - before[i].locked,
                         i == 0 ? 150 : 200);
        assert_int_equal(after[i].threads, 1);
    }
    return unused;
}

static void *
wait_for_the_lock(void *stats)
{
    (void)elision_enter(&lock, &site);
    elision_leave(&lock);
    elision_thread_stats(NULL, stats);
    return NULL;
}

/* Who waited counts it, and so does the lock. */
static void
handovers_are_counted(void **unused)
{
    struct elision_stats before, after, waiter;
    uint64_t parks, handovers;
    pthread_t thread;

    (void)unused;
    elision_set_enabled(false);
    elision_set_switch_interval(&lock, 1);
    elision_stats(&before);
    (void)elision_enter(&lock, &site);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_the_lock, &waiter), 0);
    while (!elision_handover_pending(&lock)) {
        (void)sched_yield();
    }
    elision_leave(&lock);
    pthread_join(thread, NULL);
    elision_stats(&after);
    elision_lock_stats(&lock, &parks, &handovers);
    assert_int_equal(handovers, 1);
    assert_int_equal(after.handovers - before.handovers, 1);
    assert_int_equal(after.parks - before.parks, parks);
    assert_true(parks >= 1 && waiter.parks >= parks && waiter.handovers >= 1);
}

static void
threads_have_counters_of_their_own(void **unused)
{
    struct elision_stats before, after;
    pthread_t thread;

    (void)unused;
    elision_thread_stats(NULL, &before);
    pthread_create(&thread, NULL, enter_some, NULL);
    pthread_join(thread, NULL);
    elision_thread_stats(NULL, &after);
    assert_memory_equal(&before, &after, sizeof(before));
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(enters_and_leaves),
        TEST(speculates_where_it_can),
        TEST(errno_is_kept),
        TEST(sections_of_two_locks_nest),
        TEST(irrevocable_holds_the_lock),
        TEST(checkpoints_cut),
        TEST(length_is_at_least_one),
        TEST(try_and_speculative),
        TEST(kill_switch),
        TEST(alone_takes_the_lock),
        TEST(verdict_and_text),
        TEST(dynamic_sites),
        TEST(site_statistics),
        TEST(counters_are_monotonic),
        TEST(handovers_are_counted),
        TEST(threads_have_counters_of_their_own),
        TEST(sites_beyond_the_limit_share),
    };

    return RUN_TAP(tests, NULL, NULL);
}
