#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The tests of the interface and of lifecycles once more, under rtmgrind, where sections speculate.
# A program's points become one point here; what it printed is shown when it fails.
set -u
. tests/tap.sh

for name in api lifecycle misuse threads; do
    tap_ok "unit-$name under rtmgrind" \
        timeout --kill-after=5 300 out/bin/rtmgrind --quiet -- "out/tests/unit-$name"
done
tap_done
