# SPDX-License-Identifier: MIT
# gnuplot's script for one plot ($plot) of Google Benchmark's JSON; nothing when there is no data
# for it. Every figure carries its kind of evidence.

include "median";

def quoted: "\"" + gsub("_"; " ") + "\"";
def block($name; $lines): "$\($name) << EOD\n" + ($lines | join("\n")) + "\nEOD\n";
def svg($width; $height): "set terminal svg size \($width),\($height) font \"sans,12\""
    + " background \"white\"\n";

# Small plots of lines over threads, one for each workload. rows: what, how, threads, value.
def small($title; $axis; $bottom):
    . as $rows
    | if ($rows | length) == 0 then empty else
        ([$rows[].what] | unique) as $works | ([$rows[].how] | unique) as $hows
        | ([$rows[].threads] | unique) as $threads
        | (($works | length) + 2) / 3 | floor | . as $lines
        | svg(1100; $lines * 260 + 60)
          + ([range($works | length) as $w | range($hows | length) as $h
              | block("d\($w)_\($h)"; [$rows[] | select(.what == $works[$w] and .how == $hows[$h])
                  | "\(.threads) \(.value)"])] | join(""))
          + "set multiplot layout \($lines),3 title \"\($title)\"\n"
          + "set logscale x 2\nset yrange [\($bottom):*]\nset key left top font \",8\" samplen 1\n"
          + "set xtics (\($threads | map("\"\(.)\" \(.)") | join(", ")))\n"
          + "set xrange [\($threads[0] * 0.95):\($threads[-1] * 1.05)]\nset ylabel \"\($axis)\"\n"
          + ([range($works | length) as $w | "set title \($works[$w] | quoted)\nplot "
              + ([range($hows | length) as $h
                  | select(any($rows[]; .what == $works[$w] and .how == $hows[$h]))
                  | "$d\($w)_\($h) with linespoints linecolor \($h + 1) pointtype \($h + 1)"
                    + " pointsize 0.6 title \($hows[$h] | quoted)"] | join(", "))
              + "\nset key off\n"] | join(""))
          + "unset multiplot\n"
    end;

def heat($title):
    . as $rows
    | if ($rows | length) == 0 then empty else
        ([$rows[].what] | unique) as $works | ([$rows[].how] | unique) as $hows
        | svg(1000; ($hows | length) * 34 + 170)
          + block("map"; [range($hows | length) as $h | range($works | length) as $w
              | ($rows[] | select(.what == $works[$w] and .how == $hows[$h]) | .value) as $v
              | "\($w) \($h) \($v)"])
          + "set title \"\($title)\"\nset cbrange [0:1]\nset palette defined (0 \"#b2182b\","
          + " 0.5 \"#f7f7f7\", 0.8 \"#92c5de\", 1 \"#2166ac\")\nunset key\n"
          + "set xtics (\([range($works | length) as $w | "\($works[$w] | quoted) \($w)"]
              | join(", "))) rotate by -30\n"
          + "set ytics (\([range($hows | length) as $h | "\($hows[$h] | quoted) \($h)"]
              | join(", ")))\n"
          + "set xrange [-0.5:\(($works | length) - 0.5)]\n"
          + "set yrange [-0.5:\(($hows | length) - 0.5)]\n"
          + "plot $map using 1:2:3 with image pixels, $map using 1:2:(sprintf(\"%.2f\", $3)) with labels\n"
    end;

def curves($title):
    . as $rows
    | if ($rows | length) == 0 then empty else
        ([$rows[].what] | unique) as $whats
        | svg(1100; 340)
          + ([range($whats | length) as $w | ("warm", "cold") as $state
              | block("d\($w)_\($state)";
                  [[$rows[] | select(.what == $whats[$w] and .how == $state)] | group_by(.lines)[]
                  | "\(.[0].lines) \(100 * (map(.commit_rate) | median))"])] | join(""))
          + "set multiplot layout 1,\($whats | length) title \"\($title)\"\n"
          + "set yrange [-5:105]\nset ylabel \"transactions that committed, %\"\n"
          + "set xlabel \"lines of 64 bytes\"\nset key left bottom\n"
          + ([range($whats | length) as $w | "set title \($whats[$w] | quoted)\n"
              + (if $whats[$w] == "read" then "set logscale x 2\nset xtics (64, 512, 4096, 32768)\n"
                 else "unset logscale x\nset xtics auto\n" end)
              + "plot $d\($w)_warm with linespoints title \"warm\","
              + " $d\($w)_cold with linespoints title \"cold\"\n"] | join(""))
          + "unset multiplot\n"
    end;

# Bars: speed of each mode beside the plain GIL on as many threads.
def bars($title):
    . as $rows
    | if ($rows | length) == 0 then empty else
        ([$rows[].what] | unique) as $whats
        | ["elided GIL", "GIL off", "stock Python"] as $modes
        | svg(1100; 420)
          + block("d"; [$whats[] as $w | ([$w | quoted]
              + [$modes[] as $m | [$rows[] | select(.what == $w and .how == $m) | .value] | median
                  | if . then tostring else "NaN" end]) | join(" ")])
          + "set title \"\($title)\"\nset style data histogram\nset style fill solid\n"
          + "set ylabel \"speed beside the plain GIL\"\nset xtics rotate by -35\nset key left top\n"
          + "set grid ytics\nplot 1 with lines linecolor \"gray\" notitle, "
          + ([range($modes | length) as $m
              | "$d using \($m + 2):xtic(1) title \($modes[$m] | quoted)"] | join(", ")) + "\n"
    end;

.context.evidence as $evidence
| [.benchmarks[] | select(.run_type == "iteration" and (.error_occurred | not))
   | (.name | sub("/real_time.*"; "") | split("/")) as $parts
   | . + {suite: $parts[0], what: $parts[1], how: $parts[2], lines: ($parts[3] // "0" | tonumber)}]
| (map(.threads) | max) as $most
| if $plot == "speed-up" then
      map(select(.suite == "lock")) | . as $all | [group_by([.what, .how, .threads])[]
          | .[0] as $r | ([$all[] | select(.what == $r.what and .how == "plain" and .threads == 1)
              | .sections] | median) as $base | select($base)
          | {what: $r.what, how: $r.how, threads: $r.threads,
             value: ((map(.sections) | median) / $base)}]
      | small("Speed-up over the plain lock on one thread (\($evidence))"; "speed-up"; 0)
  elif $plot == "transactions" then
      map(select(.suite == "lock" and .speculative != null)) | [group_by([.what, .how, .threads])[]
          | .[0] as $r | {what: $r.what, how: $r.how, threads: $r.threads,
              value: (100 * (map(.speculative) | median))}]
      | small("Sections that a transaction ran, % (\($evidence))"; "%"; 0)
  elif $plot == "aborts" then
      map(select(.suite == "lock" and (.starts // 0) > 0)) | [group_by([.what, .how, .threads])[]
          | .[0] as $r | {what: $r.what, how: $r.how, threads: $r.threads,
              value: (100 * (1 - (map(.commit_rate) | median)))}]
      | small("Elided lock: transactions that aborted, % (\($evidence))"; "%"; 0)
  elif $plot == "policy" then
      map(select(.suite == "policy")) | (map(.threads) | max) as $n | map(select(.threads == $n))
      | [group_by([.what, .how])[]
          | {what: .[0].what, how: .[0].how, value: (map(.sections) | median)}]
      | . as $all | map(.what as $w | .value /= ([$all[] | select(.what == $w) | .value] | max))
      | heat("Share of the best policy\u0027s speed, \($n) threads (\($evidence))")
  elif $plot == "refcount" then
      map(select(.suite == "refcount")) | [group_by([.what, .how, .threads])[]
          | .[0] as $r | {what: $r.what, how: $r.how, threads: $r.threads,
              value: ((map(.pairs) | median) / 1e6)}]
      | small("Reference counts: million pairs a second (\($evidence))"; "million pairs/s"; 0)
  elif $plot == "capacity" then
      map(select(.suite == "capacity")) | curves("What fits in a transaction (\($evidence))")
  elif $plot == "interp" then
      map(select(.suite == "interp")) | (map(.threads) | max) as $n | map(select(.threads == $n))
      | . as $all | [.[] | . as $r | ([$all[] | select(.what == $r.what and .how == "plain GIL")
              | .real_time] | median) as $plain | select($plain)
          | {what, how, value: ($plain / .real_time)}]
      | bars("Python programs on \($n) threads (\($evidence))")
  else error("no such plot: \($plot)") end
