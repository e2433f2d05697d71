# SPDX-License-Identifier: MIT
"""The main job: tokenise real text with a legacy extension, and show what elision changes.

    run.py --python FILE --site DIR --out DIR [--rtmgrind FILE] [--threads 1,2,4] [--files N]

Runs tokenise.py on each number of threads with the plain GIL, the elided GIL and the GIL off, each
in a process of its own: natively where RTM works, else under rtmgrind. Compares every token with a
serial run and prints one table; leaves run.json and run.svg in --out.

Exit status: 0 all results exact, 1 a result differs or a run failed, 2 this machine cannot do it.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import report

HERE = pathlib.Path(__file__).parent
MODES = {  # name -> (environment, is the GIL on, does it speculate)
    "plain GIL": ({"PYTHON_ELISION": "0"}, "on", False),
    "elided GIL": ({"PYTHON_ELISION": "1"}, "on", True),
    "GIL off": ({"PYTHON_ELISION": "0", "PYTHON_GIL": "0"}, "off", False),
}
SMALLEST, LARGEST = 8 << 10, 24 << 10  # bytes; files alike in size can be dealt out evenly
NATIVE_REPEATS = 5  # on hardware time varies: the median of so many


def fail(message):
    print(f"run: {message}", file=sys.stderr)
    sys.exit(2)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="the patched interpreter")
    parser.add_argument("--site", required=True, help="folder that holds mrab-regex")
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--rtmgrind", required=True, help="the emulator")
    parser.add_argument("--threads", default="1,2,4,8", help="numbers of threads, with commas")
    parser.add_argument("--files", type=int, default=16, help="how many of Lib/*.py")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)),
                        help="emulated runs at a time")
    arguments = parser.parse_args()
    try:
        arguments.threads = [int(word) for word in arguments.threads.split(",")]
    except ValueError:
        parser.error(f"--threads wants numbers with commas, not {arguments.threads!r}")
    if min(arguments.threads) < 1 or max(arguments.threads) > 64:
        parser.error("--threads wants numbers from 1 to 64")
    if arguments.files < max(arguments.threads):
        parser.error("--files must give each thread a file")
    return arguments


def environment(**changes):
    """The caller's environment without what would steer the interpreter or the library."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "ELISION_")) and name != "ELISION"}
    return kept | {"PYTHONHASHSEED": "0"} | changes


def evidence(arguments):
    """'hardware' where trial transactions commit on this machine, else 'emulated'; and why."""
    probe = subprocess.run([arguments.python, "-c",
                            "import elision, json; print(json.dumps(elision.verdict()))"],
                           env=environment(PYTHON_ELISION="1"), capture_output=True, text=True)
    if probe.returncode != 0:
        fail(f"{arguments.python} cannot elide its GIL: {probe.stderr.strip()[-200:]};"
             " run make python")
    verdict = json.loads(probe.stdout)
    if verdict["can_elide"]:
        return "hardware", verdict["reason"]
    if not os.access(arguments.rtmgrind, os.X_OK):
        fail(f"no RTM on this machine ({verdict['reason']}) and no {arguments.rtmgrind}:"
             " install valgrind, run make")
    return "emulated", verdict["reason"]


def select(arguments, folder):
    """Writes the list of texts: files of the interpreter's Lib/, alike in size, in name order."""
    library = subprocess.run([arguments.python, "-c", "import os; print(os.__file__)"],
                             env=environment(), capture_output=True, text=True, check=True)
    paths = [path for path in sorted(pathlib.Path(library.stdout.strip()).parent.glob("*.py"))
             if SMALLEST <= path.stat().st_size <= LARGEST][:arguments.files]
    if len(paths) < arguments.files:
        fail(f"only {len(paths)} files of Lib/ are of the wanted size; use --files {len(paths)}")
    list_path = folder / "files"
    list_path.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return list_path, sum(path.stat().st_size for path in paths)


def extension_version(site):
    """The release, from the name of the folder pip leaves beside the package."""
    names = [path.name for path in pathlib.Path(site).glob("regex-*.dist-info")]
    return names[0].removeprefix("regex-").removesuffix(".dist-info") if names else "unknown"


class Case:
    """One row of the table: a mode on a number of threads."""

    def __init__(self, mode, threads, folder, repeat=0):
        self.mode = mode
        self.threads = threads
        self.name = f"{mode.replace(' ', '-')}-{threads}-{repeat}"
        self.result_path = folder / f"{self.name}.json"
        self.emulator_path = folder / f"{self.name}.rtmgrind.json"
        self.result = None
        self.emulator = None
        self.problem = None

    def run(self, arguments, list_path, emulated):
        changes, gil, _ = MODES[self.mode]
        command = [arguments.python, str(HERE / "tokenise.py"),
                   "--threads", str(self.threads), "--files", str(list_path),
                   "--site", arguments.site, "--json", str(self.result_path), "--gil", gil]
        if emulated:
            command = [arguments.rtmgrind, "--quiet", f"--json={self.emulator_path}",
                       "--"] + command
        done = subprocess.run(command, env=environment(**changes), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            self.problem = f"exit status {done.returncode}: {lines[-1][:160]}"
            return
        self.result = json.loads(self.result_path.read_text(encoding="utf-8"))
        if emulated:
            self.emulator = json.loads(self.emulator_path.read_text(encoding="utf-8"))

    def compare(self, serial):
        """In every text this run must have found what the serial run found."""
        if self.result is not None and self.result["found"] != serial["found"]:
            wrong = [path for path, found in serial["found"].items()
                     if self.result["found"].get(path) != found]
            self.problem = f"{len(wrong)} of {len(serial['found'])} texts differ from serial"


class Progress:
    """One line for each run that ends, with what is still to come."""

    def __init__(self, total):
        self.total = total
        self.done = 0
        self.start = time.monotonic()
        self.lock = threading.Lock()

    def step(self, text):
        with self.lock:
            self.done += 1
            seconds = time.monotonic() - self.start
            print(f"[{self.done:2}/{self.total}] {seconds:6.1f} s  {text}", flush=True)


def run_serial(arguments, list_path, folder):
    """The reference: one thread, plain GIL, nothing emulated."""
    serial = Case("plain GIL", 1, folder, "serial")
    serial.run(arguments, list_path, emulated=False)
    if serial.problem:
        fail(f"the serial run failed: {serial.problem}")
    return serial.result


def run_cases(arguments, list_path, folder, serial, emulated):
    """All modes and threads. Emulated runs repeat exactly, so that one of each is enough and
    several may run at a time; native ones take turns, so that drift hits every mode alike."""
    repeats = 1 if emulated else NATIVE_REPEATS
    cases = [Case(mode, threads, folder, repeat)
             for repeat in range(repeats) for threads in arguments.threads for mode in MODES]
    progress = Progress(len(cases))

    def one(case):
        case.run(arguments, list_path, emulated)
        case.compare(serial)
        progress.step(f"{case.mode}, {case.threads} thread{'s' * (case.threads > 1)}"
                      + (f": {case.problem}" if case.problem else ""))

    # The longest first, so that none is left to run alone at the end.
    queue = sorted(cases, key=lambda case: -case.threads) if emulated else cases
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs if emulated else 1) as pool:
        for future in [pool.submit(one, case) for case in queue]:
            future.result()
    return [middle([case for case in cases if (case.mode, case.threads) == (mode, threads)])
            for threads in arguments.threads for mode in MODES]


def middle(repeats):
    """The run of median time; one that went wrong stands for them all."""
    for case in repeats:
        if case.problem:
            return case
    median = statistics.median_low(case.result["seconds"] for case in repeats)
    return next(case for case in repeats if case.result["seconds"] == median)


def verdict(cases):
    """With the GIL off nobody promises a right result, so a wrong one there is only reported."""
    return 1 if any(case.problem and MODES[case.mode][1] == "on" for case in cases) else 0


def main():
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    kind, reason = evidence(arguments)
    print(f"run: RTM works here ({reason}): hardware figures" if kind == "hardware" else
          f"run: no RTM here ({reason}): under rtmgrind, figures are emulated (virtual time)")
    with tempfile.TemporaryDirectory(prefix="elision-run-") as name:
        folder = pathlib.Path(name)
        list_path, size = select(arguments, folder)
        serial = run_serial(arguments, list_path, folder)
        print(f"run: {arguments.files} files of Lib/, {size >> 10} KiB,"
              f" {report.tokens(serial)} tokens", flush=True)
        cases = run_cases(arguments, list_path, folder, serial, kind == "emulated")
    summary = report.summarise(cases, kind, size, arguments.files, serial,
                               extension_version(arguments.site))
    report.print_table(summary)
    report.write(summary, arguments.out)
    sys.exit(verdict(cases))


if __name__ == "__main__":
    main()
