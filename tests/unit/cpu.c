/* SPDX-License-Identifier: MIT
 *
 * The verdict as a table over what CPUID, the kernel and the trial can say.
 */
#include "probes/cpu.h"

#include <string.h>

#include "tests/unit/tap.h"

/* A machine on which everything is well. */
static const struct elision_cpu_facts good = {
    .x86_64 = true,
    .intel = true,
    .family = 6,
    .model = 0x6a,
    .stepping = 6,
    .rtm = true,
    .taa = ELISION_TAA_NOT_AFFECTED,
    .trial_starts = 64,
    .trial_commits = 63,
};

static void
check(const struct elision_cpu_facts *facts, enum elision_cpu_mode mode, bool usable,
      const char *word)
{
    struct elision_cpu_verdict verdict = elision_cpu_judge_(facts, mode);

    if (verdict.usable != usable || strstr(verdict.reason, word) == NULL) {
        fail_msg("%s: %s", verdict.usable ? "usable" : "refused", verdict.reason);
    }
    assert_non_null(verdict.remedy);
    /* What is refused says what to do. */
    assert_true(usable || verdict.remedy[0] != '\0');
}

static void
good_machine(void **unused)
{
    (void)unused;
    check(&good, ELISION_CPU_AUTO, true, "commit");
    check(&good, ELISION_CPU_ON, true, "commit");
    check(&good, ELISION_CPU_OFF, false, "ELISION=off");
    check(&good, ELISION_CPU_NONE, false, "ELISION_BACKEND=none");
    assert_true(elision_cpu_worth_trying_(&good, ELISION_CPU_AUTO));
    assert_true(elision_cpu_worth_trying_(&good, ELISION_CPU_ON));
    assert_false(elision_cpu_worth_trying_(&good, ELISION_CPU_OFF));
    assert_false(elision_cpu_worth_trying_(&good, ELISION_CPU_NONE));
}

/* No knob is blamed for what no knob can change, but the one that switches all off. */
static void
no_backend(void **unused)
{
    struct elision_cpu_facts facts = good;

    (void)unused;
    facts.left_out = true;
    facts.trial_starts = facts.trial_commits = 0;
    check(&facts, ELISION_CPU_ON, false, "compiled without");
    check(&facts, ELISION_CPU_NONE, false, "compiled without");
    check(&facts, ELISION_CPU_OFF, false, "ELISION=off");
    assert_false(elision_cpu_worth_trying_(&facts, ELISION_CPU_ON));
    facts.x86_64 = false;
    check(&facts, ELISION_CPU_AUTO, false, "architecture");
    check(&facts, ELISION_CPU_NONE, false, "architecture");
}

static void
no_rtm(void **unused)
{
    struct elision_cpu_facts facts = good;

    (void)unused;
    facts.rtm = false;
    facts.trial_starts = facts.trial_commits = 0;
    check(&facts, ELISION_CPU_ON, false, "no RTM");
    facts.hypervisor = true;
    check(&facts, ELISION_CPU_AUTO, false, "virtual CPU");
    facts.tsxldtrk = true;
    check(&facts, ELISION_CPU_AUTO, false, "hides RTM");
    facts.taa = ELISION_TAA_TSX_DISABLED;
    check(&facts, ELISION_CPU_AUTO, false, "switched TSX off");
}

static void
always_abort(void **unused)
{
    struct elision_cpu_facts facts = good;

    (void)unused;
    facts.rtm_always_abort = true;
    assert_false(elision_cpu_worth_trying_(&facts, ELISION_CPU_ON));
    check(&facts, ELISION_CPU_ON, false, "RTM_ALWAYS_ABORT");
    facts.rtm = false;
    check(&facts, ELISION_CPU_AUTO, false, "RTM_ALWAYS_ABORT");
}

static void
taa(void **unused)
{
    struct elision_cpu_facts facts = good;

    (void)unused;
    facts.taa = ELISION_TAA_VULNERABLE;
    check(&facts, ELISION_CPU_AUTO, false, "TAA");
    check(&facts, ELISION_CPU_ON, true, "commit");
    facts.emulated = true;
    check(&facts, ELISION_CPU_AUTO, true, "emulated");
    facts.emulated = false;
    facts.taa = ELISION_TAA_MITIGATED;
    check(&facts, ELISION_CPU_AUTO, true, "commit");
    facts.taa = ELISION_TAA_UNKNOWN;
    check(&facts, ELISION_CPU_AUTO, true, "commit");
}

static void
taa_text(void **unused)
{
    static const struct {
        const char *text;
        enum elision_taa taa;
    } rows[] = {
        {"Not affected", ELISION_TAA_NOT_AFFECTED},
        {"Mitigation: TSX disabled", ELISION_TAA_TSX_DISABLED},
        {"Mitigation: Clear CPU buffers; SMT vulnerable", ELISION_TAA_VULNERABLE},
        {"Mitigation: Clear CPU buffers; SMT Host state unknown", ELISION_TAA_VULNERABLE},
        {"Mitigation: Clear CPU buffers; SMT disabled", ELISION_TAA_MITIGATED},
        {"Mitigation: Clear CPU buffers; SMT mitigated", ELISION_TAA_MITIGATED},
        {"Vulnerable", ELISION_TAA_VULNERABLE},
        {"Vulnerable: Clear CPU buffers attempted, no microcode", ELISION_TAA_VULNERABLE},
        {"", ELISION_TAA_UNKNOWN},
        {"something new", ELISION_TAA_UNKNOWN},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (elision_cpu_taa_(rows[i].text) != rows[i].taa) {
            fail_msg("%s", rows[i].text);
        }
    }
}

static void
models(void **unused)
{
    static const struct {
        unsigned model, stepping;
        bool withdrawn;
    } rows[] = {
        {0x3c, 3, true},  {0x45, 1, true},  {0x46, 1, true},   {0x3f, 2, true},  {0x3f, 4, false},
        {0x3d, 4, true},  {0x47, 1, true},  {0x4f, 1, false},  {0x4e, 3, true},  {0x5e, 3, true},
        {0x55, 4, true},  {0x55, 7, false}, {0x55, 11, false}, {0x8e, 12, true}, {0x9e, 13, false},
        {0x6a, 6, false}, {0x8f, 8, false}, {0xcf, 2, false},  {0xad, 0, false},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct elision_cpu_facts facts = good;
        facts.model = rows[i].model;
        facts.stepping = rows[i].stepping;
        check(&facts, ELISION_CPU_AUTO, !rows[i].withdrawn,
              rows[i].withdrawn ? "erratum" : "commit");
        check(&facts, ELISION_CPU_ON, true, "commit");
        facts.emulated = true;
        check(&facts, ELISION_CPU_AUTO, true, "emulated");
    }
}

static void
trials(void **unused)
{
    struct elision_cpu_facts facts = good;

    (void)unused;
    facts.trial_commits = 0;
    check(&facts, ELISION_CPU_AUTO, false, "do not commit");
    check(&facts, ELISION_CPU_ON, false, "do not commit");
    facts.trial_commits = 15;
    check(&facts, ELISION_CPU_AUTO, false, "do not commit");
    facts.trial_commits = 16;
    check(&facts, ELISION_CPU_AUTO, true, "commit");
    facts.trial_starts = facts.trial_commits = 0;
    check(&facts, ELISION_CPU_AUTO, false, "do not commit");
}

static void
this_machine(void **unused)
{
    struct elision_cpu_facts facts;

    (void)unused;
    elision_cpu_gather_(&facts);
    print_message("# rtm %d, always abort %d, tsxldtrk %d, hypervisor %d, taa '%s'\n", facts.rtm,
                  facts.rtm_always_abort, facts.tsxldtrk, facts.hypervisor, facts.taa_text);
    assert_int_equal(facts.taa, elision_cpu_taa_(facts.taa_text));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_machine), cmocka_unit_test(no_backend),
        cmocka_unit_test(no_rtm),       cmocka_unit_test(always_abort),
        cmocka_unit_test(taa),          cmocka_unit_test(taa_text),
        cmocka_unit_test(models),       cmocka_unit_test(trials),
        cmocka_unit_test(this_machine),
    };

    return RUN_TAP(tests, NULL, NULL);
}
