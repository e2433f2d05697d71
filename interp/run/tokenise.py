# SPDX-License-Identifier: MIT
"""One measured run of the tokeniser, in a process of its own.

    tokenise.py --threads N --files LIST --site DIR --json FILE --gil on|off

The texts named in LIST, one path a line, are dealt out to N threads. Each thread has a pattern of
its own, compiled beforehand, as threads that share no objects do, and tokenises its texts with
mrab-regex, whose import brings the GIL back. Only that is timed and counted: from the first
thread's start to the last thread's end. What was found is compared by whoever started this process.

Under rtmgrind, time.perf_counter() is virtual time: N threads take what they take on N cores.
"""

import argparse
import json
import sys
import threading
import time

TOKEN = r"""
    (?P<comment>\#[^\n]*)
  | (?P<string>(?i:rb|br|fr|rf|[rbuf])?(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}
        |\"(?:[^"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'))
  | (?P<number>0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+
        |(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?[jJ]?)
  | (?P<keyword>(?:False|None|True|and|as|assert|async|await|break|class|continue|def|del|elif|else
        |except|finally|for|from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return
        |try|while|with|yield)\b)
  | (?P<name>[^\W\d]\w*)
  | (?P<operator>\*\*=?|//=?|>>=?|<<=?|->|:=|\.{3}|[-+*/%@&|^<>=!]=?|[()\[\]{},:.;~])
  | (?P<newline>\n)
  | (?P<space>[ \t\f]+|\\\n)
  | (?P<other>.)
"""

# By default mrab-regex lets go of the GIL around every match in a str. For tokens of a few bytes
# that costs more than the match, under any GIL, so that it is told to keep it.
CONCURRENT = False


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--files", required=True, help="file with one path a line")
    parser.add_argument("--site", required=True, help="folder that holds mrab-regex")
    parser.add_argument("--json", required=True, help="where the result goes")
    parser.add_argument("--gil", choices=("on", "off"), required=True,
                        help="whether the GIL must be on after the import")
    return parser.parse_args()


def read_texts(list_path):
    with open(list_path, encoding="utf-8") as file:
        paths = file.read().split()
    texts = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            texts.append((path, file.read()))
    return texts


def deal(texts, count):
    """Deals the texts out so that each of `count` hands has about as much to do."""
    hands = [[] for _ in range(count)]
    sizes = [0] * count
    for path, text in sorted(texts, key=lambda item: -len(item[1])):
        smallest = sizes.index(min(sizes))
        hands[smallest].append((path, text))
        sizes[smallest] += len(text)
    return hands


def tokenise(pattern, text):
    """Reads the text token by token; the result depends on every token's kind, place and order."""
    count = check = 0
    for match in pattern.finditer(text, concurrent=CONCURRENT):
        start, end = match.span()
        check = (check * 31 + match.lastindex * 1000003 + start * 8191 + end) % 0x1fffffffffffffff
        count += 1
    return count, check


class Worker:
    """One thread's part: its own pattern, its texts, its result and the time it took."""

    compiling = threading.Lock()  # compiling shares regex's own tables: one at a time

    def __init__(self, regex, hand, barrier):
        self.regex = regex
        self.hand = hand
        self.barrier = barrier
        self.found = []
        self.start = self.end = 0.0
        self.error = None

    def run(self):
        try:
            with self.compiling:
                pattern = self.regex.compile(TOKEN, self.regex.VERBOSE | self.regex.DOTALL,
                                             cache_pattern=False)
                tokenise(pattern, self.hand[0][1][:200])  # first use
            self.barrier.wait()
            self.start = time.perf_counter()
            for _, text in self.hand:
                self.found.append(tokenise(pattern, text))
            self.end = time.perf_counter()
        except BaseException as error:
            self.error = error
            self.barrier.abort()


def elision_stats():
    """Counts of the elided GIL, or None where the interpreter has no such module."""
    try:
        import elision
    except ImportError:
        return None
    return elision.stats()


def main():
    arguments = parse_arguments()
    sys.path.insert(0, arguments.site)
    texts = read_texts(arguments.files)
    import regex
    gil = "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"
    if gil != arguments.gil:
        sys.exit(f"tokenise: the GIL is {gil} after the import, not {arguments.gil}")

    before = []
    barrier = threading.Barrier(arguments.threads, lambda: before.append(elision_stats()))
    workers = [Worker(regex, hand, barrier) for hand in deal(texts, arguments.threads)]
    threads = [threading.Thread(target=worker.run) for worker in workers[1:]]
    for thread in threads:
        thread.start()
    workers[0].run()  # the main thread works too: one thread is really one
    for thread in threads:
        thread.join()
    after = elision_stats()

    errors = [worker.error for worker in workers if worker.error is not None]
    if errors:
        sys.exit(f"tokenise: a thread failed: {errors[0]!r}")
    found = {path: pair for worker in workers
             for (path, _), pair in zip(worker.hand, worker.found)}
    result = {
        "threads": arguments.threads,
        "seconds": max(w.end for w in workers) - min(w.start for w in workers),
        "found": found,
        "spans": [(w.start, w.end) for w in workers],
        "before": before[0],
        "after": after,
        "python": sys.version.split()[0],
    }
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
