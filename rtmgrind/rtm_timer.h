/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Between rtm_timer.c, which has timers fire, rtm_alarm.c, the calls that set them, and
 * rtm_file.c: those that are files.
 */

#ifndef RTM_TIMER_H
#define RTM_TIMER_H

#include "rtm_sched.h"

enum { NS = 1000000000, US = 1000000, NS_OF_US = NS / US }; /* in a second */
enum { TIMER_REAL = 0, TIMER_VIRTUAL, TIMER_PROF, N_ITIMERS };

enum { LEAST_REST = NS_OF_US }; /* of a timer that is set */

enum timer_kind {
    TIMER_INTERVAL = 0, /* of setitimer */
    TIMER_POSIX,        /* of timer_create */
    TIMER_FILE          /* of timerfd_create; sends no signal */
};

struct timer {
    struct timer *next;
    enum timer_kind kind;
    Int id;    /* TIMER_REAL and so on; its number in the kernel; our own */
    Int fd;    /* a descriptor of a file, if it is still that */
    Int clock; /* for absolute times */
    Bool cpu;  /* runs in the CPU time of all threads, */
    Int of;    /* or of this one, unless 0 */
    Int sig;   /* 0: none */
    Int lwp;   /* the signal is for this thread; 0: for the process */
    vki_sigval_t value;
    ULong at;          /* cycles, of virtual or CPU time; RTM_NEVER: not set */
    ULong interval_ns; /* 0: fires once */
    ULong missed;      /* times that came and sent no signal, since the last that did; or */
    Int overrun;       /* such before the signal that was taken last */
    Bool held;         /* nobody took its last signal, or read the file */
    Bool in_kernel;    /* the kernel's timer runs in its place */
};

/* The three of setitimer; the others are linked behind them. */
extern struct timer rtm_itimers[N_ITIMERS];

/* The link to a timer that is not of setitimer; the last one, to NULL, if there is none. */
struct timer **rtm_timer_link(enum timer_kind kind, Int id);
void rtm_timer_drop(struct timer **p);

/* What is left of it at a time, in nanoseconds; never 0 while it is set. */
ULong rtm_timer_rest(const struct timer *x, ULong now);

/* Times that came since it fired: nobody is told of them again. */
ULong rtm_timer_missed(struct timer *x);

/* rtm_file.c: the timer behind a descriptor that this process has set, or NULL; that it sets now:
 * NULL if it is no timer. */
struct timer *rtm_file_timer(Int fd);
struct timer *rtm_file_adopt(Int fd);
/* It was set by this descriptor, and is not readable any more; it fires; has nobody read it? */
void rtm_file_hold(struct timer *x, Int fd);
void rtm_file_fire(struct timer *x);
Bool rtm_file_is_unread(struct timer *x);
/* The kernel's runs in its place, or no longer. ret: what was left of it, ns; 0: it has fired */
ULong rtm_file_set_in_kernel(struct timer *x, ULong ns, Bool for_good);
void rtm_files_forget(void); /* in a forked child */

#endif
