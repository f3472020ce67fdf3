"""Registers tests and runs them, each in a folder of its own and within its own limit of time.

Two processes take them: one those that load the machine or measure it, one after another; the other the quiet ones, which
mostly wait. A third one, that of the caller, prints what has ended, in the order of the tests.
"""

import collections
import ctypes
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

import cluster
from cluster import Failed, Skipped, end_processes, ended_processes, patience

Promise = collections.namedtuple("Promise", "function seconds long quiet")
Result = collections.namedtuple("Result", "number passed failed skipped text")
PROMISES = []
PORTS = {"loud": range(20000, 27000), "quiet": range(27000, 32000)}


def promise(seconds=60, long=False, quiet=False):
    """A test that holds within `seconds`; `long` ones run with --long only. Its name is the promise.

    A `quiet` one runs beside others: it mostly waits, loads nothing, and measures nothing finer than its wait. What moves to
    another network, mounts, stops the world or is judged by how long clients had to wait is none."""

    def register(function):
        PROMISES.append(Promise(function, seconds, long, quiet))
        return function

    return register


def name_of(function):
    return f"{function.__module__.removesuffix('_test')}: {function.__name__}"


def run_one(number, chosen, keep):
    """Run it to its end; the Result has all that is to be printed, in the manner of TAP."""
    name = name_of(chosen.function)
    folder = tempfile.mkdtemp(prefix="raftmq-test-")
    started = time.monotonic()

    def too_late(*_):
        raise Failed(f"not finished after {patience(chosen.seconds):g} s")

    signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, patience(chosen.seconds))
    passed = failed = skipped = 0
    try:
        figures = chosen.function(folder)
        passed = 1
        note = f" [{figures}]" if figures else ""
        text = f"ok {number} - {name} ({time.monotonic() - started:.1f} s){note}"
    except Skipped as reason:
        skipped = 1
        text = f"ok {number} - {name} # SKIP {reason}"
    except Exception as error:  # a bug of the test fails the test, not the run
        failed = 1
        text = f"not ok {number} - {name} ({time.monotonic() - started:.1f} s)"
        detail = str(error) if isinstance(error, Failed) else traceback.format_exc()
        text += "".join(f"\n  # {line}" for line in detail.splitlines())
        text += "".join(f"\n  # ended: {line}" for line in ended_processes())
        text += log_tails(folder)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        end_processes()
    if keep or failed:
        text += f"\n  # files: {folder}"
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return Result(number, passed, failed, skipped, text)


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


def work(tests, keep, ports, parent, results):
    """The life of a process that takes tests. It dies with its parent, and its nodes with it."""
    ctypes.CDLL(None).prctl(cluster.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    cluster.use_ports(ports)
    try:
        for number, chosen in tests:
            results.send(run_one(number, chosen, keep))
    except KeyboardInterrupt:  # by the terminal or by the parent; the nodes have ended
        os._exit(130)


class Worker:
    def __init__(self, kind, tests, keep):
        self.tests = collections.deque(tests)  # that have no result yet
        self.results, results = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=work, args=(tests, keep, PORTS[kind], os.getpid(), results), daemon=True)
        self.process.start()
        results.close()

    def receive(self):
        """One Result, or one for every test that it leaves behind when it has died."""
        try:
            result = self.results.recv()
            self.tests.popleft()
            return [result]
        except EOFError:
            self.process.join()
            left = [Result(number, 0, 1, 0, f"not ok {number} - {name_of(chosen.function)}\n"
                           f"  # the process that ran it ended with {self.process.exitcode}") for number, chosen in self.tests]
            self.tests.clear()
            return left

    def end(self):
        """In the midst of a test it ends the test's nodes first."""
        if self.process.is_alive() and self.tests:
            self.process.terminate()
        self.process.join(15)
        self.process.kill()
        self.process.join()


def run_all(only, without, long, keep):
    chosen = [each for each in PROMISES if long or not each.long]
    for texts, wanted in ((only, True), (without, False)):
        if texts:
            chosen = [each for each in chosen if wanted == any(
                text in f"{each.function.__module__}.{each.function.__name__}" for text in texts)]
    if not chosen:
        print("no test matches", file=sys.stderr)
        return 2
    numbered = list(enumerate(chosen, 1))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"1..{len(chosen)}", flush=True)
    passed = failed = skipped = 0
    waiting, next_number, workers = {}, 1, []
    try:
        for kind in PORTS:
            tests = [(number, each) for number, each in numbered if each.quiet == (kind == "quiet")]
            if tests:
                workers.append(Worker(kind, tests, keep))
        while any(worker.tests for worker in workers):
            by_pipe = {worker.results: worker for worker in workers if worker.tests}
            for pipe in multiprocessing.connection.wait(by_pipe):
                waiting.update((result.number, result) for result in by_pipe[pipe].receive())
            while next_number in waiting:
                result = waiting.pop(next_number)
                print(result.text, flush=True)
                next_number += 1
                passed, failed, skipped = passed + result.passed, failed + result.failed, skipped + result.skipped
    finally:
        for worker in workers:
            worker.end()
        for _, result in sorted(waiting.items()):  # of a run that was interrupted
            print(result.text, flush=True)
    print(f"# {passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0
