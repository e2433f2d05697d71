/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * GCC's transactional memory (-fgnu-tm) on libitm, which tries RTM first.
 */

#include "rtmgrind/tests/peer.h"

static long
locked_section(unsigned n)
{
    long sum;

    __transaction_atomic
    {
        sum = peer_section(n);
    }
    return sum;
}

int
main(void)
{
    return peer_run(locked_section);
}
