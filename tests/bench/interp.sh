#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Python programs as benchmarks: right on any number of threads, on any interpreter; wrong results
# and no work are found out; the elided GIL commits.
set -u
. tests/tap.sh

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python=out/python/bin/python3
stock=/usr/bin/python3

# suite FILE PYTHON [ARGUMENT...]
suite() {
    local file=$1
    shift
    PYTHONDONTWRITEBYTECODE=1 "$@" bench/interp/suite.py "${extra[@]}" >"$file" 2>"$file.err"
}

for threads in 1 3; do
    extra=(--threads "$threads" --scale 4)
    tap_ok "stock Python, $threads threads: all results are right" suite "$dir/stock" $stock
done
tap_is "fourteen programs, four kernels, a server and six patterns ran" \
    "$(jq length "$dir/stock")" 25

extra=(--threads 3 --scale 20 --only 'arithmetic,ep,queue')
if [ -x $python ]; then
    PYTHON_GIL=1 PYTHON_ELISION=1 tap_ok "elided, emulated: all results are right" \
        suite "$dir/elided" out/bin/rtmgrind --quiet -- $python
    tap_ok "and transactions commit" jq -e 'map(.commits) | add > 0' "$dir/elided"
    for n in 1 2; do
        PYTHONHASHSEED=0 PYTHON_GIL=1 PYTHON_ELISION=1 \
            suite "$dir/again.$n" out/bin/rtmgrind --quiet -- $python
    done
    tap_ok "emulated figures repeat exactly" cmp "$dir/again.1" "$dir/again.2"
    tap_ok "a step writes Google Benchmark's form" bench/interp/step.sh "stock Python" "$dir/form" \
        $stock bench/interp/suite.py "${extra[@]}"
    tap_is "with names as others have them" "$(jq -r '.benchmarks[0].name' "$dir/form")" \
        "interp/arithmetic/stock Python/real_time/threads:3"
    output=$(bench/interp/step.sh "elided GIL" "$dir/form" $stock bench/interp/suite.py \
        "${extra[@]}" 2>&1)
    tap_is "an elided GIL that commits nothing fails: status" $? 1
    tap_has "and says so" "$output" "no program ran anything by a transaction"
else
    tap_skip "elided, emulated" "no $python: make python builds it"
fi

# Broken on purpose: a kernel that depends on how many threads there are, one that does nothing.
cp bench/interp/*.py "$dir"
sed -i 's/1220703125 [*] (block + 1)/1220703125 * (block + self.threads)/' "$dir/kernels.py"
broken() {
    $stock -B "$dir/suite.py" --threads 3 --shared tests/interp --only "$1" >"$dir/json" 2>&1
}
broken ep
tap_is "a wrong result: status" $? 1
tap_has "and says so" "$(cat "$dir/json")" "the result is wrong"
sed -i 's/return sum(self.sums)/return 0/' "$dir/patterns.py"
broken barrier
tap_is "no work: status" $? 1
tap_has "and says so" "$(cat "$dir/json")" "nothing was done"
broken nothing
tap_is "a workload that is not there: status" $? 2
tap_has "and says so" "$(cat "$dir/json")" "no workload is called nothing"
tap_done
