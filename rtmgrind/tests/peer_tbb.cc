// SPDX-License-Identifier: GPL-2.0-or-later
//
// oneTBB's speculative_spin_mutex. C++ because it is.

#include <oneapi/tbb/spin_mutex.h>

#include "rtmgrind/tests/peer.h"

static tbb::speculative_spin_mutex mutex;

static long
locked_section(unsigned n)
{
    tbb::speculative_spin_mutex::scoped_lock lock(mutex);

    return peer_section(n);
}

int
main()
{
    return peer_run(locked_section);
}
