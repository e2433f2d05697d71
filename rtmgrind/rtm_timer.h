/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Between rtm_timer.c, which has timers fire, and rtm_alarm.c, the calls that set them.
 */

#ifndef RTM_TIMER_H
#define RTM_TIMER_H

#include "rtm_sched.h"

enum { NS = 1000000000, US = 1000000, NS_OF_US = NS / US }; /* in a second */
enum { TIMER_REAL = 0, TIMER_VIRTUAL, TIMER_PROF, N_ITIMERS };

struct timer {
    struct timer *next;
    Bool posix; /* of timer_create */
    Int id;     /* its number in the kernel, or TIMER_REAL and so on */
    Int clock;  /* for absolute times */
    Bool cpu;   /* runs in the CPU time of all threads, */
    Int of;     /* or of this one, unless 0 */
    Int sig;    /* 0: none */
    Int lwp;    /* the signal is for this thread; 0: for the process */
    vki_sigval_t value;
    ULong at;          /* cycles, of virtual or CPU time; RTM_NEVER: not set */
    ULong interval_ns; /* 0: fires once */
    ULong missed;      /* times that came and sent no signal, since the last that did */
    Int overrun;       /* such before the signal that was taken last */
    Bool held;         /* nobody took its last signal, which waits */
    Bool in_kernel;    /* the kernel's timer runs in its place */
};

/* The three of setitimer; those of timer_create are linked behind them. */
extern struct timer rtm_itimers[N_ITIMERS];

/* What is left of it at a time, in nanoseconds; never 0 while it is set. */
ULong rtm_timer_rest(const struct timer *x, ULong now);

#endif
