#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The verdict for a user: the reason and the remedy that `elision probe` prints for each knob that
# keeps sections from speculating, under rtmgrind, so that they are all that does; and which backend
# is named.
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

# With the backend asked for by name: silence where there is one, else a line with the remedy.
asked() { # asked COMMAND...
    env ELISION_BACKEND=rtm "$@" 2>&1
}
rtmgrind="timeout --kill-after=5 60 out/bin/rtmgrind --quiet --"
# shellcheck disable=SC2086 # a list of words
{
    tap_is "rtm, emulated: no complaint" "$(asked $rtmgrind out/bin/elision --version)" \
        "$(out/bin/elision --version)"
    tap_has "its backend, in probe" "$(asked $rtmgrind out/bin/elision probe)" \
        $'\nbackend: rtm\n'
    tap_has "in JSON" "$(asked $rtmgrind out/bin/elision probe --json)" '"backend": "rtm"'
    tap_has "at load" "$(asked ELISION_SHOW=1 $rtmgrind out/bin/elision --version)" \
        $'\nbackend: rtm\n'
    tap_has "in the statistics" \
        "$(asked ELISION_STATS=text $rtmgrind out/bin/elision --version)" ", backend rtm, policy"
    # The machine can, and only the policy does not: no other backend is in use.
    tap_has "in those as JSON, without attempts too" \
        "$(asked ELISION_STATS=json ELISION_TRIES=0 $rtmgrind out/bin/elision --version)" \
        '{"backend": "rtm"'
}
tap_is "rtm, switched off: one line" "$(asked ELISION=off out/bin/elision --version)" \
    "libelision: ELISION_BACKEND=rtm: switched off by ELISION=off; using none; remedy: unset ELISION
$(out/bin/elision --version)"
if out/bin/elision probe >/dev/null; then
    tap_skip "rtm, native" "this machine has it"
else
    reason=$(out/bin/elision probe | sed -n 's/^does not elide: //p')
    remedy=$(out/bin/elision probe | sed -n 's/^remedy: //p')
    tap_is "rtm, native: one line" "$(asked out/bin/elision --version)" \
        "libelision: ELISION_BACKEND=rtm: $reason; using none; remedy: $remedy
$(out/bin/elision --version)"
    tap_has "its backend, in probe" "$(asked out/bin/elision probe)" $'\nbackend: none\n'
    tap_has "in JSON" "$(asked out/bin/elision probe --json)" '"backend": "none"'
    tap_has "at load" "$(asked ELISION_SHOW=1 out/bin/elision --version)" $'\nbackend: none\n'
    tap_has "in the statistics" "$(asked ELISION_STATS=text out/bin/elision --version)" \
        ", backend none, policy"
    tap_has "in those as JSON" "$(asked ELISION_STATS=json out/bin/elision --version)" \
        '{"backend": "none"'
fi
tap_is "auto does not complain" "$(ELISION_BACKEND=auto out/bin/elision --version 2>&1)" \
    "$(out/bin/elision --version)"
tap_done
