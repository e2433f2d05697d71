#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Each lint check must find what it is for, and find nothing in a clean tree.
set -u
. tests/tap.sh

lint=$PWD/tests/lint/lint.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

put() {
    mkdir -p "$dir/tree/$(dirname "$1")"
    printf '%s\n' "$2" >"$dir/tree/$1"
}

fresh() {
    rm -rf "$dir/tree"
    mkdir "$dir/tree"
    cp .clang-format "$dir/tree"
    put elision/README.md "# elision"
    put elision/good.h "$MIT
#ifndef GOOD_H
#define GOOD_H
#include \"fallback/lock.h\"
static inline int
good(int x)
{
    return x + (int)sizeof(struct lock);
}
#endif"
    put fallback/README.md "# fallback"
    put fallback/lock.h "$MIT
#ifndef LOCK_H
#define LOCK_H
struct lock {
    int word;
};
#endif"
}

# finds CHECK PATH TEXT WHAT: the check fails and says WHAT once PATH holds TEXT.
finds() {
    fresh
    output=$("$lint" --root "$dir/tree" "$1" 2>&1)
    tap_is "$1: a clean tree passes" "$?" 0
    put "$2" "$3"
    output=$("$lint" --root "$dir/tree" "$1" 2>&1)
    tap_is "$1: $2 is refused" "$?" 1
    tap_has "$1: and named" "$output" "$4"
}

MIT='/* SPDX-License-Identifier: MIT */'
GPL='/* SPDX-License-Identifier: GPL-2.0-or-later */'
long=$(printf '%0101d' 0)
body=$(for ((i = 0; i < 60; i++)); do echo '    x++;'; done)

finds format elision/x.c "$MIT
int f(int x) { return x; }" "elision/x.c: 4 places"
finds text elision/x.c "/* $long */" "longer than 100 columns"
finds text elision/x.c 'int x; ' "trailing space"
finds text elision/x.c $'\tint x;' "tab"
finds spdx elision/x.c 'int x;' "elision/x.c: no 'SPDX"
finds spdx elision/x.c "$GPL" "elision/x.c: no 'SPDX"
finds spdx rtmgrind/x.c "$MIT" "no 'SPDX-License-Identifier: GPL-2.0-or-later'"
finds spdx rtmgrind/rtmgrind.h "$GPL" "no 'SPDX-License-Identifier: MIT'"
finds layers fallback/x.c '#include "elision/good.h"' "fallback/ may not include elision/"
finds layers rtmgrind/x.c '#include "elision/good.h"' "rtmgrind/ may not include elision/"
finds layers elision/x.c '#include "fallback/wait_priv.h"' "private to fallback/"
finds layers elision/x.c '# include <Python.h>' "Python.h outside interp/"
finds layers other/x.c '#include "elision/good.h"' "other/ is not in docs/layers.txt"
finds intrinsics elision/elide.c '#include <immintrin.h>' "elide.c:1"
finds intrinsics fallback/x.c 'void f(void) { __asm__ volatile("pause"); }' "x.c:1"
finds headers elision/x.h 'static inline size_t f(void) { return 0; }' "elision/x.h"
finds cxx elision/elision.h 'static inline int *f(void *p) { return p; }' "elision/elision.h"
finds warnings elision/x.c 'int f(void) { int unused; return 0; }' "unused variable"
finds warnings elision/x.c 'int f() { return 0; }' "prototype"
finds words elision/x.c '/* TO''DO: later */' "a left-over"
finds words docs/x.md "see /wo""rk/main" "a path of one machine"
finds words docs/x.md "as iss""ue 3 asks" "an issue number"
finds words x.mk "get ht""tps://py""pi.org/simple" "the host of a package registry"
finds sizes elision/x.c "$(printf 'int x%d;\n' {1..501})" "elision/x.c: 501 lines"
finds sizes elision/x.c "int
f(int x)
{
$body
    return x;
}" "f has"
finds shell x.sh '#!/bin/bash
cd $1' "SC2164"
finds readme probes/x.c 'int x;' "probes: no README.md"
finds readme elision/README.md "$(seq 31)" "31 lines"

"$lint" --root "$dir/tree" nonsense >/dev/null 2>&1
tap_is "an unknown check is refused" "$?" 2
tap_done
