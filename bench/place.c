/* SPDX-License-Identifier: MIT */
#include "bench/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef bool place_fill_fn(struct place_plan *plan, hwloc_topology_t topology, const char *list,
                           char *error, size_t size);

static bool
add(struct place_plan *plan, hwloc_obj_t pu)
{
    if (plan->count == PLACE_MAX) {
        return false;
    }
    plan->cpus[plan->count++] = pu->os_index;
    return true;
}

static unsigned
number(hwloc_topology_t topology, hwloc_obj_type_t type)
{
    int count = hwloc_get_nbobjs_by_type(topology, type);
    return count > 0 ? (unsigned)count : 0;
}

/* Hardware thread `nth` of a core, in logical order; NULL when it has fewer. */
static hwloc_obj_t
thread_of(hwloc_topology_t topology, hwloc_obj_t core, unsigned nth)
{
    return hwloc_get_obj_inside_cpuset_by_type(topology, core->cpuset, HWLOC_OBJ_PU, nth);
}

static bool
fill_compact(struct place_plan *plan, hwloc_topology_t topology, const char *list, char *error,
             size_t size)
{
    (void)list, (void)error, (void)size;
    for (unsigned i = 0; i < number(topology, HWLOC_OBJ_PU); i++) {
        if (!add(plan, hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, i))) {
            break;
        }
    }
    return true;
}

/* The widest core decides how many rounds over the cores there are. */
static unsigned
most_threads(hwloc_topology_t topology)
{
    unsigned most = 0;
    for (unsigned i = 0; i < number(topology, HWLOC_OBJ_CORE); i++) {
        hwloc_obj_t core = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, i);
        unsigned here =
            (unsigned)hwloc_get_nbobjs_inside_cpuset_by_type(topology, core->cpuset, HWLOC_OBJ_PU);
        most = here > most ? here : most;
    }
    return most;
}

static bool
fill_scatter(struct place_plan *plan, hwloc_topology_t topology, const char *list, char *error,
             size_t size)
{
    (void)list, (void)error, (void)size;
    unsigned sockets = number(topology, HWLOC_OBJ_PACKAGE);
    unsigned cores = number(topology, HWLOC_OBJ_CORE);
    unsigned rounds = most_threads(topology);
    for (unsigned nth = 0; nth < rounds; nth++) {
        for (unsigned c = 0; c < cores; c++) {
            for (unsigned s = 0; s < sockets; s++) {
                hwloc_obj_t socket = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, s);
                hwloc_obj_t core = hwloc_get_obj_inside_cpuset_by_type(topology, socket->cpuset,
                                                                       HWLOC_OBJ_CORE, c);
                hwloc_obj_t pu = core != NULL ? thread_of(topology, core, nth) : NULL;
                if (pu != NULL && !add(plan, pu)) {
                    return true;
                }
            }
        }
    }
    return true;
}

static bool
fill_one_per_core(struct place_plan *plan, hwloc_topology_t topology, const char *list, char *error,
                  size_t size)
{
    (void)list, (void)error, (void)size;
    for (unsigned i = 0; i < number(topology, HWLOC_OBJ_CORE); i++) {
        hwloc_obj_t core = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, i);
        if (!add(plan, thread_of(topology, core, 0))) {
            break;
        }
    }
    return true;
}

static bool
fill_smt_pairs(struct place_plan *plan, hwloc_topology_t topology, const char *list, char *error,
               size_t size)
{
    (void)list;
    for (unsigned i = 0; i < number(topology, HWLOC_OBJ_CORE); i++) {
        hwloc_obj_t core = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, i);
        hwloc_obj_t second = thread_of(topology, core, 1);
        if (second != NULL && add(plan, thread_of(topology, core, 0)) && !add(plan, second)) {
            break;
        }
    }
    if (plan->count == 0) {
        snprintf(error, size, "plan smt-pairs: no core here has two hardware threads");
    }
    return plan->count != 0;
}

static bool
fill_one_socket(struct place_plan *plan, hwloc_topology_t topology, const char *list, char *error,
                size_t size)
{
    (void)list, (void)error, (void)size;
    hwloc_obj_t socket = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
    unsigned cores =
        (unsigned)hwloc_get_nbobjs_inside_cpuset_by_type(topology, socket->cpuset, HWLOC_OBJ_CORE);
    unsigned rounds = most_threads(topology);
    for (unsigned nth = 0; nth < rounds; nth++) {
        for (unsigned c = 0; c < cores; c++) {
            hwloc_obj_t core =
                hwloc_get_obj_inside_cpuset_by_type(topology, socket->cpuset, HWLOC_OBJ_CORE, c);
            hwloc_obj_t pu = thread_of(topology, core, nth);
            if (pu != NULL && !add(plan, pu)) {
                return true;
            }
        }
    }
    return true;
}

/* Reads one number, or two with a dash between them; moves *at behind them. */
static bool
read_range(const char **at, unsigned long *first, unsigned long *last)
{
    char *end;
    if (**at < '0' || **at > '9') {
        return false;
    }
    errno = 0;
    *first = *last = strtoul(*at, &end, 10);
    if (*end == '-') {
        if (end[1] < '0' || end[1] > '9') {
            return false;
        }
        *last = strtoul(end + 1, &end, 10);
    }
    *at = end;
    return errno == 0 && *first <= *last && *last < 1UL << 20;
}

static bool
fill_explicit(struct place_plan *plan, hwloc_topology_t topology, const char *list, char *error,
              size_t size)
{
    const char *at = list;
    for (;;) {
        unsigned long first;
        unsigned long last;
        if (!read_range(&at, &first, &last) || (*at != ',' && *at != '\0')) {
            snprintf(error, size, "plan explicit: wants a list like 0-3,8 and not \"%s\"", list);
            return false;
        }
        for (unsigned long cpu = first; cpu <= last; cpu++) {
            hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(topology, (unsigned)cpu);
            if (pu == NULL || !add(plan, pu)) {
                snprintf(error, size, "plan explicit: there is no hardware thread %lu here", cpu);
                return false;
            }
        }
        if (*at++ == '\0') {
            return true;
        }
    }
}

static bool
fill_none(struct place_plan *plan, hwloc_topology_t topology, const char *list, char *error,
          size_t size)
{
    (void)plan, (void)topology, (void)list, (void)error, (void)size;
    return true;
}

static const struct {
    const char *name;
    place_fill_fn *fill;
} plans[] = {
    {"compact", fill_compact},
    {"scatter", fill_scatter},
    {"one-per-core", fill_one_per_core},
    {"smt-pairs", fill_smt_pairs},
    {"one-socket", fill_one_socket},
    {"explicit", fill_explicit},
    {"none", fill_none},
};

bool
place_load(hwloc_topology_t *topology, const char *synthetic, char *error, size_t size)
{
    if (hwloc_topology_init(topology) != 0) {
        snprintf(error, size, "hwloc does not start: %s", strerror(errno));
        return false;
    }
    /* hwloc falls back to the real machine when it cannot read HWLOC_XMLFILE, so that the file is
     * given to it by hand, which reports the failure: at once, or, by another of its parsers, when
     * it is loaded. */
    const char *file = synthetic == NULL ? getenv("HWLOC_XMLFILE") : NULL;
    if (synthetic != NULL && hwloc_topology_set_synthetic(*topology, synthetic) != 0) {
        snprintf(error, size, "not a synthetic topology: \"%s\"", synthetic);
    }
    else if ((file == NULL || hwloc_topology_set_xml(*topology, file) == 0) &&
             hwloc_topology_load(*topology) == 0) {
        return true;
    }
    else if (file != NULL) {
        snprintf(error, size, "HWLOC_XMLFILE: cannot read a topology from \"%s\"", file);
    }
    else {
        snprintf(error, size, "hwloc cannot load the topology: %s", strerror(errno));
    }
    hwloc_topology_destroy(*topology);
    return false;
}

bool
place_make(struct place_plan *plan, hwloc_topology_t topology, const char *name, char *error,
           size_t size)
{
    memset(plan, 0, sizeof *plan);
    snprintf(plan->name, sizeof plan->name, "%s", name);
    snprintf(plan->topology, sizeof plan->topology, "%u sockets, %u cores, %u hardware threads",
             number(topology, HWLOC_OBJ_PACKAGE), number(topology, HWLOC_OBJ_CORE),
             number(topology, HWLOC_OBJ_PU));
    plan->usable = hwloc_topology_is_thissystem(topology) != 0;
    size_t length = strcspn(name, ":");
    const char *list = name[length] == ':' ? name + length + 1 : "";
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        if (strlen(plans[i].name) == length && strncmp(plans[i].name, name, length) == 0) {
            return plans[i].fill(plan, topology, list, error, size);
        }
    }
    snprintf(error, size,
             "no plan \"%s\": there are compact, scatter, one-per-core, smt-pairs, one-socket, "
             "explicit:LIST and none",
             name);
    return false;
}

bool
place_bind(const struct place_plan *plan, hwloc_topology_t topology, unsigned thread, char *error,
           size_t size)
{
    if (strcmp(plan->name, "none") == 0) {
        return true;
    }
    if (!plan->usable) {
        snprintf(error, size, "plan %s: its topology is not this machine's", plan->name);
        return false;
    }
    if (thread >= plan->count) {
        snprintf(error, size, "plan %s has %u places, too few for thread %u", plan->name,
                 plan->count, thread);
        return false;
    }
    hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(topology, plan->cpus[thread]);
    if (hwloc_set_cpubind(topology, pu->cpuset, HWLOC_CPUBIND_THREAD) != 0) {
        snprintf(error, size, "plan %s: cannot bind to hardware thread %u: %s", plan->name,
                 plan->cpus[thread], strerror(errno));
        return false;
    }
    /* Memory follows by first touch once the thread stays where it is. */
    return true;
}
