# SPDX-License-Identifier: MIT
TESTS += tests/runner/runner.sh tests/runner/setup.sh
