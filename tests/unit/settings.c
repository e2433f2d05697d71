/* SPDX-License-Identifier: MIT
 *
 * What the environment makes of a process: this program runs itself with variables set, and the
 * copy says what it has come to.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elision/core_priv.h"
#include "tests/unit/tap.h"

static char said[4096];

/* Run this program with variables; ret: its exit status, what it wrote in said. */
static int
run_with(const char *variables)
{
    char command[512], self[256];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    assert_true(length > 0);
    self[length] = '\0';
    snprintf(command, sizeof(command), "%s '%s' tell 2>&1", variables, self);
    FILE *file = popen(command, "r");
    assert_non_null(file);
    said[fread(said, 1, sizeof(said) - 1, file)] = '\0';
    return pclose(file);
}

static void
tell(void)
{
    printf("%s: tries %u, cut %u, length %u to %u, arbiter %d, seed %x\n",
           elision_verdict()->policy, elision_params_.budget, elision_params_cut_.budget,
           elision_params_.length, elision_params_.length_max, elision_params_.arbiter,
           elision_params_.seed);
}

static void
each_knob_is_obeyed(void **unused)
{
    static const struct {
        const char *variables, *come_to;
    } rows[] = {
        {"", "adaptive: tries 16, cut 6, length 32 to 1024, arbiter 1, seed 5eed5eed\n"},
        {"ELISION_POLICY=tbb", "tbb: tries 10, cut 10, length 32 to 0, arbiter 0, seed 5eed5eed\n"},
        {"ELISION_TRIES=3",
         "adaptive: tries 3, cut 3, length 32 to 1024, arbiter 1, seed 5eed5eed\n"},
        {"ELISION_TRIES=0",
         "adaptive: tries 0, cut 0, length 32 to 1024, arbiter 1, seed 5eed5eed\n"},
        {"ELISION_LENGTH=50",
         "adaptive: tries 16, cut 6, length 50 to 1024, arbiter 1, seed 5eed5eed\n"},
        {"ELISION_LENGTH=2000",
         "adaptive: tries 16, cut 6, length 2000 to 2000, arbiter 1, seed 5eed5eed\n"},
        {"ELISION_ARBITER=off",
         "adaptive: tries 16, cut 6, length 32 to 1024, arbiter 0, seed 5eed5eed\n"},
        {"ELISION_SEED=171", "adaptive: tries 16, cut 6, length 32 to 1024, arbiter 1, seed ab\n"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(run_with(rows[i].variables), 0);
        assert_string_equal(said, rows[i].come_to);
    }
}

/* What only its user can know to be malformed. */
static void
a_policy_that_is_none_is_named(void **unused)
{
    (void)unused;
    assert_int_equal(run_with("ELISION_POLICY=nonsense"), 0);
    assert_non_null(strstr(said, "libelision: ELISION_POLICY=nonsense: expected "));
    assert_non_null(strstr(said, "; using adaptive\n"));
    assert_non_null(strstr(said, "\nadaptive: tries 16,"));
}

static void
the_report_goes_where_it_is_told(void **unused)
{
    char pattern[] = "/tmp/elision-settings-XXXXXX";
    char command[256];
    int fd = mkstemp(pattern);

    (void)unused;
    assert_true(fd >= 0);
    close(fd);
    snprintf(command, sizeof(command), "ELISION_STATS=text ELISION_STATS_FILE=%s.%%p exec",
             pattern);
    assert_int_equal(run_with(command), 0);
    assert_null(strstr(said, "parks"));
    snprintf(command, sizeof(command), "grep -qs '^total ' %s.[0-9]* && rm %s %s.[0-9]*", pattern,
             pattern, pattern);
    assert_int_equal(system(command), 0);
    assert_int_equal(run_with("ELISION_STATS=text ELISION_STATS_FILE=/nowhere/at/all"), 0);
    assert_non_null(strstr(said, "ELISION_STATS_FILE: cannot write /nowhere/at/all: "));
    assert_non_null(strstr(said, "\ntotal "));
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_knob_is_obeyed),
        cmocka_unit_test(a_policy_that_is_none_is_named),
        cmocka_unit_test(the_report_goes_where_it_is_told),
    };

    if (argc > 1 && strcmp(argv[1], "tell") == 0) {
        tell();
        return 0;
    }
    return RUN_TAP(tests, NULL, NULL);
}
