/* SPDX-License-Identifier: MIT
 *
 * Misuse, with sections that speculate where they can and with the lock: it is named with what was
 * expected and what was found, survived or the end of the process as elision.h says, and never a
 * commit outside a transaction. Runs natively and under rtmgrind (tests/unit/emulated.sh).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elision/core_priv.h"
#include "tests/unit/tap.h"

static elision_lock_t lock, other;
static elision_site_t site = ELISION_SITE_INIT("misuse");
static elision_site_t inner = ELISION_SITE_INIT("misuse inner");
static long value;
static bool speculating; /* whether sections of the child may */

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
        elision_set_enabled(speculating);
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

static _Atomic bool entering, left;

static void *
leave_meanwhile(void *unused)
{
    while (!atomic_load(&entering)) {
        sched_yield();
    }
    elision_leave(&lock);
    atomic_store(&left, true);
    return unused;
}

/* Not this thread's section, though it is open: must not be ended by anybody else. */
static void
leave_beside_sections(void)
{
    pthread_t thread;
    long sections = 0;

    pthread_create(&thread, NULL, leave_meanwhile, NULL);
    for (bool done = false; !done; sections++) {
        (void)elision_enter(&lock, &site);
        value++;
        elision_leave(&lock);
        atomic_store(&entering, true);
        done = atomic_load(&left) && sections > 1000;
    }
    pthread_join(thread, NULL);
    if (value != sections) {
        _exit(4);
    }
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
checkpoint_now_outside(void)
{
    if (elision_checkpoint_now(&lock, &site) != ELISION_BUSY) {
        _exit(4);
    }
}

static void
try_twice(void)
{
    (void)elision_enter(&lock, &site);
    (void)elision_try_enter(&lock, &site);
}

static void
alone_twice(void)
{
    (void)elision_enter(&lock, &site);
    (void)elision_enter_alone(&lock, &site);
}

static void
speculative_twice(void)
{
    (void)elision_enter(&lock, &site);
    (void)elision_enter_speculative(&lock, &site);
}

static void
speculative_inside(void)
{
    (void)elision_enter(&lock, &site);
    (void)elision_enter_speculative(&other, &site);
}

static void
irrevocable_outside(void)
{
    elision_irrevocable(&lock);
}

/* ret: lines of the library in text */
static unsigned
lines_of(const char *text)
{
    unsigned lines = 0;

    for (const char *at = strstr(text, "libelision:"); at != NULL;
         at = strstr(at + 1, "libelision:")) {
        lines++;
    }
    return lines;
}

static void
misuse_is_named(const char *mode)
{
    static const struct {
        void (*misuse)(void);
        bool ends;
        unsigned lines;
        const char *call;
        const char *word;
    } rows[] = {
        {leave_without_enter, false, 2, "elision_leave(", "found it free"},
        {leave_another_lock, false, 1, "elision_leave(", "expected this thread to be inside"},
        {leave_from_another_thread, false, 1, "elision_leave(", "held by thread"},
        {leave_beside_sections, false, 1, "elision_leave(", "expected this thread to be inside"},
        {enter_twice, true, 1, "elision_enter(", "held by this thread"},
        {try_twice, true, 1, "elision_try_enter(", "held by this thread"},
        {alone_twice, true, 1, "elision_enter_alone(", "held by this thread"},
        {speculative_twice, true, 1, "elision_enter_speculative(", "held by this thread"},
        {speculative_inside, true, 1, "elision_enter_speculative(", "inside no section"},
        {enter_seventeen, true, 1, "elision_enter(", "at most 16"},
        {checkpoint_outside, false, 1, "elision_checkpoint(", "found it free"},
        {checkpoint_now_outside, false, 1, "elision_checkpoint_now(", "found it free"},
        {irrevocable_outside, false, 1, "elision_irrevocable(", "found it free"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[4096];
        int status = in_child(rows[i].misuse, text, sizeof(text));
        bool ended = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
        bool survived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        bool ends = rows[i].ends || strcmp(mode, "abort") == 0;
        unsigned lines = ends ? 1 : rows[i].lines;
        if (!(ends ? ended : survived) || lines_of(text) != lines ||
            strstr(text, rows[i].call) == NULL || strstr(text, rows[i].word) == NULL) {
            fail_msg("row %zu: status 0x%x, said: %s", i, (unsigned)status, text);
        }
    }
}

static void
named_with_the_lock(void **unused)
{
    (void)unused;
    speculating = false;
    misuse_is_named("report");
}

/* The transaction in which the misuse is found is undone, and it is named with the lock held. */
static void
named_where_sections_speculate(void **unused)
{
    (void)unused;
    speculating = true;
    misuse_is_named("report");
}

/* ELISION_MISUSE=abort */
/* Where nothing can be printed, too. */
static void
errno_is_kept(void **unused)
{
    (void)unused;
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        errno = 77;
        elision_leave(&lock);
        bool kept = errno == 77;
        elision_show(STDERR_FILENO);
        _exit(kept && errno == 77 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void
ends_the_process_on_request(void **unused)
{
    (void)unused;
    elision_knobs_.misuse = "abort";
    for (int mode = 0; mode < 2; mode++) {
        speculating = mode == 1;
        misuse_is_named("abort");
    }
    elision_knobs_.misuse = "report";
}

/* And that the rows above did what they say: a misuse in a transaction aborts it, where there are
 * transactions. */
static void
undoes_the_transaction(void **unused)
{
    struct elision_stats before, after;

    (void)unused;
    elision_set_concurrency(2);
    elision_stats(&before);
    int saved = dup(STDERR_FILENO);
    FILE *file = tmpfile();
    dup2(fileno(file), STDERR_FILENO);
    leave_another_lock();
    dup2(saved, STDERR_FILENO);
    close(saved);
    fclose(file);
    elision_stats(&after);
    assert_int_equal(after.aborts[ELISION_ABORT_IRREVOCABLE],
                     before.aborts[ELISION_ABORT_IRREVOCABLE] + elision_verdict()->can_elide);
    assert_int_equal(after.locked, before.locked + 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_with_the_lock),    cmocka_unit_test(named_where_sections_speculate),
        cmocka_unit_test(errno_is_kept),          cmocka_unit_test(ends_the_process_on_request),
        cmocka_unit_test(undoes_the_transaction),
    };

    return RUN_TAP(tests, NULL, NULL);
}
