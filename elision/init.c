/* SPDX-License-Identifier: MIT
 *
 * Load-time set-up: knobs, verdict, policy, fork handlers; and the switches an embedder has.
 */
#define _GNU_SOURCE
#include "elision/core_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elision/arbiter.h"
#include "elision/report.h"
#include "elision/tx.h"
#include "fallback/spin.h"
#include "probes/cpu.h"

struct elision_knobs elision_knobs_;
struct elision_policy_params elision_params_;
struct elision_policy_params elision_params_cut_;
struct elision_verdict elision_verdict_ = {.reason = "not yet looked", .remedy = "", .policy = ""};
_Atomic bool elision_enabled_ = true;
_Atomic unsigned elision_concurrency_;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pid_t process; /* whose state this is */
static bool forking;  /* the hooks run; under the registry's mutex */

static ELISION_TX unsigned
try_transactions(unsigned attempts)
{
    unsigned committed = 0;

    for (unsigned i = 0; i < attempts; i++) {
        if (elision_tx_begin_() == ELISION_TX_STARTED) {
            elision_tx_commit_();
            committed++;
        }
    }
    return committed;
}

static void
choose_policy(void)
{
    static struct elision_policy_params made;
    const struct elision_policy_params *found = elision_policy_find_(elision_knobs_.policy, &made);
    uint32_t seed = (uint32_t)elision_knobs_.seed;

    if (found == NULL) {
        elision_knobs_complain_("ELISION_POLICY", elision_knobs_.policy,
                                "a policy that `elision knobs` names", "adaptive");
        found = elision_policy_find_("adaptive", &made);
        elision_knobs_.policy = found->name;
    }
    elision_params_ = *found;
    elision_params_.seed = seed != 0 ? seed : 0x5eed5eedu;
    if (strcmp(elision_knobs_.arbiter, "off") == 0) {
        elision_params_.arbiter = false;
    }
    if (elision_knobs_.tries >= 0) {
        elision_params_.budget = (uint16_t)elision_knobs_.tries;
    }
    if (elision_knobs_.length > 0) {
        elision_params_.length = (uint32_t)elision_knobs_.length;
        if (elision_params_.length_max < elision_params_.length) {
            elision_params_.length_max = elision_params_.length;
        }
    }
    elision_params_cut_ = elision_params_;
    elision_policy_for_cuts_(&elision_params_cut_);
    elision_params_.at_once = elision_policy_is_hasty_(&elision_params_);
    elision_params_cut_.at_once = elision_policy_is_hasty_(&elision_params_cut_);
}

static enum elision_cpu_mode
chosen_mode(void)
{
    if (strcmp(elision_knobs_.mode, "off") == 0) {
        return ELISION_CPU_OFF;
    }
    if (strcmp(elision_knobs_.backend, "none") == 0) {
        return ELISION_CPU_NONE;
    }
    return strcmp(elision_knobs_.mode, "on") == 0 ? ELISION_CPU_ON : ELISION_CPU_AUTO;
}

/* What lets a policy try that does not: the knob that keeps it from it. */
static const char *
remedy_without_budget(void)
{
    struct elision_policy_params made;
    const struct elision_policy_params *found = elision_policy_find_(elision_knobs_.policy, &made);

    if (found != NULL && found->budget != ELISION_BUDGET_NONE) {
        return "unset ELISION_TRIES, or set it above 0";
    }
    return elision_knobs_.tries < 0 ? "unset ELISION_POLICY, or set ELISION_TRIES above 0"
                                    : "set ELISION_TRIES above 0";
}

static void
reach_verdict(void)
{
    struct elision_cpu_facts facts;
    enum elision_cpu_mode mode = chosen_mode();

    elision_cpu_gather_(&facts);
#ifdef ELISION_TX_SCRIPTED
    facts.x86_64 = facts.rtm = facts.emulated = true;
    facts.rtm_always_abort = false;
#endif
    facts.left_out = ELISION_TX_BACKEND == ELISION_BACKEND_NONE;
    if (elision_cpu_worth_trying_(&facts, mode)) {
        facts.trial_starts = (unsigned)elision_knobs_.trial;
        facts.trial_commits = try_transactions(facts.trial_starts);
    }
    struct elision_cpu_verdict verdict = elision_cpu_judge_(&facts, mode);
    elision_verdict_ = (struct elision_verdict){
        .backend = verdict.usable ? ELISION_TX_BACKEND : ELISION_BACKEND_NONE,
        .can_elide = verdict.usable && elision_params_.budget != ELISION_BUDGET_NONE,
        .emulated = facts.emulated,
        .reason = verdict.reason,
        .remedy = verdict.remedy,
        .trial_starts = facts.trial_starts,
        .trial_commits = facts.trial_commits,
        .policy = elision_knobs_.policy,
    };
    if (verdict.usable && !elision_verdict_.can_elide) {
        elision_verdict_.reason = "transactions commit, but the policy allows no attempt";
        elision_verdict_.remedy = remedy_without_budget();
    }
    if (!verdict.usable && strcmp(elision_knobs_.backend, "rtm") == 0) {
        dprintf(STDERR_FILENO, "libelision: ELISION_BACKEND=rtm: %s; using none; remedy: %s\n",
                verdict.reason, verdict.remedy);
    }
}

static void
set_up(void)
{
    process = getpid();
    elision_thread_init_();
    (void)elision_knobs_read_(&elision_knobs_, environ);
    choose_policy();
    reach_verdict();
    elision_fallback_passes_ = (uint32_t)elision_knobs_.passes;
    elision_fallback_spins_ =
        (uint32_t)elision_knobs_.spins * (elision_verdict_.can_elide ? 1 : ELISION_FALLBACK_ALONE);
    elision_park_init_();
    (void)pthread_atfork(elision_atfork_prepare, elision_atfork_parent, elision_atfork_child);
    if (strcmp(elision_knobs_.show, "1") == 0) {
        elision_show(STDERR_FILENO);
    }
}

void
elision_init_(void)
{
    (void)pthread_once(&once, set_up);
}

/* Before the constructors of a program that the library is linked into: these may ask for the
 * verdict. 101 is the first priority that is not the compiler's own. */
__attribute__((constructor(101))) static void
at_load(void)
{
    elision_init_();
}

/* Open what ELISION_STATS_FILE names. ret: a descriptor; stderr's, after a line, if it cannot */
static int
open_stats_file(void)
{
    char name[512];
    const char *pattern = elision_knobs_.stats_file;
    const char *mark = strstr(pattern, "%p");

    if (pattern[0] == '\0') {
        return STDERR_FILENO;
    }
    if (mark != NULL) {
        snprintf(name, sizeof(name), "%.*s%ld%s", (int)(mark - pattern), pattern, (long)getpid(),
                 mark + 2);
    }
    else {
        snprintf(name, sizeof(name), "%s", pattern);
    }
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        dprintf(STDERR_FILENO,
                "libelision: ELISION_STATS_FILE: cannot write %s: %s; using stderr\n", name,
                strerror(errno));
        return STDERR_FILENO;
    }
    return fd;
}

__attribute__((destructor)) static void
at_unload(void)
{
    if (strcmp(elision_knobs_.stats, "off") != 0) {
        int fd = open_stats_file();
        elision_report_(fd, strcmp(elision_knobs_.stats, "json") == 0);
        if (fd != STDERR_FILENO) {
            close(fd);
        }
    }
}

/* --- Switches ----------------------------------------------------------------------------------*/

void
elision_set_enabled(bool enabled)
{
    atomic_store(&elision_enabled_, enabled); /* [E.SW] */
    elision_thread_update_();
}

bool
elision_enabled(void)
{
    return elision_verdict_.can_elide &&
           atomic_load_explicit(&elision_enabled_, memory_order_relaxed);
}

void
elision_set_concurrency(unsigned threads)
{
    atomic_store(&elision_concurrency_, threads); /* [E.SW] */
    elision_thread_update_();
}

const struct elision_verdict *
elision_verdict(void)
{
    return &elision_verdict_;
}

const char *
elision_version(void)
{
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
    return TEXT(ELISION_VERSION_MAJOR) "." TEXT(ELISION_VERSION_MINOR) "." TEXT(
        ELISION_VERSION_PATCH);
}

void
elision_show(int fd)
{
    const struct elision_verdict *verdict = &elision_verdict_;
    int saved = errno;

    dprintf(fd, "libelision %s\nverdict: %s: %s%s%s\n", elision_version(),
            verdict->can_elide ? "elides" : "does not elide", verdict->reason,
            verdict->remedy[0] != '\0' ? "; remedy: " : "", verdict->remedy);
    dprintf(fd, "backend: %s\ntrial: %u of %u transactions committed\n",
            elision_backend_name_(verdict->backend), verdict->trial_commits, verdict->trial_starts);
    elision_knobs_show_(&elision_knobs_, fd);
    errno = saved;
}

/* --- Fork --------------------------------------------------------------------------------------*/

void
elision_atfork_prepare(void)
{
    elision_thread_prepare_fork_();
    forking = true;
}

void
elision_atfork_parent(void)
{
    forking = false;
    elision_thread_parent_forked_();
}

void
elision_atfork_child(void)
{
    pid_t now = getpid();

    /* Called again. The id alone does not say so: the first process of a namespace may fork the
     * first one of another. */
    if (!forking && now == process) {
        return;
    }
    forking = false;
    process = now;
    elision_fallback_forked_();
    elision_park_init_();
    elision_arbiter_forked_();
    atomic_store_explicit(&elision_concurrency_, 0, memory_order_relaxed);
    elision_thread_child_forked_();
}
