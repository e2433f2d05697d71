#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A real extension that needs the GIL: mrab-regex's own tests, on four threads at once. All pass
# with the GIL elided; with it off some fail, otherwise that would prove nothing. Emulated those
# named test_s* are run; `regex_suite.sh all` runs all, some minutes each time.
set -u -o pipefail
. tests/tap.sh

python=out/python/bin/python3
all=(tests/run/regex_suite.py out/regex/site 4)
some=("${all[@]}" '*test_s*')
chosen=("${some[@]}")
[ "${1-}" != all ] || chosen=("${all[@]}")
unset PYTHON_GIL PYTHON_ELISION ELISION_BACKEND
if ! [ -d out/regex/site/regex ]; then
    echo "Bail out! no mrab-regex: make out/regex/stamp builds it"
    exit 1
fi

# passes NAME COMMAND...: sets output
passes() {
    local name=$1
    shift
    output=$(timeout --kill-after=5 900 "$@" 2>&1)
    tap_is "$name: the package's tests pass on each thread" "${output%%$'\n'*}" exact
    tap_has "$name: with the GIL" "$output" "gil=True"
}
emulated() { # emulated NAME OPTION...
    local name=$1 commits
    shift
    passes "$name" env PYTHON_ELISION=1 out/bin/rtmgrind --quiet "$@" "$python" "${chosen[@]}"
    commits=$(sed -n 's/.*active=True commits=\([0-9]*\).*/\1/p' <<<"$output")
    tap_ok "$name: transactions commit (${commits:-none})" test "${commits:-0}" -gt 10000
}

passes "native, plain GIL" "$python" "${all[@]}"
passes "native, elision on" env PYTHON_ELISION=1 "$python" "${all[@]}"
passes "native, the library's lock (backend none)" \
    env PYTHON_ELISION=1 ELISION_BACKEND=none "$python" "${all[@]}"
emulated "emulated, elided"
emulated "emulated, 1 abort in 100 injected" --abort-rate=100 --seed=2
output=$(PYTHON_GIL=0 timeout --kill-after=5 300 out/bin/rtmgrind --quiet "$python" \
    "${some[@]}" 2>&1)
tap_has "emulated, GIL off: some fail" "$output" "failed: regex.test_regex"
tap_done
