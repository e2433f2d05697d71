/* SPDX-License-Identifier: MIT
 *
 * The coalescing table under random programs, against an oracle that knows true counts.
 */
#include "tests/refcount/things.h"

static uint64_t seed = 1;

static uint32_t
roll(uint32_t sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % sides;
}

enum { HEAP = 400 };

static int64_t truth[HEAP]; /* true counts */

/* What the table and the objects say together is the truth; and who has no references is dead. */
static void
check_truth(void)
{
    for (int i = 0; i < HEAP; i++) {
        int64_t count = things[i].count + elision_coalesce_net(&table, &things[i]) -
                        elision_coalesce_credit(&table, &things[i]);
        assert_int_equal(count, truth[i]);
        assert_int_equal(things[i].deaths, truth[i] == 0);
    }
}

static void
random_section(void)
{
    int focus = 1 + (int)roll(HEAP);
    elision_coalesce_begin(&table, roll(4) == 0);
    for (uint32_t steps = roll(300); steps > 0; steps--) {
        int i = (int)roll((uint32_t)focus);
        if (truth[i] == 0) {
            continue;
        }
        switch (roll(8)) {
        case 0: elision_coalesce_flush(&table, &things[i]); break;
        case 1:
        case 2:
        case 3:
            truth[i]++;
            add(i, 1);
            break;
        case 4: /* an increment that bypasses the table */
            truth[i]++;
            things[i].count++;
            break;
        default:
            truth[i]--;
            add(i, -1);
            break;
        }
    }
    check_truth();
    elision_coalesce_settle(&table, roll(16) == 0 ? ELISION_SETTLE_DETACH : ELISION_SETTLE_SECTION);
    check_truth();
}

static void
test_random_programs(void **state)
{
    uint64_t first = 20240611;
    for (int program = 0; program < 60; program++) {
        set_up(state);
        seed = first + (uint64_t)program;
        print_message("# random program, seed %llu\n", (unsigned long long)seed);
        for (int i = 0; i < HEAP; i++) {
            truth[i] = things[i].count = 1 + roll(4);
        }
        for (int section = 0; section < 60; section++) {
            random_section();
        }
        elision_coalesce_settle(&table, ELISION_SETTLE_DETACH);
        assert_true(elision_coalesce_is_empty(&table));
        for (int i = 0; i < HEAP; i++) {
            assert_int_equal(things[i].count, truth[i]);
            assert_int_equal(things[i].deaths, truth[i] == 0);
        }
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_programs),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
