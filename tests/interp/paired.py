# SPDX-License-Identifier: MIT
"""What elision costs where it cannot be used: native time with it on beside the plain GIL.

    paired.py [PAIRS [THREADS...]]      15 pairs, 1 and 4 threads if not said otherwise

Runs of workloads.py alternate, so that both of a pair see the same machine; each kind of work gives
the median of its pairs' ratios with quartiles, and all kinds together one of all pairs. Wants a
machine that does nothing else. A machine with RTM would elide: this is about those without.

Exit status: 0 the medians of all pairs are within 2 % of 1, 1 they are not, 2 bad usage or a run
failed.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
PROGRAM = HERE / "workloads.py"
ROUNDS = 60000  # a second and more: start-up and a machine's short moods weigh less
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
    """The ratio of one pair; who goes first changes from pair to pair."""
    order = ("1", "0") if first else ("0", "1")
    time = {elision: seconds(work, threads, elision) for elision in order}
    return time["1"] / time["0"]


def show(name, ratios):
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{name:28} {middle:.3f}  quartiles {low:.3f} to {high:.3f}, {len(ratios)} pairs",
          flush=True)
    return middle


def main(arguments):
    try:
        numbers = [int(word) for word in arguments] or [15]
    except ValueError:
        print("usage: paired.py [PAIRS [THREADS...]]", file=sys.stderr)
        return 2
    pairs, counts = max(numbers[0], 2), numbers[1:] or [1, 4]
    good = True
    for threads in counts:
        everything = []
        for work in WORK:
            ratios = [pair(work, threads, n % 2 == 0) for n in range(pairs)]
            show(f"{work}, {threads} threads", ratios)
            everything += ratios
        good &= abs(show(f"all, {threads} threads", everything) - 1) <= LIMIT
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
