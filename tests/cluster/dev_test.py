"""`raftmq dev`: three nodes that can be killed and that end with it."""

import json
import os
import signal
import socket
import subprocess
import time

from cluster import binary, check, check_equal, cli, free_ports, patience, request, spawn, wait_for
from promises import promise


class Dev:
    def __init__(self, folder, *more):
        self.base_port = free_dev_ports()
        self.log_path = os.path.join(folder, "dev.log")
        self.url = f"http://127.0.0.1:{self.base_port}"
        self.started = time.monotonic()
        with open(self.log_path, "wb") as log:
            self.process = spawn([binary(), "dev", "-n", "3", "--base-port", str(self.base_port),
                                  "--data-dir", os.path.join(folder, "data"), *more],
                                 stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)

    def ports(self):
        return [self.base_port + 10 * i for i in range(3)]

    def wait_ready(self):
        for port in self.ports():
            wait_for(lambda: request(port, "GET", "/readyz", seconds=3).status == 200, patience(15), f"port {port}")
        return time.monotonic() - self.started

    def answers(self):
        count = 0
        for port in self.ports():
            try:
                request(port, "GET", "/livez", seconds=3)
                count += 1
            except OSError:
                pass
        return count


def free_dev_ports():
    """A base whose three HTTP ports and their neighbours are free."""
    for _ in range(50):
        base = free_ports(1)[0] // 100 * 100
        try:
            for port in range(base, base + 30):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise AssertionError("no 30 free ports in a row")


@promise()
def dev_serves_in_under_a_second(folder):
    """From the start of `raftmq dev` to the first acknowledged message: under a second (asked of a plain build)."""
    dev = Dev(folder)

    def first_ack():
        answer = request(dev.base_port, "POST", "/v1/topics/demo/messages", b"hi")
        return answer.status == 201

    wait_for(first_ack, patience(10), "the first ack", every=0.005)
    took = time.monotonic() - dev.started
    dev.wait_ready()
    if os.environ.get("RAFTMQ_SANITIZED") != "1":
        check(took < 1.0, f"the first ack came after {took * 1000:.0f} ms")
    dev.process.terminate()
    dev.process.wait(patience(15))
    check_equal(dev.process.returncode, 0, "exit status after SIGTERM")
    check_equal(dev.answers(), 0, "nodes that still answer")
    return f"first ack after {took * 1000:.0f} ms"


@promise()
def nodes_end_with_dev_even_when_it_is_killed(folder):
    """SIGKILL to `dev`: no node outlives it."""
    dev = Dev(folder)
    dev.wait_ready()
    dev.process.send_signal(signal.SIGKILL)
    dev.process.wait(10)
    wait_for(lambda: dev.answers() == 0, patience(5), "the nodes to end")


@promise()
def the_first_five_minutes_work_as_written(folder):
    """echo | produce, consume, curl-like requests, the list of topics, the cluster's status, a group: exit 0 and the
    output a newcomer expects."""
    dev = Dev(folder)
    dev.wait_ready()
    done = cli("-s", dev.url, "produce", "demo", input=b"hello\nworld\n")
    check_equal(done.returncode, 0, f"produce: {done.stderr!r}")
    done = cli("-s", dev.url, "consume", "demo", "--from", "earliest", "-e")
    check_equal((done.returncode, done.stdout), (0, b"hello\nworld\n"), f"consume: {done.stderr!r}")
    done = cli("-s", dev.url, "consume", "demo", "--from", "1", "-e", "-f", "%o %v\\n")
    check_equal((done.returncode, done.stdout), (0, b"1 world\n"), f"consume -f: {done.stderr!r}")
    done = cli("-s", dev.url, "consume", "demo", "--from", "earliest", "-e", "--json")
    check_equal([json.loads(line)["value"] for line in done.stdout.splitlines()], ["hello", "world"], "consume --json")
    answer = request(dev.base_port, "POST", "/v1/topics/demo/messages", b"from curl")
    check_equal((answer.status, answer.json()["offset"]), (201, 2), "a raw message")
    done = cli("-s", dev.url, "consume", "demo", "-g", "billing", "--from", "earliest", "-e")
    check_equal(done.stdout, b"hello\nworld\nfrom curl\n", f"consume -g: {done.stderr!r}")
    done = cli("-s", dev.url, "topic", "list", "-o", "json")
    topics = json.loads(done.stdout)["topics"]
    check_equal([(topic["name"], topic["messages"]) for topic in topics], [("demo", 3)], "topic list")
    done = cli("-s", dev.url, "topic", "describe", "demo", "-o", "json")
    described = json.loads(done.stdout)
    check_equal((described["partitions"], described["partition_list"][0]["next_offset"]), (1, 3), "topic describe")
    check_equal(set(described), set(request(dev.base_port, "GET", "/v1/topics/demo").json()), "members of topic describe and of GET")
    done = cli("-s", dev.url, "group", "describe", "billing", "-o", "json")
    check_equal(json.loads(done.stdout)["offsets"][0]["committed"], 3, "group describe")
    done = cli("-s", dev.url, "cluster", "status", "-o", "json")
    check_equal(len(json.loads(done.stdout)["nodes"]), 3, "cluster status")
    done = cli("-s", dev.url, "topic", "delete", "demo", "-y")
    check_equal(done.returncode, 0, f"topic delete: {done.stderr!r}")
    done = cli("-s", dev.url, "topic", "describe", "demo")
    check_equal(done.returncode, 3, f"a deleted topic is not found: {done.stderr!r}")
    done = cli("version")
    check_equal((done.returncode, done.stdout.split()[0]), (0, b"raftmq"), "version")


@promise()
def a_file_goes_into_a_new_topic(folder):
    """The first command a newcomer types: 50,000 lines into a topic that does not exist yet, in many batches at once. Five
    topics, each complete and in order."""
    dev = Dev(folder)
    dev.wait_ready()
    lines = b"".join(b"line %d of a file\n" % i for i in range(50000))
    for number in range(5):
        done = cli("-s", dev.url, "produce", f"words{number}", input=lines)
        check_equal(done.returncode, 0, f"produce into a new topic: {done.stderr[-300:]!r}")
        done = cli("-s", dev.url, "consume", f"words{number}", "--from", "earliest", "-e")
        check_equal(done.returncode, 0, f"consume: {done.stderr[-300:]!r}")
        check(done.stdout == lines, f"what is read is what was sent: {len(done.stdout)} of {len(lines)} bytes")
