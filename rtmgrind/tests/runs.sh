# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Runs of the program `schedule` and their reports, for time.sh and report.sh; source it.

. tests/tap.sh
rtmgrind=${RTMGRIND:-out/bin/rtmgrind}
program=out/tests/rtmgrind/schedule
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# run NAME WORDS -- OPTIONS: the report goes to $dir/NAME.json and $dir/NAME.txt, what the program
# says to stdout.
run() {
    local name=$1 words=()
    shift
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    "$rtmgrind" --json="$dir/$name.json" "$@" "$program" "${words[@]}" 2>"$dir/$name.txt"
}

# field NAME FILTER
field() { jq -r "$2" "$dir/$1.json" 2>&1; }
