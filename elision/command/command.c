/* SPDX-License-Identifier: MIT
 *
 * The `elision` command: what this machine can do, a program run with counters, a report read back.
 * See elision/man/elision.1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elision/elision.h"
#include "elision/knobs.h"
#include "elision/policy.h"
#include "elision/report.h"
#include "probes/cpu.h"

/* Exit statuses, as in the man page. */
enum {
    STATUS_OK = 0,
    STATUS_NO = 1, /* probe: transactions are not used here */
    STATUS_USAGE = 2,
    STATUS_INPUT = 3,      /* a file cannot be read, or is no report */
    STATUS_NOT_FOUND = 127 /* run: the program cannot be started */
};

static int
usage(const char *problem)
{
    fprintf(stderr,
            "elision: %s\nusage: elision probe [--json]\n"
            "       elision run [--policy=NAME] [--tries=N] [--output=FILE] [--json] "
            "[--] PROGRAM [ARGUMENT...]\n"
            "       elision report FILE\n       elision knobs\n"
            "       elision --version | --help\n",
            problem);
    return STATUS_USAGE;
}

static int
probe(int argc, char **argv)
{
    const struct elision_verdict *verdict = elision_verdict();
    struct elision_cpu_facts facts;

    if (argc > 2 || (argc == 2 && strcmp(argv[1], "--json") != 0)) {
        return usage("probe takes --json and nothing else");
    }
    elision_cpu_gather_(&facts);
    if (argc == 2) {
        printf("{\"can_elide\": %s, \"backend\": \"%s\", \"emulated\": %s, "
               "\"reason\": \"%s\", \"remedy\": \"%s\", "
               "\"trial\": {\"starts\": %u, \"commits\": %u}, \"cpu\": {\"family\": %u, "
               "\"model\": %u, \"stepping\": %u, \"rtm\": %s, \"rtm_always_abort\": %s, "
               "\"tsx_force_abort\": %s, \"tsxldtrk\": %s, \"hypervisor\": %s}, \"taa\": \"%s\"}\n",
               verdict->can_elide ? "true" : "false", elision_backend_name_(verdict->backend),
               facts.emulated ? "true" : "false", verdict->reason, verdict->remedy,
               verdict->trial_starts, verdict->trial_commits, facts.family, facts.model,
               facts.stepping, facts.rtm ? "true" : "false",
               facts.rtm_always_abort ? "true" : "false", facts.force_abort_msr ? "true" : "false",
               facts.tsxldtrk ? "true" : "false", facts.hypervisor ? "true" : "false",
               facts.taa_text);
    }
    else {
        printf("%s: %s\n", verdict->can_elide ? "elides" : "does not elide", verdict->reason);
        if (verdict->remedy[0] != '\0') {
            printf("remedy: %s\n", verdict->remedy);
        }
        printf("backend: %s\n", elision_backend_name_(verdict->backend));
        printf("CPU: family %u, model 0x%x, stepping %u%s%s\n", facts.family, facts.model,
               facts.stepping, facts.hypervisor ? ", in a virtual machine" : "",
               facts.emulated ? ", emulated by rtmgrind" : "");
        printf("CPUID: RTM %s, RTM_ALWAYS_ABORT %s, TSX_FORCE_ABORT %s, TSXLDTRK %s\n",
               facts.rtm ? "yes" : "no", facts.rtm_always_abort ? "yes" : "no",
               facts.force_abort_msr ? "yes" : "no", facts.tsxldtrk ? "yes" : "no");
        printf("TAA: %s\n", facts.taa_text[0] != '\0' ? facts.taa_text : "the kernel does not say");
        printf("trial: %u of %u empty transactions committed\n", verdict->trial_commits,
               verdict->trial_starts);
    }
    return verdict->can_elide ? STATUS_OK : STATUS_NO;
}

static int
run(int argc, char **argv)
{
    static const struct option options[] = {
        {"policy", required_argument, NULL, 'p'},
        {"tries", required_argument, NULL, 't'},
        {"output", required_argument, NULL, 'o'},
        {"json", no_argument, NULL, 'j'},
        {NULL, 0, NULL, 0},
    };
    struct elision_policy_params made;
    int option;

    setenv("ELISION_STATS", "text", 1);
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            if (elision_policy_find_(optarg, &made) == NULL) {
                return usage("there is no such policy; `elision knobs` names them");
            }
            setenv("ELISION_POLICY", optarg, 1);
            break;
        case 't': setenv("ELISION_TRIES", optarg, 1); break;
        case 'o': setenv("ELISION_STATS_FILE", optarg, 1); break;
        case 'j': setenv("ELISION_STATS", "json", 1); break;
        default: return usage("run does not know this option");
        }
    }
    if (optind == argc) {
        return usage("run: which program?");
    }
    execvp(argv[optind], argv + optind);
    fprintf(stderr, "elision: cannot run %s: %s\n", argv[optind], strerror(errno));
    return STATUS_NOT_FOUND;
}

/* --- Report ------------------------------------------------------------------------------------*/

/* One row from an object of the report. ret: false if it is none of ours */
static bool
print_row(const char *name, const json_t *counters)
{
    json_int_t starts, commits, locked, fallbacks;
    json_t *aborts;

    if (name == NULL ||
        json_unpack((json_t *)counters, "{s:I, s:I, s:I, s:I, s:o}", "starts", &starts, "commits",
                    &commits, "locked", &locked, "fallbacks", &fallbacks, "aborts", &aborts) != 0) {
        return false;
    }
    printf("%-28s %12" PRId64 " %7.2f%% %12" PRId64 " %12" PRId64, name, (int64_t)starts,
           starts != 0 ? 100.0 * (double)commits / (double)starts : 0.0, (int64_t)locked,
           (int64_t)fallbacks);
    for (int i = 0; i < ELISION_ABORT_REASONS; i++) {
        const char *reason = elision_abort_name((enum elision_abort)i);
        json_int_t count = json_integer_value(json_object_get(aborts, reason));
        if (count != 0) {
            printf(" %s %" PRId64, reason, (int64_t)count);
        }
    }
    printf("\n");
    return true;
}

/* ret:   false if it is no report; what of it could be read has been printed */
static bool
print_report(const json_t *root)
{
    const json_t *sites = json_object_get(root, "sites");
    const json_t *totals = json_object_get(root, "totals");
    const json_t *site;
    size_t i;

    if (!json_is_array(sites) || !json_is_object(totals)) {
        return false;
    }
    printf("%-28s %12s %8s %12s %12s aborts\n", "site", "starts", "commits", "locked", "fallbacks");
    json_array_foreach(sites, i, site)
    {
        if (!print_row(json_string_value(json_object_get(site, "name")), site)) {
            return false;
        }
    }
    return print_row("total", totals);
}

static int
report(int argc, char **argv)
{
    if (argc != 2) {
        return usage("report: which file?");
    }
    FILE *file = strcmp(argv[1], "-") == 0 ? stdin : fopen(argv[1], "r");
    if (file == NULL) {
        fprintf(stderr, "elision: cannot read %s: %s\n", argv[1], strerror(errno));
        return STATUS_INPUT;
    }
    json_t *root = json_loadf(file, 0, NULL);
    bool good = root != NULL && print_report(root);
    if (!good) {
        fprintf(stderr,
                "elision: %s is no report; ELISION_STATS=json or `elision run --json` "
                "writes one\n",
                argv[1]);
    }
    json_decref(root);
    if (file != stdin) {
        fclose(file);
    }
    return good ? STATUS_OK : STATUS_INPUT;
}

static int
knobs(void)
{
    elision_show(STDOUT_FILENO);
    printf("policies:");
    for (size_t i = 0; elision_policy_name_(i) != NULL; i++) {
        printf(" %s", elision_policy_name_(i));
    }
    printf("\n");
    return STATUS_OK;
}

int
main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    if (strcmp(verb, "probe") == 0) {
        return probe(argc - 1, argv + 1);
    }
    if (strcmp(verb, "run") == 0) {
        return run(argc - 1, argv + 1);
    }
    if (strcmp(verb, "report") == 0) {
        return report(argc - 1, argv + 1);
    }
    if (strcmp(verb, "knobs") == 0) {
        return knobs();
    }
    if (strcmp(verb, "--version") == 0) {
        printf("elision %s\n", elision_version());
        return STATUS_OK;
    }
    if (strcmp(verb, "--help") == 0) {
        (void)usage("see man 1 elision");
        return STATUS_OK;
    }
    return usage(verb[0] == '\0' ? "what?" : "there is no such command");
}
