#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Configures, compiles and installs a CPython tree: build.sh TREE BUILD PREFIX [LIBRARY...]
#
# Free-threaded, without profile-guided optimisation, every symbol bound at start: lazy binding
# saves the extended registers, which aborts a transaction. The same for extensions built later,
# which inherit the flags. What was built before is reused. The libraries are linked in where the
# tree has our patches, in this order. PY_CONFIGURE: more options for configure, as words;
# PY_INSTALL=no: it is to be run where it is built. The output of all steps goes to BUILD.log.
# Exit status: 0 installed, 1 a step failed (its last lines are shown).
set -u -o pipefail

tree=$(cd "$1" && pwd) || exit 1
mkdir -p "$2" "$3" || exit 1
build=$(cd "$2" && pwd)
prefix=$(cd "$3" && pwd)
libraries=()
for library in "${@:4}"; do
    libraries+=("$(realpath "$library")") || exit 1
done
log=$build.log
jobs=${JOBS:-$(nproc)}

# The caller's make variables and Python settings are about other things.
unset MAKEFLAGS MFLAGS MAKELEVEL PYTHON_GIL PYTHON_ELISION PYTHONHOME PYTHONPATH
for name in ${!ELISION_*}; do unset "$name"; done

step() {
    printf '  PY   %s\n' "$1"
    shift
    if ! "$@" >>"$log" 2>&1; then
        tail -n 15 "$log" | sed 's/^/    /' >&2
        printf 'build: %s failed: see %s\n' "$*" "$log" >&2
        exit 1
    fi
}

: >"$log"
cd "$build" || exit 1
if [ ! -e Makefile ]; then
    # shellcheck disable=SC2086 # words
    step "configure $(basename "$prefix")" "$tree/configure" --disable-gil --prefix="$prefix" \
        LDFLAGS="-Wl,-z,now" CC="${CC:-gcc}" ${PY_CONFIGURE-}
fi
# CPython's Makefile does not know the libraries: a newer one has to be linked in.
for library in "${libraries[@]}"; do
    if [ -e python ] && [ "$library" -nt python ]; then
        rm -f python
    fi
done
step "compile $(basename "$prefix") (about two minutes when new)" \
    make -j"$jobs" LIBELISION="${libraries[*]}"
[ "${PY_INSTALL-}" != no ] || exit 0
if [ ! -e "$prefix/.complete" ] || [ "$prefix/.complete" -ot "$tree" ]; then
    step "install $(basename "$prefix")" make install LIBELISION="${libraries[*]}" ENSUREPIP=install
    touch "$prefix/.complete"
else
    step "install $(basename "$prefix")" make bininstall sharedinstall inclinstall \
        LIBELISION="${libraries[*]}"
fi
