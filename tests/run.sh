#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Runs TAP programs through prove and sums up:
#
#   run.sh [--log DIR] [--jobs N] [--timeout SECONDS] PROGRAM... [-- LATER...]
#
# The LATER programs run after all others and one at a time. What each program printed stays in
# DIR/<path>.tap. The last line is `N passed, N failed`: test points, plus one failure for each
# program that no failed point explains (a crash, a bad plan, a non-zero exit, no test at all).
# Exit status: 0 all passed, 1 something failed or nothing ran, 2 bad usage.
set -u -o pipefail

log=out/tap
jobs=1
limit=1800

# One program, for prove: keeps its output and passes its exit status on. The limit is a watchdog
# for hangs, far above what any test takes; it never decides whether a result is right.
if [ "${1-}" = --one ]; then
    program=$4
    case $program in */*) ;; *) program=./$program ;; esac
    mkdir -p "$(dirname "$2/$4.tap")" || exit 2
    timeout --kill-after=20 "$3" "$program" </dev/null | tee "$2/$4.tap"
    status=${PIPESTATUS[0]}
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then
        echo "Bail-out: killed, or still running after $3 seconds: $4" >&2
    fi
    exit "$status"
fi

usage() {
    echo "run.sh: $1" >&2
    echo "usage: run.sh [--log DIR] [--jobs N] [--timeout SECONDS] PROGRAM... [-- LATER...]" >&2
    exit 2
}

early=()
late=()
target=early
while [ $# -gt 0 ]; do
    case $1 in
        --log | --jobs | --timeout)
            [ $# -ge 2 ] || usage "$1 needs a value"
            case $1 in
                --log) log=$2 ;;
                --jobs) jobs=$2 ;;
                --timeout) limit=$2 ;;
            esac
            shift
            ;;
        --) target=late ;;
        -*) usage "unknown option $1" ;;
        *) if [ $target = early ]; then early+=("$1"); else late+=("$1"); fi ;;
    esac
    shift
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || usage "--jobs wants a positive number, not '$jobs'"
[[ $limit =~ ^[1-9][0-9]*$ ]] || usage "--timeout wants seconds, not '$limit'"
command -v prove >/dev/null || {
    echo "run.sh: no prove here: install perl, or run make without SETUP=0" >&2
    exit 2
}

mkdir -p "$log" && : >"$log/prove.log" || exit 2

run_group() {
    local group_jobs=$1
    shift
    [ $# -gt 0 ] || return 0
    local program
    for program in "$@"; do
        rm -f "$log/$program.tap"
    done
    prove --timer --directives --norc --jobs "$group_jobs" \
        --exec "$BASH ${BASH_SOURCE[0]} --one $log $limit" "$@" 2>&1 |
        tee -a "$log/prove.log"
}

# prove decides; its summary names each failing program in a line of its own.
prove_failed() {
    sed -n 's/ *(Wstat: .*//p' "$log/prove.log" | grep -qxF -- "$1"
}

run_group "$jobs" ${early[@]+"${early[@]}"}
run_group 1 ${late[@]+"${late[@]}"}

passed=0
failed=0
for program in ${early[@]+"${early[@]}"} ${late[@]+"${late[@]}"}; do
    tap=$log/$program.tap
    [ -e "$tap" ] || : >"$tap"
    # A skipped or to-do point counts on neither side.
    counts=$(awk '
        /^(not )?ok([^a-zA-Z]|$)/ {
            points++
            if (tolower($0) ~ /# *(skip|todo)/) next
            if ($1 == "not") bad++; else good++
        }
        /^1\.\.0/ { if (tolower($0) ~ /# *skip[^ ]* +[^ ]/) points++ }
        END { print good + 0, bad + 0, points + 0 }' "$tap")
    read -r good bad points <<<"$counts"
    if [ "$bad" -eq 0 ]; then
        if prove_failed "$program"; then
            bad=1
            echo "FAILED $program: crashed, broke its plan or exited non-zero"
        elif [ "$points" -eq 0 ]; then
            bad=1
            echo "FAILED $program: ran no test and names no reason to skip"
        fi
    else
        # Each failed point with its diagnostics, as far as they help.
        echo "FAILED $program:"
        awk '/^(not )?ok/ { bad = /^not/ && tolower($0) !~ /# *todo/ }
            bad { print "    " substr($0, 1, 200) }' "$tap" | head -n 40
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    # Skips are shown with their reasons, program by program.
    grep -iE '# *skip' "$tap" | sed "s|^|skipped $program: |"
done
if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then
    echo "run.sh: no test ran" >&2
    failed=1
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
