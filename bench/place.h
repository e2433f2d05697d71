/* SPDX-License-Identifier: MIT */
/* Where the threads of a benchmark run: plans over the machine's topology, by hwloc.
 *
 *   compact        hardware threads in order: both threads of a core before the next core
 *   scatter        round-robin over sockets, then cores; second hardware threads last
 *   one-per-core   the first hardware thread of each core
 *   smt-pairs      both hardware threads of each core that has two
 *   one-socket     the cores of the first socket, then their second hardware threads
 *   explicit:LIST  the hardware threads of LIST, by the system's numbers, as in 0-3,8
 *   none           wherever the system puts them
 *
 * The topology is the real one, or that of the file HWLOC_XMLFILE names, or a synthetic one in
 * hwloc's notation; plans can be shown on any, and used on the real one only. A plan that does not
 * have enough places is an error: nothing is pinned elsewhere instead. */
#ifndef ELISION_BENCH_PLACE_H
#define ELISION_BENCH_PLACE_H

#include <hwloc.h>
#include <stdbool.h>
#include <stddef.h>

enum { PLACE_MAX = 1024 }; /* hardware threads in a plan */

struct place_plan {
    char name[96];
    char topology[96];        /* in words, for the report */
    unsigned count;           /* places; 0 for the plan "none" */
    unsigned cpus[PLACE_MAX]; /* the system's number of each place's hardware thread */
    bool usable;              /* the topology is this machine's */
};

/* Load a topology: the synthetic description, or with NULL the real one or HWLOC_XMLFILE's.
 * ret:   true; false with a line in error
 * owner: the caller destroys *topology */
bool place_load(hwloc_topology_t *topology, const char *synthetic, char *error, size_t size);

/* Work a plan out.
 * ret:   true; false with a line in error that says what is wrong with the name or the machine */
bool place_make(struct place_plan *plan, hwloc_topology_t topology, const char *name, char *error,
                size_t size);

/* Bind the calling thread to its place. Memory it touches first then comes from the nearest node.
 * ret:   true; false with a line in error */
bool place_bind(const struct place_plan *plan, hwloc_topology_t topology, unsigned thread,
                char *error, size_t size);

#endif
