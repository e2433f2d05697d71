# SPDX-License-Identifier: MIT
"""What run.py found, as a table, as JSON and as a plot."""

import collections
import json
import shutil
import subprocess

CAUSES = ("lock-busy", "irrevocable", "explicit", "conflict", "capacity", "debug", "nested",
          "unfriendly")


def tokens(result):
    return sum(count for count, _ in result["found"].values())


def difference(after, before):
    """Counters of the timed part: they only ever grow."""
    return {name: after[name] - before[name] if not isinstance(after[name], dict)
            else difference(after[name], before[name])
            for name in after if isinstance(after[name], (int, dict)) and name in before}


def summarise_case(case, base):
    row = {"mode": case.mode, "threads": case.threads, "problem": case.problem}
    if case.result is None:
        return row
    row["seconds"] = case.result["seconds"]
    if base is not None:
        row["speedup"] = base / case.result["seconds"]
    if case.result["after"] is not None:
        counts = difference(case.result["after"], case.result["before"])
        for name in ("starts", "commits", "aborts", "fallbacks"):
            row[name] = counts[name]
        row["commit_rate"] = counts["commits"] / counts["starts"] if counts["starts"] else None
    if case.emulator is not None:
        row["conflicts"] = conflicts(case.emulator)
    return row


def conflicts(emulator):
    """The report's conflicts in Python's terms: at which line, over what, with which line."""
    counts = collections.Counter()
    for entry in emulator.get("conflicts", []):
        data = entry["data"]
        what = ("the GIL itself, taken by another thread" if data.startswith("main_gil")
                else "an object" if data.startswith("0x") else data)
        if entry["requester_label"]:
            what += f", with {entry['requester_label']}"
        counts[entry["victim_label"] or entry["victim_access"], what] += entry["count"]
    return [{"count": count, "at": at, "over": over}
            for (at, over), count in counts.most_common(5)]


def summarise(cases, kind, size, files, serial, version):
    """Speed-up is over the plain GIL on the fewest threads."""
    base = next((case.result["seconds"] for case in cases
                 if case.mode == "plain GIL" and case.result is not None), None)
    return {
        "evidence": kind,
        "program": f"mrab-regex {version} tokenising Lib/*.py",
        "python": serial["python"],
        "files": files,
        "bytes": size,
        "tokens": tokens(serial),
        "cases": [summarise_case(case, base) for case in cases],
    }


def table(summary):
    """Rows of cells. Causes that never occurred have no column."""
    causes = [cause for cause in CAUSES
              if any(row.get("aborts", {}).get(cause) for row in summary["cases"])]
    rows = [["threads", "mode", "ms", "speed-up", "commits", "rate"] + causes
            + ["fallbacks", "result"]]
    for row in summary["cases"]:
        if "seconds" not in row:
            rows.append([str(row["threads"]), row["mode"]] + ["-"] * (len(rows[0]) - 3)
                        + ["FAILED"])
            continue
        counts = ["-"] * (len(causes) + 3)
        if row.get("starts"):
            counts = [str(row["commits"]), f"{100 * row['commit_rate']:.1f} %",
                      *(str(row["aborts"][cause]) for cause in causes), str(row["fallbacks"])]
        rows.append([str(row["threads"]), row["mode"], f"{1e3 * row['seconds']:.1f}",
                     f"{row['speedup']:.2f}" if "speedup" in row else "-", *counts,
                     "WRONG" if row["problem"] else "exact"])
    return rows


def print_table(summary):
    rows = table(summary)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{summary['program']}, {summary['files']} files, {summary['bytes'] >> 10} KiB,"
          f" Python {summary['python']}")
    print(f"evidence: {summary['evidence']}"
          + (" (rtmgrind; virtual time)" if summary["evidence"] == "emulated" else "") + "\n")
    previous = None
    for row in rows:
        if previous is not None and row[0] != previous:
            print()
        previous = row[0]
        print("  ".join(cell.ljust(width) if column == 1 else cell.rjust(width)
                        for column, (cell, width) in enumerate(zip(row, widths))).rstrip())
    print()
    for row in summary["cases"]:
        if row["problem"]:
            print(f"{row['mode']}, {row['threads']} threads: {row['problem']}")
    print_conflicts(summary)
    print("GIL off: nobody has audited the extension for that; it is here for scale.")


def print_conflicts(summary):
    """Of the elided run on most threads: what to change in the program to conflict less."""
    rows = [row for row in summary["cases"] if row.get("conflicts")]
    if not rows:
        return
    row = max(rows, key=lambda row: row["threads"])
    print(f"Conflicts, {row['mode']}, {row['threads']} threads:")
    for entry in row["conflicts"]:
        print(f"  {entry['count']:5} x {entry['at']}: {entry['over']}")
    print()


def plot_script(summary, path):
    """Speed-up on the left, commit rate on the right, for gnuplot."""
    blocks = []
    for mode in ("plain GIL", "elided GIL", "GIL off"):
        lines = [f"{row['threads']} {row.get('speedup', 'NaN')} "
                 f"{100 * row['commit_rate'] if row.get('commit_rate') is not None else 'NaN'}"
                 for row in summary["cases"] if row["mode"] == mode]
        blocks.append(f"${mode.replace(' ', '_')} << EOD\n" + "\n".join(lines) + "\nEOD")
    most = max(row["threads"] for row in summary["cases"])
    ticks = ", ".join(str(n) for n in sorted({row["threads"] for row in summary["cases"]}))
    return "\n".join(blocks) + f"""
set terminal svg size 900,400 font 'sans,13' background 'white'
set output '{path}'
set multiplot layout 1,2 title '{summary["program"]} ({summary["evidence"]})'
set xtics ({ticks})
set xrange [0.5:{most + 0.5}]
set xlabel 'threads'
set key left top
set yrange [0:{most}]
set ylabel 'speed-up over the plain GIL on one thread'
plot x with lines dashtype 2 linecolor 'gray' title 'ideal', \\
     $GIL_off using 1:2 with linespoints title 'GIL off', \\
     $elided_GIL using 1:2 with linespoints title 'elided GIL', \\
     $plain_GIL using 1:2 with linespoints title 'plain GIL'
set yrange [0:100]
set key left bottom
set ylabel 'transactions that committed, %'
plot $elided_GIL using 1:3 with linespoints title 'elided GIL'
unset multiplot
"""


def write(summary, folder):
    json_path = folder / "run.json"
    json_path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    plot_path = folder / "run.svg"
    if shutil.which("gnuplot") is None:
        print(f"\nwritten: {json_path}; no plot: gnuplot is not installed")
        return
    done = subprocess.run(["gnuplot"], input=plot_script(summary, plot_path), text=True,
                          capture_output=True)
    if done.returncode != 0:
        print(f"\nwritten: {json_path}; no plot: gnuplot says {done.stderr.strip()[-200:]}")
        return
    print(f"\nwritten: {json_path}, {plot_path}")
