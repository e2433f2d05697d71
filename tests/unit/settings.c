/* SPDX-License-Identifier: MIT
 *
 * What the environment makes of a process: this program runs itself with variables set, and the
 * copy says what it has come to.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elision/core_priv.h"
#include "probes/cpu.h"
#include "tests/unit/tap.h"

static char said[4096];

/* Run this program with variables, to do what; ret: its exit status, what it wrote in said. */
static int
run_to(const char *what, const char *variables)
{
    char command[512], self[256];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    assert_true(length > 0);
    self[length] = '\0';
    snprintf(command, sizeof(command), "%s '%s' %s 2>&1", variables, self, what);
    FILE *file = popen(command, "r");
    assert_non_null(file);
    said[fread(said, 1, sizeof(said) - 1, file)] = '\0';
    return pclose(file);
}

static int
run_with(const char *variables)
{
    return run_to("tell", variables);
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

/* Has the program find itself on a CPU whose transactions commit, but were withdrawn. */
#define WITHDRAWN "PRETEND_WITHDRAWN=1 "

struct elision_cpu_verdict __real_elision_cpu_judge_(const struct elision_cpu_facts *facts,
                                                     enum elision_cpu_mode mode);
struct elision_cpu_verdict __wrap_elision_cpu_judge_(const struct elision_cpu_facts *facts,
                                                     enum elision_cpu_mode mode);

struct elision_cpu_verdict
__wrap_elision_cpu_judge_(const struct elision_cpu_facts *facts, enum elision_cpu_mode mode)
{
    struct elision_cpu_facts withdrawn = {
        .x86_64 = true,
        .intel = true,
        .rtm = true,
        .family = 6,
        .model = 0x4e,
        .trial_starts = 64,
        .trial_commits = 64,
    };

    return __real_elision_cpu_judge_(getenv("PRETEND_WITHDRAWN") != NULL ? &withdrawn : facts,
                                     mode);
}

static void
tell_more(void)
{
    const struct elision_verdict *verdict = elision_verdict();

    printf("%s: %s; passes %u, spins %u, trial %u\n", verdict->can_elide ? "elides" : "does not",
           verdict->reason, elision_fallback_passes_, elision_fallback_spins_,
           verdict->emulated ? verdict->trial_starts : 0);
}

/* ELISION=on overrides what auto refuses; a trial is only where there are transactions. Where
 * nothing is elided spins are longer. */
static void
so_is_each_that_is_not_the_policys(void **unused)
{
#define OFF "does not: switched off by ELISION=off; "
#define EMULATED "out/bin/rtmgrind --quiet --"
    static const struct {
        const char *variables, *come_to;
    } rows[] = {
        {"ELISION=off", OFF "passes 16, spins 252, trial 0\n"},
        {"ELISION=off ELISION_PASSES=0", OFF "passes 0, spins 252, trial 0\n"},
        {"ELISION=off ELISION_PASSES=1000", OFF "passes 1000, spins 252, trial 0\n"},
        {"ELISION=off ELISION_SPINS=0", OFF "passes 16, spins 0, trial 0\n"},
        {"ELISION=off ELISION_SPINS=100", OFF "passes 16, spins 1800, trial 0\n"},
        {WITHDRAWN "ELISION=auto", "does not: transactions of this CPU model were withdrawn by an "
                                   "erratum; passes 16, spins 252, trial 0\n"},
        {WITHDRAWN "ELISION=on", "elides: transactions commit; passes 16, spins 14, trial 0\n"},
        {WITHDRAWN "ELISION=on ELISION_SPINS=100",
         "elides: transactions commit; passes 16, spins 100, trial 0\n"},
        {EMULATED, "elides: transactions commit (emulated); passes 16, spins 14, trial 64\n"},
        {"ELISION_TRIAL=5 " EMULATED,
         "elides: transactions commit (emulated); passes 16, spins 14, trial 5\n"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(run_to("tell-more", rows[i].variables), 0);
        assert_string_equal(said, rows[i].come_to);
    }
}

static void
misuse_is_reported_or_the_end(void **unused)
{
    static const char *const survived[] = {"exec", "ELISION_MISUSE=report exec"};

    (void)unused;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run_to("misuse", survived[i]), 0);
        assert_non_null(strstr(said, "libelision: elision_leave("));
        assert_non_null(strstr(said, "; ignored\n"));
    }
    int status = run_to("misuse", "ELISION_MISUSE=abort exec");
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(said, "libelision: elision_leave("));
    assert_null(strstr(said, "ignored"));
}

static void
all_is_shown_where_asked(void **unused)
{
    (void)unused;
    assert_int_equal(run_with("ELISION_SHOW=1 ELISION_TRIES=3"), 0);
    assert_memory_equal(said, "libelision ", 11);
    assert_non_null(strstr(said, "\nverdict: "));
    assert_non_null(strstr(said, "\nELISION_SHOW=1\n"));
    assert_non_null(strstr(said, "\nELISION_TRIES=3\n"));
    assert_non_null(strstr(said, "\nELISION_PASSES=16 (default)\n"));
    assert_int_equal(run_with("ELISION_SHOW=0"), 0);
    assert_null(strstr(said, "verdict"));
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
        cmocka_unit_test(so_is_each_that_is_not_the_policys),
        cmocka_unit_test(misuse_is_reported_or_the_end),
        cmocka_unit_test(all_is_shown_where_asked),
        cmocka_unit_test(a_policy_that_is_none_is_named),
        cmocka_unit_test(the_report_goes_where_it_is_told),
    };

    if (argc > 1 && strcmp(argv[1], "tell") == 0) {
        tell();
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "tell-more") == 0) {
        tell_more();
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "misuse") == 0) {
        static elision_lock_t lock;
        elision_leave(&lock);
        return 0;
    }
    return RUN_TAP(tests, NULL, NULL);
}
