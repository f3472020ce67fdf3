"""Registers tests and runs them one after another, each in a folder of its own and within its own limit of time."""

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

from cluster import Failed, Skipped, end_processes, ended_processes, patience

PROMISES = []


def promise(seconds=60, long=False):
    """A test that holds within `seconds`; `long` ones run with --long only. Its name is the promise."""

    def register(function):
        PROMISES.append((function, seconds, long))
        return function

    return register


class Tests:
    """Counts and prints, one line per test in the manner of TAP."""

    def __init__(self, keep):
        self.keep = keep
        self.passed = self.failed = self.skipped = 0

    def run(self, number, function, seconds):
        name = f"{function.__module__.removesuffix('_test')}: {function.__name__}"
        folder = tempfile.mkdtemp(prefix="raftmq-test-")
        started = time.monotonic()

        def too_late(*_):
            raise Failed(f"not finished after {patience(seconds):g} s")

        signal.signal(signal.SIGALRM, too_late)
        signal.setitimer(signal.ITIMER_REAL, patience(seconds))
        good = False
        try:
            figures = function(folder)
            good = True
            self.passed += 1
            note = f" [{figures}]" if figures else ""
            line = f"ok {number} - {name} ({time.monotonic() - started:.1f} s){note}"
        except Skipped as reason:
            good = True
            self.skipped += 1
            line = f"ok {number} - {name} # SKIP {reason}"
        except Exception as error:  # a bug of the test fails the test, not the run
            self.failed += 1
            line = f"not ok {number} - {name} ({time.monotonic() - started:.1f} s)"
            detail = str(error) if isinstance(error, Failed) else traceback.format_exc()
            line += "".join(f"\n  # {text}" for text in detail.splitlines())
            line += "".join(f"\n  # ended: {text}" for text in ended_processes())
            line += log_tails(folder)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            end_processes()
        print(line, flush=True)
        if self.keep or not good:
            print(f"  # files: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def log_tails(folder, lines=15):
    text = ""
    for path, _, files in sorted(os.walk(folder)):
        for file in sorted(files):
            if file.endswith(".log"):
                with open(os.path.join(path, file), errors="replace") as log:
                    tail = log.read().splitlines()[-lines:]
                if tail:
                    text += f"\n  # --- {os.path.relpath(os.path.join(path, file), folder)}"
                    text += "".join(f"\n  #     {line[:400]}" for line in tail)
    return text


def run_all(only, long, keep):
    chosen = [(function, seconds) for function, seconds, is_long in PROMISES
              if (long or not is_long)
              and (not only or any(text in f"{function.__module__}.{function.__name__}" for text in only))]
    if not chosen:
        print("no test matches", file=sys.stderr)
        return 2
    tests = Tests(keep)
    print(f"1..{len(chosen)}", flush=True)
    for number, (function, seconds) in enumerate(chosen, 1):
        tests.run(number, function, seconds)
    print(f"# {tests.passed} passed, {tests.failed} failed, {tests.skipped} skipped", flush=True)
    return 1 if tests.failed else 0
