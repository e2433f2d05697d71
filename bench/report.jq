# SPDX-License-Identifier: MIT
# Google Benchmark's JSON to Markdown: one row for each benchmark, one column for each number of
# threads. With repetitions the median is shown, and the spread as (largest - smallest) / median.

def median: sort | if length == 0 then null else .[(length - 1) / 2 | floor] end;
def places($n): . as $x | pow(10; $n) as $p | ($x * $p | round) / $p;

# One run's figure: millions of sections a second, or nanoseconds where no sections are counted.
def figure: if .sections then .sections / 1e6 else .real_time end;

def cell:
    (map(figure) | median) as $middle
    | if length > 1 and $middle != 0 then
        "\($middle | places(2)) ±\((map(figure) | max - min) / $middle * 50 | round) %"
      else
        "\($middle | places(2))"
      end
    + (map(select(.starts != null and .starts > 0) | .commits / .starts) | median
       | if . then " (\(. * 100 | places(1)) % committed)" else "" end);

def table($unit; $rows):
    ([$rows[].threads] | unique) as $threads
    | if ($rows | length) == 0 then empty else
        "\n| \($unit) | \($threads | map("\(.) thread\(if . > 1 then "s" else "" end)")
            | join(" | ")) |",
        "|---|\($threads | map("---:|") | join(""))",
        ($rows | group_by(.row)[] | . as $row
            | "| \($row[0].row) | "
              + ($threads | map(. as $n | $row | map(select(.threads == $n))
                  | if length > 0 then cell else "" end) | join(" | ")) + " |")
      end;

.context as $c
| [.benchmarks[] | select(.run_type == "iteration")
   | . + {row: (.name | sub("/real_time.*"; "")), threads: .threads}] as $runs
| "\n## Evidence: \($c.evidence)\n",
  "\($c.cpu), \($c.topology), plan \($c.plan), kernel \($c.kernel), microcode \($c.microcode),",
  "backend \($c.backend) (\($c.backend_reason)), policy \($c.policy), TAA: \($c.taa), tsx:"
      + " \($c.tsx), SMT \($c.smt).",
  (if $c.evidence == "emulated" then
      "Virtual time under rtmgrind: figures repeat exactly and are no wall-clock times."
   else "Shared machines are noisy: compare within one column only." end),
  (if $c.skipped then "Skipped: \($c.skipped)." else empty end),
  table("million sections a second"; [$runs[] | select(.sections)]),
  table("nanoseconds a step"; [$runs[] | select(.sections | not)])
