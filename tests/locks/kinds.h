/* SPDX-License-Identifier: MIT
 *
 * One description per lock; stress, latency and throughput tests drive them all the same way.
 *
 * elision    the library; pthread    the control: a test it fails is a wrong test
 * The others are known-bad, each with one mistake that real elision code has made. A test that they
 * pass is too weak. Those marked rtm make their mistake only where transactions run.
 */
#ifndef TESTS_LOCKS_KINDS_H
#define TESTS_LOCKS_KINDS_H

#include <stdbool.h>
#include <stddef.h>

struct lock_kind {
    const char *name;
    bool bad;
    bool rtm; /* needs transactions to be wrong */
    void (*enter)(void);
    void (*leave)(void);
    void (*irrevocable)(void);
    bool (*speculative)(void);
    /* The section has seen what no section may ever see: end it at once, whatever it is, so that
     * the caller can say so. Only a zombie transaction needs it. */
    void (*escape)(void);
    /* ret: most attempts that one enter of any thread has made; 0: not counted */
    unsigned (*attempts)(void);
};

/* ret:   the kind with this name, or NULL; lock_kind_at: the i-th, NULL after the last */
const struct lock_kind *lock_kind_find(const char *name);
const struct lock_kind *lock_kind_at(size_t i);

/* Attempts after which every kind here takes its lock. */
#define LOCK_KIND_BUDGET 5

#endif
