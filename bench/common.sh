# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# . common.sh NAME: what the scripts of this folder begin with. NAME stands before their messages.
set -u -o pipefail
me=$1

# die MESSAGE: one line, and status 2, which is bad usage or something that is missing.
die() {
    printf '%s: %s\n' "$me" "$*" >&2
    exit 2
}

# positive NAME VALUE
positive() {
    [[ $2 =~ ^[1-9][0-9]*$ ]] || die "$1 wants a positive number, not '$2'"
}

command -v jq >/dev/null || die "no jq here: install it, or run make without SETUP=0"
