# SPDX-License-Identifier: MIT
# What the jq programs of this folder share: include "median"; with -L for its place.
def median: sort | if length == 0 then null
    else (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2 end;
