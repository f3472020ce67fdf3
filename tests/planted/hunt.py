"""The hunt for one bug: detector after detector until one fails because of it."""

import os
import re
import subprocess
import sys


class Bug:
    def __init__(self, name, area, what):
        self.name = name
        self.area = area
        self.what = what


def read_bugs(build):
    program = os.path.join(build, "bin/planted_list")
    if not os.access(program, os.X_OK):
        sys.exit(f"{build} is no build with bugs; make one: cmake --preset planted && cmake --build --preset planted")
    text = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return [Bug(*line.split("\t")) for line in text.splitlines()]


# What a failed test says of its reason, the most telling first.
REASONS = [
    r"FAILED crash-state seed \d+ call \d+ \(.*?\): (.{1,100})",
    r"broken promise at \d+ ms: (.*)",
    r"Assertion `(.*?)' failed",
    r"FAILED ([a-z-]+) seed",
    r"(the trace differs)",
    r"\[FAIL\] ([^:]+::[^:]+)",
    r"\[CRASH\] ([^:]+::[^:]+)",
]


def reason_of(ended):
    if ended.is_endless:
        return "does not end"
    for pattern in REASONS:
        match = re.search(pattern, ended.text, re.MULTILINE)
        if match:
            reason = re.sub(r"\x1b\[[0-9;]*m", "", match.group(1)).strip()
            return f"assert: {reason}" if pattern.startswith("Assertion") else reason
    lines = [line for line in ended.text.strip().splitlines() if line.strip()]
    return f"status {ended.status}" + (f": {lines[-1][:80]}" if lines else "")


class Finding:
    def __init__(self, bug):
        self.bug = bug
        self.is_found = False
        self.detector = ""
        self.tries = ""
        self.cpu_seconds = 0.0
        self.reason = "nobody noticed"
        self.notes = []

    def columns(self):
        name = self.bug.name.split("_", 1)
        return [name[0], self.bug.what, self.detector or "-", self.tries or "-", f"{self.cpu_seconds:.1f}", self.reason]

    def sentence(self):
        notes = "".join(f"\n  # {note}" for note in self.notes)
        if not self.is_found:
            return f"{self.bug.name}: {self.reason} in {self.cpu_seconds:.0f} CPU s ({self.bug.what}){notes}"
        return f"{self.bug.name}: {self.detector} {self.tries}, {self.cpu_seconds:.1f} CPU s: {self.reason}{notes}"


class Hunt:
    def __init__(self, bug, detectors, seconds):
        self.bug = bug
        self.detectors = detectors
        self.seconds = seconds
        self.reached = {}  # by detector: the first seed that was not tried
        self.finding = Finding(bug)

    def run(self):
        for detector in self.detectors.of(self.bug.area):
            if self.ask(detector) or self.finding.cpu_seconds >= self.seconds:
                break
        return self.finding

    def ask(self, detector):
        """True when the detector fails and does so because of the bug."""
        spent = 0.0
        for piece in detector.slices(self.reached.get(detector.name, detector.first)):
            left = self.seconds - self.finding.cpu_seconds
            if left <= 0 or spent >= detector.budget * self.seconds:
                return False
            ended = piece.run(self.bug.name)
            spent += ended.cpu_seconds
            self.finding.cpu_seconds += ended.cpu_seconds
            if ended.is_good:
                if piece.first_seed is not None:
                    self.reached[detector.name] = piece.first_seed + piece.seeds_count
                continue
            return self.judge(piece, ended)
        return False

    def judge(self, piece, ended):
        seed = piece.failed_seed(ended.text)
        again = piece.detector.slice_of(seed) if seed is not None else piece
        without = again.run()
        if not without.is_good:
            self.finding.notes.append(f"{piece.detector.name} fails without the bug too: {reason_of(without)}")
            return False
        self.finding.is_found = self.finding.cpu_seconds <= self.seconds
        self.finding.detector = piece.detector.name
        self.finding.reason = reason_of(ended)
        if piece.first_seed is not None:
            last = seed if seed is not None else piece.first_seed + piece.seeds_count - 1
            count = last - piece.detector.first + 1
            self.finding.tries = f"{count} seed{'s' if count > 1 else ''}"
        else:
            self.finding.tries = "1 run"
        return True


def canary_is_seen(canary, detectors, seconds):
    """By each of the general detectors; else the runner itself is blind."""
    trouble = []
    for detector in detectors.general():
        hunt = Hunt(canary, detectors, seconds)
        if not hunt.ask(detector):
            trouble.append(f"{detector.name}: {hunt.finding.reason}")
    return trouble
