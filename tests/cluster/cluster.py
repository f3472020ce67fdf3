"""Real nodes as processes on loopback, for tests.

Everything here is bounded: every wait has a limit and says what it waited for, every process ends with the test (or with
the runner, should that be killed), and nothing sleeps in the hope that something has happened by then.
"""

import contextlib
import ctypes
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.parse


class Failed(AssertionError):
    """A promise that does not hold."""


class Skipped(Exception):
    """The machine lacks a tool or a privilege; the reason is shown."""


def check(condition, text):
    if not condition:
        raise Failed(text)


def check_equal(found, wanted, text):
    if found != wanted:
        raise Failed(f"{text}: found {found!r}, wanted {wanted!r}")


def wait_for(condition, seconds, what, every=0.02):
    """Poll until condition() is true and return its value; Failed after `seconds`. A refused connection counts as false."""
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            last = error
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds:g} s for {what}; last seen: {last!r}")
        time.sleep(every)


# Below the kernel's ephemeral range: no outgoing connection takes one while its node is down.
_ports = range(20000, 32000)
_given_ports = set()


def use_ports(ports):
    """The ports of this process: what runs beside it has others."""
    global _ports
    _ports = ports


def free_ports(count):
    """Ports that nobody listens on. None is given twice: that of a node which is down looks free."""
    ports, sockets = [], []
    try:
        for _ in range(2000):
            if len(ports) == count:
                _given_ports.update(ports)
                return ports
            port = random.choice(_ports)
            if port in _given_ports:
                continue
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe.close()
                continue
            sockets.append(probe)
            ports.append(port)
    finally:
        for probe in sockets:
            probe.close()
    raise Failed(f"no {count} free ports between {_ports.start} and {_ports.stop}")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


def request(port, method, path, body=None, headers=None, seconds=15, host="127.0.0.1"):
    """One HTTP request to a node. OSError when nobody answers."""
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, dict((k.lower(), v) for k, v in response.getheaders()), response.read())
    finally:
        connection.close()


_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def _die_with_parent():
    """In the child before exec: SIGKILL when the runner is gone."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


_processes = []


def spawn(arguments, **options):
    process = subprocess.Popen(arguments, preexec_fn=_die_with_parent, **options)
    _processes.append(process)
    return process


def ended_processes():
    """What has ended by now, for the text of a failure."""
    return [f"{' '.join(process.args[:4])} ...: exit status {process.returncode}"
            for process in _processes if process.poll() is not None]


def end_processes():
    """SIGKILL to whatever a test left running, by its own handle, and wait for each."""
    for process in _processes:
        if process.poll() is None:
            process.kill()
    for process in _processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
    _processes.clear()


def binary():
    return os.environ["RAFTMQ_BINARY"]


def is_sanitized():
    return os.environ.get("RAFTMQ_SANITIZED") == "1"


def patience(seconds):
    """Sanitized builds on a busy machine get three times as long."""
    return seconds * 3 if is_sanitized() else seconds


def cli(*arguments, input=None, seconds=60, env=None):
    """Run the command line tool to its end. Returns the finished process, output as bytes."""
    try:
        return subprocess.run(
            [binary(), *map(str, arguments)],
            input=input,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=patience(seconds),
            env={**os.environ, **(env or {})},
            preexec_fn=_die_with_parent,
            stdin=subprocess.DEVNULL if input is None else None,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"raftmq {' '.join(map(str, arguments))}: no end after {patience(seconds):g} s; "
                     f"stderr: {(error.stderr or b'')[-500:]!r}") from None


def node_number(name):
    """'n2', '2' or 2 as a number; None for no node."""
    if name in (None, "", 0, "0"):
        return None
    return int(str(name).lstrip("n"))


class Server:
    """What a test asks of a node over HTTP, wherever the node runs. Needs http_port."""

    host = "127.0.0.1"

    def request(self, method, path, body=None, headers=None, seconds=15):
        return request(self.http_port, method, path, body, headers, patience(seconds), self.host)

    def get(self, path, seconds=15):
        return self.request("GET", path, seconds=seconds)

    def is_ready(self):
        return self.get("/readyz", seconds=3).status == 200

    def status(self):
        return self.get("/v1/cluster", seconds=5).json()

    def groups(self):
        """Replicas on this node, by (topic, partition); the meta group under ('', 0)."""
        groups = self.get("/v1/cluster?groups=1", seconds=5).json()["groups"]
        return {(group["topic"] or "", group["partition"]): group for group in groups}

    def group(self, topic, partition=0):
        return self.groups()[(topic, partition)]

    def topic(self, name):
        return self.get(f"/v1/topics/{name}", seconds=5).json()

    def produce(self, topic, value, partition=0, headers=None, seconds=15):
        """One raw message; the answer."""
        return self.request("POST", f"/v1/topics/{topic}/messages?partition={partition}", body=value,
                            headers={"Content-Type": "application/octet-stream", **(headers or {})}, seconds=seconds)

    def fetch(self, topic, offset="earliest", partition=0, limit=1000, wait="0s", seconds=20):
        query = urllib.parse.urlencode({"partition": partition, "offset": offset, "limit": limit, "wait": wait})
        return self.get(f"/v1/topics/{topic}/messages?{query}", seconds=seconds)

    def read_all(self, topic, partition=0, limit=5000):
        """Every message from the earliest to the high watermark that the first answer names: [(offset, value)]."""
        messages, offset, end = [], "earliest", None
        while True:
            answer = self.fetch(topic, offset, partition, limit, seconds=60)
            check_equal(answer.status, 200, f"fetch of {topic} at {offset} from {self}: {answer}")
            page = answer.json()
            if end is None:
                end = page["high_watermark"]
            messages += [(message["offset"], message["value"]) for message in page["messages"]]
            if page["next_offset"] >= end:
                return messages
            check(page["messages"], f"fetch of {topic} at {offset} from {self} is empty below the watermark {end}")
            offset = page["next_offset"]


class Node(Server):
    """A node as a process on loopback."""

    def __init__(self, cluster, number, http_port, peer_port, joins=False):
        self.cluster, self.number, self.joins = cluster, number, joins
        self.http_port, self.peer_port = http_port, peer_port
        self.data = os.path.join(cluster.folder, f"n{number}")
        self.log_path = os.path.join(cluster.folder, f"n{number}.log")
        self.process = None

    def __repr__(self):
        return f"n{self.number}"

    @property
    def url(self):
        return f"http://{self.host}:{self.http_port}"

    @property
    def peer(self):
        return f"{self.host}:{self.peer_port}"

    def arguments(self):
        return [
            binary(), "serve",
            "--node-id", str(self.number),
            "--data-dir", self.data,
            "--listen-http", f"{self.host}:{self.http_port}",
            "--listen-peer", f"{self.host}:{self.peer_port}",
            "--peers", self.cluster.peers,
            *(["--join"] if self.joins else []),
            *self.cluster.options,
        ]

    def start(self, *more, wrapper=(), env=None):
        check(self.process is None or self.process.poll() is not None, f"{self} is running")
        with open(self.log_path, "ab") as log:
            self.process = spawn([*wrapper, *self.arguments(), *more], stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, env={**os.environ, **(env or {})})
        return self

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL, as a power switch for one process."""
        self.process.kill()
        self.process.wait(10)

    def wait_exit(self, seconds=20):
        """Exit status once the process has ended by itself (negative: a signal)."""
        try:
            return self.process.wait(patience(seconds))
        except subprocess.TimeoutExpired:
            raise Failed(f"{self} has not exited after {patience(seconds):g} s") from None

    def stop(self, seconds=20):
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        return self.wait_exit(seconds)

    def log(self):
        with contextlib.suppress(FileNotFoundError), open(self.log_path, errors="replace") as file:
            return file.read()
        return ""


class Cluster:
    """`count` nodes in one folder; a context manager that ends them."""

    def __init__(self, folder, count=3, options=()):
        self.folder, self.options = folder, list(options)
        os.makedirs(folder, exist_ok=True)
        ports = free_ports(count * 2)
        self.peers = ",".join(f"n{i + 1}=127.0.0.1:{ports[count + i]}" for i in range(count))
        self.nodes = [Node(self, i + 1, ports[i], ports[count + i]) for i in range(count)]

    def grow(self, count):
        """Nodes that are new to the cluster and join it once they are admitted; not started."""
        ports, first = free_ports(count * 2), len(self.nodes) + 1
        new = [Node(self, first + i, ports[i], ports[count + i], joins=True) for i in range(count)]
        self.nodes += new
        return new

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            if node.is_running():
                node.kill()

    def __iter__(self):
        return iter(self.nodes)

    def node(self, number):
        return self.nodes[number - 1]

    @property
    def urls(self):
        return ",".join(node.url for node in self.nodes)

    def running(self):
        return [node for node in self.nodes if node.is_running()]

    def start(self, seconds=30):
        for node in self.nodes:
            if not node.is_running():
                node.start()
        return self.wait_ready(seconds)

    def wait_ready(self, seconds=30):
        for node in self.running():
            wait_for(node.is_ready, patience(seconds), f"{node} to be ready")
        return self

    def create(self, topic, partitions=1, **settings):
        answer = self.running()[0].request(
            "PUT", f"/v1/topics/{topic}", body=json.dumps({"partitions": partitions, **settings}),
            headers={"Content-Type": "application/json"})
        check(answer.status in (200, 201), f"create {topic}: {answer}")
        return answer.json()

    def leader(self, topic=None, seconds=20):
        """The node that leads the topic's partition 0 (or the meta group), as a running node itself says."""

        def find():
            for node in self.running():
                with contextlib.suppress(OSError, http.client.HTTPException, KeyError, ValueError):
                    group = node.groups().get((topic or "", 0))
                    if group and group["role"] == "leader":
                        return node
            return None

        return wait_for(find, patience(seconds), f"a leader of {topic or 'the meta group'}")

    def wait_in_sync(self, node, topic, seconds=30):
        """Until `node` is ready and has committed all that the leader had committed when this was called."""
        target = self.leader(topic).group(topic)["commit_index"]
        wait_for(lambda: node.is_ready() and node.group(topic)["applied_index"] >= target, patience(seconds),
                 f"{node} to reach index {target} of {topic}")

    def stop_all(self):
        """SIGTERM to all, each must exit 0."""
        nodes = self.running()
        for node in nodes:
            node.process.terminate()
        for node in nodes:
            check_equal(node.wait_exit(30), 0, f"exit status of {node} after SIGTERM")

    def log_tails(self, lines=25):
        parts = []
        for node in self.nodes:
            tail = "\n".join("    " + line for line in node.log().splitlines()[-lines:])
            parts.append(f"  log of {node}:\n{tail}")
        return "\n".join(parts)
