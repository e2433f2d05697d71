#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Abort the N-th instruction that runs in a transaction, for every N up to ABORT_AT_MAX, with three
# reasons in turn: whatever it is, in enter, section, checkpoint or leave, the work is done once.
set -u
. tests/tap.sh

at_instruction() {
    local reasons=(0x0 0x6 0x8)
    ELISION_TRIAL=1 timeout --kill-after=5 60 out/bin/rtmgrind --quiet --abort-at="$1" \
        --abort-status="${reasons[$1 % 3]}" -- out/tests/abort-at 2>&1 || echo "instruction $1"
}
export -f at_instruction
failed=$(seq 1 "${ABORT_AT_MAX:-60}" | xargs -P "$(nproc)" -I{} bash -c 'at_instruction {}')
tap_is "abort at every instruction of the first ${ABORT_AT_MAX:-60}" "$failed" ""
tap_done
