"""Clients that write down all they did, for raftmq-history-check (the format: tests/checker/history_text.h).

Each client is a thread with its own connections. A producer is idempotent and repeats a batch at the next node until it
is acknowledged; the whole, from the first attempt to the last answer, is one operation. What never got an answer is
recorded as unknown. Times are nanoseconds of this process's monotonic clock, so "ended before that began" is a true
order across all clients. The judge shares no code with the broker."""

import http.client
import json
import os
import random
import subprocess
import threading
import time

from cluster import Answer, Failed, binary, check, patience

PARTITION_NAME = "orders/0"
TOPIC = "orders"
_MESSAGES = f"/v1/topics/{TOPIC}/messages"
_NDJSON = {"Content-Type": "application/x-ndjson"}


class Connections:
    """One kept connection per node; dropped at the first trouble."""

    def __init__(self):
        self._open = {}

    def request(self, node, method, path, body=None, headers=None, seconds=1.0):
        connection = self._open.pop(node, None)
        if connection is None:
            connection = http.client.HTTPConnection(node.host, node.http_port)
        connection.timeout = seconds
        if connection.sock is not None:
            connection.sock.settimeout(seconds)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            answer = Answer(response.status, {}, response.read())
        except BaseException:
            connection.close()
            raise
        self._open[node] = connection
        return answer

    def close(self):
        for connection in self._open.values():
            connection.close()
        self._open.clear()


class Client(threading.Thread):
    def __init__(self, recorder, name, nodes, attempt_s):
        super().__init__(name=name, daemon=True)
        self.recorder, self.nodes, self.attempt_s = recorder, list(nodes), attempt_s
        self.random = random.Random(name)
        self.lines, self.error = [], None
        self.stopping = threading.Event()
        self._connections = Connections()

    def ask(self, node, method, path, body=None, headers=None, seconds=None):
        """The answer, or None when there was none in time."""
        try:
            return self._connections.request(node, method, path, body, headers, seconds or self.attempt_s)
        except (OSError, http.client.HTTPException):
            return None

    def note(self, kind, outcome, invoked, node, *rest):
        asked = f" node=n{node.number}" if node is not None else ""
        self.lines.append(f"{kind} {outcome} {invoked} {time.monotonic_ns()} session={self.name}{asked} "
                          f"partition={PARTITION_NAME} {' '.join(rest)}\n")

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step()
        except Exception as error:  # shown by the recorder, in the thread of the test
            self.error = f"{self.name}: {error!r}"
        finally:
            self._connections.close()


class HistoryProducer(Client):
    """One batch at a time. `acks` holds the times of its acknowledgements."""

    def __init__(self, recorder, number, nodes, attempt_s=1.0, pause_s=0.005, value_bytes=0, batch_max=4, first=None):
        super().__init__(recorder, f"p{number}", nodes, attempt_s)
        self.number, self.pause_s, self.value_bytes, self.batch_max = number, pause_s, value_bytes, batch_max
        self.producer, self.sequence = None, 0
        self.target = first or self.random.choice(self.nodes)
        self.acks = []
        self.failed = []  # attempts without an acknowledgement: their answer, or None

    def turn_to_next_node(self):
        self.target = self.nodes[(self.nodes.index(self.target) + 1) % len(self.nodes)]

    def take_id(self):
        answer = self.ask(self.target, "POST", "/v1/producers")
        if answer is not None and answer.status == 201:
            told = answer.json()
            self.producer = (told["producer_id"], told["epoch"])
        else:
            self.turn_to_next_node()
            self.stopping.wait(0.01)

    def step(self):
        if self.producer is None:
            self.take_id()
            return
        count = self.random.randint(1, self.batch_max)
        body = "".join(json.dumps({"value": f"{self.number}.{self.sequence + i}" + " " * self.value_bytes}) + "\n"
                       for i in range(count)).encode()
        headers = {**_NDJSON, "Raftmq-Producer-Id": str(self.producer[0]),
                   "Raftmq-Producer-Epoch": str(self.producer[1]), "Raftmq-Sequence": str(self.sequence)}
        batch = (f"producer={self.producer[0]}:{self.producer[1]}:{self.sequence}",
                 f"values={self.number}.{self.sequence}+{count}")
        invoked = time.monotonic_ns()
        while not self.stopping.is_set():
            node = self.target
            answer = self.ask(node, "POST", _MESSAGES + "?partition=0", body, headers)
            if answer is not None and answer.status in (200, 201):
                told = answer.json()
                self.acks.append(time.monotonic())
                self.note("produce", "ok", invoked, node, *batch, f"at={told['offset']}+{count}")
                self.sequence += count
                self.stopping.wait(self.pause_s)
                return
            if answer is not None and answer.status not in (429, 503, 504, 507):
                self.note("produce", "unknown", invoked, node, *batch)
                raise Failed(f"batch {self.sequence}+{count} at {node}: {answer}")
            self.failed.append(answer)
            self.turn_to_next_node()
            self.stopping.wait(0.005)
        self.note("produce", "unknown", invoked, None, *batch)


def runs_of(messages):
    """OFFSET:VALUE+COUNT for what stands together."""
    runs = []
    for message in messages:
        producer, number = map(int, message["value"].split(".", 1))
        offset = message["offset"]
        if runs and (offset, producer, number) == (runs[-1][0] + runs[-1][3], runs[-1][1], runs[-1][2] + runs[-1][3]):
            runs[-1][3] += 1
        else:
            runs.append([offset, producer, number, 1])
    return ",".join(f"{offset}:{producer}.{number}+{count}" for offset, producer, number, count in runs)


class HistoryReader(Client):
    """Reads on from where it stood, at nodes chosen at random; now and then asks for the end, or starts again."""

    def __init__(self, recorder, name, nodes, attempt_s=1.0, pause_s=0.01):
        super().__init__(recorder, name, nodes, attempt_s)
        self.pause_s, self.offset, self.seek = pause_s, 0, False

    def fetch(self, node, limit=2000, seconds=None):
        """True when it was answered; the place moves on."""
        invoked = time.monotonic_ns()
        start = (["seek"] if self.seek else []) + [f"from={self.offset}"]
        answer = self.ask(node, "GET", f"{_MESSAGES}?partition=0&offset={self.offset}&limit={limit}", seconds=seconds)
        if answer is None or answer.status != 200:
            self.note("fetch", "fail", invoked, node, *start)
            return False
        page = answer.json()
        got = runs_of(page["messages"])
        self.note("fetch", "ok", invoked, node, *start, *([f"got={got}"] if got else []),
                  f"next={page['next_offset']} end={page['high_watermark']} first={page['first_offset']}")
        self.offset, self.seek = page["next_offset"], False
        self.end = page["high_watermark"]
        return True

    def ask_end(self, node):
        invoked = time.monotonic_ns()
        answer = self.ask(node, "GET", f"/v1/topics/{TOPIC}/partitions/0")
        if answer is None or answer.status != 200:
            return
        told = answer.json()
        self.note("offsets", "ok", invoked, node, f"first={told['first_offset']} end={told['next_offset']}")

    def step(self):
        node = self.random.choice(self.nodes)
        chance = self.random.random()
        if chance < 0.1:
            self.ask_end(node)
        else:
            if chance > 0.99:
                self.offset, self.seek = max(0, self.offset - 500), True
            self.fetch(node)
        self.stopping.wait(self.pause_s)


class HistoryCommitter(Client):
    """Commits rising offsets of a group at random nodes, and reads the group's offset at others. Never one beyond what is
    acknowledged to stand in the log, so a node that calls an offset beyond the end is wrong."""

    def __init__(self, recorder, group, nodes, attempt_s=1.0, pause_s=0.01):
        super().__init__(recorder, f"g-{group}", nodes, attempt_s)
        self.group, self.pause_s, self.offset = group, pause_s, 0
        self.path = f"/v1/groups/{group}/offsets/{TOPIC}/0"

    def commit(self, node):
        """Every commit sets another offset, so a read tells which commit it saw."""
        invoked = time.monotonic_ns()
        body = json.dumps({"offset": self.offset}).encode()
        answer = self.ask(node, "PUT", self.path, body, {"Content-Type": "application/json"})
        outcome = "unknown"
        if answer is not None:
            check(answer.status in (204, 429, 503, 504), f"commit of offset {self.offset} at {node}: {answer}")
            outcome = {204: "ok", 503: "fail", 429: "fail"}.get(answer.status, "unknown")
        self.note("commit", outcome, invoked, node, f"group={self.group}", f"offset={self.offset}")
        self.offset += 1

    def read(self, node):
        invoked = time.monotonic_ns()
        answer = self.ask(node, "GET", self.path)
        if answer is None or answer.status not in (200, 404):
            return
        told = answer.json()
        if answer.status == 404:
            check("no-offset" in told["type"], f"offset of {self.group} from {node}: {answer}")
        self.note("committed", "ok", invoked, node, f"group={self.group}",
                  f"offset={told['offset'] if answer.status == 200 else 'none'}")

    def step(self):
        if self.offset <= self.recorder.acked_messages():
            self.commit(self.random.choice(self.nodes))
        self.read(self.random.choice(self.nodes))
        self.stopping.wait(self.pause_s)


class Recorder:
    """A topic under load from recorded clients. Start it, break things, finish() it, judge()."""

    def __init__(self, cluster, producers=3, readers=3, committers=1, **producer_options):
        nodes = cluster.nodes
        self.cluster = cluster
        self.path = os.path.join(cluster.folder, "history.txt")
        self.producers = [HistoryProducer(self, i + 1, nodes, first=nodes[i % len(nodes)], **producer_options)
                          for i in range(producers)]
        self.readers = [HistoryReader(self, f"c{i + 1}", nodes) for i in range(readers)]
        self.committers = [HistoryCommitter(self, f"group{i + 1}", nodes) for i in range(committers)]
        self.clients = [*self.producers, *self.readers, *self.committers]
        self.probes = []

    def start(self):
        for client in self.clients:
            client.start()
        self.wait_progress(20)
        return self

    def check_alive(self):
        for client in self.clients:
            check(client.error is None, client.error)

    def acked_messages(self):
        return sum(producer.sequence for producer in self.producers)

    def wait_progress(self, seconds, acks=3):
        """Until every producer has got `acks` more; returns how long that took."""
        started = time.monotonic()
        wanted = [len(producer.acks) + acks for producer in self.producers]
        while any(len(producer.acks) < count for producer, count in zip(self.producers, wanted)):
            self.check_alive()
            check(time.monotonic() - started < patience(seconds),
                  f"no {acks} acks for each producer within {patience(seconds):g} s")
            time.sleep(0.002)
        return time.monotonic() - started

    def probe(self, node, count=3, seconds=15):
        """Reads of the newest messages sent to one node that may not answer for a while; recorded like all others."""
        probes = []
        for _ in range(count):
            probe = HistoryReader(self, f"probe{len(self.probes)}", [node], attempt_s=seconds)
            probe.offset, probe.seek = max(0, max(reader.offset for reader in self.readers) - 5), True
            thread = threading.Thread(target=probe.fetch, args=(node,), daemon=True)
            thread.start()
            self.probes.append(probe)
            probes.append(thread)
        return probes

    def plain_write(self, node, seconds):
        """A message without producer id, sent once; its answer. Stored or not, the history knows of it."""
        writer = HistoryProducer(self, 1000 + len(self.probes), [node])
        self.probes.append(writer)
        invoked, value = time.monotonic_ns(), f"{writer.number}.0"
        try:
            answer = node.produce(TOPIC, value.encode(), seconds=seconds)
        except (OSError, http.client.HTTPException):
            writer.note("produce", "unknown", invoked, node, f"values={value}")
            raise
        if answer.status == 201:
            writer.note("produce", "ok", invoked, node, f"values={value}", f"at={answer.json()['offset']}")
        else:
            writer.note("produce", "fail" if answer.status == 503 else "unknown", invoked, node, f"values={value}")
        return answer

    def longest_gap(self, since, until):
        """Per producer, the longest time without an ack that overlaps [since, until]."""
        gaps = []
        for producer in self.producers:
            times = [at for at in list(producer.acks) if at <= until]
            before = max((at for at in times if at <= since), default=since)
            marks = [before] + [at for at in times if at > since] + [until]
            gaps.append(max(b - a for a, b in zip(marks, marks[1:])))
        return gaps

    def stop(self):
        for client in self.clients:
            client.stopping.set()
        for client in self.clients:
            client.join(patience(30))
            check(not client.is_alive(), f"client {client.name} does not end")
        self.check_alive()

    def finish(self):
        """Stop the clients, then read everything from every node."""
        self.stop()
        drains = []
        for node in self.cluster.running():
            drain = HistoryReader(self, f"drain-{node}", [node], attempt_s=patience(20))
            drain.seek = True
            invoked = time.monotonic_ns()
            deadline = time.monotonic() + patience(60)
            while True:
                check(drain.fetch(node, limit=10000), f"{node} does not serve offset {drain.offset}")
                if drain.offset >= drain.end:
                    break
                check(time.monotonic() < deadline, f"{node} is not read to its end in {patience(60):g} s")
            drain.note("drained", "ok", invoked, None, "first=0")
            drains.append(drain)
        with open(self.path, "w") as file:
            for client in [*self.clients, *self.probes, *drains]:
                file.writelines(client.lines)
        return self

    def judge(self):
        """What the checker counts, as one line; Failed unless the history is clean."""
        done = run_checker(self.path)
        text = done.stdout.decode(errors="replace")
        check(done.returncode == 0, f"raftmq-history-check of {self.path} exits {done.returncode}:\n{text[-3000:]}")
        acked = sum(len(producer.acks) for producer in self.producers)
        check(acked > 20, f"only {acked} batches were acknowledged: this shows nothing")
        return f"history clean: {acked} batches acked, {sum(len(c.lines) for c in self.clients)} operations"


def run_checker(*paths):
    tool = os.path.join(os.path.dirname(binary()), "raftmq-history-check")
    check(os.access(tool, os.X_OK), f"{tool} is not built")
    return subprocess.run([tool, *paths], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=patience(120))
