/* SPDX-License-Identifier: MIT
 *
 * Knobs: defaults, good values, malformed values, unknown names, programs that run with more rights
 * than their user; and that each complaint is one line.
 */
#define _GNU_SOURCE
#include "elision/knobs.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "tests/unit/tap.h"

/* The C library's, but for what the kernel says of a set-uid program. */
static bool secure;
unsigned long
getauxval(unsigned long type)
{
    (void)type;
    return type == AT_SECURE && secure;
}

static char said[4096]; /* what the last call wrote on stderr */

/* Read environment with stderr caught in said. */
static unsigned
read_with(struct elision_knobs *knobs, char *first, char *second)
{
    char *environment[] = {first, second, NULL};
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);

    assert_non_null(file);
    dup2(fileno(file), STDERR_FILENO);
    unsigned complaints = elision_knobs_read_(knobs, environment);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    said[fread(said, 1, sizeof(said) - 1, file)] = '\0';
    fclose(file);
    return complaints;
}

static unsigned
lines(void)
{
    unsigned n = 0;

    for (const char *at = said; *at != '\0'; at++) {
        n += *at == '\n';
    }
    return n;
}

static void
defaults(void **unused)
{
    struct elision_knobs knobs;

    (void)unused;
    assert_int_equal(read_with(&knobs, "PATH=/bin", "ELISIONS=1"), 0);
    assert_string_equal(said, "");
    assert_string_equal(knobs.mode, "auto");
    assert_string_equal(knobs.policy, "adaptive");
    assert_int_equal(knobs.tries, -1);
    assert_int_equal(knobs.trial, 64);
}

static void
good_values(void **unused)
{
    struct elision_knobs knobs;

    (void)unused;
    assert_int_equal(read_with(&knobs, "ELISION=off", "ELISION_TRIES=0"), 0);
    assert_string_equal(knobs.mode, "off");
    assert_int_equal(knobs.tries, 0);
    assert_int_equal(read_with(&knobs, "ELISION_SEED=4294967295", "ELISION_STATS=json"), 0);
    assert_int_equal(knobs.seed, 4294967295);
    assert_string_equal(knobs.stats, "json");
    assert_string_equal(said, "");
}

static void
malformed_values(void **unused)
{
    static char long_value[400] = "ELISION_POLICY=";
    char *const rows[] = {
        "ELISION=",
        "ELISION=maybe",
        "ELISION=o",
        "ELISION=on|off",
        "ELISION_TRIES=",
        "ELISION_TRIES=three",
        "ELISION_TRIES=3x",
        "ELISION_TRIES=-2",
        "ELISION_TRIES=1001",
        "ELISION_TRIES=99999999999999999999999",
        "ELISION_BACKEND=hle",
        "ELISION_SHOW=2",
        long_value,
    };

    (void)unused;
    memset(long_value + strlen(long_value), 'a', 300);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct elision_knobs knobs;
        if (read_with(&knobs, rows[i], NULL) != 1 || lines() != 1 ||
            strstr(said, "expected") == NULL || strstr(said, "using") == NULL) {
            fail_msg("%s: %s", rows[i], said);
        }
        assert_string_equal(knobs.mode, "auto");
        assert_int_equal(knobs.tries, -1);
        assert_string_equal(knobs.policy, "adaptive");
    }
}

static void
unknown_names(void **unused)
{
    struct elision_knobs knobs;

    (void)unused;
    assert_int_equal(read_with(&knobs, "ELISION_TRYS=3", "ELISION_=1"), 2);
    assert_int_equal(lines(), 2);
    assert_non_null(strstr(said, "ELISION_TRYS"));
}

static void
secure_programs_ignore_all(void **unused)
{
    struct elision_knobs knobs;

    (void)unused;
    secure = true;
    unsigned complaints = read_with(&knobs, "ELISION=off", "ELISION_TRIES=three");
    secure = false;
    assert_int_equal(complaints, 0);
    assert_string_equal(said, "");
    assert_string_equal(knobs.mode, "auto");
    assert_int_equal(knobs.tries, -1);
    assert_int_equal(read_with(&knobs, "ELISION=off", NULL), 0);
    assert_string_equal(knobs.mode, "off");
}

static void
documented(void **unused)
{
    char made[16384];
    FILE *file = tmpfile();

    (void)unused;
    assert_non_null(file);
    elision_knobs_document_(fileno(file));
    rewind(file);
    made[fread(made, 1, sizeof(made) - 1, file)] = '\0';
    fclose(file);
    file = fopen("docs/knobs.md", "r");
    if (file == NULL) {
        fail_msg("docs/knobs.md is missing; `make knobs-doc` writes it");
    }
    char there[16384];
    there[fread(there, 1, sizeof(there) - 1, file)] = '\0';
    fclose(file);
    if (strcmp(made, there) != 0) {
        fail_msg("docs/knobs.md is out of date; `make knobs-doc` renews it");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(good_values),
        cmocka_unit_test(malformed_values),
        cmocka_unit_test(unknown_names),
        cmocka_unit_test(secure_programs_ignore_all),
        cmocka_unit_test(documented),
    };

    return RUN_TAP(tests, NULL, NULL);
}
