#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Lays out a CPython source tree: source.sh [--pristine] ARCHIVE TREE
#
# TREE becomes the pristine source, then (without --pristine) the series of patches beside this
# script and the sources that belong to it. The source is CPYTHON_SRC=folder, an untouched 3.13.5
# tree, or else ARCHIVE, which fetch.sh gets if need be. Sums are checked either way. Files that
# come out as they were before keep their times, so that a build beside the tree redoes little.
# Exit status: 0 TREE is right, 1 not (one line says what to do), 2 bad usage.
set -u -o pipefail

# Of the list of all files with their sums, in C order, __pycache__ left out.
tree_sum=55281e2f8b44ca5e8653764d283d4c9bd74358b18830ad87d8f9bea9005b7389

die() {
    printf 'source: %s\n' "$*" >&2
    exit 1
}

pristine=
if [ "${1-}" = --pristine ]; then
    pristine=1
    shift
fi
[ $# -eq 2 ] || {
    echo "usage: source.sh [--pristine] ARCHIVE TREE" >&2
    exit 2
}
archive=$1
tree=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1
root=${here%/*/*}
new=$tree.new

rm -rf -- "$new"
mkdir -p "$new" || die "cannot write $new: check space and permissions"

if [ -n "${CPYTHON_SRC-}" ]; then
    [ -f "$CPYTHON_SRC/Include/patchlevel.h" ] ||
        die "CPYTHON_SRC=$CPYTHON_SRC: no CPython source tree there"
    sum=$(cd "$CPYTHON_SRC" && find . -name __pycache__ -prune -o -type f -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
    [ "$sum" = "$tree_sum  -" ] || die "CPYTHON_SRC=$CPYTHON_SRC is not an untouched 3.13.5 tree:" \
        "unpack the release anew, or leave CPYTHON_SRC out"
    cp -R -p -- "$CPYTHON_SRC/." "$new" || die "cannot copy $CPYTHON_SRC to $new: check space"
else
    "$here/fetch.sh" "$archive" || exit 1
    tar -xf "$archive" --strip-components=1 -C "$new" ||
        die "cannot unpack $archive into $new: check space, and that xz-utils is installed"
fi

# apply PATCH: with no fuzz, since a hunk that drifts may land in the wrong place.
apply() {
    patch -d "$new" -p1 -F0 -s -f --no-backup-if-mismatch <"$1" ||
        die "$(basename "$1") does not apply to pristine 3.13.5: refresh the patch"
}

if [ -z "$pristine" ]; then
    touched=()
    while read -r name; do
        [ -n "$name" ] || continue
        apply "$here/$name"
        while read -r file; do touched+=("$file"); done \
            < <(sed -n 's|^+++ b/\([^[:space:]]*\).*|\1|p' "$here/$name")
    done < <(sed 's/#.*//' "$here/series")

    # place FILE... FOLDER: our own sources, where CPython's build looks for them.
    place() {
        local folder=${*: -1} file
        mkdir -p "$new/$folder"
        for file in "${@:1:$#-1}"; do
            cp -p -- "$root/$file" "$new/$folder" ||
                die "cannot place $file: is the checkout whole?"
            touched+=("$folder/$(basename "$file")")
        done
    }
    place interp/cpython-3.13/pycore_elision.h Include/internal
    place interp/cpython-3.13/elision_{deferred,glue,lookups,refs,sites}.c Python
    place interp/cpython-3.13/elisionmodule.c Modules
    place elision/elision.h Include/internal/elision
    place refcount/coalesce.h Include/internal/refcount
    place rtmgrind/rtmgrind.h Include/internal/rtmgrind

    for file in "${touched[@]}"; do
        if cmp -s "$tree/$file" "$new/$file"; then
            touch -r "$tree/$file" "$new/$file"
        else
            touch "$new/$file"
        fi
    done
fi

if ! rm -rf -- "$tree" || ! mv -- "$new" "$tree"; then
    die "cannot replace $tree: check its permissions"
fi
