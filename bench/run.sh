#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh quick|full BENCH RTMGRIND PYTHON DIR: measures, and leaves in DIR one Google Benchmark JSON
# file for each kind of evidence, report.md and plots. Where transactions work all is measured
# natively; elsewhere what needs transactions runs under the emulator, in virtual time. Never both
# in one table.
#
# SUITES chooses among: cost fallback lock policy refcount capacity interp. SEEDS are the emulator's
# seeds that all of them are run with; JOBS how many emulated programs run at a time; PRESETS the
# policies of the suite policy. NATIVE_TIME and VIRTUAL_TIME are the seconds that a run takes at
# least, REPETITIONS how often native ones are repeated; ROUNDS how often the suite fallback is run
# through, so that locks are compared side by side.
# Exit status: 0; that of the first step that failed; 2 for bad usage or something that is missing.
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/common.sh" bench

[ $# -eq 5 ] || die "usage: run.sh quick|full BENCH RTMGRIND PYTHON DIR"
mode=$1
bench=$2
rtmgrind=$3
python=$4
dir=$5
known="cost fallback lock policy refcount capacity interp"
stock=/usr/bin/python3
jobs=${JOBS:-$(nproc)}

# The virtual time of a run under the emulator is short: it repeats exactly, so that one says all;
# seeds say how much hangs on the interleaving.
case $mode in
    quick)
        suites=${SUITES:-cost fallback lock}
        seeds=${SEEDS:-1}
        native_time=${NATIVE_TIME:-0.005}
        native_repetitions=${REPETITIONS:-3}
        rounds=${ROUNDS:-2}
        round_time=${NATIVE_TIME:-0.005}
        virtual_time=${VIRTUAL_TIME:-0.0002}
        workloads='(disjoint|counter|bank|map-read)'
        interp_threads=4
        ;;
    full)
        suites=${SUITES:-$known}
        seeds=${SEEDS:-1 2 3 4}
        native_time=${NATIVE_TIME:-0.02}
        native_repetitions=${REPETITIONS:-7}
        rounds=${ROUNDS:-7}
        # Hundreds of switch intervals, and dozens of a processor's time slices.
        round_time=${NATIVE_TIME:-0.25}
        virtual_time=${VIRTUAL_TIME:-0.0006}
        workloads='[a-z-]*'
        interp_threads="1 2 4 8"
        ;;
    *) die "wants quick or full, not '$mode'" ;;
esac
for suite in $suites; do
    case " $known " in
        *" $suite "*) ;;
        *) die "no suite is called '$suite': there are $known" ;;
    esac
done
positive JOBS "$jobs"
positive ROUNDS "$rounds"
for seed in $seeds; do
    [[ $seed =~ ^[0-9]+$ ]] || die "SEEDS wants numbers, not '$seed'"
done
mkdir -p "$dir/parts" || die "cannot write to $dir: check its permissions"
rm -f "$dir"/*.json "$dir"/*.md "$dir"/*.svg "$dir"/parts/*

wanted() {
    case " $suites " in *" $1 "*) return 0 ;; esac
    return 1
}

# --- Steps ----------------------------------------------------------------------------------------
# A step is a program to run: its kind of evidence, a name, a guess how many seconds of a processor
# it takes (only for the estimate of the time left), and the command.
kinds=()
names=()
weights=()
commands=()
add() {
    kinds+=("$1")
    names+=("$2")
    weights+=("$3")
    shift 3
    commands+=("$(printf '%q ' "$@")")
}

# Google Benchmark's: add_bench KIND NAME WEIGHT FILTER COMMAND...
add_bench() {
    local kind=$1 name=$2 weight=$3 filter=$4
    shift 4
    add "$kind" "$name" "$weight" "$@" "--benchmark_filter=$filter" \
        "--benchmark_out=$dir/parts/$kind.$name.json" --benchmark_out_format=json \
        --benchmark_format=console --benchmark_color=false
}

natively=("$bench" "--benchmark_min_time=$native_time"
    "--benchmark_repetitions=$native_repetitions"
    --benchmark_enable_random_interleaving=true)

# What needs transactions: add_elided NAME WEIGHT SEED FILTER [VARIABLE=VALUE...]
add_elided() {
    local name=$1 weight=$2 seed=$3 filter=$4
    shift 4
    # A fixed quantum: left to itself the emulator interleaves a program without transactions more
    # coarsely, which makes plain locks look better.
    local command=("$rtmgrind" --quiet --quantum=16 "--seed=$seed" -- "$bench"
        "--benchmark_min_time=$virtual_time")
    [ "$kind" = emulated ] || command=("${natively[@]}")
    add_bench "$kind" "$name" "$weight" "$filter" env "$@" "${command[@]}"
}

# Python's: add_interp KIND MODE THREADS REPETITION VARIABLE=VALUE... -- PYTHON
# Emulated, the repetition is the seed.
add_interp() {
    local kind=$1 label=$2 threads=$3 repetition=$4
    shift 4
    local variables=()
    while [ "$1" != -- ]; do
        variables+=("$1")
        shift
    done
    local command=(env PYTHONHASHSEED=0 ${variables[@]+"${variables[@]}"})
    [ "$kind" = hardware ] || command+=("$rtmgrind" --quiet "--seed=$repetition" --)
    local name=interp.${label// /-}.$threads.$repetition
    add "$kind" "$name" 17 "$here/interp/step.sh" "$label" "$dir/parts/$kind.$name.json" \
        "${command[@]}" "$2" -B "$here/interp/suite.py" --scale 200 --threads "$threads"
}

add_python() {
    local kind=$1 threads repetition
    if [ ! -x "$python" ]; then
        skip "interp" "no $python: run make python"
        return
    fi
    for threads in $interp_threads; do
        for repetition in $2; do
            add_interp "$kind" "plain GIL" "$threads" "$repetition" PYTHON_GIL=1 \
                PYTHON_ELISION=0 -- "$python"
            add_interp "$kind" "elided GIL" "$threads" "$repetition" PYTHON_GIL=1 \
                PYTHON_ELISION=1 -- "$python"
            add_interp "$kind" "GIL off" "$threads" "$repetition" PYTHON_GIL=0 \
                PYTHON_ELISION=0 -- "$python"
            [ ! -x $stock ] || add_interp "$kind" "stock Python" "$threads" "$repetition" \
                PYTHONDONTWRITEBYTECODE=1 -- $stock
        done
    done
    [ -x $stock ] || skip "stock Python" "no $stock"
}

skips=()
skip() {
    skips+=("$1: $2")
}

# filter SUITE...: what of these is wanted, as a regular expression; nothing if none is.
filter() {
    local suite found=
    for suite in "$@"; do
        wanted "$suite" || continue
        case $suite in
            fallback) found+='|^fallback/[a-z]*/(ticket|mcs)/' ;; # the others in rounds
            lock) found+="|^lock/$workloads/" ;;
            *) found+="|^$suite/" ;;
        esac
    done
    echo "${found#|}"
}

plan_steps() {
    local seed preset round chosen native=native
    [ "$kind" = emulated ] || native=hardware
    chosen=$(filter cost fallback lock refcount)
    [ "$kind" = emulated ] || chosen=$(filter cost fallback lock refcount capacity)
    [ -z "$chosen" ] || add_bench "$native" locks 60 "$chosen" "${natively[@]}"
    # More threads than places, so that no plan binds them.
    for ((round = 0; round < rounds; round++)); do
        wanted fallback || break
        add_bench "$native" "fallback.$(printf '%03d' "$round")" 15 \
            '^fallback/[a-z]*/(plain|fair|pthread|gil)/' \
            "$bench" "--benchmark_min_time=$round_time" --plan=none \
            --benchmark_enable_random_interleaving=true
    done
    [ "$kind" = emulated ] || seeds=1
    for seed in $seeds; do
        if [ "$kind" = emulated ]; then
            wanted cost && add_elided "cost.$seed" 2 "$seed" '^cost/.*/speculative'
            wanted refcount && add_elided "refcount.$seed" 24 "$seed" '^refcount/'
            wanted capacity && add_elided "capacity.$seed" 4 "$seed" '^capacity/'
            wanted lock && add_elided "lock.$seed" 60 "$seed" "^lock/$workloads/"
        fi
        wanted lock && add_elided "glibc.$seed" 16 "$seed" "^lock/$workloads/glibc-elided/" \
            GLIBC_TUNABLES=glibc.elision.enable=1
        for preset in ${PRESETS:-$("$bench" --show-policies)}; do
            wanted policy || break
            add_elided "policy.$preset.$seed" 16 "$seed" "^policy/$workloads/" \
                "ELISION_POLICY=$preset"
        done
    done
    if wanted interp; then
        case $kind in
            hardware) add_python hardware "1 2 3 4 5" ;;
            *) add_python emulated "$seeds" ;;
        esac
    fi
}

# --- Running them ---------------------------------------------------------------------------------
status=0
done_weight=0
total_weight=0
finished=0
start=$SECONDS

minutes() {
    printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# finish STEP RESULT: a line for a step that has ended, with an estimate of what is left.
finish() {
    local step=$1 result=$2 part left
    part=$dir/parts/${kinds[$step]}.${names[$step]}
    finished=$((finished + 1))
    done_weight=$((done_weight + weights[step]))
    left=$(((SECONDS - start) * (total_weight - done_weight) / done_weight))
    if [ "$result" -ne 0 ]; then
        grep -hE 'ERROR|elision-bench:|rtmgrind|rror' "$part.log" "$part.json" 2>/dev/null |
            head -n 5 >&2
        echo "bench: ${names[$step]} failed with status $result; log in $part.log" >&2
        [ "$status" -ne 0 ] || status=$result
    fi
    printf 'bench: [%d/%d] %s %s: %s results; %s gone, about %s left\n' "$finished" \
        ${#names[@]} "${kinds[$step]}" "${names[$step]}" \
        "$(jq '.benchmarks | length' "$part.json" 2>/dev/null || echo no)" \
        "$(minutes $((SECONDS - start)))" "$(minutes "$left")"
}

launch() {
    eval "${commands[$1]}" >"$dir/parts/${kinds[$1]}.${names[$1]}.log" 2>&1
}

# Native steps one after the other, since they disturb each other; emulated ones side by side.
run_steps() {
    local step pid ended
    local -A running=()
    for step in "${!names[@]}"; do
        total_weight=$((total_weight + weights[step]))
    done
    for step in "${!names[@]}"; do
        [ "${kinds[$step]}" = emulated ] && continue
        launch "$step"
        finish "$step" $?
    done
    for step in "${!names[@]}"; do
        [ "${kinds[$step]}" = emulated ] || continue
        while [ ${#running[@]} -ge "$jobs" ]; do
            wait -n -p ended
            finish "${running[$ended]}" $?
            unset "running[$ended]"
        done
        launch "$step" &
        pid=$!
        running[$pid]=$step
    done
    while [ ${#running[@]} -gt 0 ]; do
        wait -n -p ended
        finish "${running[$ended]}" $?
        unset "running[$ended]"
    done
}

# All parts of one kind in one file: the context of the first, what no part could measure.
merge() {
    local parts=("$dir/parts/$1".*.json)
    [ -e "${parts[0]}" ] || return 0
    jq -s --arg date "$(date +%FT%T%:z)" -f "$here/merge.jq" \
        --arg skips "$(printf '%s; ' ${skips[@]+"${skips[@]}"})" "${parts[@]}" >"$dir/$1.json"
}

if [[ $("$bench" --benchmark_list_tests 2>/dev/null) == *cost/pair/speculative* ]]; then
    kind=hardware
else
    kind=emulated
    [ -x "$rtmgrind" ] || die "no RTM on this machine and no $rtmgrind: install valgrind, run make"
fi
plan_steps
[ ${#names[@]} -gt 0 ] || die "nothing to measure here of: $suites"
echo "bench: $mode, ${#names[@]} steps, $kind evidence for transactions; results in $dir"
run_steps
[ "$status" -eq 0 ] || exit "$status"
for evidence in hardware native emulated; do
    merge $evidence || die "cannot read what the steps left in $dir/parts"
done
"$here/report.sh" "$dir" || exit
echo "bench: written: $dir/report.md after $(minutes $((SECONDS - start)))"
