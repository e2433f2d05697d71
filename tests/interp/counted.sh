#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Instructions of one thread's work, and of a pair of changes to an object's count (evidence:
# counted, by rtmgrind): our build with elision off, and on, beside the same source without our
# patches. Each figure is the difference of two runs of different lengths, so that start-up is not
# in it. Without that build (make python-stock) only what is said about ours alone is looked at.
set -u -o pipefail
. tests/tap.sh

ours=out/python/bin/python3
stock=out/python-stock/bin/python3
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
unset PYTHON_ELISION ELISION_BACKEND
export PYTHON_GIL=1 PYTHONHASHSEED=0 PYTHONPATH=tests/interp PYTHONDONTWRITEBYTECODE=1

# count PYTHON PROGRAM: a cycle an instruction, nothing else costs.
count() {
    out/bin/rtmgrind --quiet --cost-syscall=0 --cost-line=0 --json="$work/json" "$1" -c "$2" \
        >/dev/null &&
        sed -n 's/.*"makespan_cycles": *\([0-9]*\).*/\1/p' "$work/json" | head -n 1
}

# difference PYTHON PROGRAM FEW MANY: the program has COUNT where a number goes.
difference() {
    local few many
    few=$(count "$1" "${2//COUNT/$3}") && many=$(count "$1" "${2//COUNT/$4}") &&
        echo $((many - few))
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

# pair PYTHON FOLDER SETUP: instructions of a pair, in tenths, loop included. SETUP makes a thing
# and a function cut() that ends a section: so what is counted has one of its own, which commits.
pair() {
    local program="import pairs, threading; $3"$'\n'"cut(); pairs.run(thing, COUNT); cut()" all
    all=$(PYTHONPATH=$2 difference "$1" "$program" 1000 101000) && echo $(((all + 5000) / 10000))
}

# compile PYTHON FOLDER [FLAG...]
compile() {
    local python=$1 folder=$work/$2 include
    shift 2
    mkdir -p "$folder" && include=$("$python" -c \
        'import sysconfig; print(sysconfig.get_path("include"))') &&
        ${CC:-gcc} -std=c11 -O2 -fPIC -shared -Wl,-z,now -I"$include" -I"$include/internal" "$@" \
            -o "$folder/pairs.so" tests/interp/pairs.c
}

# Single programs differ by what the compiler makes of the same function in two builds, up or down.
programs() {
    local plain_all=0 off_all=0 on_all=0 workload program plain off on
    for workload in arithmetic objects strings dicts json_dumps; do
        program="import workloads; workloads.$workload(60); workloads.$workload(COUNT)"
        plain=$(difference "$stock" "$program" 40 240)
        off=$(PYTHON_ELISION=0 difference "$ours" "$program" 40 240)
        on=$(PYTHON_ELISION=1 difference "$ours" "$program" 40 240)
        if [ -z "$plain" ] || [ -z "$off" ] || [ -z "$on" ]; then
            tap_fail "$workload runs" "a run failed"
            continue
        fi
        echo "# $workload: $plain instructions, off $(more "$off" "$plain")," \
            "on $(more "$on" "$plain")"
        plain_all=$((plain_all + plain)) off_all=$((off_all + off)) on_all=$((on_all + on))
    done
    at_most "five programs, elision off" "$off_all" "$plain_all" 3
    at_most "five programs, on, one thread" "$on_all" "$plain_all" 10
}

# Both kinds of code that changes counts.
owners_pair() {
    local kind flags plain off name
    for kind in extension core; do
        flags=()
        [ "$kind" = extension ] || flags=(-DPy_BUILD_CORE)
        compile "$stock" "stock-$kind" "${flags[@]}"
        compile "$ours" "ours-$kind" "${flags[@]}"
        plain=$(pair "$stock" "$work/stock-$kind" "thing = []; cut = int")
        off=$(PYTHON_ELISION=0 pair "$ours" "$work/ours-$kind" "thing = []; cut = int")
        name="the owner's pair ($kind), elision off"
        if [ -n "$plain" ] && [ -n "$off" ] && [ "$off" -le $((plain + 10)) ]; then
            tap_pass "$name: at most one instruction more ($off tenths, $plain; with the loop)"
        else
            tap_fail "$name: at most one instruction more" "${off:-none} tenths, ${plain:-none}"
        fi
    done
}

if [ -x "$stock" ]; then
    programs
    owners_pair
else
    compile "$ours" ours-core -DPy_BUILD_CORE
    tap_skip "instructions beside the unpatched build" \
        "make python-stock, a few minutes, builds it; make stress does so itself"
fi

# Another thread's object, while it lives: pairs meet in the table, in a transaction. Of all
# these, the increment's and the decrement's part that an object of nobody's, immortal, has not.
foreign='box = []; made = threading.Event(); end = threading.Event()
def make(): box.append([]); made.set(); end.wait()
def cut():
    for _ in range(5000): pass
threading.Thread(target=make, daemon=True).start(); made.wait()
thing = box[0]; more = [thing] * 4'
immortal=$(PYTHON_ELISION=1 pair "$ours" "$work/ours-core" "${foreign/thing = *;/thing = None;}")
coalesced=$(PYTHON_ELISION=1 pair "$ours" "$work/ours-core" "$foreign")
name="a coalesced pair: ${coalesced:-none} tenths"
extra=$((${coalesced:-0} - ${immortal:-0}))
tap_ok "$name, 10 to 36 instructions more than an immortal object's $immortal" \
    test "$extra" -ge 100 -a "$extra" -le 360
if [ -x "$stock" ]; then
    atomic=$(pair "$stock" "$work/stock-core" "$foreign")
    tap_ok "$name, at most 25 instructions more than the unpatched build's ${atomic:-none}" \
        test "${coalesced:-0}" -le $((${atomic:--1000} + 250))
fi
tap_done
