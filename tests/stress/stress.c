/* SPDX-License-Identifier: MIT
 *
 * Torture for locks, in the style of Linux's locktorture: threads transfer between accounts, audit
 * the sum, keep a pair of counters equal, hold the lock long, are hit by signals, moved between
 * CPUs, and fork.
 *
 *     stress --lock=NAME [--threads=N] [--ops=N | --seconds=N] [--seed=N] [--quiet]
 *            [--signals] [--forks] [--moves]
 *     stress --list                  one lock per line: name, good|bad, any|rtm
 *
 * Exit status: 0 nothing wrong seen, 1 the lock is wrong, 2 usage. A hang is the caller's to end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/locks/kinds.h"
#include "tests/stress/yield.h"

#define ACCOUNTS 64
#define START 1000
#define THREADS_MAX 64

static struct options {
    const struct lock_kind *kind;
    unsigned threads;
    uint64_t ops; /* per thread; 0: by time */
    unsigned seconds;
    uint32_t seed;
    bool quiet, signals, forks, moves;
} options = {.threads = 4, .ops = 2000, .seed = 1};

/* All guarded by the lock. Accounts are apart, so that transfers mostly do not conflict. */
static struct {
    long balance;
    char line[56];
} accounts[ACCOUNTS] __attribute__((aligned(64)));
static volatile long left, right; /* always equal outside sections */

/* With a fixed number of operations all threads meet after each ROUND: a waiter whose wake-up was
 * lost is then not rescued by somebody else's next release, but missing. */
#define ROUND 16
static pthread_barrier_t barrier;

static _Atomic uint64_t sections; /* acquisitions */
static _Atomic unsigned wrong;    /* things seen that no lock may show */
static _Atomic bool stop;
static _Atomic uint64_t signals_seen;
#ifdef ELISION_STEPS
static _Atomic uint64_t yields;
#endif

static uint32_t
next(uint32_t *random)
{
    uint32_t x = *random;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *random = x;
}

static void
complain(const char *what)
{
    if (atomic_fetch_add(&wrong, 1) == 0) {
        dprintf(STDERR_FILENO, "stress: %s: %s\n", options.kind->name, what);
    }
}

static void
transfer(const struct lock_kind *kind, uint32_t *random)
{
    unsigned from = next(random) % ACCOUNTS;
    unsigned to = next(random) % ACCOUNTS;
    long amount = next(random) % 10;

    kind->enter();
    accounts[from].balance -= amount;
    accounts[to].balance += amount;
    kind->leave();
}

static void
audit(const struct lock_kind *kind)
{
    long sum = 0;

    kind->enter();
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        sum += accounts[i].balance;
    }
    kind->leave();
    if (sum != (long)ACCOUNTS * START) {
        complain("an audit found money lost or made");
    }
}

/* Reads the pair, and where a section sees it differ, does what a program gone astray might do:
 * ends the section here and now. A lock under which this happens has zombies. */
static void
check_pair(const struct lock_kind *kind)
{
    kind->enter();
    long a = left;
    for (volatile int i = 0; i < 20; i++) {
    }
    long b = right;
    if (a != b) {
        kind->escape();
        complain("a section saw half of another one's work");
        return;
    }
    kind->leave();
}

static void
step_pair(const struct lock_kind *kind, bool hold, uint32_t *random)
{
    unsigned work = hold ? 200 + next(random) % 2000 : next(random) % 30;

    kind->enter();
    if (hold) {
        kind->irrevocable();
    }
    left++;
    for (volatile unsigned i = 0; i < work; i++) {
    }
    if (hold && next(random) % 4 == 0) {
        sched_yield(); /* held while another thread runs */
    }
    right++;
    kind->leave();
}

static void
move(uint32_t *random)
{
    cpu_set_t set;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    CPU_ZERO(&set);
    CPU_SET(next(random) % (uint32_t)cpus, &set);
    (void)sched_setaffinity(0, sizeof(set), &set); /* a restricted set may refuse: no matter */
}

static void
fork_once(const struct lock_kind *kind)
{
    kind->enter();
    kind->irrevocable();
    pid_t child = fork();
    if (child == 0) {
        kind->leave();
        for (int i = 0; i < 10; i++) {
            kind->enter();
            left++;
            right++;
            kind->leave();
        }
        audit(kind);
        _exit(atomic_load(&wrong) != 0);
    }
    kind->leave();
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != 0) {
        complain("a forked child failed");
    }
}

static void *
torture(void *arg)
{
    const struct lock_kind *kind = options.kind;
    uint32_t random = (options.seed * 2654435761u + (uint32_t)(uintptr_t)arg * 40503u) | 1u;
    uint64_t done = 0;

#ifdef ELISION_STEPS
    yield_seed(~random);
#endif
    for (; !atomic_load_explicit(&stop, memory_order_relaxed); done++) {
        if (options.ops != 0 && done == options.ops) {
            break;
        }
        if (options.ops != 0 && done % ROUND == 0) {
            pthread_barrier_wait(&barrier);
        }
        uint32_t what = next(&random) % 256;
        if (what < 150) {
            transfer(kind, &random);
        }
        else if (what < 170) {
            audit(kind);
        }
        else if (what < 210) {
            check_pair(kind);
        }
        else {
            step_pair(kind, what >= 244, &random);
        }
        if (options.moves && what == 7) {
            move(&random);
        }
        if (options.forks && what == 9 && next(&random) % 32 == 0) {
            fork_once(kind);
        }
    }
    atomic_fetch_add(&sections, done);
#ifdef ELISION_STEPS
    atomic_fetch_add(&yields, yield_count());
#endif
    return NULL;
}

static void
on_alarm(int number)
{
    (void)number;
    atomic_fetch_add(&signals_seen, 1);
}

static void
start_signals(void)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, 1000}, {0, 1000}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

static void
run(void)
{
    pthread_t threads[THREADS_MAX];

    for (unsigned i = 0; i < ACCOUNTS; i++) {
        accounts[i].balance = START;
    }
    pthread_barrier_init(&barrier, NULL, options.threads);
    if (options.signals) {
        start_signals();
    }
    for (unsigned i = 0; i < options.threads; i++) {
        if (pthread_create(&threads[i], NULL, torture, (void *)(uintptr_t)(i + 1)) != 0) {
            fprintf(stderr, "stress: cannot make %u threads; use fewer\n", options.threads);
            exit(2);
        }
    }
    if (options.ops == 0) {
        /* How long to go on, not a synchronisation. */
        struct timespec time = {.tv_sec = (time_t)options.seconds};
        while (nanosleep(&time, &time) != 0 && errno == EINTR) {
        }
        atomic_store(&stop, true);
    }
    for (unsigned i = 0; i < options.threads; i++) {
        pthread_join(threads[i], NULL);
    }
    audit(options.kind);
    if (left != right) {
        complain("the pair differs at the end");
    }
    if (options.kind->attempts != NULL && options.kind->attempts() > LOCK_KIND_BUDGET) {
        complain("a section was attempted more often than its budget allows");
    }
}

static int
usage(const char *what)
{
    fprintf(stderr,
            "stress: %s; options: --lock=NAME --threads=1..%d --ops=N --seconds=N --seed=N "
            "--signals --forks --moves --quiet --list\n",
            what, THREADS_MAX);
    return 2;
}

static int
list(void)
{
    for (size_t i = 0; lock_kind_at(i) != NULL; i++) {
        const struct lock_kind *kind = lock_kind_at(i);
        printf("%s %s %s\n", kind->name, kind->bad ? "bad" : "good", kind->rtm ? "rtm" : "any");
    }
    return 0;
}

/* ret: true if argument is --name=number, with the number in *value */
static bool
number(const char *argument, const char *name, uint64_t *value)
{
    size_t length = strlen(name);
    char *end = NULL;

    if (strncmp(argument, name, length) != 0 || argument[length] < '0' || argument[length] > '9') {
        return false;
    }
    *value = strtoull(argument + length, &end, 10);
    return *end == '\0';
}

static bool
parse(const char *argument)
{
    uint64_t value = 0;

    if (strncmp(argument, "--lock=", 7) == 0) {
        options.kind = lock_kind_find(argument + 7);
        return options.kind != NULL;
    }
    if (number(argument, "--threads=", &value)) {
        options.threads = (unsigned)value;
        return value >= 1 && value <= THREADS_MAX;
    }
    if (number(argument, "--ops=", &options.ops)) {
        return options.ops != 0;
    }
    if (number(argument, "--seconds=", &value)) {
        options.ops = 0;
        options.seconds = (unsigned)value;
        return true;
    }
    if (number(argument, "--seed=", &value)) {
        options.seed = (uint32_t)value;
        return true;
    }
    options.quiet = options.quiet || strcmp(argument, "--quiet") == 0;
    options.signals = options.signals || strcmp(argument, "--signals") == 0;
    options.forks = options.forks || strcmp(argument, "--forks") == 0;
    options.moves = options.moves || strcmp(argument, "--moves") == 0;
    return strcmp(argument, "--quiet") == 0 || strcmp(argument, "--signals") == 0 ||
           strcmp(argument, "--forks") == 0 || strcmp(argument, "--moves") == 0;
}

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0) {
            return list();
        }
        if (!parse(argv[i])) {
            return usage(argv[i]);
        }
    }
    if (options.kind == NULL) {
        return usage("which lock?");
    }
    run();
    if (!options.quiet) {
        printf("# %s: seed %u, %u threads, %" PRIu64 " acquisitions, %" PRIu64
               " signals, %u wrong\n",
               options.kind->name, options.seed, options.threads, atomic_load(&sections),
               atomic_load(&signals_seen), atomic_load(&wrong));
#ifdef ELISION_STEPS
        printf("# %" PRIu64 " yields\n", atomic_load(&yields));
#endif
    }
    return atomic_load(&wrong) != 0;
}
