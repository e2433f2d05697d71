# SPDX-License-Identifier: MIT
"""mrab-regex's own tests on several threads at once: regex_suite.py SITE THREADS [PATTERN]

With PATTERN only those whose names it matches. Prints "exact" if every thread's tests all pass, as
on one thread they do, else "failed" and which; then what the elided GIL did.
"""
import io
import sys
import threading
import unittest
import warnings

warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import elision
import regex.test_regex

threads = int(sys.argv[2])
loader = unittest.TestLoader()
loader.testNamePatterns = sys.argv[3:] or None
results = []
start = threading.Barrier(threads)


def body():
    suite = loader.loadTestsFromModule(regex.test_regex)
    runner = unittest.TextTestRunner(stream=io.StringIO(), verbosity=0)
    start.wait()
    results.append(runner.run(suite))


stdout, sys.stdout = sys.stdout, io.StringIO()  # the tests print
pool = [threading.Thread(target=body) for _ in range(threads)]
for thread in pool:
    thread.start()
for thread in pool:
    thread.join()
sys.stdout = stdout

failed = {test.id() for result in results for test, _ in result.failures + result.errors}
runs = sorted({result.testsRun for result in results})
if len(results) != threads or len(runs) != 1 or runs[0] == 0:
    print("failed: tests run:", runs)
elif failed:
    print("failed:", *sorted(failed))
else:
    print("exact")
stats = elision.stats()
print(f"tests={runs} gil={sys._is_gil_enabled()} active={elision.active()}"
      f" commits={stats['commits']} conflicts={stats['aborts']['conflict']}")
