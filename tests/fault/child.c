/* SPDX-License-Identifier: MIT
 *
 * Counts and locks that other threads were about to change: what an arbiter makes of such counts,
 * and what the child of a fork, which has not those threads, makes of both.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elision/arbiter.h"
#include "elision/core_priv.h"
#include "elision/elision.h"
#include "elision/tx.h"
#include "tests/fault/script.h"
#include "tests/unit/tap.h"

static elision_lock_t lock;
static elision_site_t site = ELISION_SITE_INIT("child");
static elision_site_t half = ELISION_SITE_INIT("half written");
static elision_site_t whole = ELISION_SITE_INIT("whole");

static elision_site_t cut[2] = {ELISION_SITE_INIT("cut"), ELISION_SITE_INIT("cut, too")};

#define FAKE_ID 999u /* a lock holder that is not there */
#define CONFLICT (ELISION_TX_CONFLICT | ELISION_TX_RETRY)

/* Three hundred times as many sections are done with the lock. ret: true if an arbiter says so */
static bool
lock_is_chosen(elision_site_t *judged)
{
    struct elision_site_state *state = elision_state_of_(elision_self_, judged);
    static uint64_t now;
    bool chosen = false;

    for (uint64_t end = now + 1000000; now < end; now += 1000) {
        bool locked = (elision_site_off_(judged) & ELISION_OFF_ARBITER) != 0;
        elision_count_(locked ? &state->count.locked : &state->count.commits, locked ? 300 : 1);
        elision_count_(&state->count.aborts[ELISION_ABORT_CONFLICT], locked ? 0 : 100);
        bool changed = elision_arbiter_ask_(judged, now);
        assert_int_equal(changed,
                         locked != ((elision_site_off_(judged) & ELISION_OFF_ARBITER) != 0));
        chosen = chosen || locked;
    }
    return chosen;
}

/* Counts that are being written are not judged, however bad they look. */
static void
half_written_counts_are_no_evidence(void **unused)
{
    struct elision_site_state *state = elision_state_of_(elision_self_, &half);

    (void)unused;
    state->version++;
    assert_false(lock_is_chosen(&half));
    state->version--;
    assert_true(lock_is_chosen(&half));
}

static pid_t child;

static void
fork_at(const char *name, unsigned n)
{
    (void)n;
    if (strcmp(name, "arbiter: taken") == 0 && child == 0) {
        child = fork();
        if (child == 0) {
            _exit(lock_is_chosen(&whole) ? 0 : 1);
        }
    }
}

/* An arbiter was at work at the time. In the child it can be asked again. */
static void
a_child_has_its_arbiters(void **unused)
{
    int status = -1;

    (void)unused;
    script_reset(__builtin_frame_address(0));
    script_hook(fork_at);
    (void)lock_is_chosen(&whole);
    script_hook(NULL);
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Another thread held the auxiliary lock, and was about to count what it had done. */
static void
a_child_waits_for_no_other_thread(void **unused)
{
    struct elision_thread *self = elision_self_;
    struct elision_site_state *state = elision_state_of_(self, &half);
    uint64_t commits;
    _Atomic uint32_t *word = &elision_fallback_aux_((struct elision_fallback *)&lock)->word;

    (void)unused;
    script_reset(__builtin_frame_address(0));
    for (int i = 0; i < 8; i++) {
        script_status(CONFLICT);
    }
    assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
    assert_int_equal(*word, self->id);
    uint64_t counted = state->count.commits;
    state->version++;
    state->granted = 10;
    state->credit = 4;
    elision_atfork_prepare();
    elision_self_ = &elision_nobody_;
    elision_atfork_child();
    assert_int_equal(*word, 0);
    assert_true(elision_commits_(state, &commits));
    assert_int_equal(commits, counted); /* nobody can say which of them it had counted */
    /* Once: whose memory it is by the time of the next child, nobody knows. */
    *word = FAKE_ID;
    elision_atfork_prepare();
    elision_atfork_child();
    assert_int_equal(*word, FAKE_ID);
    *word = 0;
    elision_self_ = self;
    elision_leave(&lock);
    elision_set_concurrency(2);
}

/* ret: what the arbiter of all sites that are cut says, once each way has been tried; doing so much
 * is the work of both threads */
static bool
cut_sites_are_locked(unsigned speculating, unsigned locked)
{
    static uint64_t now = 1;

    for (uint64_t end = now + 20000000; now < end; now += 4000) {
        elision_progress(elision_off_cut_ != 0 ? locked : speculating);
        elision_count_(&elision_self_->lost, elision_off_cut_ != 0 ? 0 : 3000);
        (void)elision_arbiter_ask_(&cut[0], now);
    }
    return elision_off_cut_ != 0;
}

static unsigned looked;

static void
count_looks(const char *name, unsigned n)
{
    (void)n;
    looked += strcmp(name, "arbiter: taken") == 0;
}

/* ret: how often the arbiter was looked at when site's sections were asked about once */
static unsigned
looks_of(elision_site_t *asked)
{
    looked = 0;
    script_hook(count_looks);
    elision_params_.arbiter = true;
    (void)elision_prefers_lock(&lock, asked);
    elision_params_.arbiter = false;
    script_hook(NULL);
    return looked;
}

/* One asks, all are told, also who joins them later. Where the lock is preferred, asking looks
 * whether it is time for something else. */
static void
sites_that_are_cut_change_together(void **unused)
{
    static elision_site_t late[2] = {ELISION_SITE_INIT("late"), ELISION_SITE_INIT("later")};

    (void)unused;
    for (int i = 0; i < 2; i++) {
        (void)elision_enter(&lock, &cut[i]);
        elision_leave(&lock);
        (void)elision_section_length(&cut[i]);
    }
    for (int round = 0; round < 2; round++) {
        assert_true(cut_sites_are_locked(40, 400));
        for (int i = 0; i < 2; i++) {
            assert_int_equal(elision_site_off_(&cut[i]), ELISION_OFF_ARBITER);
            assert_true(elision_prefers_lock(&lock, &cut[i]));
        }
        (void)elision_enter(&lock, &late[round]);
        elision_leave(&lock);
        (void)elision_section_length(&late[round]);
        assert_int_equal(elision_site_off_(&late[round]), ELISION_OFF_ARBITER);
        assert_int_equal(looks_of(&site), 0);
        assert_int_equal(elision_site_off_(&site), 0);
        assert_false(cut_sites_are_locked(400, 40));
        for (int i = 0; i < 2; i++) {
            assert_int_equal(elision_site_off_(&cut[i]), 0);
            assert_false(elision_prefers_lock(&lock, &cut[i]));
        }
        assert_int_equal(looks_of(&cut[0]), 0);
    }
    assert_true(cut_sites_are_locked(40, 400));
    assert_int_equal(looks_of(&cut[0]), 1); /* by the real clock it is late */
}

static int
start(void **unused)
{
    elision_site_t *const sites[] = {&site, &half, &whole, NULL};

    (void)unused;
    return script_start_at(__builtin_frame_address(0), &lock, sites);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_written_counts_are_no_evidence),
        cmocka_unit_test(a_child_has_its_arbiters),
        cmocka_unit_test(a_child_waits_for_no_other_thread),
        cmocka_unit_test(sites_that_are_cut_change_together),
    };

    return RUN_TAP(tests, start, NULL);
}
