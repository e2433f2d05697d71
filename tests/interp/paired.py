# SPDX-License-Identifier: MIT
"""What elision costs where it cannot be used: native time with it on beside the plain GIL.

    paired.py [PAIRS [THREADS...]]      30 pairs, 1 and 4 threads if not said otherwise

Runs of workloads.py alternate, so that both of a pair see the same machine. Each kind of work
gives the ratio of the fastest runs, since what else a machine does only makes runs slower, and the
median of its pairs' ratios with quartiles, which says how quiet the machine was. Wants one that
does nothing else. A machine with RTM would elide: this is about those without.

Exit status: 0 the fastest runs' ratios, as the geometric mean of all kinds, are within 2 % of 1 on
each number of threads, 1 they are not, 2 bad usage or a run failed.
"""
import json
import operator
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
PROGRAM = HERE / "workloads.py"
ROUNDS = 20000  # a third of a second: short enough that some runs are not disturbed
WORK = ("arithmetic", "objects", "strings", "dicts", "json_dumps", "shared_reads")
LIMIT = 0.02


def seconds(work, threads, elision):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("PYTHON", "ELISION"))}
    environment |= {"PYTHON_GIL": "1", "PYTHON_ELISION": elision, "PYTHONHASHSEED": "0"}
    done = subprocess.run([sys.executable, PROGRAM, work, str(threads), str(ROUNDS // threads)],
                          env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"paired: {work} on {threads} threads failed: {done.stderr[-200:]}", file=sys.stderr)
        sys.exit(2)
    return json.loads(done.stdout)["seconds"]


def pair(work, threads, first):
    """The seconds of one pair, with elision and without; who goes first changes each time."""
    if first:
        return seconds(work, threads, "1"), seconds(work, threads, "0")
    plain = seconds(work, threads, "0")
    return seconds(work, threads, "1"), plain


def compare(work, threads, pairs):
    """The ratio of the fastest runs of each kind."""
    elided, plain = zip(*(pair(work, threads, n % 2 == 0) for n in range(pairs)))
    fastest = min(elided) / min(plain)
    low, middle, high = statistics.quantiles(map(operator.truediv, elided, plain), n=4)
    print(f"{work + ', ' + str(threads) + ' threads':28} fastest {fastest:.3f}, median of {pairs}"
          f" pairs {middle:.3f} ({low:.3f} to {high:.3f})", flush=True)
    return fastest


def main(arguments):
    try:
        numbers = [int(word) for word in arguments] or [30]
    except ValueError:
        print("usage: paired.py [PAIRS [THREADS...]]", file=sys.stderr)
        return 2
    pairs, counts = max(numbers[0], 2), numbers[1:] or [1, 4]
    good = True
    for threads in counts:
        mean = statistics.geometric_mean(compare(work, threads, pairs) for work in WORK)
        print(f"{'all, ' + str(threads) + ' threads':28} fastest {mean:.3f}", flush=True)
        good &= abs(mean - 1) <= LIMIT
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
