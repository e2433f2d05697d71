#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The patched source without --disable-gil: whatever we touch or add compiles, needs no library and
# gives no warning. Only the compiler's front end runs.
set -u -o pipefail
. tests/tap.sh

build=out/cpython/build
tree=$(realpath out/cpython/tree)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL

sed '/define Py_GIL_DISABLED/d' "$build/pyconfig.h" >"$work/pyconfig.h"
flags=$(make -s -n -C "$build" -W "$tree/Python/ceval.c" Python/ceval.o |
    sed -n "s|^\([^ ]*\) \(.*\) -o Python/ceval\.o .*|\1 -I$work \2 -fsyntax-only|p")
tap_has "how the build compiles a file" "$flags" "-DPy_BUILD_CORE"

# Headers count where they are used: ceval_macros.h by ceval.c, thread_pthread.h by thread.c.
mapfile -t files < <({
    sed -n 's|^+++ b/\([^[:space:]]*\.c\).*|\1|p' interp/cpython-3.13/*.patch
    echo Python/thread.c
    (cd "$tree" && ls Python/elision_*.c Modules/elisionmodule.c)
} | sort -u)
for file in "${files[@]}"; do
    # What the Makefile defines for one file only.
    output=$(cd "$build" && $flags -DSOABI='"any"' "$tree/$file" 2>&1)
    tap_is "compiles without --disable-gil: $file" "$output" ""
done
tap_done
