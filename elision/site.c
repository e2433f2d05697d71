/* SPDX-License-Identifier: MIT
 *
 * Sites: ids for static ones, a bounded hash table of dynamic ones. Ids are never taken back.
 */
#include "elision/core_priv.h"

/* Half of the ids; static sites are few. A power of two. */
#define DYNAMIC_MAX (ELISION_SITES_MAX / 2)
#define PROBES 8

/* site->id_: 0 not asked yet, or none left. */
/* In flags_. */
#define ID_REFUSED 1u /* do not ask again */
#define IS_CUT 2u     /* its sections are no fixed work */

static _Atomic uint32_t ids;
static _Atomic(elision_site_t *) sites[ELISION_SITES_MAX + 1];
static elision_site_t dynamic[DYNAMIC_MAX];

/* As these are now, even if another thread does the same with older ones. */
static void
update_off(elision_site_t *site)
{
    uint32_t off, cut;

    do {
        off = __atomic_load_n(&elision_off_, __ATOMIC_SEQ_CST);
        cut = __atomic_load_n(&elision_off_cut_, __ATOMIC_SEQ_CST);
        (void)elision_site_set_off_(site, ELISION_OFF_PROCESS, off != 0);
        if (elision_site_is_cut_(site)) {
            (void)elision_site_set_off_(site, ELISION_OFF_ARBITER, cut != 0);
        }
    } while (off != __atomic_load_n(&elision_off_, __ATOMIC_SEQ_CST) ||
             cut != __atomic_load_n(&elision_off_cut_, __ATOMIC_SEQ_CST));
}

void
elision_site_register_(elision_site_t *site)
{
    if (__atomic_load_n(&site->flags_, __ATOMIC_RELAXED) & ID_REFUSED) {
        return;
    }
    uint32_t given = atomic_load_explicit(&ids, memory_order_relaxed);
    do {
        if (given >= ELISION_SITES_MAX) {
            __atomic_fetch_or(&site->flags_, ID_REFUSED, __ATOMIC_RELAXED);
            return;
        }
    } while (!atomic_compare_exchange_weak_explicit(&ids, &given, given + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    uint32_t mine = given + 1;
    uint32_t none = 0;
    /* Two threads may both come here for one site: the loser's id stays unused. */
    if (__atomic_compare_exchange_n(&site->id_, &none, ELISION_ID_OF(mine), false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED)) {
        /* [E.SR] pairs with elision_site_at_: the site's name is seen. [E.SO] And with
         * elision_sites_update_: either that sees the site or this sees elision_off_ changed. */
        atomic_store_explicit(&sites[mine], site, memory_order_seq_cst);
        update_off(site);
    }
}

bool
elision_site_set_off_(elision_site_t *site, uint64_t bit, bool off)
{
    if (((elision_site_off_(site) & bit) != 0) == off) {
        return false;
    }
    if (off) {
        __atomic_fetch_or(&site->off_, bit, __ATOMIC_RELAXED);
    }
    else {
        __atomic_fetch_and(&site->off_, ~bit, __ATOMIC_RELAXED);
    }
    return true;
}

void
elision_sites_update_(void)
{
    uint32_t count = elision_site_count_();

    for (uint32_t index = 1; index <= count && index <= ELISION_SITES_MAX; index++) {
        elision_site_t *site = atomic_load_explicit(&sites[index], memory_order_seq_cst);
        if (site != NULL) {
            update_off(site);
        }
    }
}

void
elision_site_cut_(elision_site_t *site)
{
    if (!elision_site_is_cut_(site)) {
        __atomic_fetch_or(&site->flags_, IS_CUT, __ATOMIC_SEQ_CST);
        /* What the site's own arbiter may have decided before that was known is void. */
        (void)elision_site_set_off_(site, ELISION_OFF_ARBITER | ELISION_OFF_TRIAL, false);
        /* A site without an id is told nothing later: it asks when it gets one. */
        if (__atomic_load_n(&site->id_, __ATOMIC_SEQ_CST) != 0) {
            update_off(site);
        }
    }
}

bool
elision_site_is_cut_(const elision_site_t *site)
{
    return (__atomic_load_n(&site->flags_, __ATOMIC_SEQ_CST) & IS_CUT) != 0;
}

uint32_t
elision_site_count_(void)
{
    return atomic_load_explicit(&ids, memory_order_relaxed);
}

elision_site_t *
elision_site_at_(uint32_t index)
{
    return atomic_load_explicit(&sites[index], memory_order_acquire); /* [E.SR] */
}

elision_site_t *
elision_site_dynamic(uintptr_t key, const char *name)
{
    uint64_t hash = (uint64_t)key * 0x9e3779b97f4a7c15u;
    size_t start = (size_t)(hash >> 40);

    for (size_t probe = 0; probe < PROBES; probe++) {
        elision_site_t *site = &dynamic[(start + probe) % DYNAMIC_MAX];
        uint64_t found = __atomic_load_n(&site->key_, __ATOMIC_RELAXED);
        if (found == (uint64_t)key) {
            return site;
        }
        if (found != 0) {
            continue;
        }
        /* The name is written after the key, so a report may find a site without one. [E.DN] pairs
         * with elision_sites_visit: what the name points to is seen. */
        if (__atomic_compare_exchange_n(&site->key_, &found, (uint64_t)key, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            __atomic_store_n(&site->name_, name, __ATOMIC_RELEASE);
            return site;
        }
        if (found == (uint64_t)key) {
            return site;
        }
    }
    return &dynamic[start % DYNAMIC_MAX];
}
