# SPDX-License-Identifier: MIT
TESTS_LATE += tests/run/run.sh tests/run/regex_suite.sh
STRESS += tests/run/regex_suite_all.sh
tests/run/run.sh tests/run/regex_suite.sh tests/run/regex_suite_all.sh: $(OUT)/regex/stamp
