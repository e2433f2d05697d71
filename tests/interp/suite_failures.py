# SPDX-License-Identifier: MIT
"""What failed in a run of CPython's own tests, one name a line, in order.

    suite_failures.py LOG XML

Names are those of test cases, and of files that failed in another way: crashed, timed out, did not
import. Exit status: 0 the run came to its end, 1 it did not, 2 bad usage.
"""
import re
import sys
import xml.etree.ElementTree


def main(arguments):
    if len(arguments) != 2:
        print("usage: suite_failures.py LOG XML", file=sys.stderr)
        return 2
    with open(arguments[0], encoding="utf-8", errors="replace") as file:
        log = file.read()
    if not re.search(r"^Result: ", log, re.MULTILINE):
        print("suite_failures: no result in " + arguments[0], file=sys.stderr)
        return 1
    failed = set()
    for case in xml.etree.ElementTree.parse(arguments[1]).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(case.get("name"))
    for listed in re.findall(r"^\d+ tests? failed:\n((?: +.*\n)+)", log, re.MULTILINE):
        for name in listed.split():
            if name not in ("(crash)", "(timeout)"):
                failed.add("file " + name)
    print("\n".join(sorted(failed)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
