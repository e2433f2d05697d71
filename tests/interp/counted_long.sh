#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# counted.sh, after its control was built (build.mk), so that it skips nothing.
exec tests/interp/counted.sh
