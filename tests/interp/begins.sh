#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The installed interpreter once more, on another libelision: begins.sh LIBRARY PREFIX
# Exit status: 0 made, 1 a step failed.
set -eu -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=out/cpython/build
libraries="$(realpath out/lib/libelision-refcount.a) $(realpath "$1")"
unset MAKEFLAGS MFLAGS MAKELEVEL

rm -rf "$2"
cp -al out/python "$2" # files are replaced there, never written in place
rm "$2"/bin/python3.13 "$2"/bin/python3.13t
to=$(realpath "$2")/bin/python3.13
link=$(make -s -n -C "$build" -W Programs/python.o LIBELISION="$libraries" python 2>/dev/null |
    grep -- ' -o python ')
(cd "$build" && eval "${link/ -o python / -o "$to" }")
ln "$to" "${to}t"
