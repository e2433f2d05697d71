# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What tests of the interpreter under the emulator begin with; source it. There is TAP then, $python
# is the test's first argument or the one in out/, and $work a folder that goes when the test ends.
set -u -o pipefail
. tests/tap.sh

# shellcheck disable=SC2034 # for the test
python=${1:-out/python/bin/python3}
unset ELISION_BACKEND
export PYTHON_GIL=1 PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# emulated ELISION ARGUMENT...: the interpreter with its GIL elided, 1, or the plain one, 0
emulated() {
    PYTHON_ELISION=$1 timeout -k 5 300 out/bin/rtmgrind --quiet "$python" "${@:2}"
}
