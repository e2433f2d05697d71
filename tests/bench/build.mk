# SPDX-License-Identifier: MIT
PACKAGES_TEST += hwloc-nox
TESTS += tests/bench/plans.sh
tests/bench/plans.sh: $(OUT)/bin/elision-bench
