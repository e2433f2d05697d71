/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Heap blocks and who allocated them, with --heap=yes; see rtm_heap.c.
 */

#ifndef RTM_HEAP_H
#define RTM_HEAP_H

#include "rtm_ir.h"

enum { RTM_HEAP_FRAMES = 5 };

struct rtm_heap_place {
    SizeT offset, size;           /* size 0: not in a known heap block */
    Addr frames[RTM_HEAP_FRAMES]; /* who allocated it, innermost first; 0 ends */
};

void rtm_heap_init(void);
void rtm_heap_entry(struct rtm_ir *c, Addr pc); /* at the head of a block */
void rtm_heap_return(struct rtm_ir *c);         /* before a block's return */
Bool rtm_heap_find(Addr a, struct rtm_heap_place *place);

#endif
