/* SPDX-License-Identifier: MIT
 *
 * Statistics as text or JSON. Private to elision/.
 */
#ifndef ELISION_REPORT_H
#define ELISION_REPORT_H

#include <stdbool.h>

#include "elision/elision.h"

/* ret:   as ELISION_BACKEND and the reports spell it */
const char *elision_backend_name_(enum elision_backend backend);

/* Print totals and sites on fd. tx: outside only */
void elision_report_(int fd, bool json);

#endif
