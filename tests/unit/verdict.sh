#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The verdict for a user: the reason and the remedy that `elision probe` prints for each knob that
# keeps sections from speculating. Under rtmgrind, so that they are all that does.
set -u
. tests/tap.sh

emulated() { # emulated VARIABLE...
    env "$@" timeout --kill-after=5 60 out/bin/rtmgrind --quiet -- out/bin/elision probe 2>&1
}

# refused REASON REMEDY VARIABLE...
refused() {
    local reason=$1 remedy=$2
    shift 2
    tap_is "$*" "$(emulated "$@" | sed -n 1,2p)" \
        "does not elide: $reason"$'\n'"remedy: $remedy"
}

no_attempt="transactions commit, but the policy allows no attempt"
refused "switched off by ELISION=off" "unset ELISION" ELISION=off
refused "switched off by ELISION=off" "unset ELISION" ELISION=off ELISION_BACKEND=none
refused "switched off by ELISION_BACKEND=none" "unset ELISION_BACKEND" ELISION_BACKEND=none
refused "switched off by ELISION_BACKEND=none" "unset ELISION_BACKEND" \
    ELISION=on ELISION_BACKEND=none
refused "$no_attempt" "unset ELISION_TRIES, or set it above 0" ELISION_TRIES=0
refused "$no_attempt" "unset ELISION_POLICY, or set ELISION_TRIES above 0" ELISION_POLICY=static-0
refused "$no_attempt" "set ELISION_TRIES above 0" ELISION_POLICY=static-0 ELISION_TRIES=0
tap_has "that remedy helps" "$(emulated ELISION_POLICY=static-0 ELISION_TRIES=3)" \
    "elides: transactions commit"
tap_done
