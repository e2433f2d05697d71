/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Something to schedule and to report, for time.sh and report.sh:
 *
 *   counter THREADS N    each thread adds 1 to shared_counter N times, in transactions
 *   pair THREADS N       the same, and then to another line, which makes conflicts
 *   relay THREADS N      the same, each when the one before has ended
 *   gate THREADS N       the same, once all have waited with PAUSE for a common time
 *   mixed THREADS N      the same, but 15 of 16 times to a line of its own
 *   late THREADS N       the same, once each has done many to a line of its own
 *   alarms THREADS N     as pair, and a timer's signal comes every 3 us
 *   private THREADS N    as counter, each to a line of its own
 *   plain THREADS N      the same, under a lock and without transactions
 *   neighbours           two threads fight over different words of one line, on the heap
 *   causes               one transaction of each kind of end, labelled
 *   requests             transactions before a reset, two behind it, and a dump
 *   aborts N, pauses N, calls N   N aborts, PAUSEs, system calls
 *   wakes N, moves N     two threads hand a turn to and fro N times: by semaphores, by spinning
 *   events N             a thread waits for a timer and for two threads that write N times each to
 *                        an eventfd, and says how often it woke
 *   label TEXT           a transaction with this label
 *   entropy              what getrandom and AT_RANDOM say
 *   date                 seconds since 1970
 *   fork                 two transactions, and one in a forked child
 *   pipe                 one thread waits for another process while the other computes
 */

#include "rtmgrind/tests/litmus.h"
#include "rtmgrind/rtmgrind.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 32 };

struct line shared_counter, shared_too;
static struct line own[MOST];
static _Alignas(LINE) volatile int lock_word;
static int n_adds, n_alone, mixed, shared, plain, alarms, relay, pair;
static uint64_t gate;

static void
lock(void)
{
    while (__atomic_exchange_n(&lock_word, 1, __ATOMIC_ACQUIRE)) {
        while (lock_word) {
            __asm__ volatile("pause");
        }
    }
}

INLINE void
add(volatile uint64_t *p)
{
    *p = *p + 1;
    if (pair && p == &shared_counter.word[0]) {
        shared_too.word[0] = shared_too.word[0] + 1;
    }
}

/* An elided lock as short as can be. */
static __attribute__((noinline)) void
add_one(volatile uint64_t *p)
{
    int tries;

    for (tries = plain ? 5 : 0; tries < 5; tries++) {
        while (lock_word) {
            __asm__ volatile("pause");
        }
        if (tx_begin() == STARTED) {
            if (lock_word) {
                TX_ABORT(0xFF);
            }
            add(p);
            tx_end();
            return;
        }
    }
    lock();
    add(p);
    __atomic_store_n(&lock_word, 0, __ATOMIC_RELEASE);
}

static void *
add_many(void *p)
{
    volatile uint64_t *to = shared ? &shared_counter.word[0] : &own[(intptr_t)p].word[0];
    uint32_t dice = (uint32_t)(intptr_t)p;
    int i;

    while (now() < gate) {
        __asm__ volatile("pause");
    }
    for (i = 0; i < n_alone; i++) {
        add_one(&own[(intptr_t)p].word[0]);
    }
    for (i = 0; i < n_adds; i++) {
        dice = dice * 1664525 + 1013904223;
        add_one(mixed && dice >> 28 == 0 ? &shared_counter.word[0] : to);
    }
    return NULL;
}

static void
on_alarm(int sig)
{
    (void)sig;
}

static int
add_on(int threads)
{
    pthread_t t[MOST];
    uint64_t sum = shared_counter.word[0];
    sigset_t set;
    intptr_t i;

    sigemptyset(&set);
    for (i = 0; i < threads; i++) {
        pthread_create(&t[i], NULL, add_many, (void *)i);
        if (relay) {
            pthread_join(t[i], NULL);
        }
    }
    if (alarms) { /* for these threads, not for this one */
        sigaddset(&set, SIGALRM);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
    }
    for (i = 0; i < threads && !relay; i++) {
        pthread_join(t[i], NULL);
    }
    sum = shared_counter.word[0];
    for (i = 0; i < threads; i++) {
        sum += own[i].word[0];
    }
    printf("%llu\n", (unsigned long long)sum);
    return sum == (uint64_t)threads * (uint64_t)(n_alone + n_adds) ? 0 : 1;
}

/* ------------------------------------------------------------------ */

static void
write_first(void *p)
{
    ((volatile uint64_t *)p)[0] = 1;
}

static void
write_last(void *p)
{
    ((volatile uint64_t *)p)[7] = 1;
}

static __attribute__((noinline)) void *
make_block(void)
{
    void *block = aligned_alloc(LINE, LINE);

    __asm__ volatile("" : "+r"(block)); /* no tail call: this function is on the stack */
    return block;
}

static int
neighbours(void)
{
    static void *block; /* the same one if done again */
    struct duel d = {.touch = write_first, .disturb = write_last};

    if (!block) {
        block = make_block();
    }
    d.arg = block;
    duel_run(&d);
    printf("%#x\n", d.victim);
    return 0;
}

static __attribute__((noinline)) void
asks_for_cpuid(void)
{
    unsigned a = 0, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}

static int
causes(void)
{
    static char big[64 * 4096];
    int i;

    RTMGRIND_LABEL_PUSH("outer");
    RTMGRIND_LABEL_PUSH("say \"hello\"");
    (void)IN_TX(TX_ABORT(1));
    RTMGRIND_LABEL_POP();
    (void)IN_TX((void)0);
    RTMGRIND_LABEL_POP();
    (void)IN_TX(asks_for_cpuid());
    (void)IN_TX(__asm__ volatile("movl 0, %%eax" : : : "rax"));
    (void)IN_TX(__asm__ volatile("syscall" : : "a"(39) : "rcx", "r11"));
    (void)IN_TX(for (i = 0; i < 64; i++)((volatile char *)big)[i * 4096] = 1;);
    (void)IN_TX(for (i = 0; i < 9; i++) if (tx_begin() != STARTED) break;);
    return 0;
}

static int
requests(void)
{
    int i;

    for (i = 0; i < 9; i++) {
        (void)IN_TX(TX_ABORT(1));
    }
    (void)neighbours();
    RTMGRIND_DUMP_STATS("first part");
    RTMGRIND_RESET_STATS();
    (void)IN_TX((void)0);
    (void)neighbours();
    return 0;
}

/* ------------------------------------------------------------------ */

static struct {
    sem_t sem[2];
    _Alignas(LINE) atomic_int turn;
    int by_semaphore;
} table;

static void *
take_turns(void *p)
{
    const int me = (int)(intptr_t)p;
    int i;

    for (i = 0; i < n_adds; i++) {
        if (table.by_semaphore) {
            sem_wait(&table.sem[me]);
            sem_post(&table.sem[!me]);
        }
        else {
            while (atomic_load(&table.turn) != me) {
            }
            atomic_store(&table.turn, !me);
        }
    }
    return NULL;
}

static int
turns(int by_semaphore)
{
    pthread_t other;

    table.by_semaphore = by_semaphore;
    sem_init(&table.sem[0], 0, 1);
    sem_init(&table.sem[1], 0, 0);
    pthread_create(&other, NULL, take_turns, (void *)1);
    take_turns((void *)0);
    return pthread_join(other, NULL);
}

static int
entropy(void)
{
    const uint64_t *start = (const uint64_t *)getauxval(AT_RANDOM);
    uint64_t word = 0;

    return printf("%zd ", getrandom(&word, sizeof word, 0)) < 0 ||
           printf("%016llx\n%016llx\n", (unsigned long long)word, (unsigned long long)start[0]) < 0;
}

static int
in_child(void)
{
    int status;
    pid_t child;

    (void)IN_TX((void)0);
    (void)IN_TX((void)0);
    child = fork();
    if (child == 0) {
        (void)IN_TX(TX_ABORT(1));
        exit(0);
    }
    return waitpid(child, &status, 0) != child || status != 0;
}

/* What the options --cost-... are about, n_adds times each. */
static int
costs(const char *what)
{
    int i;

    for (i = 0; i < n_adds; i++) {
        switch (what[0]) {
        case 'a': (void)IN_TX(TX_ABORT(1)); break;
        case 'p': __asm__ volatile("pause"); break;
        default: syscall(SYS_getppid); break;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ */

static volatile int done;

static void *
compute(void *p)
{
    while (!done) {
        __asm__ volatile("" : : : "memory");
    }
    return p;
}

static int
wait_for_pipe(void)
{
    pthread_t t;
    int fd[2];
    char c;
    pid_t child;

    if (pipe(fd) != 0) {
        return 1;
    }
    child = fork();
    if (child == 0) {
        write_late(fd[1]);
    }
    pthread_create(&t, NULL, compute, NULL);
    if (read(fd[0], &c, 1) != 1) {
        return 1;
    }
    done = 1;
    pthread_join(t, NULL);
    waitpid(child, NULL, 0);
    puts("read");
    return 0;
}

static int event_fd;

static void *
write_events(void *p)
{
    const uint64_t one = 1;
    int i;

    for (i = 0; i < n_adds; i++) {
        wait_until(now() + 7000 + 1000 * (uint64_t)(i % 5) + (uint64_t)(intptr_t)p);
        add_one(&shared_counter.word[0]);
        if (write(event_fd, &one, sizeof one) != sizeof one) {
            return p;
        }
    }
    return NULL;
}

static int
events(void)
{
    const struct itimerspec spec = {{0, 20000}, {0, 20000}}, none = {{0, 0}, {0, 0}};
    const int timer_fd = timerfd_create(CLOCK_MONOTONIC, 0), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = timer_fd};
    uint64_t n, seen = 0, woken = 0;
    pthread_t t[2];
    intptr_t i;

    event_fd = eventfd(0, 0);
    timerfd_settime(timer_fd, 0, &spec, NULL);
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer_fd, &event);
    event.data.fd = event_fd;
    epoll_ctl(epoll, EPOLL_CTL_ADD, event_fd, &event);
    for (i = 0; i < 2; i++) {
        pthread_create(&t[i], NULL, write_events, (void *)(i + 1));
    }
    for (; seen < 2 * (uint64_t)n_adds; woken++) {
        if (epoll_wait(epoll, &event, 1, -1) != 1 || read(event.data.fd, &n, sizeof n) < 0) {
            return 1;
        }
        seen += event.data.fd == event_fd ? n : 0;
    }
    timerfd_settime(timer_fd, 0, &none, NULL); /* or the kernel's runs while printf writes */
    for (i = 0; i < 2; i++) {
        pthread_join(t[i], NULL);
    }
    return printf("%llu\n", (unsigned long long)woken) < 0;
}

int
main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const int threads = argc > 2 ? atoi(argv[2]) : 0;

    n_adds = argc > 3 ? atoi(argv[3]) : 0;
    gate = strcmp(what, "gate") ? 0 : now() + 1000000;
    n_alone = strcmp(what, "late") ? 0 : 20000; /* two million cycles */
    mixed = n_alone || !strcmp(what, "mixed");
    alarms = !strcmp(what, "alarms");
    relay = !strcmp(what, "relay");
    pair = strcmp(what, "counter") != 0;
    shared = !pair || !strcmp(what, "pair") || gate || alarms || relay;
    if (argc > 3 && threads > MOST) {
        return 2;
    }
    plain = !strcmp(what, "plain");
    if (alarms) {
        signal(SIGALRM, on_alarm);
        setitimer(ITIMER_REAL, &(struct itimerval){{0, 3}, {0, 3}}, NULL);
    }
    if (shared || mixed || plain || !strcmp(what, "private")) {
        return add_on(threads);
    }
    if (!strcmp(what, "neighbours")) {
        return neighbours();
    }
    if (!strcmp(what, "causes")) {
        return causes();
    }
    if (!strcmp(what, "requests")) {
        return requests();
    }
    if (!strcmp(what, "label") && argc > 2) {
        RTMGRIND_LABEL_PUSH(argv[2]);
        return IN_TX((void)0) != STARTED;
    }
    if (!strcmp(what, "entropy")) {
        return entropy();
    }
    if (!strcmp(what, "date")) {
        return printf("%lld\n", (long long)time(NULL)) < 0;
    }
    if (!strcmp(what, "fork")) {
        return in_child();
    }
    if (argc == 3) {
        n_adds = threads;
        if (!strcmp(what, "events")) {
            return events();
        }
        return !strcmp(what, "wakes") ? turns(1) : !strcmp(what, "moves") ? turns(0) : costs(what);
    }
    return !strcmp(what, "pipe") ? wait_for_pipe() : 2;
}
