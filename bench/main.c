/* SPDX-License-Identifier: MIT */
/* elision-bench: what a lock costs and how far it scales, here.
 *
 *   elision-bench [--plan=PLAN] [--topology=SYNTHETIC] [Google Benchmark's options]
 *   elision-bench --show-plan [--plan=PLAN] [--topology=SYNTHETIC]
 *   elision-bench --show-policies
 *
 * Exit status: 0 measured, 1 a benchmark failed, 2 bad options, plan or topology, or nothing
 * matched the filter. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/place.h"
#include "bench/suites.h"
#include "elision/elision.h"
#include "elision/policy.h"

struct options {
    const char *plan;
    const char *topology;
    bool show;
    bool show_policies;
    bool help;
};

/* If argument begins with name, the rest of it. */
static const char *
value_of(const char *argument, const char *name)
{
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 ? argument + length : NULL;
}

/* Takes our options out of argv and leaves Google Benchmark's. */
static void
take_options(struct options *options, int *argc, char **argv)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        const char *value;
        if ((value = value_of(argv[i], "--plan=")) != NULL) {
            options->plan = value;
        }
        else if ((value = value_of(argv[i], "--topology=")) != NULL) {
            options->topology = value;
        }
        else if (strcmp(argv[i], "--show-plan") == 0) {
            options->show = true;
        }
        else if (strcmp(argv[i], "--show-policies") == 0) {
            options->show_policies = true;
        }
        else {
            options->help |= strcmp(argv[i], "--help") == 0;
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    *argc = kept;
}

/* Puts the first line of a file into the context, or what follows `field :` in it. */
static void
context_file(const char *key, const char *path, const char *field)
{
    char line[4096];
    const char *found = NULL;
    FILE *file = fopen(path, "r");
    while (file != NULL && found == NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (field == NULL) {
            found = line;
        }
        else if (strncmp(line, field, strlen(field)) == 0 && strchr(line, ':') != NULL) {
            found = strchr(line, ':') + 1;
            found += strspn(found, " \t");
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    bench_context(key, found != NULL ? found : "unknown");
}

/* Whether the kernel was booted with tsx=..., as a word. */
static const char *
tsx_option(char *line, size_t size)
{
    const char *answer = "unknown";
    FILE *file = fopen("/proc/cmdline", "r");
    if (file != NULL && fgets(line, (int)size, file) != NULL) {
        answer = "default";
        for (char *word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n")) {
            if (value_of(word, "tsx=") != NULL) {
                answer = word;
            }
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return answer;
}

/* The rate of the time stamp counter, from 20 ms of sleep; the library counts in its ticks. */
static void
describe_tsc(char *line, size_t size)
{
#if defined(__x86_64__)
    double begin = bench_seconds();
    unsigned long long ticks = __builtin_ia32_rdtsc();
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    ticks = __builtin_ia32_rdtsc() - ticks;
    snprintf(line, size, "%.0f", (double)ticks / (bench_seconds() - begin) / 1e6);
    bench_context("tsc_mhz", line);
#else
    (void)line, (void)size;
#endif
}

static void
describe(const struct place_plan *plan)
{
    const struct elision_verdict *verdict = elision_verdict();
    char line[4096];
    struct utsname name;
    bench_context("evidence", verdict->emulated    ? "emulated"
                              : verdict->can_elide ? "hardware"
                                                   : "native");
    bench_context("backend", verdict->can_elide ? "rtm" : "none");
    bench_context("backend_reason", verdict->reason);
    bench_context("policy", verdict->policy);
    bench_context("library", elision_version());
    bench_context("plan", plan->name);
    bench_context("topology", plan->topology);
    context_file("cpu", "/proc/cpuinfo", "model name");
    context_file("microcode", "/proc/cpuinfo", "microcode");
    context_file("smt", "/sys/devices/system/cpu/smt/control", NULL);
    context_file("taa", "/sys/devices/system/cpu/vulnerabilities/tsx_async_abort", NULL);
    bench_context("tsx", tsx_option(line, sizeof line));
    bench_context("kernel", uname(&name) == 0 ? name.release : "unknown");
    snprintf(line, sizeof line, "%ld", sysconf(_SC_PAGESIZE));
    bench_context("page_size", line);
    describe_tsc(line, sizeof line);
}

static void
show(const struct place_plan *plan)
{
    printf("%s on %s:", plan->name, plan->topology);
    for (unsigned i = 0; i < plan->count; i++) {
        printf(" %u", plan->cpus[i]);
    }
    putchar('\n');
}

/* The presets that ELISION_POLICY takes; for the form static-N, four tries. */
static int
show_policies(void)
{
    const char *name;
    for (size_t i = 0; (name = elision_policy_name_(i)) != NULL; i++) {
        puts(strcmp(name, "static-N") != 0 ? name : "static-4");
    }
    return 0;
}

/* Under the emulator every thread has a core of its own, so that there is nothing to pin. */
static const char *
default_plan(void)
{
    return elision_verdict()->emulated ? "none" : "one-per-core";
}

static void *
do_nothing(void *arg)
{
    return arg;
}

/* While a process has had one thread only, glibc leaves the atomic instructions of its mutexes out.
 * No program that needs a lock is in that state.
 * ret:   true if a second thread has been */
static bool
have_had_threads(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, do_nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

static int
run(const struct options *options, int argc, char **argv, hwloc_topology_t topology)
{
    static struct place_plan plan;
    char error[256];
    const char *name = options->plan != NULL ? options->plan : default_plan();
    if (!place_make(&plan, topology, name, error, sizeof error)) {
        fprintf(stderr, "elision-bench: %s\n", error);
        return 2;
    }
    if (options->show) {
        show(&plan);
        return 0;
    }
    if (!bench_flags(&argc, argv)) {
        return 2;
    }
    if (!have_had_threads()) {
        fputs("elision-bench: no second thread can be started\n", stderr);
        return 2;
    }
    describe(&plan);
    bench_suites_register(&plan, topology);
    return bench_run();
}

int
main(int argc, char **argv)
{
    struct options options = {0};
    hwloc_topology_t topology;
    char error[256];
    take_options(&options, &argc, argv);
    if (options.help) {
        puts("elision-bench [--plan=PLAN] [--topology=SYNTHETIC] [--show-plan] [--show-policies]\n"
             "    [options below]\n"
             "PLAN: compact scatter one-per-core smt-pairs one-socket explicit:LIST none");
    }
    if (options.show_policies) {
        return show_policies();
    }
    if (!place_load(&topology, options.topology, error, sizeof error)) {
        fprintf(stderr, "elision-bench: %s\n", error);
        return 2;
    }
    int status = run(&options, argc, argv, topology);
    hwloc_topology_destroy(topology);
    return status;
}
