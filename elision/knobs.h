/* SPDX-License-Identifier: MIT
 *
 * Knobs: what the environment says. Read once at load, constant afterwards. The table is knobs.def.
 */
#ifndef ELISION_KNOBS_H
#define ELISION_KNOBS_H

#include <stdint.h>

#define KNOB_CHOICE(field, name, preset, choices, doc) const char *field;
#define KNOB_NUMBER(field, name, preset, min, max, unit, doc) int64_t field;
#define KNOB_TEXT(field, name, preset, doc) const char *field;
struct elision_knobs {
#include "elision/knobs.def"
};
#undef KNOB_CHOICE
#undef KNOB_NUMBER
#undef KNOB_TEXT

/* Read the environment, one line on stderr for each malformed value (which then has its default)
 * and for each unknown ELISION_ variable. Set-uid programs get the defaults. Strings are copied.
 * ret:   the number of complaints   errno: kept */
unsigned elision_knobs_read_(struct elision_knobs *knobs, char **environment);

/* Print the knobs with their values on fd, one a line. */
void elision_knobs_show_(const struct elision_knobs *knobs, int fd);

/* Print docs/knobs.md on fd. */
void elision_knobs_document_(int fd);

/* A value malformed for a reason only its user knows (a policy's name): the line for it. */
void elision_knobs_complain_(const char *name, const char *value, const char *expected,
                             const char *used);

#endif
