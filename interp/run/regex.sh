#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# regex.sh PYTHON DIR: compiles the pinned mrab-regex for PYTHON into DIR/site.
# Archives are fetched by pip into DIR/archives first, so that a second run goes on from there and
# needs the index no more. Exit status: 0 built, 1 not built (one line says what to do).
set -u -o pipefail

python=$1
dir=$(realpath -m "$2") # pip builds elsewhere
here=$(dirname "${BASH_SOURCE[0]}")
log=$dir/log

die() {
    printf 'regex: %s\n' "$*" >&2
    exit 1
}

if ! { mkdir -p "$dir" && : >"$log"; }; then
    die "cannot write to $dir: check its permissions"
fi
[ -x "$python" ] || die "no $python: run make python first"

pip() {
    "$python" -m pip --disable-pip-version-check --no-input --no-cache-dir "$@" >>"$log" 2>&1
}

# explain WHAT: why pip failed, from its log.
explain() {
    if grep -q 'DO NOT MATCH THE HASHES' "$log"; then
        rm -rf "$dir/archives"
        die "$1 does not have the pinned sum, so it was not used and is deleted; run make again," \
            "and if that repeats ask whoever runs your package index"
    fi
    if grep -qE 'No matching distribution|Could not find a version|ConnectionError|Temporary' \
        "$log"; then
        die "the package index gave no $1: check network and pip's configuration" \
            "(PIP_INDEX_URL, PIP_FIND_LINKS), then run make again; log in $log"
    fi
    die "pip could not $2 $1: the end of $log says why"
}

"$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >>"$log" 2>&1 ||
    die "$python has no pip and ensurepip fails: see $log"

# fetch REQUIREMENTS NAME PIP-OPTION...: from DIR/archives when they are there, else from the index.
fetch() {
    local requirements=$here/$1 name=$2
    shift 2
    pip download --no-deps --require-hashes --no-index --find-links "$dir/archives" \
        --no-build-isolation "$@" -d "$dir/archives" -r "$requirements" && return 0
    : >"$log"
    pip download --no-deps --require-hashes --no-build-isolation --retries 2 "$@" \
        -d "$dir/archives" -r "$requirements" || explain "$name" fetch
}

# install REQUIREMENTS NAME TARGET PIP-OPTION...
install() {
    local requirements=$here/$1 name=$2 target=$3
    shift 3
    rm -rf "$target"
    pip install --no-deps --require-hashes --no-index --find-links "$dir/archives" \
        --no-build-isolation --no-compile "$@" -t "$target" -r "$requirements" ||
        explain "$name" install
}

mkdir -p "$dir/archives"
fetch requirements-build.txt setuptools --only-binary :all:
install requirements-build.txt setuptools "$dir/build" --only-binary :all:
export PYTHONPATH=$dir/build
fetch requirements.txt regex --no-binary :all:
# Lazy binding would run XSAVE inside the first transaction that calls through a PLT entry.
export LDFLAGS="${LDFLAGS-} -Wl,-z,now"
echo "regex: compiling mrab-regex for $python"
install requirements.txt regex "$dir/site" --no-binary :all:
unset PYTHONPATH

# The whole point of this release: it must need the GIL.
if nm -D "$dir"/site/regex/_regex*.so | grep -q PyUnstable_Module_SetGIL; then
    die "this mrab-regex handles the GIL itself; requirements.txt must pin one that does not"
fi
PYTHONPATH=$dir/site "$python" -W ignore -c 'import regex; assert regex.match("a+", "aab")' \
    >>"$log" 2>&1 || die "mrab-regex was built but does not import: the end of $log says why"
