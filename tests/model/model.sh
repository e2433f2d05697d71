#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Spin explores every interleaving of the lock model, and must find an error in every mutant. A
# mutant that passes means that the model cannot see that mistake: a failure.
set -u
. tests/tap.sh

for tool in spin cc; do
    command -v "$tool" >/dev/null || tap_skip_all "no $tool here; make setup installs it"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$PWD/tests/model/lock.pml

# explore FLAGS: prints Spin's summary; the last line is "errors E states S".
explore() {
    (
        cd "$work" || exit 1
        # shellcheck disable=SC2086 # a list of flags
        spin $1 -a "$model" >spin.log 2>&1 &&
            cc -O2 -DSAFETY -DCOLLAPSE -DVECTORSZ=2048 -w -o pan pan.c 2>>spin.log || {
            cat spin.log
            exit 1
        }
        ./pan -m2000000 -w24 >pan.log 2>&1
        errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log)
        states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log)
        cut=$(grep -c -e 'max search depth' -e 'out of memory' pan.log)
        echo "errors ${errors:-none} states ${states:-none} cut $cut"
    )
}

sizes=("-DN=2 -DROUNDS=2 -DPASSES=1" "-DN=2 -DROUNDS=2 -DPASSES=0" "-DN=2 -DROUNDS=2 -DINTERVAL"
    "-DN=3 -DROUNDS=1 -DPASSES=1")
for size in "${sizes[@]}"; do
    result=$(explore "$size" | tail -n 1)
    echo "# $size: $result"
    case $result in
    "errors 0 states "*" cut 0") tap_pass "no error with $size" ;;
    *) tap_fail "no error with $size" "$result" ;;
    esac
done

mutants=$(grep -o 'MUTANT_[A-Z_]*' "$model" | sort -u | grep -v '^MUTANT_$')
killed=0
total=0
for mutant in $mutants; do
    total=$((total + 1))
    found=
    for size in "${sizes[@]}"; do
        result=$(explore "$size -D$mutant" | tail -n 1)
        case $result in
        "errors 0 "* | "errors none "*) ;;
        "errors "*)
            found=$size
            break
            ;;
        esac
    done
    if [ -n "$found" ]; then
        killed=$((killed + 1))
        tap_pass "$mutant is caught with $found"
    else
        tap_fail "$mutant is caught" "$result"
    fi
done
echo "# mutants caught: $killed of $total"
tap_is "every mutant is caught" "$killed" "$total"
tap_done
