"""The tests that may notice a bug, in slices that can be run one after another until one fails.

A slice is a command. Detectors that draw from seeds have many, the others one. `seed_of` finds the seed that failed, so
that exactly that one can be tried again without the bug."""

import glob
import os
import re

import process

here = os.path.dirname(os.path.abspath(__file__))


class Slice:
    def __init__(self, detector, command, first_seed=None, seeds_count=1):
        self.detector = detector
        self.command = command
        self.first_seed = first_seed
        self.seeds_count = seeds_count

    def run(self, bug_name=None):
        return process.run(self.command, bug_name)

    def failed_seed(self, text):
        """Of a slice with seeds that failed; None when the words do not tell."""
        match = re.findall(r"FAILED.*?seed[= ](0x[0-9a-f]+|\d+)", text)
        return int(match[0], 0) if match and self.first_seed is not None else None


class Program:
    """A test without seeds: it fails or not."""

    def __init__(self, name, command):
        self.name = name
        self.command = command
        self.budget = 1.0
        self.first = None

    def slices(self, _first):
        yield Slice(self, self.command)

    def slice_of(self, _seed):
        return Slice(self, self.command)


class Seeds:
    """A test that draws from seeds, `step` of them in one process. `share` of a bug's CPU seconds may be spent on it."""

    def __init__(self, name, program, step, first, share):
        self.name = name
        self.program = program
        self.step = step
        self.first = first
        self.budget = share

    def command(self, first, count):
        return self.program + ["--seeds", str(count), self.program_first, str(first)]

    def slices(self, first):
        while True:
            yield Slice(self, self.command(first, self.step), first, self.step)
            first += self.step

    def slice_of(self, seed):
        return Slice(self, self.command(seed, 1), seed, 1)


class Random(Seeds):
    program_first = "--first"


class Simulator(Seeds):
    program_first = "--seed"


class Detectors:
    """Of a build: by area, in the order in which they are asked."""

    def __init__(self, build, short):
        self.binaries = os.path.join(build, "bin")
        self.short = short
        self.random = Random("raft_random", [self.path("raft_random")], 100, 1, 0.35)
        self.simulator = Simulator("raftmq-sim", [self.path("raftmq-sim")], 5, 1, 0.45)
        self.crash_states = Random("raftmq-crash-states", [self.path("raftmq-crash-states")], 1, 1, 0.35)
        # Goes on later where this one ended: the promises of single tests cost less than all the seeds that may be needed.
        self.glance = Simulator("raftmq-sim", [self.path("raftmq-sim")], 5, 1, 0.15)
        self.explore = Program("raftmq-explore", [self.path("raftmq-explore")])
        self.scenarios = [Program("scenario_" + os.path.basename(path)[:-4], [self.path("raftmq-scenario"), path])
                          for path in sorted(glob.glob(os.path.join(here, "../scenario/*.txt")))
                          if not path.endswith("CMakeLists.txt")]

    def path(self, name):
        return os.path.join(self.binaries, name)

    def unit(self, *components):
        return [Program(f"unit_{name}", [self.path(f"unit_{name}"), "-j1", "--fail-fast"]) for name in components]

    def saved_inputs(self, *targets):
        return [Program(f"fuzz_saved_{name}", [self.path(f"{name}_replay"), os.path.join(here, "../fuzz/corpus", name)])
                for name in targets]

    def of(self, area):
        if area == "core":
            return [self.random, *self.scenarios, *self.unit("raft"), self.simulator, self.explore]
        units = {"log": ("segment-log", "snapshot", "simulated_node"), "queue": ("queue", "wire", "simulated_node"),
                 "node": ("node", "peer", "http", "simulated_node")}
        saved = {"log": ("segment", "node_store", "snapshot"), "queue": (), "node": ("frame", "codec")}
        first = [self.crash_states] if area == "log" else []
        return [*first, self.glance, *self.saved_inputs(*saved[area]), *self.unit(*units[area]), self.simulator]

    def general(self):
        return [self.random, self.simulator]

    def check_without_bug(self, pool):
        """What fails though nothing is wrong, and the CPU seconds."""
        runs = [next(detector.slices(detector.first))
                for detector in (self.random, self.simulator, self.crash_states, *self.scenarios)]
        if not self.short:
            runs += [next(detector.slices(detector.first)) for detector in
                     [*self.unit("raft", "segment-log", "snapshot", "queue", "wire", "node", "peer", "simulated_node", "http"),
                      *self.saved_inputs("segment", "node_store", "snapshot", "frame", "codec")]]
        ends = list(pool.map(lambda run: run.run(), runs))
        trouble = [f"{run.detector.name}: {end.text.strip()[-300:]}" for run, end in zip(runs, ends) if not end.is_good]
        return trouble, sum(end.cpu_seconds for end in ends)
