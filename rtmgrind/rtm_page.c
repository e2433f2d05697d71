/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * --page-faults=yes: the first touch of a page inside a transaction aborts it.
 *
 * On the processor such an access faults, which aborts the transaction, and the
 * fault is lost with it: the page is still missing at the next try, until the
 * program touches it outside (SDM vol. 1, 16.3.8.2). Here the program's pages
 * are real ones, so the kernel's page map says which are missing. Off unless
 * asked for: what the kernel maps ahead of need (huge pages, file pages around
 * a fault) is not the same in every run.
 */

#include "rtm_priv.h"
#include "rtm_core.h"

enum {
    KNOWN = 4096,       /* direct-mapped: pages that need no look */
    MOST_MISSING = 64,  /* of one transaction, to give back */
    MADV_DONTNEED_ = 4, /* linux/mman.h */
};

/* Documentation/admin-guide/mm/pagemap.rst */
#define PM_PRESENT (1ULL << 63)
#define PM_SWAPPED (1ULL << 62)
#define PM_FILE_OR_SHARED (1ULL << 61)
#define PM_EXCLUSIVE (1ULL << 56)

static Addr known[KNOWN]; /* page | 1 if it may be written */
static Addr missing[MOST_MISSING];
static Int n_missing;
static Int map = -1;

Bool
rtm_page_init(void)
{
    const SysRes fd = VG_(open)("/proc/self/pagemap", VKI_O_RDONLY, 0);

    map = sr_isError(fd) ? -1 : VG_(safe_fd)((Int)sr_Res(fd));
    return map >= 0;
}

void
rtm_page_forget(void)
{
    VG_(memset)(known, 0, sizeof known);
}

/* In a forked child, whose page map is another file, and where all pages are shared. */
void
rtm_page_forked(void)
{
    if (map >= 0) {
        VG_(close)(map);
        rtm_page_init();
        rtm_page_forget();
    }
}

static ULong
look_up(Addr page)
{
    ULong entry = PM_PRESENT | PM_EXCLUSIVE;

    rtm_raw_syscall(__NR_pread64, map, (HWord)&entry, sizeof entry,
                    page / VKI_PAGE_SIZE * sizeof entry);
    return entry;
}

/* An access of a live transaction, before it happens. True: it faults. */
Bool
rtm_page_fault(Addr a, Bool write)
{
    const Addr page = VG_PGROUNDDN(a);
    Addr *const slot = &known[page / VKI_PAGE_SIZE % KNOWN];
    ULong entry;

    if (map < 0 || *slot == (page | 1) || (*slot == page && !write)) {
        return False;
    }
    entry = look_up(page);
    if (!(entry & PM_PRESENT)) {
        if (!(entry & PM_SWAPPED) && n_missing < MOST_MISSING) {
            missing[n_missing++] = page;
        }
        return True;
    }
    if (write && !(entry & (PM_EXCLUSIVE | PM_FILE_OR_SHARED))) {
        return True; /* to be copied first: the page of zeros, or one shared since a fork */
    }
    *slot = page | (write ? 1 : 0);
    return False;
}

/* The transaction was rolled back. What it touched for the first time, on its way to the end of its
 * block, is missing again. */
void
rtm_page_give_back(void)
{
    while (n_missing > 0) {
        rtm_raw_syscall(__NR_madvise, missing[--n_missing], VKI_PAGE_SIZE, MADV_DONTNEED_, 0);
    }
}
