/* SPDX-License-Identifier: MIT */
/* The locks that are compared. Each runs one section behind one indirect call, so that its own code
 * may be inlined and so that locks that want a scope or a block are possible. One lock of each kind
 * exists, on cache lines of its own. */
#ifndef ELISION_BENCH_LOCKS_H
#define ELISION_BENCH_LOCKS_H

#include <stdbool.h>

struct work_thread; /* work.h */

#ifdef __cplusplus
extern "C" {
#endif

/* What each lock runs: the section of this thread's workload, counted.
 * pre:   the lock is held, or a transaction runs that stands for it */
void bench_section(struct work_thread *t);

struct bench_lock {
    const char *name;
    const char *(*missing)(void); /* why it cannot be measured here, or NULL; itself NULL: it can */
    void (*reset)(const char *workload, int threads); /* by one thread, before a run; or NULL */
    void (*run)(struct work_thread *t);               /* bench_section(t) under the lock */
    void (*detach)(void); /* outside a section, before a thread does something else; or NULL */
    bool elides;          /* is libelision: its counters tell more */
    bool speculates;      /* may run sections as transactions */
    bool spins;           /* never sleeps: wants a processor for each thread */
};

extern const struct bench_lock bench_lock_elided;  /* libelision, by transaction where it may */
extern const struct bench_lock bench_lock_plain;   /* libelision switched off: its fallback lock */
extern const struct bench_lock bench_lock_fair;    /* the same with a switch interval, 1 ms */
extern const struct bench_lock bench_lock_pthread; /* glibc's mutex, of a kind it never elides */
extern const struct bench_lock bench_lock_ticket;  /* ticket lock, spinning */
extern const struct bench_lock bench_lock_mcs;     /* Mellor-Crummey and Scott, spinning */
extern const struct bench_lock bench_lock_gil;     /* behaves as CPython's GIL does */

/* Other people's, as they are. */
extern const struct bench_lock bench_lock_glibc;     /* glibc's mutex, elided by its tunable */
extern const struct bench_lock bench_lock_tbb;       /* oneTBB's speculative_spin_mutex */
extern const struct bench_lock bench_lock_libitm;    /* a transaction of GCC's -fgnu-tm */
extern const struct bench_lock bench_lock_ck;        /* Concurrency Kit's ck_elide, adaptive */
extern const struct bench_lock bench_lock_std_mutex; /* std::mutex */

/* Parts of the peers in other languages; see peer_cxx.cc and peer_libitm.c. */
extern const bool bench_have_tbb;
extern const bool bench_have_libitm;
void bench_tbb_run(struct work_thread *t);
void bench_libitm_run(struct work_thread *t);
void bench_std_mutex_run(struct work_thread *t);

#ifdef __cplusplus
}
#endif

#endif
