"""Nodes under strace: what reached which file, when a sync of it was finished, and when an answer left.

One file per thread (-ff), so no line is cut in two. A traced thread stands still until its tracer has noted the event,
so "noted finished before noted begun" is a true order, also between the tracers of different nodes."""

import glob
import os
import re
import shutil
import signal
import subprocess
import time

from cluster import Skipped, spawn, wait_for

_LINE = re.compile(r"^(\d+\.\d+) (\w+)\((.*)\)\s+= (-?\d+|\?)(.*?)(?: <(\d+\.\d+)>)?$")
_FILE = re.compile(r"^\d+<(.*?)>(?:\(deleted\))?(?:,|$)")


class Call:
    def __init__(self, begun, name, arguments, result, note, took):
        self.begun, self.name, self.arguments, self.result, self.note = begun, name, arguments, result, note
        self.finished = begun + took
        found = _FILE.match(arguments)
        self.target = found.group(1) if found else ""

    def __repr__(self):
        return f"{self.begun:.6f} {self.name}({self.arguments[:120]}...) = {self.result}"


class Tracer:
    """strace attached to a running node; ends with it or by stop()."""

    def __init__(self, node, *options):
        if not shutil.which("strace"):
            raise Skipped("strace is not installed (Debian: strace)")
        self.prefix = os.path.join(node.cluster.folder, f"trace-n{node.number}-{time.monotonic_ns()}")
        self.process = spawn(
            ["strace", "-f", "-ff", "-yy", "-ttt", "-T", "-s", "4096", "-o", self.prefix,
             "-e", "trace=fdatasync,fsync,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg", *options,
             "-p", str(node.process.pid)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        threads = f"/proc/{node.process.pid}/task"

        def attached():
            if node.process.poll() is not None:
                return True  # an injected error ended it before this look
            if self.process.poll() is not None:
                reason = self.process.stderr.read().decode(errors="replace").strip().splitlines()
                raise Skipped(f"strace may not attach here: {reason[-1] if reason else self.process.returncode}")
            return all(_is_traced(f"{threads}/{task}") for task in os.listdir(threads))

        wait_for(attached, 20, "strace to attach to every thread", every=0.01)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        return self.calls()

    def calls(self):
        calls = []
        for path in glob.glob(self.prefix + ".*"):
            with open(path, errors="replace") as file:
                for line in file:
                    found = _LINE.match(line.rstrip("\n"))
                    if found:
                        begun, name, arguments, result, note, took = found.groups()
                        calls.append(Call(float(begun), name, arguments, -1 if result == "?" else int(result), note,
                                          float(took or 0)))
        return sorted(calls, key=lambda call: call.begun)


def _is_traced(task):
    with open(f"{task}/status") as file:
        return not any(line.startswith("TracerPid:\t0") for line in file)
