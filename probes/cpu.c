/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "probes/cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include "rtmgrind/rtmgrind.h"
#endif

#define TAA_FILE "/sys/devices/system/cpu/vulnerabilities/tsx_async_abort"

#if defined(__x86_64__)
static void
gather_cpuid(struct elision_cpu_facts *facts)
{
    unsigned eax, ebx, ecx, edx;

    facts->x86_64 = true;
    if (__get_cpuid(0, &eax, &ebx, &ecx, &edx)) {
        facts->intel =
            ebx == signature_INTEL_ebx && ecx == signature_INTEL_ecx && edx == signature_INTEL_edx;
    }
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        facts->stepping = eax & 0xf;
        facts->model = ((eax >> 4) & 0xf) | ((eax >> 12) & 0xf0);
        facts->family = ((eax >> 8) & 0xf) + ((eax >> 20) & 0xff);
        facts->hypervisor = (ecx >> 31) & 1;
    }
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        facts->rtm = (ebx >> 11) & 1;
        facts->rtm_always_abort = (edx >> 11) & 1;
        facts->force_abort_msr = (edx >> 13) & 1;
        facts->tsxldtrk = (edx >> 16) & 1;
    }
    facts->emulated = RTMGRIND_EMULATED() != 0;
}
#else
static void
gather_cpuid(struct elision_cpu_facts *facts)
{
    (void)facts;
}
#endif

enum elision_taa
elision_cpu_taa_(const char *text)
{
    if (strncmp(text, "Not affected", 12) == 0) {
        return ELISION_TAA_NOT_AFFECTED;
    }
    if (strncmp(text, "Mitigation: TSX disabled", 24) == 0) {
        return ELISION_TAA_TSX_DISABLED;
    }
    if (strncmp(text, "Mitigation: Clear CPU buffers", 29) == 0) {
        /* "; SMT vulnerable" and "; SMT Host state unknown" both leave the sibling thread. */
        return strstr(text, "SMT disabled") != NULL || strstr(text, "SMT mitigated") != NULL
                   ? ELISION_TAA_MITIGATED
                   : ELISION_TAA_VULNERABLE;
    }
    return strncmp(text, "Vulnerable", 10) == 0 ? ELISION_TAA_VULNERABLE : ELISION_TAA_UNKNOWN;
}

void
elision_cpu_gather_(struct elision_cpu_facts *facts)
{
    int saved = errno;

    memset(facts, 0, sizeof(*facts));
    gather_cpuid(facts);
    int fd = open(TAA_FILE, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t length = read(fd, facts->taa_text, sizeof(facts->taa_text) - 1);
        close(fd);
        if (length > 0) {
            facts->taa_text[length] = '\0';
            facts->taa_text[strcspn(facts->taa_text, "\n")] = '\0';
            facts->taa = elision_cpu_taa_(facts->taa_text);
        }
    }
    errno = saved;
}

/* Models whose transactions were withdrawn by an erratum: results may be wrong, or microcode makes
 * them abort. Intel's specification updates HSD136, BDM53 and the 2021 TSX deprecation list; the
 * same models as the GNU C library and Linux treat so. */
static bool
model_withdrawn(const struct elision_cpu_facts *facts)
{
    if (!facts->intel || facts->family != 6) {
        return false;
    }
    switch (facts->model) {
    case 0x3c: /* Haswell */
    case 0x45:
    case 0x46:
    case 0x3d: /* Broadwell, client */
    case 0x47:
    case 0x4e: /* Skylake, client */
    case 0x5e: return true;
    case 0x3f: return facts->stepping < 4;  /* Haswell-EP; EX from stepping 4 is sound */
    case 0x55: return facts->stepping <= 5; /* Skylake-SP before Cascade Lake */
    case 0x8e:                              /* Kaby, Coffee, Comet, Whiskey Lake */
    case 0x9e: return facts->stepping <= 0xc;
    default: return false;
    }
}

bool
elision_cpu_worth_trying_(const struct elision_cpu_facts *facts, enum elision_cpu_mode mode)
{
    return (mode == ELISION_CPU_AUTO || mode == ELISION_CPU_ON) && facts->x86_64 &&
           !facts->left_out && facts->rtm && !facts->rtm_always_abort;
}

static struct elision_cpu_verdict
refuse(const char *reason, const char *remedy)
{
    return (struct elision_cpu_verdict){.usable = false, .reason = reason, .remedy = remedy};
}

/* Why CPUID shows no RTM. */
static struct elision_cpu_verdict
judge_absent(const struct elision_cpu_facts *facts)
{
    if (facts->taa == ELISION_TAA_TSX_DISABLED) {
        return refuse("the kernel or the firmware has switched TSX off",
                      "boot with tsx=auto; if that changes nothing this CPU is vulnerable to TAA "
                      "and TSX had better stay off");
    }
    if (facts->hypervisor && facts->tsxldtrk) {
        return refuse(
            "the hypervisor hides RTM, though the CPU seems to have TSX",
            "ask for an instance type or CPU model that passes RTM through, with tsx=auto "
            "on the host");
    }
    if (facts->hypervisor) {
        return refuse("the virtual CPU has no RTM",
                      "use a host CPU with TSX (Cooper Lake, Ice Lake-SP or a later Xeon) and a "
                      "CPU model that passes RTM through, or run under rtmgrind");
    }
    return refuse("this CPU has no RTM",
                  "use a CPU with TSX (Cooper Lake, Ice Lake-SP or a later Xeon), or run under "
                  "rtmgrind");
}

struct elision_cpu_verdict
elision_cpu_judge_(const struct elision_cpu_facts *facts, enum elision_cpu_mode mode)
{
    if (mode == ELISION_CPU_OFF) {
        return refuse("switched off by ELISION=off", "unset ELISION");
    }
    if (!facts->x86_64) {
        return refuse("this architecture has no backend for transactions",
                      "use an x86-64 CPU with TSX (Cooper Lake, Ice Lake-SP or a later Xeon)");
    }
    if (facts->left_out) {
        return refuse("the library was compiled without transactions",
                      "compile it without ELISION_TX_NONE");
    }
    if (mode == ELISION_CPU_NONE) {
        return refuse("switched off by ELISION_BACKEND=none", "unset ELISION_BACKEND");
    }
    if (facts->rtm_always_abort) {
        return refuse("the CPU's microcode makes every transaction abort (RTM_ALWAYS_ABORT)",
                      "none in software; the microcode update that did this closed a security "
                      "hole or an erratum");
    }
    if (!facts->rtm) {
        return judge_absent(facts);
    }
    if (!facts->emulated && mode != ELISION_CPU_ON) {
        if (model_withdrawn(facts)) {
            return refuse("transactions of this CPU model were withdrawn by an erratum",
                          "use another CPU; ELISION=on overrides at your own risk");
        }
        if (facts->taa == ELISION_TAA_VULNERABLE) {
            return refuse("this machine is vulnerable to TSX asynchronous abort (TAA)",
                          "boot with tsx=auto or with SMT off; ELISION=on overrides");
        }
    }
    /* One in four: a trial is short, but interrupts and page faults are not rarer under load. */
    if (facts->trial_commits * 4 < facts->trial_starts || facts->trial_commits == 0) {
        return refuse("CPUID shows RTM, but transactions do not commit",
                      "look at the kernel's tsx= option and at the hypervisor's settings");
    }
    return (struct elision_cpu_verdict){
        .usable = true,
        .reason = facts->emulated ? "transactions commit (emulated)" : "transactions commit",
        .remedy = "",
    };
}
