# SPDX-License-Identifier: MIT
"""Threads that hand work to each other, then threads that do not, in one process.

    handover.py

Prints the microseconds of both, one line each. Run it under rtmgrind: the time is virtual there.
Exit status: 0, or 1 with a traceback if a result was wrong.
"""
import sys

sys.path.insert(0, "bench/interp")
import patterns
import suite
import workloads

THREADS = 4
patterns.ROUNDS = 480


def main():
    for name, work in (("queue", patterns.Queue()),
                       ("arithmetic", suite.Independent(workloads.arithmetic, 400))):
        wanted = suite.measure(work, 1)[1]
        seconds, result, _ = suite.measure(work, THREADS)
        assert result == wanted, name
        print(name, round(seconds * 1e6))


if __name__ == "__main__":
    main()
