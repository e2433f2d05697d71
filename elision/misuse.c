/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "elision/core_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
elision_misuse_(bool fatal, const char *call, const void *lock, const char *expected, uint32_t word)
{
    bool ends = fatal || strcmp(elision_knobs_.misuse, "abort") == 0;
    char found[64] = "found it free";
    int saved = errno;

    if (word != 0) {
        snprintf(found, sizeof(found), "found it held by %s %u",
                 word == elision_self_->id ? "this thread," : "thread", word);
    }
    dprintf(STDERR_FILENO, "libelision: %s(%p) by thread %u: expected %s; %s%s\n", call, lock,
            elision_self_->id, expected, found, ends ? "" : "; ignored");
    if (ends) {
        abort();
    }
    errno = saved;
}
