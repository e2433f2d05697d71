/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "elision/knobs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "fallback/spin.h"

enum knob_kind {
    KNOB_IS_CHOICE = 0,
    KNOB_IS_NUMBER = 1,
    KNOB_IS_TEXT = 2,
};

struct knob {
    const char *name;
    enum knob_kind kind;
    size_t offset; /* in struct elision_knobs */
    const char *text;
    const char *choices;
    int64_t number, min, max;
    const char *unit;
    const char *doc;
};

#define FIELD(field) offsetof(struct elision_knobs, field)
#define KNOB_CHOICE(field, name, preset, choices, doc) \
    {name, KNOB_IS_CHOICE, FIELD(field), preset, choices, 0, 0, 0, "", doc},
#define KNOB_NUMBER(field, name, preset, min, max, unit, doc) \
    {name, KNOB_IS_NUMBER, FIELD(field), "", "", preset, min, max, unit, doc},
#define KNOB_TEXT(field, name, preset, doc) \
    {name, KNOB_IS_TEXT, FIELD(field), preset, "", 0, 0, 0, "", doc},
static const struct knob table[] = {
#include "elision/knobs.def"
};
#undef KNOB_CHOICE
#undef KNOB_NUMBER
#undef KNOB_TEXT

#define KNOBS (sizeof(table) / sizeof(table[0]))
#define PREFIX "ELISION"
/* Longer values are malformed whatever they say. */
#define VALUE_MAX 255

/* Values live as long as the process; the environment need not. */
static char values[KNOBS][VALUE_MAX + 1];

static void *
field_of(struct elision_knobs *knobs, const struct knob *knob)
{
    return (char *)knobs + knob->offset;
}

static void
set_default(struct elision_knobs *knobs, const struct knob *knob)
{
    if (knob->kind == KNOB_IS_NUMBER) {
        *(int64_t *)field_of(knobs, knob) = knob->number;
    }
    else {
        *(const char **)field_of(knobs, knob) = knob->text;
    }
}

void
elision_knobs_complain_(const char *name, const char *value, const char *expected, const char *used)
{
    dprintf(STDERR_FILENO, "libelision: %s=%.*s: expected %s; using %s\n", name, VALUE_MAX, value,
            expected, used);
}

static bool
is_choice(const char *choices, const char *value)
{
    size_t length = strlen(value);

    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, value, length) == 0 && (at[length] == '|' || at[length] == '\0')) {
            return length > 0 && strchr(value, '|') == NULL;
        }
    }
    return false;
}

/* ret: true if value was well formed. */
static bool
set_value(struct elision_knobs *knobs, const struct knob *knob, const char *value)
{
    char *kept = values[knob - table];

    if (strlen(value) > VALUE_MAX) {
        return false;
    }
    if (knob->kind == KNOB_IS_NUMBER) {
        char *end = NULL;
        errno = 0;
        long long number = strtoll(value, &end, 10);
        if (errno != 0 || end == value || *end != '\0' || number < knob->min ||
            number > knob->max) {
            return false;
        }
        *(int64_t *)field_of(knobs, knob) = number;
        return true;
    }
    if (knob->kind == KNOB_IS_CHOICE && !is_choice(knob->choices, value)) {
        return false;
    }
    strcpy(kept, value);
    *(const char **)field_of(knobs, knob) = kept;
    return true;
}

static void
complain(const struct knob *knob, const char *value)
{
    char expected[128];
    char used[64];

    if (knob->kind == KNOB_IS_NUMBER) {
        snprintf(expected, sizeof(expected), "a number from %" PRId64 " to %" PRId64, knob->min,
                 knob->max);
        snprintf(used, sizeof(used), "%" PRId64, knob->number);
    }
    else {
        snprintf(expected, sizeof(expected), "%s",
                 knob->kind == KNOB_IS_CHOICE ? knob->choices : "a shorter value");
        snprintf(used, sizeof(used), "%s", knob->text);
    }
    elision_knobs_complain_(knob->name, value, expected, used);
}

static const struct knob *
find(const char *name, size_t length)
{
    for (size_t i = 0; i < KNOBS; i++) {
        if (strlen(table[i].name) == length && strncmp(table[i].name, name, length) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

unsigned
elision_knobs_read_(struct elision_knobs *knobs, char **environment)
{
    int saved = errno;
    unsigned complaints = 0;

    for (size_t i = 0; i < KNOBS; i++) {
        set_default(knobs, &table[i]);
    }
    if (getauxval(AT_SECURE) != 0 || environment == NULL) {
        return 0;
    }
    for (char **at = environment; *at != NULL; at++) {
        const char *equals = strchr(*at, '=');
        if (equals == NULL || strncmp(*at, PREFIX, strlen(PREFIX)) != 0) {
            continue;
        }
        const struct knob *knob = find(*at, (size_t)(equals - *at));
        if (knob != NULL) {
            if (!set_value(knobs, knob, equals + 1)) {
                complain(knob, equals + 1);
                complaints++;
            }
        }
        else if ((*at)[strlen(PREFIX)] == '_') {
            dprintf(STDERR_FILENO, "libelision: %.*s is not a knob; `elision knobs` lists them\n",
                    (int)(equals - *at), *at);
            complaints++;
        }
    }
    errno = saved;
    return complaints;
}

void
elision_knobs_show_(const struct elision_knobs *knobs, int fd)
{
    for (size_t i = 0; i < KNOBS; i++) {
        const void *field = (const char *)knobs + table[i].offset;
        if (table[i].kind == KNOB_IS_NUMBER) {
            int64_t value = *(const int64_t *)field;
            dprintf(fd, "%s=%" PRId64 "%s\n", table[i].name, value,
                    value == table[i].number ? " (default)" : "");
        }
        else {
            const char *value = *(const char *const *)field;
            dprintf(fd, "%s=%s%s\n", table[i].name, value,
                    strcmp(value, table[i].text) == 0 ? " (default)" : "");
        }
    }
}

void
elision_knobs_document_(int fd)
{
    dprintf(fd,
            "# Knobs\n\nGenerated from `elision/knobs.def`; `make knobs-doc` renews it.\n"
            "Read once when the library is loaded. A malformed value is reported on stderr and\n"
            "its default used; an unknown `ELISION_` variable is reported. Set-uid programs\n"
            "ignore them all.\n\n| variable | default | values | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < KNOBS; i++) {
        const struct knob *knob = &table[i];
        dprintf(fd, "| `%s` | ", knob->name);
        if (knob->kind == KNOB_IS_NUMBER) {
            dprintf(fd, "`%" PRId64 "` | %" PRId64 " to %" PRId64 "%s%s | ", knob->number,
                    knob->min, knob->max, knob->unit[0] ? " " : "", knob->unit);
        }
        else if (knob->kind == KNOB_IS_CHOICE) {
            dprintf(fd, "`%s` | ", knob->text);
            for (const char *at = knob->choices; *at != '\0'; at++) {
                dprintf(fd, *at == '|' ? ", " : "%c", *at);
            }
            dprintf(fd, " | ");
        }
        else {
            dprintf(fd, "%s%s%s | text | ", knob->text[0] ? "`" : "", knob->text,
                    knob->text[0] ? "`" : "");
        }
        dprintf(fd, "%s |\n", knob->doc);
    }
}
