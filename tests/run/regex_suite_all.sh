#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# All of the package's tests emulated, for `make stress`: a quarter of an hour.
exec tests/run/regex_suite.sh all
