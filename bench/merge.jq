# SPDX-License-Identifier: MIT
# The parts of one kind of evidence as one Google Benchmark file. A lock that one part had to skip
# and another one measured was not skipped. The emulator's day is always the same, $date is today.

([.[].benchmarks[] | .name | split("/")[2]] | unique) as $measured
| (map(.context.skipped // "" | split("; ")[]) + ($skips | split("; "))
   | map(select(. != "")) | unique
   | map(select((split(":")[0]) as $name | $measured | index($name) | not))) as $skipped
| (map(.context | select(.evidence))[0] // .[0].context) as $context
| {context: ($context | del(.skipped)
             + (if $context.evidence == "emulated" then {date: $date} else {} end)
             + (if ($skipped | length) > 0 then {skipped: ($skipped | join("; "))} else {} end)),
   benchmarks: map(.benchmarks[])}
