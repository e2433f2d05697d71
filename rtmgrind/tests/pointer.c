/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Calls that the emulator answers refuse addresses that are not the program's, and times that are
 * none, as the kernel does.
 */

#include "rtmgrind/tests/timer.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Nothing is there; the other may be read. */
static char *nowhere;
static struct timespec *constant;
static int word;
static const struct timespec ms5 = {0, 5000000};

static int
make_areas(void **state)
{
    (void)state;
    nowhere = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return nowhere == MAP_FAILED || constant == MAP_FAILED;
}

#define REFUSES(error, call)            \
    do {                                \
        errno = 0;                      \
        assert_int_equal((call), -1);   \
        assert_int_equal(errno, error); \
    } while (0)

static void
futexes(void **state)
{
    const struct timespec negative = {-1, 0}, too_many = {0, 1000000000};

    (void)state;
    REFUSES(EFAULT, syscall(SYS_futex, nowhere, FUTEX_WAIT_PRIVATE, 0, NULL));
    REFUSES(EFAULT, syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nowhere));
    REFUSES(EFAULT, syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, 8, NULL, 1));
    REFUSES(EFAULT, syscall(SYS_futex, nowhere, FUTEX_CMP_REQUEUE_PRIVATE, 1, 1, &word, 0));
    REFUSES(EINVAL, syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &negative));
    REFUSES(EINVAL, syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &too_many));
    REFUSES(EAGAIN, syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &ms5));
    REFUSES(ETIMEDOUT, syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &ms5));
}

static void
sleeps(void **state)
{
    const struct timespec negative = {-1, 0};

    (void)state;
    REFUSES(EFAULT, syscall(SYS_nanosleep, nowhere, NULL));
    REFUSES(EFAULT, syscall(SYS_nanosleep, NULL, NULL));
    REFUSES(EFAULT, syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, -64L, NULL));
    REFUSES(EINVAL, syscall(SYS_nanosleep, &negative, NULL));
    REFUSES(EINVAL, syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &negative, NULL));
    REFUSES(EFAULT, syscall(SYS_select, 0, NULL, NULL, NULL, nowhere));
    REFUSES(EFAULT, syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ms5, nowhere));
    REFUSES(EFAULT, syscall(SYS_ppoll, NULL, 0, nowhere, NULL, 0));
}

/* The kernel finds out when there is something to say there. */
static void
rest_of_a_sleep(void **state)
{
    const struct timespec second = {1, 0};

    (void)state;
    on_signal(SIGALRM, 0);
    every(ITIMER_REAL, 10, 0);
    REFUSES(EFAULT, syscall(SYS_nanosleep, &second, constant));
    assert_int_equal(seen.runs, 1);
}

static void
signals(void **state)
{
    const struct timespec negative = {-1, 0};
    uint64_t set = 1ULL << (SIGUSR1 - 1);

    (void)state;
    REFUSES(EFAULT, syscall(SYS_rt_sigtimedwait, nowhere, NULL, &ms5, 8));
    REFUSES(EFAULT, syscall(SYS_rt_sigtimedwait, &set, NULL, nowhere, 8));
    REFUSES(EINVAL, syscall(SYS_rt_sigtimedwait, &set, NULL, &negative, 8));
    REFUSES(EINVAL, syscall(SYS_rt_sigtimedwait, &set, NULL, &ms5, 4));
    REFUSES(EFAULT, syscall(SYS_rt_sigsuspend, nowhere, 8));
    mask(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    REFUSES(EFAULT, syscall(SYS_rt_sigtimedwait, &set, constant, &ms5, 8));
    mask(SIG_UNBLOCK, SIGUSR1);
}

static void
clocks(void **state)
{
    struct timeval tv;

    (void)state;
    REFUSES(EFAULT, syscall(SYS_clock_gettime, CLOCK_MONOTONIC, nowhere));
    REFUSES(EFAULT, syscall(SYS_clock_gettime, CLOCK_MONOTONIC, NULL));
    REFUSES(EFAULT, syscall(SYS_gettimeofday, constant, NULL));
    REFUSES(EFAULT, syscall(SYS_gettimeofday, &tv, constant));
    REFUSES(EFAULT, syscall(SYS_time, nowhere));
    REFUSES(EFAULT, syscall(SYS_getcpu, nowhere, NULL, NULL));
    REFUSES(EFAULT, syscall(SYS_getcpu, NULL, nowhere, NULL));
}

static void
timers(void **state)
{
    const struct itimerspec negative = {{-1, 0}, {0, 0}};
    timer_t id;

    (void)state;
    REFUSES(EFAULT, syscall(SYS_setitimer, ITIMER_REAL, nowhere, NULL));
    REFUSES(EFAULT, syscall(SYS_getitimer, ITIMER_REAL, NULL));
    assert_int_equal(timer_create(CLOCK_MONOTONIC, NULL, &id), 0);
    REFUSES(EINVAL, syscall(SYS_timer_settime, id, 0, NULL, NULL));
    REFUSES(EFAULT, syscall(SYS_timer_settime, id, 0, nowhere, NULL));
    REFUSES(EINVAL, syscall(SYS_timer_settime, id, 0, &negative, NULL));
    REFUSES(EFAULT, syscall(SYS_timer_gettime, id, nowhere));
    assert_int_equal(timer_delete(id), 0);
}

/* Code of the vDSO, which faults; a call that it makes for clocks that it does not know. */
static void
clocks_in_transactions(void **state)
{
    struct timespec ts;

    (void)state;
    assert_int_equal(IN_TX(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, nowhere)), 0);
    assert_int_equal(IN_TX(syscall(SYS_time, nowhere)), 0);
    assert_int_equal(IN_TX(syscall(SYS_clock_gettime, CLOCK_REALTIME_ALARM, &ts)), 0);
    assert_int_equal(IN_TX(syscall(SYS_clock_gettime, -6, &ts)), 0);
    assert_int_equal(IN_TX(syscall(SYS_clock_gettime, CLOCK_TAI, &ts)), STARTED);
}

static void
time_of_day_has_a_zone(void **state)
{
    struct timeval plain, with;
    struct {
        int minutes_west, dst;
    } zone = {1, 1};

    (void)state;
    assert_int_equal(syscall(SYS_gettimeofday, &plain, NULL), 0);
    assert_int_equal(syscall(SYS_gettimeofday, &with, &zone), 0);
    assert_in_range(with.tv_sec - plain.tv_sec, 0, 1);
    assert_int_equal(zone.minutes_west, 0);
    assert_int_equal(zone.dst, 0);
}

static void
alarm_clock_tells_the_day(void **state)
{
    struct timespec day, alarm_clock;

    (void)state;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &day), 0);
    assert_int_equal(clock_gettime(CLOCK_REALTIME_ALARM, &alarm_clock), 0);
    assert_in_range(alarm_clock.tv_sec - day.tv_sec, 0, 1);
}

static void *
sleep_for_ever(void *p)
{
    static const struct timespec longest = {LONG_MAX / 2 + 3, 0}; /* in ns, modulo 2^64: 2 s */

    note((int)(intptr_t)p);
    if (nanosleep(&longest, NULL) == -1 && errno == EINTR) {
        s.at[0] = now();
    }
    return p;
}

/* A time that does not fit is the longest, not a short one. */
static void
endless_sleep(void **state)
{
    pthread_t t;
    uint64_t start = now();

    (void)state;
    on_signal(SIGUSR1, 0);
    assert_int_equal(pthread_create(&t, NULL, sleep_for_ever, NULL), 0);
    sleep_ms(60000);
    pthread_kill(t, SIGUSR1);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_in_range(s.at[0] - start, 60000ULL * MS, 60001ULL * MS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(futexes, make_areas),
        cmocka_unit_test(sleeps),
        cmocka_unit_test(rest_of_a_sleep),
        cmocka_unit_test(signals),
        cmocka_unit_test(clocks),
        cmocka_unit_test(timers),
        cmocka_unit_test(clocks_in_transactions),
        cmocka_unit_test(time_of_day_has_a_zone),
        cmocka_unit_test(alarm_clock_tells_the_day),
        cmocka_unit_test(endless_sleep),
    };

    return LITMUS_MAIN(tests);
}
