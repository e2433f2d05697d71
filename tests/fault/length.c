/* SPDX-License-Identifier: MIT
 *
 * What shortens the sections of a site whose sections are cut, as far as the policy has to be told;
 * and the lock being taken where one is cut.
 */
#include <string.h>

#include "elision/core_priv.h"
#include "elision/elision.h"
#include "elision/tx.h"
#include "tests/fault/script.h"
#include "tests/unit/tap.h"

#define FAKE_ID 999u    /* a lock holder that is not there */
#define LONG (1u << 20) /* cycles */

static elision_lock_t lock;
static elision_site_t site = ELISION_SITE_INIT("length");

/* A section whose first attempt ends with status. ret: the length that comes of it */
static unsigned
length_after(void *frame, uint32_t status, void (*hook)(const char *name, unsigned n))
{
    script_reset(frame);
    script_hook(hook);
    script_status(status);
    elision_state_of_(elision_self_, &site)->typical = LONG;
    assert_int_equal(elision_enter(&lock, &site), ELISION_SPECULATIVE);
    elision_leave(&lock);
    assert_int_equal(script_begins(), 2);
    assert_int_equal(lock.word_, 0);
    return elision_section_length(&site);
}

static void
capacity_halves(void **unused)
{
    unsigned length = elision_section_length(&site);

    (void)unused;
    assert_int_equal(length_after(__builtin_frame_address(0), ELISION_TX_CAPACITY, NULL),
                     length / 2);
}

/* Somebody takes the lock, which aborts the transaction, and gives it back soon. */
static void
taken(const char *name, unsigned n)
{
    (void)n;
    if (strcmp(name, "enter: aborted") == 0) {
        lock.word_ = FAKE_ID;
    }
    else if (lock.word_ == FAKE_ID) {
        elision_fallback_release_((struct elision_fallback *)&lock);
    }
}

/* A conflict shortens long sections if it was over the lock. */
static void
taken_locks_shorten(void **unused)
{
    unsigned length = elision_section_length(&site);

    (void)unused;
    assert_int_equal(length_after(__builtin_frame_address(0), ELISION_TX_CONFLICT, NULL), length);
    assert_int_equal(length_after(__builtin_frame_address(0), ELISION_TX_CONFLICT, taken),
                     length * 7 / 8);
}

/* Who asks in a transaction cannot tell the site, so the next enter that asks the policy does. */
static void
asking_in_a_transaction_is_found_out(void **unused)
{
    static elision_site_t fresh = ELISION_SITE_INIT("fresh");

    (void)unused;
    script_reset(__builtin_frame_address(0));
    assert_int_equal(elision_enter(&lock, &fresh), ELISION_SPECULATIVE);
    assert_int_equal(elision_section_length(&fresh), elision_params_cut_.length);
    elision_leave(&lock);
    assert_false(elision_site_is_cut_(&fresh));
    elision_state_of_(elision_self_, &fresh)->granted = 0;
    elision_state_of_(elision_self_, &fresh)->credit = 0;
    (void)elision_enter(&lock, &fresh);
    elision_leave(&lock);
    assert_true(elision_site_is_cut_(&fresh));
}

static unsigned release_at, steps_since, cuts;

/* Somebody takes the lock between leaving it and entering it anew, and gives it back at a step that
 * comes later. */
static void
taken_where_cut(const char *name, unsigned n)
{
    (void)n;
    if (strcmp(name, "cut: left") == 0) {
        assert_int_equal(lock.word_, 0);
        lock.word_ = FAKE_ID;
        steps_since = 0;
        cuts++;
    }
    else if (lock.word_ == FAKE_ID && ++steps_since == release_at) {
        elision_fallback_release_((struct elision_fallback *)&lock);
    }
}

static void
add_with_cuts(long *value)
{
    (void)elision_enter(&lock, &site);
    for (int i = 0; i < 4; i++) {
        ++*value;
        assert_int_not_equal(elision_checkpoint_now(&lock, &site), ELISION_BUSY);
        assert_int_not_equal(lock.word_, FAKE_ID);
        assert_true(elision_is_inside(&lock));
    }
    elision_leave(&lock);
}

/* Whenever it is given back, each cut goes on with the work. A wait goes on for ever, or till the
 * step comes: its sleeps end, so that the head may ask for a hand-over. */
static void
cuts_wait_for_the_lock(void **unused)
{
    static long value;

    (void)unused;
    elision_fallback_spins_ = 0;
    for (uint32_t passes = 0; passes < 3; passes++) {
        elision_fallback_passes_ = passes;
        for (release_at = 1; release_at <= 40; release_at++) {
            script_reset(__builtin_frame_address(0));
            elision_set_switch_interval(&lock, 1000);
            script_hook(taken_where_cut);
            cuts = 0;
            value = 0;
            add_with_cuts(&value);
            assert_int_equal(value, 4);
            assert_int_equal(cuts, 4);
            assert_int_equal(lock.word_, 0);
            assert_int_equal(elision_self_->inside, 0);
            assert_int_equal(script_stray_commits(), 0);
        }
    }
    script_hook(NULL);
}

/* The thread's record and what the site is are there from here on; sections begin on credit. */
static int
start(void **unused)
{
    (void)unused;
    if (script_start(__builtin_frame_address(0)) != 0) {
        return -1;
    }
    (void)elision_section_length(&site);
    for (int i = 0; i < 3; i++) {
        (void)elision_enter(&lock, &site);
        elision_leave(&lock);
    }
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacity_halves),
        cmocka_unit_test(taken_locks_shorten),
        cmocka_unit_test(asking_in_a_transaction_is_found_out),
        cmocka_unit_test(cuts_wait_for_the_lock),
    };

    return RUN_TAP(tests, start, NULL);
}
