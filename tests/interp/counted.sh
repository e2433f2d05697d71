#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Instructions of one thread's work (evidence: counted, by rtmgrind): our build with elision off,
# and on, beside the same source without our patches. Each figure is the difference of two runs of
# different lengths, so that start-up is not in it.
set -u -o pipefail
. tests/tap.sh

ours=out/python/bin/python3
stock=out/python-stock/bin/python3
if [ ! -x "$stock" ]; then
    tap_skip "instructions beside the unpatched build" "make python-stock was not run"
    tap_done
fi
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
unset PYTHON_ELISION ELISION_BACKEND
export PYTHON_GIL=1 PYTHONHASHSEED=0 PYTHONPATH=tests/interp PYTHONDONTWRITEBYTECODE=1

# count PYTHON WORKLOAD ROUNDS: a cycle an instruction, nothing else costs.
count() {
    out/bin/rtmgrind --quiet --cost-syscall=0 --cost-line=0 --json="$work/json" "$1" -c \
        "import workloads; workloads.$2(60); workloads.$2($3)" >/dev/null &&
        sed -n 's/.*"makespan_cycles": *\([0-9]*\).*/\1/p' "$work/json" | head -n 1
}

# difference PYTHON WORKLOAD
difference() {
    local few many
    few=$(count "$1" "$2" 40) && many=$(count "$1" "$2" 240) && echo $((many - few))
}

# more COUNT STOCK: in per cent
more() {
    awk -v count="$1" -v stock="$2" 'BEGIN { printf "%+.2f %%", (count - stock) * 100 / stock }'
}

# at_most WHAT COUNT STOCK LIMIT: in tenths of a per cent
at_most() {
    if [ "$2" -le $(($3 * (1000 + $4) / 1000)) ]; then
        tap_pass "$1: $(more "$2" "$3") of all instructions"
    else
        tap_fail "$1: at most $4 tenths of a per cent more instructions" "$(more "$2" "$3")"
    fi
}

# Single programs differ by what the compiler makes of the same function in two builds, up or down.
plain_all=0 off_all=0 on_all=0
for workload in arithmetic objects strings dicts json_dumps; do
    plain=$(difference "$stock" "$workload")
    off=$(PYTHON_ELISION=0 difference "$ours" "$workload")
    on=$(PYTHON_ELISION=1 difference "$ours" "$workload")
    if [ -z "$plain" ] || [ -z "$off" ] || [ -z "$on" ]; then
        tap_fail "$workload runs" "a run failed"
        continue
    fi
    echo "# $workload: $plain instructions, off $(more "$off" "$plain"), on $(more "$on" "$plain")"
    plain_all=$((plain_all + plain)) off_all=$((off_all + off)) on_all=$((on_all + on))
done
at_most "five programs, elision off" "$off_all" "$plain_all" 3
at_most "five programs, on, one thread" "$on_all" "$plain_all" 10
tap_done
