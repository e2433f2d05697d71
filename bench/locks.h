/* SPDX-License-Identifier: MIT */
/* The locks that are compared, each behind the same functions, so that each pays the same
 * indirect call. One lock of each kind exists, on cache lines of its own. */
#ifndef ELISION_BENCH_LOCKS_H
#define ELISION_BENCH_LOCKS_H

#include <stdbool.h>

struct bench_lock {
    const char *name;
    void (*reset)(const char *workload); /* by one thread, before a run */
    void (*enter)(void);
    void (*leave)(void);
    void (*detach)(void); /* outside a section, before a thread does something else for a while */
    bool elides;          /* counters of the library are worth showing */
};

extern const struct bench_lock bench_lock_elided;  /* libelision, by transaction where it may */
extern const struct bench_lock bench_lock_plain;   /* libelision switched off: its fallback lock */
extern const struct bench_lock bench_lock_pthread; /* glibc's mutex */
extern const struct bench_lock bench_lock_ticket;  /* ticket lock, spinning */
extern const struct bench_lock bench_lock_mcs;     /* Mellor-Crummey and Scott, spinning */
extern const struct bench_lock bench_lock_gil;     /* behaves as CPython's GIL does */

#endif
