# SPDX-License-Identifier: MIT
PACKAGES_TEST += spin
TESTS += tests/model/model.sh
TESTS_LONG += tests/model/model.sh
