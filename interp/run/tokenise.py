# SPDX-License-Identifier: MIT
"""One measured run of the tokeniser, in a process of its own.

    tokenise.py --threads N --files LIST --site DIR --json FILE --gil on|off

The texts named in LIST, one path a line, are dealt out to N threads. Each thread compiles the
pattern for itself, as threads that share no objects do, and tokenises its texts with mrab-regex,
whose import brings the GIL back. Only that is timed: from the first thread's start to the last
thread's end. Tokens are digested afterwards and compared by whoever started this process.

Under rtmgrind, time.perf_counter() is virtual time: N threads take what they take on N cores.
"""

import argparse
import hashlib
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
    return [(match.lastgroup, match.start(), match.end()) for match in pattern.finditer(text)]


class Worker:
    """One thread's part: its own pattern, its texts, its result and the time it took."""

    def __init__(self, regex, hand, barrier):
        self.regex = regex
        self.hand = hand
        self.barrier = barrier
        self.tokens = []
        self.start = self.end = 0.0
        self.error = None

    def run(self):
        try:
            pattern = self.regex.compile(TOKEN, self.regex.VERBOSE | self.regex.DOTALL,
                                         cache_pattern=False)
            tokenise(pattern, self.hand[0][1][:200])  # first use, untimed
            self.barrier.wait()
            self.start = time.perf_counter()
            for _, text in self.hand:
                self.tokens.append(tokenise(pattern, text))
            self.end = time.perf_counter()
        except BaseException as error:
            self.error = error
            self.barrier.abort()


def digest(tokens):
    return hashlib.sha256(repr(tokens).encode()).hexdigest()


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

    barrier = threading.Barrier(arguments.threads)
    workers = [Worker(regex, hand, barrier) for hand in deal(texts, arguments.threads)]
    threads = [threading.Thread(target=worker.run) for worker in workers[1:]]
    before = elision_stats()
    for thread in threads:
        thread.start()
    workers[0].run()  # the main thread works too: one thread is really one
    for thread in threads:
        thread.join()
    after = elision_stats()

    errors = [worker.error for worker in workers if worker.error is not None]
    if errors:
        sys.exit(f"tokenise: a thread failed: {errors[0]!r}")
    digests = {}
    count = 0
    for worker in workers:
        for (path, _), tokens in zip(worker.hand, worker.tokens):
            digests[path] = digest(tokens)
            count += len(tokens)
    result = {
        "threads": arguments.threads,
        "seconds": max(w.end for w in workers) - min(w.start for w in workers),
        "tokens": count,
        "digests": digests,
        "before": before,
        "after": after,
        "python": sys.version.split()[0],
    }
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
