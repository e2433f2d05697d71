#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# hwcheck.sh OUT FILE: for a machine with RTM. Finds out what it is, what transactions cost and
# hold here, runs the emulator's litmus tests natively, compares each outcome with the emulator's,
# runs short benchmarks, and writes it all to FILE, one JSON file to send in. OUT is the build's
# folder.
# Nothing leaves the machine; read the file before you send it.
#
# HWCHECK_MACHINE is a command that stands before each native program (tests give the emulator as
# the machine). ROUNDS is how often each litmus program is run, LITMUS which of them, FILTER and
# MIN_TIME are the benchmarks'.
# A benchmark that fails is in the file as such.
# Exit status: 0 written, and each litmus outcome is the emulator's; 1 written, and one differs;
# 2 bad usage or something is missing; 3 no RTM on this machine: one line, nothing is written.
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/common.sh" hwcheck

[ $# -eq 2 ] || die "usage: hwcheck.sh OUT FILE"
out=$1
file=$2
read -ra machine <<<"${HWCHECK_MACHINE-}"
rounds=${ROUNDS:-5}
min_time=${MIN_TIME:-0.05}
litmus=$out/tests/rtmgrind
positive ROUNDS "$rounds"
for needed in "$out/bin/elision" "$out/bin/elision-bench" "$out/bin/rtmgrind" "$litmus/status"; do
    [ -x "$needed" ] || die "no $needed: run make hwcheck, which builds it"
done
dir=$(mktemp -d) || die "cannot make a temporary folder"
trap 'rm -rf "$dir"' EXIT

natively() {
    timeout 900 ${machine[@]+"${machine[@]}"} "$@"
}

# --- What the machine is --------------------------------------------------------------------------
natively "$out/bin/elision" probe --json >"$dir/probe" 2>/dev/null
if ! jq -e .can_elide "$dir/probe" >/dev/null 2>&1; then
    echo "hwcheck: no RTM on this machine: $(jq -r .reason "$dir/probe" 2>/dev/null ||
        echo "the probe does not run"); nothing was measured"
    exit 3
fi
evidence=$(jq -r 'if .emulated then "emulated" else "hardware" end' "$dir/probe")
echo "hwcheck: transactions commit here, evidence: $evidence"

first_line() { head -n 1 "$1" 2>/dev/null || echo unknown; }
cpuinfo() { sed -n "s/^$1[[:space:]]*: //p" /proc/cpuinfo | head -n 1; }
jq -n --arg model "$(cpuinfo 'model name')" --arg microcode "$(cpuinfo microcode)" \
    --arg kernel "$(uname -r)" --arg libc "$(ldd --version 2>/dev/null | head -n 1)" \
    --arg taa "$(first_line /sys/devices/system/cpu/vulnerabilities/tsx_async_abort)" \
    --arg tsx "$(tr ' ' '\n' </proc/cmdline | sed -n 's/^tsx=//p' | tail -n 1)" \
    --arg smt "$(first_line /sys/devices/system/cpu/smt/control)" \
    --arg cpus "$(nproc)" --arg date "$(date -u +%Y-%m-%d)" \
    '$ARGS.named | .tsx = (if .tsx == "" then "default" else .tsx end)' >"$dir/facts"

# --- Litmus tests ---------------------------------------------------------------------------------
# Each program prints a point for each question. Left out is what asks the emulator about itself:
# its client requests, its virtual time, its cores; and what needs instructions that are not here.
left_out() {
    case $1 in
        requests | wait | threads) return 0 ;;
        ldtrk) ! jq -e .cpu.tsxldtrk "$dir/probe" >/dev/null && return 0 ;;
    esac
    case " ${LITMUS-$1} " in *" $1 "*) return 1 ;; esac
}

# points NAME FILE: TAP to lines "name/question<TAB>ok|not ok"; a program that dies is a question.
points() {
    local status=$1 name=$2
    sed -nE "s/^(not ok|ok) [0-9]+ - ([^ #]*).*/$name\/\2\t\1/p"
    [ "$status" -lt 126 ] || printf '%s/ends by itself\tnot ok\n' "$name"
}

run_litmus() {
    local program name round status
    for program in "$litmus"/*.t; do
        name=$(basename "$program" .t)
        [ -x "$litmus/$name" ] && ! left_out "$name" || continue
        echo "hwcheck: litmus $name"
        RTMGRIND=$out/bin/rtmgrind timeout 300 "$program" >"$dir/tap" 2>/dev/null
        points $? "$name" <"$dir/tap" | sed 's/$/\temulated/' >>"$dir/points"
        for ((round = 0; round < rounds; round++)); do
            natively "$litmus/$name" >"$dir/tap" 2>/dev/null
            status=$?
            points $status "$name" <"$dir/tap" | sed 's/$/\tnative/' >>"$dir/points"
        done
    done
    # A question agrees when most rounds here answer as the emulator does.
    jq -Rn '[inputs | split("\t") | {question: .[0], ok: (.[1] == "ok"), where: .[2]}]
        | group_by(.question) | map({question: .[0].question,
            emulated: (map(select(.where == "emulated").ok) | if length > 0 then all else null end),
            rounds: (map(select(.where == "native")) | length),
            ok: (map(select(.where == "native" and .ok)) | length)})
        | map(. + {agrees: (.emulated != null and .rounds > 0
            and ((.ok * 2 > .rounds) == .emulated))})' "$dir/points" >"$dir/litmus"
}
run_litmus

# --- Costs, capacity, short benchmarks ------------------------------------------------------------
echo "hwcheck: costs, capacity and short benchmarks"
natively "$out/bin/elision-bench" "--benchmark_min_time=$min_time" \
    "--benchmark_repetitions=$rounds" "--benchmark_out=$dir/bench" --benchmark_out_format=json \
    "--benchmark_filter=${FILTER:-^(cost|capacity|fallback|lock)/|^refcount/pairs}" \
    >"$dir/log" 2>&1
case $? in
    0) ;;
    1) sed -n 's/^elision-bench: \(.* failed: \)/hwcheck: \1/p' "$dir/log" ;; # the file says so too
    *) die "the benchmarks do not run: $(tail -n 1 "$dir/log")" ;;
esac

# In cycles of the time stamp counter, whose rate the benchmarks' context has; and what the
# emulator's options would have to be to agree.
jq -L "$here" 'include "median";
    (.context.tsc_mhz | tonumber) as $mhz
    | [.benchmarks[] | select(.run_type == "iteration" and (.error_occurred | not))
       | . + {part: (.name | sub("/real_time.*"; "") | split("/"))}] as $runs
    | def cycles($name): [$runs[] | select(.name | startswith($name)) | .real_time]
          | if length > 0 then median * $mhz / 1000 | round else null end;
      def fits($name): [$runs[] | select((.name | startswith($name)) and .commit_rate >= 0.5)
          | .part[3] | tonumber] | max;
    {tsc_mhz: $mhz, cycles_begin_commit: cycles("cost/begin-commit"),
     cycles_begin_abort: cycles("cost/abort-explicit"),
     cycles_pair_speculative: cycles("cost/pair/speculative"),
     cycles_pair_locked: cycles("cost/pair/locked"),
     write_lines: fits("capacity/write/warm"), write_lines_cold: fits("capacity/write/cold"),
     write_ways: fits("capacity/write-one-set/warm"),
     read_lines: fits("capacity/read/warm"), read_lines_cold: fits("capacity/read/cold")}
    | . + {rtmgrind_options: [
        (if .write_ways and .write_lines then "--write-ways=\(.write_ways)",
            "--write-sets=\(.write_lines / .write_ways | floor)" else empty end),
        (if .read_lines then "--read-lines=\(.read_lines)" else empty end)]}' \
    "$dir/bench" >"$dir/calibration" ||
    die "cannot read the benchmarks' results"

jq -n --arg evidence "$evidence" --slurpfile facts "$dir/facts" --slurpfile probe "$dir/probe" \
    --slurpfile litmus "$dir/litmus" --slurpfile calibration "$dir/calibration" \
    --slurpfile bench "$dir/bench" '{hwcheck: 1, evidence: $evidence, facts: $facts[0],
    probe: $probe[0], calibration: $calibration[0], litmus: $litmus[0],
    bench: ($bench[0] | del(.context.host_name, .context.executable))}' \
    >"$file" || die "cannot write $file: check its folder"

jq -r '"hwcheck: \(.calibration | "begin and commit \(.cycles_begin_commit) cycles, begin and abort"
    + " \(.cycles_begin_abort); written lines \(.write_lines), ways \(.write_ways), read lines"
    + " \(.read_lines)")",
    "hwcheck: \(.litmus | length) litmus questions,"
    + " \([.litmus[] | select(.agrees)] | length) as under rtmgrind",
    (.litmus[] | select(.agrees | not) | "hwcheck: differs: \(.question): \(.ok) of \(.rounds) ok"
    + " here, \(if .emulated == null then "none" elif .emulated then "ok" else "not ok" end)"
    + " under rtmgrind")' "$file"
echo "hwcheck: written: $file; please look through it and send it in"
jq -e '.litmus | length > 0 and all(.agrees)' "$file" >/dev/null || exit 1
