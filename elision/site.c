/* SPDX-License-Identifier: MIT
 *
 * Sites: ids for static ones, a bounded hash table of dynamic ones. Ids are never taken back.
 */
#include "elision/core_priv.h"

/* Half of the ids; static sites are few. A power of two. */
#define DYNAMIC_MAX (ELISION_SITES_MAX / 2)
#define PROBES 8

/* site->id_: 0 not asked yet, or none left. */
#define ID_REFUSED 1u /* in flags_: do not ask again */

static _Atomic uint32_t ids;
static _Atomic(const elision_site_t *) sites[ELISION_SITES_MAX + 1];
static elision_site_t dynamic[DYNAMIC_MAX];

void
elision_site_register_(elision_site_t *site)
{
    if (__atomic_load_n(&site->flags_, __ATOMIC_RELAXED) & ID_REFUSED) {
        return;
    }
    uint32_t given = atomic_load_explicit(&ids, memory_order_relaxed);
    do {
        if (given >= ELISION_SITES_MAX) {
            __atomic_store_n(&site->flags_, ID_REFUSED, __ATOMIC_RELAXED);
            return;
        }
    } while (!atomic_compare_exchange_weak_explicit(&ids, &given, given + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    uint32_t mine = given + 1;
    uint32_t none = 0;
    /* Two threads may both come here for one site: the loser's id stays unused. */
    if (__atomic_compare_exchange_n(&site->id_, &none, ELISION_ID_OF(mine), false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
        /* [E.SR] pairs with elision_site_at_: the site's name is seen. */
        atomic_store_explicit(&sites[mine], site, memory_order_release);
    }
}

uint32_t
elision_site_count_(void)
{
    return atomic_load_explicit(&ids, memory_order_relaxed);
}

const elision_site_t *
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
        /* The name is written after the key, so a report may find a site without one. */
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
