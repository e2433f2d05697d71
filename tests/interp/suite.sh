#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# CPython's own tests: suite.sh threads|whole [MODE...]
#
# Natively, all with PYTHON_GIL=1, beside the build without our patches; the set of failures must be
# the same. Logs and JUnit files go to out/suite. MODE leaves the others out:
#   off     elision off
#   on      elision on, through the library's lock: a machine without RTM has no other path of ours
#   begins  every begin is aborted, see begins.c
#   company the same beside a thread that comes and goes, so that no test is alone for long
#   dev     as on, with -X dev
#   switch  as on, with a switch interval of 1e-6 s
# `threads` takes the tests named in suite.txt, `whole` all, not with dev and switch. Aborts in the
# middle of transactions need an emulator: see cpython.sh.
set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
. tests/tap.sh

what=${1-}
shift
case $what in
    threads)
        modes=(off on begins company dev switch)
        tests=$(grep -v '^#' tests/interp/suite.txt)
        ;;
    whole) modes=(off on begins company) tests= ;;
    *) echo "usage: suite.sh threads|whole [off|on|begins|company|dev|switch]..." >&2; exit 2 ;;
esac
[ $# -eq 0 ] || modes=("$@")
out=out/suite/$what
mkdir -p "$out/switch" || exit 2
echo 'import sys; sys.setswitchinterval(1e-6)' >"$out/switch/sitecustomize.py"
unset "${!PYTHON@}" ELISION_BACKEND ELISION_POLICY # some tests are about these variables
export PYTHON_GIL=1

# failures NAME PYTHON [OPTION...]: run the tests unless that was done with this interpreter before;
# what failed goes to NAME.failed.
failures() {
    local name=$out/$1 python=$2
    shift 2
    if [ "$name.failed" -nt "$python" ]; then
        return
    fi
    # A shell's background jobs ignore interrupts, and some tests wait for one.
    # shellcheck disable=SC2086 # a list of names
    nice env --default-signal=INT,QUIT "$python" "$@" -m test -j"$(nproc)" --timeout 900 \
        --junit-xml "$name.xml" $tests >"$name.log" 2>&1
    "$python" tests/interp/suite_failures.py "$name.log" "$name.xml" >"$name.new" &&
        mv "$name.new" "$name.failed"
}

# same NAME STOCK: the failures of two runs
same() {
    local count failed
    if ! cmp -s "$out/$1.failed" "$out/$2.failed"; then
        tap_fail "$1: failures are the stock build's" \
            "$(diff "$out/$2.failed" "$out/$1.failed" 2>&1)"
        return
    fi
    count=$(sed -n 's/^Total tests: run=\([0-9,]*\).*/\1/p' "$out/$1.log")
    failed=$(grep -c . "$out/$1.failed")
    tap_pass "$1: failures are the stock build's, $failed in ${count:-?} tests"
}

stock=out/python-stock/bin/python3
ours=out/python/bin/python3
begins=out/python-begins/bin/python3
export PYTHON_ELISION=1 ELISION_BACKEND=none
for mode in "${modes[@]}"; do
    case $mode in
        off | on)
            failures stock "$stock"
            [ "$mode" = on ] || export PYTHON_ELISION=0
            failures "$mode" "$ours"
            export PYTHON_ELISION=1
            same "$mode" stock
            ;;
        begins)
            failures stock "$stock"
            tap_has "begins: an extension that needs the GIL stays exact" \
                "$(PYTHONPATH=out/tests/interp ELISION_BACKEND=auto ELISION_POLICY=static-3 \
                    "$begins" tests/interp/run_unsafe.py 8 3000 swap 2>&1)" exact
            ELISION_BACKEND=auto ELISION_POLICY=static-3 failures begins "$begins"
            same begins stock
            ;;
        company)
            export PYTHONPATH=$PWD/tests/interp/company
            failures stock-company "$stock"
            ELISION_BACKEND=auto ELISION_POLICY=static-3 failures company "$begins"
            unset PYTHONPATH
            same company stock-company
            ;;
        dev)
            failures stock-dev "$stock" -X dev
            failures dev "$ours" -X dev
            same dev stock-dev
            ;;
        switch)
            export PYTHONPATH=$PWD/$out/switch
            failures stock-switch "$stock"
            failures switch "$ours"
            unset PYTHONPATH
            same switch stock-switch
            ;;
        *) tap_fail "mode $mode" "modes are off, on, begins, company, dev, switch" ;;
    esac
done
tap_done
