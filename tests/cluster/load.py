"""Load from idempotent producers, and the check of what became of it.

Each producer is the command line tool reading numbered messages from a pipe, retrying by itself, and writing what was
acknowledged into a file. The judgement shares no code with it: it compares the numbers in the values."""

import contextlib
import os
import subprocess
import threading
import time

from cluster import Failed, binary, check, check_equal, patience, spawn


class Producer:
    def __init__(self, cluster, topic, name, rate=400, options=()):
        self.name = name
        self.acked_path = os.path.join(cluster.folder, f"{name}.acked")
        self.log_path = os.path.join(cluster.folder, f"{name}.log")
        self.sent = 0
        self._rate = rate
        self._stopping = threading.Event()
        with open(self.log_path, "wb") as log:
            self.process = spawn(
                [binary(), "-s", cluster.urls, "-q", "produce", topic, "--acked-log", self.acked_path, *options],
                stdin=subprocess.PIPE, stdout=log, stderr=log)
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()

    def _feed(self):
        """Messages "NAME/NUMBER/..." at the wanted rate; a full pipe holds it back."""
        started, pipe = time.monotonic(), self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            while not self._stopping.is_set():
                due = int((time.monotonic() - started) * self._rate) + 1 - self.sent
                for _ in range(min(due, self._rate)):
                    pipe.write(f"{self.name}/{self.sent}/{'x' * (self.sent % 61)}\n".encode())
                    self.sent += 1
                pipe.flush()
                self._stopping.wait(0.01)
        with contextlib.suppress(BrokenPipeError):
            pipe.close()

    def acked_count(self):
        """Lines in the file of acknowledgements."""
        with contextlib.suppress(FileNotFoundError), open(self.acked_path, "rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
        return 0

    def acked(self):
        """[(producer id, sequence, offset)] in the order of the file."""
        lines = []
        with open(self.acked_path) as file:
            for line in file:
                producer_id, sequence, offset, _hash = line.split()
                lines.append((int(producer_id), int(sequence), int(offset)))
        return lines

    def finish(self, seconds=60):
        """End of input; the tool must store the rest and exit 0."""
        self._stopping.set()
        self._feeder.join(patience(seconds))
        check(not self._feeder.is_alive(), f"producer {self.name} does not take its input any more")
        try:
            status = self.process.wait(patience(seconds))
        except subprocess.TimeoutExpired:
            raise Failed(f"producer {self.name} has not ended {patience(seconds):g} s after its input") from None
        if status != 0:
            with open(self.log_path, errors="replace") as log:
                raise Failed(f"producer {self.name} exited {status}: {log.read()[-600:]}")


class Verdict:
    def __init__(self):
        self.acked = self.read = self.lost = self.duplicated = self.reordered = self.misplaced = 0

    def __str__(self):
        return (f"acked {self.acked}, read {self.read}, lost {self.lost}, duplicated {self.duplicated}, "
                f"reordered {self.reordered}")

    def is_clean(self):
        return self.lost == self.duplicated == self.reordered == self.misplaced == 0


def judge(producers, messages):
    """Compare what was acknowledged with one node's messages [(offset, value)]."""
    verdict = Verdict()
    verdict.read = len(messages)
    check_equal([offset for offset, _ in messages], list(range(len(messages))), "offsets are dense from 0")
    at_offset, next_number, seen = {}, {}, set()
    for offset, value in messages:
        name, number, _ = value.split("/", 2)
        number = int(number)
        at_offset[offset] = (name, number)
        if (name, number) in seen:
            verdict.duplicated += 1
        elif number < next_number.get(name, 0):
            verdict.reordered += 1
        seen.add((name, number))
        next_number[name] = max(next_number.get(name, 0), number + 1)
    for producer in producers:
        acked = producer.acked()
        verdict.acked += len(acked)
        check_equal(len({producer_id for producer_id, _, _ in acked}), 1, f"producer ids used by {producer.name}")
        for _, sequence, offset in acked:
            if (producer.name, sequence) not in seen:
                verdict.lost += 1
            elif at_offset.get(offset) != (producer.name, sequence):
                verdict.misplaced += 1
    return verdict


def check_history(cluster, topic, producers):
    """Every producer's messages, all acknowledged, stand once and in order on every node, at the offsets told."""
    for producer in producers:
        check_equal(producer.acked_count(), producer.sent, f"acknowledged of what {producer.name} sent")
    first = None
    for node in cluster.running():
        messages = node.read_all(topic)
        verdict = judge(producers, messages)
        check(verdict.is_clean(), f"history read from {node}: {verdict}, at another offset than acknowledged: "
                                  f"{verdict.misplaced}")
        check(first is None or messages == first, f"{node} serves other messages than {cluster.running()[0]}")
        first = messages
    return verdict
