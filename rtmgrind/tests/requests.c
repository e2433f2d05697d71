/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Client requests (rtmgrind.h): what they answer, and that transactions survive them. What they do
 * to the report is in report.sh.
 */

#include "rtmgrind/tests/litmus.h"
#include "rtmgrind/rtmgrind.h"

static void
emulated(void **state)
{
    (void)state;
    assert_int_equal(RTMGRIND_EMULATED(), 1);
}

static void
clock_is_rdtsc(void **state)
{
    const uint64_t before = now(), clock = RTMGRIND_CLOCK(), after = now();

    (void)state;
    assert_true(before <= clock && clock <= after);
    assert_true(after - before < 1000);
}

static void
requests_do_not_abort(void **state)
{
    uint64_t emulated_inside = 0, clock = 0;

    (void)state;
    assert_int_equal(IN_TX({
                         emulated_inside = RTMGRIND_EMULATED();
                         clock = RTMGRIND_CLOCK();
                         RTMGRIND_LABEL_PUSH("inside");
                         RTMGRIND_LABEL_POP();
                     }),
                     STARTED);
    assert_int_equal(emulated_inside, 1);
    assert_true(clock > 0);
}

static void
pop_without_push_is_harmless(void **state)
{
    (void)state;
    RTMGRIND_LABEL_POP();
    assert_int_equal(IN_TX((void)0), STARTED);
}

static void
hundred_labels_deep(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < 100; i++) {
        RTMGRIND_LABEL_PUSH("deep");
    }
    assert_int_equal(IN_TX((void)0), STARTED);
    for (i = 0; i < 100; i++) {
        RTMGRIND_LABEL_POP();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emulated),
        cmocka_unit_test(clock_is_rdtsc),
        cmocka_unit_test(requests_do_not_abort),
        cmocka_unit_test(pop_without_push_is_harmless),
        cmocka_unit_test(hundred_labels_deep),
    };

    return LITMUS_MAIN(tests);
}
