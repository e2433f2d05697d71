/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Time-outs that the kernel waits for: when they are over, virtual time has come to their end, and
 * the kernel waits as long as the program's clock says.
 */

#include "rtmgrind/tests/team.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <unistd.h>

static int silent; /* a pipe that nobody writes to */

/* The host's, in milliseconds: virtual time does not come here. */
static long
real_ms(void)
{
    FILE *f = fopen("/proc/uptime", "r");
    double seconds;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lf", &seconds), 1);
    fclose(f);
    return (long)(seconds * 1000);
}

static void
poll_times_out(void **state)
{
    struct pollfd p = {.fd = silent, .events = POLLIN};
    const struct timespec limit = {0, 30000000};
    uint64_t start = now();

    (void)state;
    assert_int_equal(poll(&p, 1, 30), 0);
    LASTED(start, 30 * MS);
    start = now();
    assert_int_equal(ppoll(&p, 1, &limit, NULL), 0);
    LASTED(start, 30 * MS);
}

static void
select_times_out(void **state)
{
    struct timeval tv = {0, 30000};
    const struct timespec limit = {0, 30000000};
    uint64_t start = now();
    fd_set set;

    (void)state;
    FD_ZERO(&set);
    FD_SET(silent, &set);
    assert_int_equal(select(silent + 1, &set, NULL, NULL, &tv), 0);
    LASTED(start, 30 * MS);
    FD_SET(silent, &set);
    start = now();
    assert_int_equal(pselect(silent + 1, &set, NULL, NULL, &limit, NULL), 0);
    LASTED(start, 30 * MS);
}

static void
epoll_times_out(void **state)
{
    struct epoll_event event = {.events = EPOLLIN};
    const int fd = epoll_create1(0);
    uint64_t start;

    (void)state;
    assert_int_equal(epoll_ctl(fd, EPOLL_CTL_ADD, silent, &event), 0);
    start = now();
    assert_int_equal(epoll_wait(fd, &event, 1, 30), 0);
    LASTED(start, 30 * MS);
    close(fd);
}

static void
semaphore_times_out(void **state)
{
    const struct timespec limit = {0, 30000000};
    struct sembuf op = {.sem_op = -1};
    const int id = semget(IPC_PRIVATE, 1, 0600);
    uint64_t start;

    (void)state;
    assert_true(id >= 0);
    start = now();
    assert_int_equal(semtimedop(id, &op, 1, &limit), -1);
    assert_int_equal(errno, EAGAIN);
    LASTED(start, 30 * MS);
    semctl(id, 0, IPC_RMID);
}

/* Time passes only where it was waited for. */
static void
what_is_ready_takes_no_time(void **state)
{
    struct pollfd p = {.events = POLLIN};
    const uint64_t start = now();
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    p.fd = ends[0];
    assert_int_equal(write(ends[1], "", 1), 1);
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(poll(&p, 1, -1), 1);
    LASTED(start, 0);
    close(ends[0]);
    close(ends[1]);
}

/* ------------------------------------------------------------------ */
/* Times of a clock                                                    */

enum { LONG = 200 }; /* ms */

struct start {
    struct timespec end;
    uint64_t virtual;
    long real;
};

static struct start
starts(clockid_t clock)
{
    return (struct start){in_ms(clock, LONG), now(), real_ms()};
}

/* Since then so much of both times has passed. */
static void
lasted(const struct start *t)
{
    const long real = real_ms() - t->real;

    assert_in_range(now() - t->virtual, LONG * MS - MS, LONG * MS + MS);
    assert_in_range(real, LONG - 20, 100 * LONG);
}

static void
shared_futex_times_out(void **state)
{
    FILE *f = tmpfile();
    struct start t;
    sem_t *sem;

    (void)state;
    assert_non_null(f);
    assert_int_equal(ftruncate(fileno(f), sizeof *sem), 0);
    sem = mmap(NULL, sizeof *sem, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
    assert_true(sem != MAP_FAILED);
    assert_int_equal(sem_init(sem, 1, 0), 0);
    t = starts(CLOCK_REALTIME);
    assert_int_equal(sem_timedwait(sem, &t.end), -1);
    assert_int_equal(errno, ETIMEDOUT);
    lasted(&t);
    fclose(f);
}

static pthread_mutex_t inheriting;

static void *
lock_in_vain(void *p)
{
    const struct start t = starts(CLOCK_REALTIME);

    assert_int_equal(pthread_mutex_timedlock(&inheriting, &t.end), ETIMEDOUT);
    lasted(&t);
    return p;
}

static void
inheriting_mutex_times_out(void **state)
{
    pthread_mutexattr_t attr;

    (void)state;
    pthread_mutexattr_init(&attr);
    assert_int_equal(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT), 0);
    assert_int_equal(pthread_mutex_init(&inheriting, &attr), 0);
    assert_int_equal(pthread_mutex_lock(&inheriting), 0);
    run(1, lock_in_vain);
    assert_int_equal(pthread_mutex_unlock(&inheriting), 0);
}

static void
message_queue_times_out(void **state)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
    const mqd_t q = mq_open("/rtmgrind-limit", O_RDONLY | O_CREAT, 0600, &attr);
    struct start t;
    char c[8];

    (void)state;
    if (q == (mqd_t)-1) {
        print_message("# no message queues here: %s\n", strerror(errno));
        skip();
    }
    mq_unlink("/rtmgrind-limit");
    t = starts(CLOCK_REALTIME);
    assert_int_equal(mq_timedreceive(q, c, sizeof c, NULL, &t.end), -1);
    assert_int_equal(errno, ETIMEDOUT);
    lasted(&t);
    mq_close(q);
}

/* ------------------------------------------------------------------ */
/* What another process wakes                                          */

static struct {
    atomic_int ready, word;
} * common;
static volatile int awake;

static void *
wait_for_child(void *p)
{
    atomic_store(&common->ready, 1);
    while (atomic_load(&common->word) == 0) {
        syscall(SYS_futex, &common->word, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0);
    }
    awake = 1;
    return p;
}

static void
another_process_wakes_while_a_thread_spins(void **state)
{
    pthread_t t;
    pid_t child;

    (void)state;
    common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(common != MAP_FAILED);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        while (!atomic_load(&common->ready)) {
        }
        wait_until(now() + 50 * MS);
        atomic_store(&common->word, 1);
        syscall(SYS_futex, &common->word, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
        _exit(0);
    }
    assert_int_equal(pthread_create(&t, NULL, wait_for_child, NULL), 0);
    while (!awake) {
    }
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* The kernel keeps a call's registers. */
static void
registers_are_as_they_were(void **state)
{
    const struct timespec limit = in_ms(CLOCK_REALTIME, LONG);
    register const struct timespec *given __asm__("r10") = &limit;
    int word = 0;
    long r;

    (void)state;
    __asm__ volatile("syscall"
                     : "=a"(r), "+r"(given)
                     : "0"((long)SYS_futex), "D"(&word), "S"(6L /* FUTEX_LOCK_PI */), "d"(0L)
                     : "rcx", "r11", "memory");
    assert_int_equal(r, 0);
    assert_ptr_equal(given, &limit);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poll_times_out),
        cmocka_unit_test(select_times_out),
        cmocka_unit_test(epoll_times_out),
        cmocka_unit_test(semaphore_times_out),
        cmocka_unit_test(what_is_ready_takes_no_time),
        cmocka_unit_test(shared_futex_times_out),
        cmocka_unit_test(inheriting_mutex_times_out),
        cmocka_unit_test(message_queue_times_out),
        cmocka_unit_test(another_process_wakes_while_a_thread_spins),
        cmocka_unit_test(registers_are_as_they_were),
    };
    int ends[2];

    if (pipe(ends) != 0) {
        return 1;
    }
    silent = ends[0];
    return LITMUS_MAIN(tests);
}
