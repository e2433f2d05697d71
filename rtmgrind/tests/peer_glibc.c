/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * glibc's mutex, elided with GLIBC_TUNABLES=glibc.elision.enable=1 (glibc 2.42 and earlier).
 */

#include "rtmgrind/tests/peer.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static long
locked_section(unsigned n)
{
    long sum;

    pthread_mutex_lock(&mutex);
    sum = peer_section(n);
    pthread_mutex_unlock(&mutex);
    return sum;
}

int
main(void)
{
    return peer_run(locked_section);
}
