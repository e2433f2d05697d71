# SPDX-License-Identifier: MIT
TESTS_LATE += tests/run/run.sh
tests/run/run.sh: $(OUT)/regex/stamp
