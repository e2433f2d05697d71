#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# An extension compiled with the unpatched headers, as packages are: what it does inline to
# reference counts goes past the glue, and they stay exact.
set -u -o pipefail
. tests/tap.sh

python=out/python/bin/python3
module=out/tests/interp/stock/unsafe_counter.so
unset PYTHON_GIL PYTHON_ELISION ELISION_BACKEND

counts() { # counts NAME COMMAND...
    local name=$1 output
    shift
    output=$(env PYTHONPATH="${module%/*}" timeout --kill-after=5 300 "$@" 2>&1)
    tap_has "$name: each object has its references, and no more" "$output" $'exact\nactive='
    commits=$(sed -n 's/active=True commits=\([0-9]*\)/\1/p' <<<"$output")
}
# What the patched headers make a call of.
atomic_additions() { objdump -d "$1" | grep -cE '\<lock (add|xadd|inc)[a-z]*'; }
tap_ok "the extension adds to shared counts itself" test "$(atomic_additions "$module")" -gt 0
tap_is "and does not with the patched headers" \
    "$(atomic_additions out/tests/interp/unsafe_counter.so)" 0

counts "native, elision on" env PYTHON_ELISION=1 "$python" tests/interp/run_shared.py 4 3000
for seed in 1 2 3; do
    counts "emulated, seed $seed" env PYTHON_ELISION=1 ELISION_ARBITER=off \
        out/bin/rtmgrind --quiet --seed=$seed "$python" tests/interp/run_shared.py 4 400
    tap_ok "and transactions commit (${commits:-none})" test "${commits:-0}" -gt 0
    counts "emulated, seed $seed, 1 abort in 20 injected" env PYTHON_ELISION=1 ELISION_ARBITER=off \
        out/bin/rtmgrind --quiet --seed=$seed --abort-rate=500 "$python" \
        tests/interp/run_shared.py 4 400
done
tap_done
