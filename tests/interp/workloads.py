# SPDX-License-Identifier: MIT
"""Kinds of Python work, each run by several threads and checked against one thread's result.

    workloads.py NAME THREADS [ROUNDS]     run one; workloads.py --list names them

ROUNDS are alike in length, about 12 virtual microseconds each.

Prints one JSON object: what ran, whether every result was right, and the library's counts. Run it
under rtmgrind for emulated figures: the time is virtual there.
Exit status: 0 right results, 1 wrong ones, 2 bad usage.
"""
import json
import re
import sys
import threading
import time
import weakref


class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def moved(self, dx):
        return Point(self.x + dx, self.y)

    def norm(self):
        return self.x * self.x + self.y * self.y


SHARED_LIST = [n * 7 % 101 for n in range(200)]
SHARED_DICT = {"key%d" % n: n for n in range(200)}
SHARED_KEYS = list(SHARED_DICT)
SHARED_RE = re.compile(r"(\w+)=(\d+);?")
TEXT = ";".join("name%d=%d" % (n, n * n) for n in range(12))
RECORD = {"name": "value", "numbers": [1, 2, 3.5, None, True], "nested": {"a": [1, 2], "b": "text"}}


def arithmetic(rounds):
    total = 0
    for n in range(rounds * 40):
        total += n * 3 % 7
    return total


def objects(rounds):
    point = Point(1, 2)
    total = 0
    for n in range(rounds * 5):
        point = point.moved(n & 3)
        total += point.norm() & 0xff
    return total


def lists(rounds):
    total = 0
    for n in range(rounds):
        numbers = [(i * 37 + n) % 101 for i in range(24)]
        numbers.sort()
        total += sum(numbers[3:9])
    return total


def strings(rounds):
    total = 0
    for n in range(rounds * 2):
        text = "".join([chr(97 + (n + i) % 26) for i in range(10)])
        total += len(text.upper() + text[2:5])
    return total


def dicts(rounds):
    total = 0
    table = {}
    for n in range(rounds * 5):
        table["%d:%d" % (n % 17, n % 5)] = n
        total += len(table)
    return total


def json_dumps(rounds):
    total = 0
    for n in range(rounds):
        total += len(json.dumps(RECORD))
    return total


def regex(rounds):
    total = 0
    for n in range(rounds // 2 + 1):
        for match in SHARED_RE.finditer(TEXT):
            total += len(match.group(1)) + int(match.group(2))
    return total


def exceptions(rounds):
    total = 0
    for n in range(rounds * 12):
        try:
            if n % 3 == 0:
                raise ValueError(n)
            total += n
        except ValueError as error:
            total += error.args[0] & 7
    return total


def generators(rounds):
    def count(limit):
        for n in range(limit):
            yield n

    total = 0
    for n in range(rounds * 2):
        total += sum(i * i for i in count(20))
    return total


def shared_reads(rounds):
    total = 0
    for n in range(rounds * 10):
        total += SHARED_LIST[n % 200] + SHARED_DICT[SHARED_KEYS[n % 200]]
    return total


def expression(depth):
    """A function made of functions, each of which refers to others by cells."""
    if depth == 0:
        return lambda x: x % 5
    left, right = expression(depth - 1), expression(depth - 1)
    return lambda x: left(x) + right(x + 1)


SHARED_FUNCTION = expression(3)


def closures(rounds):
    total = 0
    for n in range(rounds * 3):
        total += SHARED_FUNCTION(n)
    return total


def namespaces(rounds):
    total = 0
    for n in range(rounds * 4):
        total += sum(vars(Point(n % 5, n % 3)).values())
    return total


def weak_references(rounds):
    total = 0
    for n in range(rounds * 4):
        point = Point(n % 5, n % 3)
        total += weakref.ref(point)().norm()
    return total


def repeats(rounds):
    total = 0
    for n in range(rounds * 5):
        total += len([SHARED_KEYS] * 5) + len((TEXT, n) * 3)
    return total


WORKLOADS = {f.__name__: f for f in (arithmetic, objects, lists, strings, dicts, json_dumps, regex,
                                     exceptions, generators, shared_reads, closures,
                                     namespaces, weak_references, repeats)}


def run(work, threads, rounds, counts):
    """Each thread warms up first. Counts are taken while all wait to start, and at the end."""
    results = [None] * threads
    times = [None] * threads
    warm = threading.Barrier(threads + 1)
    start = threading.Barrier(threads + 1)

    def body(index):
        work(rounds // 8 + 1)
        warm.wait()
        start.wait()
        begin = time.perf_counter()
        results[index] = work(rounds)
        times[index] = (begin, time.perf_counter())

    pool = [threading.Thread(target=body, args=(n,)) for n in range(threads)]
    for thread in pool:
        thread.start()
    warm.wait()
    before = counts()
    start.wait()
    for thread in pool:
        thread.join()
    seconds = max(end for _, end in times) - min(begin for begin, _ in times)
    return results, seconds, before, counts()


def main(arguments):
    if arguments == ["--list"]:
        print("\n".join(WORKLOADS))
        return 0
    if len(arguments) not in (2, 3) or arguments[0] not in WORKLOADS:
        print("usage: workloads.py NAME THREADS [ROUNDS]; names: " + " ".join(WORKLOADS),
              file=sys.stderr)
        return 2
    work = WORKLOADS[arguments[0]]
    threads = int(arguments[1])
    rounds = int(arguments[2]) if len(arguments) > 2 else 2000
    wanted = work(rounds)
    try:
        import elision
    except ImportError:
        elision = None
    counts = elision.stats if elision else dict
    results, seconds, before, after = run(work, threads, rounds, counts)
    right = all(result == wanted for result in results)
    report = {"workload": arguments[0], "threads": threads, "rounds": rounds, "right": right,
              "seconds": seconds}
    if elision:
        for key in ("starts", "commits", "fallbacks", "locked"):
            report[key] = after[key] - before[key]
        report["aborts"] = {key: count - before["aborts"][key]
                            for key, count in after["aborts"].items()
                            if count != before["aborts"][key]}
    print(json.dumps(report))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
