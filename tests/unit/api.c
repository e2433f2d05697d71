/* SPDX-License-Identifier: MIT
 *
 * The public interface on whatever backend the machine has: paths, nesting, checkpoints, sites,
 * statistics, switches, and misuse, which must be named and survived. Runs natively and under
 * rtmgrind (tests/unit/emulated.sh).
 */
#define _GNU_SOURCE
#include "elision/elision.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

static void
verdict_and_text(void **unused)
{
    const struct elision_verdict *verdict = elision_verdict();
    char text[8192];
    FILE *file = tmpfile();

    (void)unused;
    print_message("# backend %d: %s\n", verdict->backend, verdict->reason);
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
    (void)elision_enter(&lock, sites[3]);
    elision_leave(&lock);
}

static void
sites_beyond_the_limit_share(void **unused)
{
    static elision_site_t many[ELISION_SITES_MAX + 50];

    (void)unused;
    for (size_t i = 0; i < ELISION_SITES_MAX + 50; i++) {
        many[i].name_ = "many";
        (void)elision_enter(&lock, &many[i]);
        value++;
        elision_leave(&lock);
    }
    assert_int_equal(value, ELISION_SITES_MAX + 50);
}

static int
find_site(const elision_site_t *at, const char *name, void *found)
{
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

static void
counters_are_monotonic(void **unused)
{
    pthread_t thread;
    struct elision_stats last, now;

    (void)unused;
    atomic_store(&stop, false);
    pthread_create(&thread, NULL, work, NULL);
    elision_site_stats(&site, &last);
    for (int i = 0; i < 300; i++) {
        elision_site_stats(&site, &now);
        assert_true(now.commits >= last.commits && now.locked >= last.locked &&
                    now.starts >= last.starts && now.cycles_holding >= last.cycles_holding);
        last = now;
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}

/* --- Misuse ------------------------------------------------------------------------------------*/

/* Run misuse in a child; ret: its wait status, and what it wrote on stderr in text. */
static int
in_child(void (*misuse)(void), char *text, size_t size)
{
    int ends[2];
    int status = -1;
    size_t length = 0;

    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        elision_set_concurrency(2);
        misuse();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], text + length, size - 1 - length)) > 0;) {
        length += (size_t)n;
    }
    text[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void
leave_without_enter(void)
{
    elision_leave(&lock);
    (void)elision_enter(&lock, &site);
    value++;
    elision_leave(&lock);
    elision_leave(&lock);
}

static void
leave_another_lock(void)
{
    (void)elision_enter(&lock, &site);
    elision_leave(&other);
    elision_leave(&lock);
}

static void *
leave_it(void *unused)
{
    elision_leave(&lock);
    return unused;
}

static void
leave_from_another_thread(void)
{
    pthread_t thread;

    (void)elision_enter(&lock, &site);
    elision_irrevocable(&lock);
    pthread_create(&thread, NULL, leave_it, NULL);
    pthread_join(thread, NULL);
    elision_leave(&lock);
}

static void
enter_twice(void)
{
    (void)elision_enter(&lock, &site);
    (void)elision_enter(&lock, &inner);
}

static void
enter_seventeen(void)
{
    static elision_lock_t locks[17];

    for (int i = 0; i < 17; i++) {
        (void)elision_enter(&locks[i], &site);
    }
}

static void
checkpoint_outside(void)
{
    (void)elision_checkpoint(&lock, &site);
}

static void
irrevocable_outside(void)
{
    elision_irrevocable(&lock);
}

static void
misuse_is_named(void **unused)
{
    static const struct {
        void (*misuse)(void);
        bool ends;
        unsigned lines;
        const char *word;
    } rows[] = {
        {leave_without_enter, false, 2, "found it free"},
        {leave_another_lock, false, 1, "expected this thread to be inside"},
        {leave_from_another_thread, false, 1, "held by thread"},
        {enter_twice, true, 1, "held by this thread"},
        {enter_seventeen, true, 1, "at most 16"},
        {checkpoint_outside, false, 1, "elision_checkpoint"},
        {irrevocable_outside, false, 1, "elision_irrevocable"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[4096];
        int status = in_child(rows[i].misuse, text, sizeof(text));
        unsigned lines = 0;
        for (const char *at = strstr(text, "libelision:"); at != NULL;
             at = strstr(at + 1, "libelision:")) {
            lines++;
        }
        bool ended = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
        bool survived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (!(rows[i].ends ? ended : survived) || lines != rows[i].lines ||
            strstr(text, rows[i].word) == NULL) {
            fail_msg("row %zu: status 0x%x, said: %s", i, (unsigned)status, text);
        }
    }
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
        TEST(misuse_is_named),
        TEST(sites_beyond_the_limit_share),
    };

    return RUN_TAP(tests, NULL, NULL);
}
