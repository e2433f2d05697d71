/* SPDX-License-Identifier: MIT
 *
 * Reading the counters, as numbers, text and JSON.
 */
#define _GNU_SOURCE
#include "elision/core_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "elision/report.h"

static uint64_t
get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t
greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

bool
elision_commits_(const struct elision_site_state *state, uint64_t *commits)
{
    /* [E.V] pairs with the stores in section.c: the same even version on both sides means that
     * commits, granted and credit belong together. The fences keep the three loads in between. */
    uint32_t before = atomic_load_explicit(&state->version, memory_order_acquire);
    uint32_t used = atomic_load_explicit(&state->granted, memory_order_relaxed) -
                    atomic_load_explicit(&state->credit, memory_order_relaxed);
    *commits = get(&state->count.commits) + (used > 0 ? used - 1 : 0);
    atomic_thread_fence(memory_order_acquire);
    uint32_t after = atomic_load_explicit(&state->version, memory_order_relaxed);

    return before == after && (before & 1) == 0;
}

static void
add_counters(struct elision_stats *stats, const struct elision_site_state *state)
{
    const struct elision_counters *count = &state->count;
    uint64_t commits;

    while (!elision_commits_(state, &commits)) {
    }
    stats->commits += commits;
    stats->starts += commits;
    for (unsigned reason = 0; reason < ELISION_ABORT_REASONS; reason++) {
        uint64_t aborts = get(&count->aborts[reason]);
        stats->aborts[reason] += aborts;
        stats->starts += aborts;
    }
    stats->locked += get(&count->locked);
    stats->fallbacks += get(&count->fallbacks);
    stats->skips += get(&count->skips);
    stats->giveups += get(&count->giveups);
    stats->reprobes += get(&count->reprobes);
    stats->cuts += get(&count->cuts);
    stats->busy += get(&count->busy);
    stats->cycles_speculating += get(&count->cycles_speculating);
    stats->cycles_wasted += get(&count->cycles_wasted);
    stats->cycles_waiting += get(&count->cycles_waiting);
    stats->cycles_holding += get(&count->cycles_holding);
    stats->max_speculating = greater(stats->max_speculating, get(&count->max_speculating));
    stats->max_wasted = greater(stats->max_wasted, get(&count->max_wasted));
    stats->max_waiting = greater(stats->max_waiting, get(&count->max_waiting));
    stats->max_holding = greater(stats->max_holding, get(&count->max_holding));
}

static void
add_site(struct elision_stats *stats, uint32_t index)
{
    for (struct elision_thread *at = elision_thread_first_(); at != NULL; at = at->next) {
        add_counters(stats, &at->states[index]);
    }
}

void
elision_stats(struct elision_stats *stats)
{
    uint32_t sites = elision_site_count_();

    elision_account_(elision_self_);
    memset(stats, 0, sizeof(*stats));
    for (uint32_t i = 0; i <= sites; i++) {
        add_site(stats, i);
    }
    for (struct elision_thread *at = elision_thread_first_(); at != NULL; at = at->next) {
        stats->parks += get(&at->parks);
        stats->handovers += get(&at->handovers);
    }
    stats->threads = elision_thread_count_();
    stats->sites = sites;
}

void
elision_site_stats(const elision_site_t *site, struct elision_stats *stats)
{
    elision_account_(elision_self_);
    memset(stats, 0, sizeof(*stats));
    add_site(stats, ELISION_INDEX_OF(__atomic_load_n(&site->id_, __ATOMIC_RELAXED)));
}

void
elision_thread_stats(const elision_site_t *site, struct elision_stats *stats)
{
    struct elision_thread *self = elision_self_;

    memset(stats, 0, sizeof(*stats));
    stats->threads = 1;
    if (self->id == 0) {
        return; /* it has never entered a section; the record of nobody has no states */
    }
    elision_account_(self);
    if (site != NULL) {
        add_counters(stats, elision_state_of_(self, site));
        return;
    }
    for (uint32_t i = 0; i <= elision_site_count_(); i++) {
        add_counters(stats, &self->states[i]);
    }
    stats->parks = get(&self->parks);
    stats->handovers = get(&self->handovers);
}

int
elision_sites_visit(int (*visit)(const elision_site_t *, const char *, void *), void *arg)
{
    uint32_t sites = elision_site_count_();
    int result = 0;

    for (uint32_t i = 1; i <= sites && result == 0; i++) {
        const elision_site_t *site = elision_site_at_(i);
        if (site != NULL) {
            const char *name = __atomic_load_n(&site->name_, __ATOMIC_ACQUIRE); /* [E.DN] */
            result = visit(site, name != NULL ? name : "(no name)", arg);
        }
    }
    return result;
}

void
elision_lock_stats(const elision_lock_t *lock, uint64_t *parks, uint64_t *handovers)
{
    const struct elision_fallback *fallback = (const struct elision_fallback *)lock;

    *parks = get(&fallback->parks);
    *handovers = get(&fallback->handovers);
}

const char *
elision_abort_name(enum elision_abort reason)
{
    switch (reason) {
    case ELISION_ABORT_BUSY: return "lock-busy";
    case ELISION_ABORT_IRREVOCABLE: return "irrevocable";
    case ELISION_ABORT_EXPLICIT: return "explicit";
    case ELISION_ABORT_CONFLICT: return "conflict";
    case ELISION_ABORT_CAPACITY: return "capacity";
    case ELISION_ABORT_DEBUG: return "debug";
    case ELISION_ABORT_NESTED: return "nested";
    case ELISION_ABORT_UNFRIENDLY: return "unfriendly";
    case ELISION_ABORT_REASONS: break;
    }
    return "unknown";
}

const char *
elision_backend_name_(enum elision_backend backend)
{
    switch (backend) {
    case ELISION_BACKEND_NONE: return "none";
    case ELISION_BACKEND_RTM: return "rtm";
    case ELISION_BACKEND_SCRIPTED: return "scripted";
    }
    return "unknown";
}

/* --- Report ------------------------------------------------------------------------------------*/

struct report {
    int fd;
    bool json;
    bool first;
};

static void
print_json(const struct report *report, const struct elision_stats *stats)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"starts", stats->starts},
        {"commits", stats->commits},
        {"locked", stats->locked},
        {"fallbacks", stats->fallbacks},
        {"skips", stats->skips},
        {"giveups", stats->giveups},
        {"reprobes", stats->reprobes},
        {"cuts", stats->cuts},
        {"busy", stats->busy},
        {"parks", stats->parks},
        {"handovers", stats->handovers},
        {"cycles_speculating", stats->cycles_speculating},
        {"cycles_wasted", stats->cycles_wasted},
        {"cycles_waiting", stats->cycles_waiting},
        {"cycles_holding", stats->cycles_holding},
        {"max_speculating", stats->max_speculating},
        {"max_wasted", stats->max_wasted},
        {"max_waiting", stats->max_waiting},
        {"max_holding", stats->max_holding},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        dprintf(report->fd, "\"%s\": %" PRIu64 ", ", rows[i].name, rows[i].value);
    }
    dprintf(report->fd, "\"aborts\": {");
    for (unsigned reason = 0; reason < ELISION_ABORT_REASONS; reason++) {
        dprintf(report->fd, "%s\"%s\": %" PRIu64, reason == 0 ? "" : ", ",
                elision_abort_name((enum elision_abort)reason), stats->aborts[reason]);
    }
    dprintf(report->fd, "}");
}

static void
print_text(const struct report *report, const char *name, const struct elision_stats *stats)
{
    dprintf(report->fd, "%-28s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64, name,
            stats->starts, stats->commits, stats->locked, stats->fallbacks);
    for (unsigned reason = 0; reason < ELISION_ABORT_REASONS; reason++) {
        if (stats->aborts[reason] != 0) {
            dprintf(report->fd, " %s %" PRIu64, elision_abort_name((enum elision_abort)reason),
                    stats->aborts[reason]);
        }
    }
    dprintf(report->fd, "\n");
}

/* A name in JSON, RFC 8259 section 7. */
static void
print_name(int fd, const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20) {
            dprintf(fd, "\\u%04x", (unsigned)*at);
        }
        else {
            dprintf(fd, *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
        }
    }
}

static int
report_site(const elision_site_t *site, const char *name, void *arg)
{
    struct report *report = arg;
    struct elision_stats stats;

    elision_site_stats(site, &stats);
    if (report->json) {
        dprintf(report->fd, "%s\n  {\"name\": \"", report->first ? "" : ",");
        print_name(report->fd, name);
        dprintf(report->fd, "\", ");
        print_json(report, &stats);
        dprintf(report->fd, "}");
    }
    else {
        print_text(report, name, &stats);
    }
    report->first = false;
    return 0;
}

void
elision_report_(int fd, bool json)
{
    struct report report = {.fd = fd, .json = json, .first = true};
    struct elision_stats stats;

    elision_stats(&stats);
    if (json) {
        dprintf(fd, "{\"backend\": \"%s\", \"emulated\": %s, \"policy\": \"",
                elision_backend_name_(elision_verdict_.backend),
                elision_verdict_.emulated ? "true" : "false");
        print_name(fd, elision_verdict_.policy);
        dprintf(fd, "\", \"reason\": \"%s\",\n \"totals\": {", elision_verdict_.reason);
        print_json(&report, &stats);
        dprintf(fd, "},\n \"sites\": [");
        (void)elision_sites_visit(report_site, &report);
        dprintf(fd, "]}\n");
        return;
    }
    dprintf(fd, "libelision %s, backend %s, policy %s, %s%s\n%-28s %10s %10s %10s %10s aborts\n",
            elision_version(), elision_backend_name_(elision_verdict_.backend),
            elision_verdict_.policy, elision_verdict_.reason,
            elision_verdict_.can_elide ? "" : " (every section took the lock)", "site", "starts",
            "commits", "locked", "fallbacks");
    (void)elision_sites_visit(report_site, &report);
    print_text(&report, "total", &stats);
    dprintf(fd,
            "parks %" PRIu64 ", hand-overs %" PRIu64 "; cycles: speculating %" PRIu64
            ", wasted %" PRIu64 ", waiting %" PRIu64 ", holding %" PRIu64 "\n",
            stats.parks, stats.handovers, stats.cycles_speculating, stats.cycles_wasted,
            stats.cycles_waiting, stats.cycles_holding);
}
