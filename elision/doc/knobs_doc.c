/* SPDX-License-Identifier: MIT
 *
 * Prints docs/knobs.md.
 */
#include <unistd.h>

#include "elision/knobs.h"

int
main(void)
{
    elision_knobs_document_(STDOUT_FILENO);
    return 0;
}
