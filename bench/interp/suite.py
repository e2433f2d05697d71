# SPDX-License-Identifier: MIT
"""Python programs as benchmarks: one process, one mode, one number of threads, all workloads.

    suite.py --threads N [--only WORD] [--scale S] [--shared DIR]

Prints one JSON array, an object for each workload: its time, from the first thread's start to the
last one's end, whether the result was right, and what the library counted, if this interpreter has
it. --shared is where workloads.py is (tests/interp).
Exit status: 0 all right, 1 a result was wrong or nothing was done, 2 bad usage.
"""
import argparse
import json
import sys
import threading
import time

import kernels
import patterns

try:
    import elision
except ImportError:
    elision = None


class Independent:
    """A workload of workloads.py: every thread does all of it, without the others."""

    def __init__(self, function, rounds):
        self.function = function
        self.rounds = rounds

    def setup(self, threads):
        self.results = [None] * threads

    def share(self, index):
        self.results[index] = self.function(self.rounds)

    def result(self):
        assert all(result == self.results[0] for result in self.results)
        return self.results[0]


def measure(work, threads):
    """Seconds, the result, and the library's counts."""
    work.setup(threads)
    times = [None] * threads
    start = threading.Barrier(threads)

    def body(index):
        start.wait()
        begin = time.perf_counter()
        work.share(index)
        times[index] = begin, time.perf_counter()

    pool = [threading.Thread(target=body, args=(n,)) for n in range(threads)]
    before = elision.stats() if elision else None
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    after = elision.stats() if elision else None
    seconds = max(end for _, end in times) - min(begin for begin, _ in times)
    return seconds, work.result(), counts(before, after)


def counts(before, after):
    if before is None:
        return {}
    kept = {name: after[name] - before[name] for name in ("starts", "commits", "fallbacks")}
    kept["commit_rate"] = kept["commits"] / kept["starts"] if kept["starts"] else 0
    kept |= {"abort_" + name: count - before["aborts"][name]
             for name, count in after["aborts"].items()}
    return kept


def run(name, work, threads):
    """Once on one thread, for the result; once to warm up; once measured."""
    _, wanted, _ = measure(work, 1)
    measure(work, threads)
    seconds, result, counted = measure(work, threads)
    row = {"workload": name, "threads": threads, "seconds": seconds, **counted}
    if result != wanted:
        row["error"] = "the result is wrong"
    elif seconds <= 0 or not wanted:
        row["error"] = "nothing was done"
    return row


def workloads(arguments):
    sys.path.insert(0, arguments.shared)
    import workloads as shared
    made = {name: Independent(function, arguments.scale)
            for name, function in shared.WORKLOADS.items()}
    for module in (kernels, patterns):
        made |= {name.lower(): kind() for name, kind in vars(module).items()
                 if isinstance(kind, type) and hasattr(kind, "share")}
    return {name: work for name, work in made.items()
            if arguments.only is None or name in arguments.only.split(",")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--only", help="names of workloads, with commas")
    parser.add_argument("--scale", type=int, default=40, help="rounds of workloads.py")
    parser.add_argument("--shared", default="tests/interp", help="where workloads.py is")
    arguments = parser.parse_args()
    if arguments.threads < 1 or arguments.scale < 1:
        parser.error("--threads and --scale want positive numbers")
    chosen = workloads(arguments)
    if not chosen:
        parser.error(f"no workload is called {arguments.only}")
    rows = [run(name, work, arguments.threads) for name, work in chosen.items()]
    print(json.dumps(rows, indent=1))
    return 1 if any("error" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
