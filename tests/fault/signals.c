/* SPDX-License-Identifier: MIT
 *
 * A handler's sections do not disturb the one it interrupts, nor its thread's begin and end.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "elision/core_priv.h"
#include "elision/elision.h"
#include "elision/tx.h"
#include "tests/fault/script.h"
#include "tests/unit/tap.h"

static elision_lock_t lock, other, third;
static elision_site_t site = ELISION_SITE_INIT("section");
static elision_site_t inner = ELISION_SITE_INIT("inner");

static void
signal_at(const char *name, unsigned n)
{
    (void)n;
    if (strcmp(name, "leave: locked") == 0) {
        assert_int_equal(elision_enter(&other, &inner), ELISION_LOCKED);
        elision_leave(&other);
    }
}

/* The record of the section that ends has moved when the handler returns. */
static void
signals_as_locked_sections_end(void **unused)
{
    (void)unused;
    script_reset(__builtin_frame_address(0));
    elision_set_enabled(false);
    script_hook(signal_at);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(elision_enter(&lock, &site), ELISION_LOCKED);
        elision_leave(&lock);
        assert_int_equal(lock.word_ | other.word_, 0);
        assert_int_equal(elision_self_->depth, 0);
        assert_int_equal(elision_self_->inside, 0);
    }
    elision_set_enabled(true);
}

/* A section that is entered inside one with the lock moves the record of that. A handler that
 * enters one meanwhile has done so already. */
static const char *nest_at;

static void
signal_as_it_nests(const char *name, unsigned n)
{
    (void)n;
    if (strcmp(name, nest_at) == 0) {
        nest_at = "";
        assert_int_equal(elision_enter(&third, &inner), ELISION_LOCKED);
        elision_leave(&third);
    }
}

static void
signals_as_sections_nest(void **unused)
{
    static const char *const places[] = {"nest: begun", "nest: kept twice"};

    (void)unused;
    script_reset(__builtin_frame_address(0));
    elision_set_enabled(false);
    script_hook(signal_as_it_nests);
    for (int i = 0; i < 2; i++) {
        nest_at = places[i];
        assert_int_equal(elision_enter(&lock, &site), ELISION_LOCKED);
        assert_int_equal(elision_enter(&other, &inner), ELISION_LOCKED);
        assert_string_equal(nest_at, "");
        assert_true(elision_is_inside(&lock) && elision_is_inside(&other));
        assert_int_equal(elision_self_->depth, 2);
        elision_leave(&other);
        elision_leave(&lock);
        assert_int_equal(lock.word_ | other.word_ | third.word_, 0);
        assert_int_equal(elision_self_->depth | elision_self_->inside, 0);
    }
    script_hook(NULL);
    elision_set_enabled(true);
}

/* A handler's section of the same site, which aborts as well: the counts are settled when it
 * returns, that of the section it interrupted too. */
static void
signal_at_abort(const char *name, unsigned n)
{
    (void)n;
    if (strcmp(name, "enter: aborted") == 0) {
        script_status(ELISION_TX_CONFLICT | ELISION_TX_RETRY);
        assert_int_equal(elision_enter(&other, &site), ELISION_SPECULATIVE);
        elision_leave(&other);
    }
}

static void
signals_as_fast_sections_abort(void **unused)
{
    struct elision_stats before, after;

    (void)unused;
    script_reset(__builtin_frame_address(0));
    for (int i = 0; i < 4; i++) {
        (void)elision_enter(&lock, &site);
        elision_leave(&lock);
    }
    elision_site_stats(&site, &before);
    script_hook(signal_at_abort);
    script_status(ELISION_TX_CONFLICT | ELISION_TX_RETRY);
    assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
    script_hook(NULL);
    elision_leave(&lock);
    elision_site_stats(&site, &after);
    assert_in_range(after.commits - before.commits, 2, 3);
}

/* A handler's section may be its thread's first one, while that registers, and its last one, when
 * it has given its record back. */
static bool shared;

static void
enter_in_handler(int signal)
{
    (void)signal;
    (void)elision_enter(&other, &inner);
    shared = shared || !elision_self_->alive;
    elision_leave(&other);
}

static void
raise_at(const char *name, unsigned n)
{
    static _Thread_local bool ended; /* the handler's own record is given back, too */
    bool ends = strcmp(name, "exit: given back") == 0;

    (void)n;
    if (ends ? !ended : strcmp(name, "register: chosen") == 0) {
        ended = ends;
        (void)raise(SIGUSR1);
    }
}

static void *
enter_once(void *unused)
{
    (void)elision_enter(&lock, &site);
    elision_leave(&lock);
    return unused;
}

static void
signals_as_threads_begin_and_end(void **unused)
{
    const struct sigaction action = {.sa_handler = enter_in_handler};

    (void)unused;
    elision_set_enabled(false);
    elision_set_concurrency(0);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    script_hook(raise_at);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, enter_once, NULL), 0);
        pthread_join(thread, NULL);
    }
    script_hook(NULL);
    assert_false(shared);
    for (struct elision_thread *at = elision_thread_first_(); at->next != NULL; at = at->next) {
        assert_int_equal(at->id, at->next->id + 1);
    }
    elision_set_enabled(true);
    assert_false(elision_may_speculate_()); /* this thread is the only one alive */
    elision_set_concurrency(2);
}

static int
start(void **unused)
{
    elision_site_t *const sites[] = {&site, &inner, NULL};

    (void)unused;
    return script_start_at(__builtin_frame_address(0), &lock, sites);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_as_locked_sections_end),
        cmocka_unit_test(signals_as_sections_nest),
        cmocka_unit_test(signals_as_fast_sections_abort),
        cmocka_unit_test(signals_as_threads_begin_and_end),
    };

    return RUN_TAP(tests, start, NULL);
}
