# SPDX-License-Identifier: MIT
PACKAGES_TEST += hwloc-nox
TESTS += tests/bench/plans.sh tests/bench/quick.sh
tests/bench/plans.sh tests/bench/quick.sh: $(OUT)/bin/elision-bench
