# SPDX-License-Identifier: MIT
# Google Benchmark's JSON to Markdown, a table or two for each suite. With several results of one
# name (repetitions, or seeds of the emulator) the median is shown, and half the range as a share of
# it.

include "median";

def places($n): . as $x | pow(10; $n) as $p | ($x * $p | round) / $p;
def digits: if . < 0.1 then places(5) else places(2) end;
def percent: "\(. * 100 | places(1)) %";

def spread: if length > 1 and median != 0 then
        " ±\((max - min) / median * 50 | round) %" else "" end;

# One run's figure: millions of sections or pairs a second, or where none are counted nanoseconds
# that one thread takes for a step. Google Benchmark's time is shared out over the threads' steps.
def figure: if .sections then .sections / 1e6 elif .pairs then .pairs / 1e6
    else .real_time * .threads end;

# The share of sections that transactions ran; for what asks none, that of transactions committed.
def share: map(.speculative // (if (.starts // 0) > 0 then .commits / .starts else null end)
    | select(. != null)) | median;

def cell:
    "\(map(figure) | median | digits)\(map(figure) | spread)"
    + (share | if . then " (\(percent))" else "" end);

def head($names): "| \($names | join(" | ")) |",
    "|---|\($names[1:] | map("---:|") | join(""))";

def threads_of: [.[].threads] | unique;

# Rows by what is measured, columns by number of threads.
def by_threads($title):
    if length == 0 then empty else
        threads_of as $threads
        | "", head([$title] + ($threads | map("\(.) thread\(if . > 1 then "s" else "" end)"))),
        (group_by(.row)[] | . as $row
            | "| \($row[0].row) | " + ($threads
                | map(. as $n | $row | map(select(.threads == $n))
                    | if length > 0 then cell else "" end) | join(" | ")) + " |")
    end;

def quartiles: sort | [.5, .25, .75] as $at | [.[(length - 1) * $at[] | round] | places(2)]
    | "\(.[0]) (\(.[1]) to \(.[2]))";

# Rounds in which each lock had one run after the other: speed beside glibc's mutex in the same
# round; how evenly the threads got on; how many processors they kept busy, by Google Benchmark's
# CPU time, which is all threads'. With a processor for each thread, a run whose threads had to wait
# for one for more than a twentieth of the time was disturbed; if there are other rounds, they count.
def beside_mutex($processors):
    ["plain", "fair", "pthread"] as $locks
    | [group_by([.what, .threads])[] | . as $cell
        | ([$locks[] as $lock | [$cell[] | select(.how == $lock)]] | transpose) as $rounds
        | select(($rounds | length) > 0 and all($rounds[][]; .))
        | ($rounds | map(select(.[0].threads > $processors
            or all(.[]; .kept_waiting <= 0.05)))) as $calm
        | "| \($cell[0].what), \($cell[0].threads) | \($calm | length) of \($rounds | length) | "
          + (if ($calm | length) > 0 then $calm else $rounds end
             | [(0, 1) as $i | map((.[$i] | figure) / (.[2] | figure)) | quartiles]
             + [(0, 1, 2) as $i | map(.[$i].fairness) | median | places(3)]
             + [(0, 1, 2) as $i | map(.[$i] | .cpu_time / .real_time) | median | places(2)]
             | map(tostring) | join(" | ")) + " |"]
    | if length == 0 then empty else
        "", head(["workload, threads", "undisturbed rounds"]
            + ($locks[:2] | map("\(.), speed beside pthread"))
            + ($locks | map("\(.), Jain")) + ($locks | map("\(.), CPUs"))), .[]
    end;

def suite($name): map(select(.suite == $name));

# The library's aborts by class on most threads, per thousand transactions.
def aborts:
    map(select(.how == "elided" and (.starts // 0) > 0)) as $runs
    | if ($runs | length) == 0 then empty else
        ($runs | map(.threads) | max) as $most
        | ($runs[0] | keys_unsorted | map(select(startswith("abort_")))) as $causes
        | "", "Transactions on \($most) threads: aborts per 1000 begun, by class; share of cycles:",
        "", head(["workload"] + ($causes | map(ltrimstr("abort_")))
            + ["fallbacks per 1000 sections", "cycles wasted"]),
        ($runs | map(select(.threads == $most)) | group_by(.what)[] | . as $all
            | def total($key): $all | map(.[$key]) | add;
              "| \(.[0].what) | " + ($causes | map(total(.) / total("starts") * 1000 | places(1)
                | tostring) | join(" | "))
              + " | \(total("fallbacks") / total("iterations") * 1000 | places(1))"
              + " | \((total("cycles_speculating") + total("cycles_wasted")) as $cycles
                    | if $cycles > 0 then total("cycles_wasted") / $cycles | percent
                      else "-" end) |")
    end;

# Each preset's speed as a share of the best preset's, by workload, on each number of threads.
def policies:
    if length == 0 then empty else
        . as $all | threads_of[] as $n
        | ($all | map(select(.threads == $n))) as $here
        | ($here | map(.what) | unique) as $works
        | (reduce $works[] as $w ({}; .[$w] = ($here | map(select(.what == $w)) | group_by(.how)
            | map(map(figure) | median) | max))) as $best
        | "", "\($n) thread\(if $n > 1 then "s" else "" end): share of the best preset's speed",
        "", head(["policy"] + $works + ["geometric mean"]),
        ([$here | group_by(.how)[] | . as $row
            | [$works[] as $w | [$row[] | select(.what == $w) | figure / $best[$w]]] as $shares
            | {how: $row[0].how, shares: $shares,
               means: ($shares | transpose | map(map(select(.) | log) | add / length | exp))}]
            | sort_by(-(.means | median))[]
            | "| \(.how) | \([(.shares[], .means) | "\(median | places(2))\(spread)"]
                | join(" | ")) |")
    end;

def kib: . * 64 / 1024 | places(1);

def capacities:
    if length == 0 then empty else
        "", head(["set, cache state", "largest that commits, lines", "KiB",
                  "smallest that never does, lines"]),
        (group_by(.what + "/" + .how)[] | . as $row
            | [$row | group_by(.lines)[]
                | {lines: .[0].lines, rate: (map(.commit_rate) | median)}] as $curve
            | ($curve | map(select(.rate >= 0.5) | .lines) | max // 0) as $fits
            | ($curve | map(select(.rate == 0) | .lines) | min) as $fails
            | "| \($row[0].what), \($row[0].how) | \($fits) | \($fits | kib)"
              + " | \($fails // "none tried") |")
    end;

# Python: milliseconds by mode; in brackets the speed beside the plain GIL on as many threads.
def pythons:
    if length == 0 then empty else
        . as $all | threads_of[] as $n
        | ($all | map(select(.threads == $n))) as $here
        | ["plain GIL", "elided GIL", "GIL off", "stock Python"] as $modes
        | "", "\($n) thread\(if $n > 1 then "s" else "" end): milliseconds"
            + " (speed beside the plain GIL; transactions committed)",
        "", head(["program"] + $modes),
        ($here | group_by(.what)[] | . as $row
            | ($row | map(select(.how == "plain GIL") | .real_time) | median) as $plain
            | "| \($row[0].what) | " + ($modes | map(. as $m | $row | map(select(.how == $m))
                | if length == 0 then ""
                  else (map(.real_time) | median) as $t
                      | "\($t / 1e6 | places(3))\(map(.real_time) | spread)"
                        + (if $m == "plain GIL" or $plain == null then ""
                           else " (\($plain / $t | places(2))"
                               + (share | if . and $m == "elided GIL" then "; \(percent)"
                                          else "" end) + ")" end)
                  end) | join(" | ")) + " |")
    end;

def section($title; $text; body): [body] | if length == 0 then empty
    else "", "### \($title)", "", $text, .[] end;

.context as $c
| [.benchmarks[] | select(.run_type == "iteration")
   | (.name | sub("/real_time.*"; "") | split("/")) as $parts
   | . + {suite: $parts[0], what: $parts[1], how: ($parts[2] // ""),
          lines: ($parts[3] // "0" | tonumber),
          row: ($parts[1:] | join(" / "))}] as $runs
| "\n## Evidence: \($c.evidence)\n",
  "libelision \($c.library), \($c.date[:10]); \($c.cpu), \($c.topology), plan \($c.plan),",
  "kernel \($c.kernel), microcode \($c.microcode), page size \($c.page_size),"
      + " TAA: \($c.taa), tsx: \($c.tsx), SMT \($c.smt),",
  "backend \($c.backend) (\($c.backend_reason)).",
  (if $c.evidence == "emulated" then
      "Virtual time under rtmgrind: a run repeats exactly; no figure is a wall-clock time. With"
      + " several seeds of the emulator the median is shown, and ± half the range."
   else "Median of the repetitions, and ± half the range. Shared machines are noisy: compare within"
      + " one column only." end),
  (if $c.skipped then "Skipped: \($c.skipped)." else empty end),
  section("cost"; "Nanoseconds a step takes; abort-conflict is from begin to the abort that another"
      + " thread's writes cause."; $runs
      | suite("cost") | map(select(.sections | not)) | by_threads("step")),
  section("cost of a section"; "Million sections a second."; $runs | suite("cost")
      | map(select(.sections)) | by_threads("lock")),
  section("fallback"; "Million sections a second; then the same beside glibc's mutex, as the median"
      + " of rounds that have one run after the other, with quartiles, and Jain's index of what the"
      + " threads had done when the first had finished."; $runs | suite("fallback")
      | by_threads("workload / lock"), beside_mutex($c.num_cpus)),
  section("lock"; "Million sections a second (in brackets: sections run by a transaction)."; $runs
      | suite("lock") | by_threads("workload / lock"), aborts),
  section("policy"; "One library with its own retry policy, with those of ten systems, and with four"
      + " tries whatever the cause (static-4)."; $runs
      | suite("policy") | policies),
  section("refcount"; "Million pairs of increment and decrement a second (in brackets:"
      + " transactions committed)."; $runs | suite("refcount") | by_threads("object / count")),
  section("capacity"; "Lines of 64 bytes in one transaction."; $runs | suite("capacity")
      | capacities),
  section("interp"; "Python programs of fixed work for each thread (the ten of tests/interp) or in"
      + " all (the others)."; $runs | suite("interp") | pythons)
