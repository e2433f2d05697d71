# SPDX-License-Identifier: MIT
PACKAGES_TEST += spin
TESTS += tests/model/model.sh
