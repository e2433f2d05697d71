/* SPDX-License-Identifier: MIT
 *
 * Can this machine run RTM transactions, may it, and if not why: what CPUID, the kernel and a live
 * trial say, and one verdict from them. Gathering and judging are apart, so that every verdict is
 * tested as a table.
 */
#ifndef ELISION_PROBES_CPU_H
#define ELISION_PROBES_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What /sys/devices/system/cpu/vulnerabilities/tsx_async_abort says. */
enum elision_taa {
    ELISION_TAA_UNKNOWN = 0, /* no such file: old kernel, or no sysfs */
    ELISION_TAA_NOT_AFFECTED = 1,
    ELISION_TAA_TSX_DISABLED = 2, /* the kernel or the firmware switched TSX off */
    ELISION_TAA_MITIGATED = 3,    /* buffers cleared, no sibling thread to leak to */
    ELISION_TAA_VULNERABLE = 4,   /* transactions may leak data to a sibling thread */
};

struct elision_cpu_facts {
    bool x86_64;
    bool intel;
    unsigned family, model, stepping;
    bool rtm;              /* CPUID.7.0:EBX[11] */
    bool rtm_always_abort; /* CPUID.7.0:EDX[11] */
    bool force_abort_msr;  /* CPUID.7.0:EDX[13]: TSX_FORCE_ABORT exists */
    bool tsxldtrk;         /* CPUID.7.0:EDX[16] */
    bool hypervisor;       /* CPUID.1:ECX[31] */
    bool emulated;         /* under rtmgrind */
    bool left_out;         /* compiled without transactions, though for x86-64 */
    enum elision_taa taa;
    char taa_text[96]; /* the kernel's own words */
    unsigned trial_starts, trial_commits;
};

enum elision_cpu_mode {
    ELISION_CPU_OFF = 0,
    ELISION_CPU_AUTO = 1,
    ELISION_CPU_ON = 2,   /* overrides TAA and the model list */
    ELISION_CPU_NONE = 3, /* the backend none was asked for */
};

struct elision_cpu_verdict {
    bool usable;
    const char *reason; /* constant text */
    const char *remedy; /* constant text, "" if there is nothing to do */
};

/* Run attempts empty transactions; ret: how many committed. Only called where CPUID says RTM. */
typedef unsigned (*elision_cpu_trial)(unsigned attempts);

/* Everything but the trial. errno: kept */
void elision_cpu_gather_(struct elision_cpu_facts *facts);

/* Sort the kernel's words. */
enum elision_taa elision_cpu_taa_(const char *text);

/* Whether a trial should be run at all: RTM is wanted, is there and can be expected to work.
 * pre:   facts gathered */
bool elision_cpu_worth_trying_(const struct elision_cpu_facts *facts, enum elision_cpu_mode mode);

/* The verdict; pure. */
struct elision_cpu_verdict elision_cpu_judge_(const struct elision_cpu_facts *facts,
                                              enum elision_cpu_mode mode);

#endif
