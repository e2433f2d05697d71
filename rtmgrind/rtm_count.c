/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Counts by site, by conflict and by unfriendly instruction; the reports
 * (rtm_text.c, rtm_json.c) print them.
 */

#include "rtm_count.h"

struct interned {
    struct interned *next;
    UWord key;
    HChar s[];
};

struct rtm_counts rtm_counts;
static VgHashTable *sites, *conflicts, *unfriendlies, *strings;

/* Those found last: before the tables are asked. */
enum { RECENT = 256 };
static struct rtm_site *recent_sites[RECENT];
static struct rtm_conflict *recent_conflicts[RECENT];

static UWord
mix(UWord h, UWord v)
{
    return (h ^ v) * 0x9E3779B97F4A7C15ULL ^ (h >> 29);
}

static UWord
hash_string(const HChar *s)
{
    UWord h = 1469598103934665603ULL;

    for (; s && *s; s++) {
        h = (h ^ (UChar)*s) * 1099511628211ULL;
    }
    return h;
}

static void
init(void)
{
    if (!sites) {
        sites = VG_(HT_construct)("rtm.sites");
        conflicts = VG_(HT_construct)("rtm.conflicts");
        unfriendlies = VG_(HT_construct)("rtm.unfriendly");
        strings = VG_(HT_construct)("rtm.strings");
    }
}

const HChar *
rtm_intern(const HChar *s)
{
    const UWord key = hash_string(s);
    struct interned *n;

    init();
    n = VG_(HT_lookup)(strings, key);
    if (!n) {
        n = VG_(malloc)("rtm.string", sizeof *n + VG_(strlen)(s) + 1);
        n->key = key;
        VG_(strcpy)(n->s, s);
        VG_(HT_add_node)(strings, n);
    }
    return n->s;
}

/* Of an interned string, or NULL: what it says, not where it lies, which other things decide. */
static UWord
key_of(const HChar *s)
{
    return s ? ((const struct interned *)(s - offsetof(struct interned, s)))->key : 0;
}

struct rtm_site *
rtm_site_of(Addr pc, const HChar *label)
{
    struct rtm_site **recent = &recent_sites[pc % RECENT], *s = *recent;
    UWord key;

    if (s && s->pc == pc && s->label == label) {
        return s;
    }
    init();
    key = mix(pc, key_of(label));
    s = VG_(HT_lookup)(sites, key);
    if (!s) {
        s = VG_(calloc)("rtm.site", 1, sizeof *s);
        s->key = key;
        s->pc = pc;
        s->label = label;
        VG_(HT_add_node)(sites, s);
    }
    *recent = s;
    return s;
}

struct rtm_ended *rtm_ended;
Int rtm_n_ended;

void
rtm_count_ended(const struct rtm_thread *t)
{
    struct rtm_ended *e;

    if (rtm_n_ended <= RTM_MAX_ENDED) {
        if ((rtm_n_ended & (rtm_n_ended - 1)) == 0) { /* full, or none yet */
            const SizeT n = rtm_n_ended ? 2 * rtm_n_ended : 1;
            rtm_ended = VG_(realloc)("rtm.ended", rtm_ended, n * sizeof *e);
        }
        e = &rtm_ended[rtm_n_ended++];
        *e = (struct rtm_ended){.tid = rtm_n_ended <= RTM_MAX_ENDED ? t->tid : 0};
    }
    e = &rtm_ended[rtm_n_ended - 1];
    e->starts += t->starts;
    e->commits += t->commits;
    e->aborts += t->aborts;
    e->cycles += t->cpu;
}

static Int
log2_bucket(ULong n)
{
    const Int b = n ? 64 - __builtin_clzll(n) : 0; /* 0: none, b: 2^(b-1) .. 2^b - 1 */

    return b < RTM_HIST ? b : RTM_HIST - 1;
}

/* ------------------------------------------------------------------ */
/* Counting                                                            */

void
rtm_count_begin(struct rtm_thread *t)
{
    struct rtm_site *s = t->tx.site;

    rtm_counts.starts++;
    t->starts++;
    s->starts++;
    if (t->aborted_at) {
        s->cycles_waiting += t->tx.begin_clock - t->aborted_at;
        t->aborted_at = 0;
    }
}

void
rtm_count_commit(struct rtm_thread *t, ULong cycles)
{
    struct rtm_site *s = t->tx.site;

    rtm_counts.commits++;
    t->commits++;
    s->commits++;
    s->cycles_committed += cycles;
    rtm_counts.cycles_committed += cycles;
    if (cycles > s->longest) {
        s->longest = cycles;
    }
    rtm_counts.read_set[log2_bucket(t->tx.n_read)]++;
    rtm_counts.write_set[log2_bucket(t->tx.n_write)]++;
}

static void
count_pressure(const struct rtm_tx *tx)
{
    Int i, most = 0;

    for (i = 0; i < rtm_opt.sets; i++) {
        if (tx->set_count[i] > most) {
            most = tx->set_count[i];
        }
    }
    rtm_counts.pressure[most < RTM_HIST ? most : RTM_HIST - 1]++;
}

void
rtm_count_abort(struct rtm_thread *t, ULong cycles)
{
    struct rtm_site *s = t->tx.site;
    const enum rtm_cause cause = t->tx.cause;

    rtm_counts.aborts[cause]++;
    t->aborts++;
    s->aborts[cause]++;
    s->cycles_aborted += cycles;
    rtm_counts.cycles_aborted += cycles;
    if (cause == RTM_C_CAPACITY_WRITE) {
        count_pressure(&t->tx);
    }
}

/* The victim's access that matters: to a word that both touched, else to any. */
static Addr
victims_pc(const struct rtm_touch *at, UChar shared)
{
    const UChar words = shared ? shared : at ? at->words : 0;

    return words ? at->pc[__builtin_ctz(words)] : 0;
}

/* The record for conflicts like x; NULL: there are too many. */
static __attribute__((noinline)) struct rtm_conflict *
conflict_like(const struct rtm_conflict x)
{
    const UWord key = mix(mix(mix(x.victim_site->key, x.victim_pc), x.requester_pc),
                          VG_ROUNDDN(x.addr, RTM_LINE) + x.true_sharing);
    struct rtm_conflict *c = VG_(HT_lookup)(conflicts, key);

    if (c) {
        return c;
    }
    if (VG_(HT_count_nodes)(conflicts) >= RTM_MAX_CONFLICTS) {
        rtm_counts.conflicts_lost++;
        return NULL;
    }
    c = VG_(malloc)("rtm.conflict", sizeof *c);
    *c = x;
    c->key = key;
    c->requester_site = rtm_cur && rtm_cur->tx.state != RTM_TX_NONE ? rtm_cur->tx.site : NULL;
    rtm_heap_find(c->addr, &c->heap);
    VG_(HT_add_node)(conflicts, c);
    return c;
}

void
rtm_count_conflict(struct rtm_thread *victim, const struct rtm_touch *at, Addr a, UChar words,
                   Bool requester_writes)
{
    const UChar shared = at ? at->words & words : 0;
    struct rtm_site *site = victim->tx.site;
    const Addr requester = rtm_cur ? VG_(get_IP)(rtm_cur->tid) : 0;
    const Addr pc = victims_pc(at, shared);
    struct rtm_conflict **recent = &recent_conflicts[(a / RTM_LINE + pc + requester) % RECENT];
    struct rtm_conflict *c = *recent;

    if (!c || c->victim_pc != pc || c->requester_pc != requester || c->victim_site != site ||
        c->addr / RTM_LINE != a / RTM_LINE || c->true_sharing != (shared != 0)) {
        c = conflict_like((struct rtm_conflict){.victim_site = site,
                                                .victim_pc = pc,
                                                .requester_pc = requester,
                                                .addr = a,
                                                .true_sharing = shared != 0});
        if (!c) {
            return;
        }
        *recent = c;
    }
    c->count++;
    c->writes += requester_writes;
}

void
rtm_count_unfriendly(const HChar *what, Addr pc)
{
    const UWord key = mix(hash_string(what), pc);
    struct rtm_unfriendly *u;

    init();
    u = VG_(HT_lookup)(unfriendlies, key);
    if (!u) {
        u = VG_(calloc)("rtm.unfriendly", 1, sizeof *u);
        u->key = key;
        u->what = what;
        u->pc = pc;
        VG_(HT_add_node)(unfriendlies, u);
    }
    u->count++;
}

void
rtm_report_reset(void)
{
    struct rtm_site *s;
    Int i;

    init();
    VG_(memset)(&rtm_counts, 0, sizeof rtm_counts);
    rtm_n_ended = 0;
    VG_(HT_destruct)(conflicts, VG_(free));
    VG_(HT_destruct)(unfriendlies, VG_(free));
    VG_(memset)(recent_conflicts, 0, sizeof recent_conflicts);
    conflicts = VG_(HT_construct)("rtm.conflicts");
    unfriendlies = VG_(HT_construct)("rtm.unfriendly");
    VG_(HT_ResetIter)(sites);
    while ((s = VG_(HT_Next)(sites)) != NULL) { /* live transactions point here */
        s->starts = s->commits = 0;
        s->cycles_committed = s->cycles_aborted = s->cycles_waiting = 0;
        s->longest = 0;
        VG_(memset)(s->aborts, 0, sizeof s->aborts);
    }
    for (i = 0; i < RTM_MAX_THREADS; i++) {
        rtm_threads[i].starts = rtm_threads[i].commits = rtm_threads[i].aborts = 0;
    }
}

/* ------------------------------------------------------------------ */
/* Sorting                                                             */

/* Most first; ties by key, so that the order is the same in every run. */
static Int
descending(ULong x, UWord x_key, ULong y, UWord y_key)
{
    if (x != y) {
        return x < y ? 1 : -1;
    }
    return x_key == y_key ? 0 : x_key < y_key ? 1 : -1;
}

static Int
by_starts(const void *a, const void *b)
{
    const struct rtm_site *x = *(struct rtm_site *const *)a;
    const struct rtm_site *y = *(struct rtm_site *const *)b;

    return descending(x->starts, x->key, y->starts, y->key);
}

static Int
by_count(const void *a, const void *b)
{
    const struct rtm_conflict *x = *(struct rtm_conflict *const *)a;
    const struct rtm_conflict *y = *(struct rtm_conflict *const *)b;

    return descending(x->count, x->key, y->count, y->key);
}

static Int
by_count_u(const void *a, const void *b)
{
    const struct rtm_unfriendly *x = *(struct rtm_unfriendly *const *)a;
    const struct rtm_unfriendly *y = *(struct rtm_unfriendly *const *)b;

    return descending(x->count, x->key, y->count, y->key);
}

static void *
top(VgHashTable *table, UInt *n, Int (*compare)(const void *, const void *))
{
    void **a = (void **)VG_(HT_to_array)(table, n);

    if (*n > 1) {
        VG_(ssort)(a, *n, sizeof *a, compare);
    }
    if (*n > (UInt)rtm_opt.top) {
        *n = rtm_opt.top;
    }
    return a;
}

struct rtm_site **
rtm_top_sites(UInt *n)
{
    struct rtm_site **s = top(sites, n, by_starts);

    while (*n && s[*n - 1]->starts == 0) { /* reset, and not used since */
        --*n;
    }
    return s;
}

struct rtm_conflict **
rtm_top_conflicts(UInt *n)
{
    return top(conflicts, n, by_count);
}

struct rtm_unfriendly **
rtm_top_unfriendly(UInt *n)
{
    return top(unfriendlies, n, by_count_u);
}

ULong
rtm_sum(const ULong *by_cause)
{
    ULong n = 0;
    Int i;

    for (i = 0; i < RTM_C_LAST; i++) {
        n += by_cause[i];
    }
    return n;
}

/* ------------------------------------------------------------------ */
/* Reports                                                             */

void
rtm_report_dump(const HChar *name)
{
    init();
    rtm_text_report(name);
}

void
rtm_report_final(void)
{
    init();
    if (rtm_forked_child && !rtm_opt.children) {
        return;
    }
    if (VG_(clo_verbosity) > 0) {
        rtm_text_report(NULL);
    }
    if (rtm_opt.json) {
        if (rtm_forked_child) { /* its parent writes a report too */
            HChar *own = VG_(malloc)("rtm.json", VG_(strlen)(rtm_opt.json) + 16);
            VG_(sprintf)(own, "%s.%d", rtm_opt.json, VG_(getpid)());
            rtm_opt.json = own;
        }
        rtm_json_report();
    }
}
