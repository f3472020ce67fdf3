"""Retention with real processes: bounded disk use, one start of the log on all replicas, and what is in front of it (S4, S5)."""

import json
import os
import threading
import time

from cluster import Cluster, binary, check, check_equal, cli, is_sanitized, patience, spawn, wait_for
from promises import promise

MIB = 1 << 20


def used_bytes(folder):
    """Of files that may vanish while they are looked at."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


class Watcher(threading.Thread):
    """The most that each node's directory ever held, looked at ten times a second."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.most, self.ends = cluster, dict.fromkeys(cluster, 0), threading.Event()

    def run(self):
        while not self.ends.wait(0.1):
            for node in self.cluster:
                self.most[node] = max(self.most[node], used_bytes(node.data))

    def stop(self):
        self.ends.set()
        self.join()
        return self.most


def metric(node, name):
    for line in node.get("/metrics").body.decode().splitlines():
        if line.startswith(f"raftmq_{name}{{") and 'topic="orders"' in line:
            return int(line.split()[-1])
    return 0


def next_offset(node):
    return node.get("/v1/topics/orders/partitions/0").json()["next_offset"]


def produce_for(cluster, wanted):
    """Messages of 1 KiB by eight clients until the topic got so many; an outage of one node does not stop them."""
    urls = ",".join(f"127.0.0.1:{node.http_port}" for node in cluster.running())
    while True:
        left = wanted - next_offset(cluster.running()[0])
        if left <= 0:
            return
        process = spawn([binary(), "bench", "produce", "--topic", "orders", "--size", "1024", "--msgs", str(left),
                         "--warmup", "0", "--server", urls], stdout=open(os.devnull, "wb"), stderr=open(os.devnull, "wb"))
        process.wait(patience(600))


def check_alike(cluster, first):
    """Every replica says the same, and refuses what is in front of it with the start that all name."""
    for node in cluster:
        bounds = node.get("/v1/topics/orders/partitions/0").json()
        check_equal(bounds["first_offset"], first, f"start of the log on {node}")
        answer = node.fetch("orders", 0)
        check_equal((answer.status, answer.json()["first_offset"]), (416, first), f"a fetch of offset 0 from {node}")
        answer = node.fetch("orders", first, limit=1)
        check_equal(answer.status, 200, f"a fetch of the first offset from {node}")
        check_equal(answer.json()["messages"][0]["offset"], first, f"the first message of {node}")


def soak(folder, retained, times):
    # A sleeping replica costs the others nothing; the log of every node is bounded by the same sum.
    segment = max(MIB, retained // 16)
    with Cluster(folder, options=["--segment-bytes", str(segment), "--cache-bytes", str(4 * MIB)]) as cluster:
        cluster.start()
        cluster.create("orders", retention_bytes=retained)
        slow = cluster.node(1).request("PUT", "/v1/groups/slow/offsets/orders/0", body=json.dumps({"offset": 0}),
                                       headers={"Content-Type": "application/json"})
        check_equal(slow.status, 204, "commit of the slow group")
        watcher = Watcher(cluster)
        watcher.start()
        begun = time.monotonic()
        wanted = retained * times // 1024 + 1
        produce_for(cluster, wanted // 5)
        sleeper = next(node for node in cluster if node is not cluster.leader("orders"))
        sleeper.kill()
        slept_at = next_offset(cluster.running()[0])
        produce_for(cluster, wanted * 3 // 5)
        sleeper.start()
        cluster.wait_ready(60)
        produce_for(cluster, wanted)
        took = time.monotonic() - begun
        cluster.wait_in_sync(sleeper, "orders", 60)

        firsts = []

        def at_rest():
            firsts.append([node.get("/v1/topics/orders/partitions/0").json()["first_offset"] for node in cluster])
            return len(firsts) > 15 and all(first == firsts[-1] for first in firsts[-15:]) and len(set(firsts[-1])) == 1

        wait_for(at_rest, patience(60), "the start of the log to rest", every=0.1)
        first = firsts[-1][0]
        check_alike(cluster, first)
        check(first > slept_at, f"what the sleeper had is trimmed: start {first}, it slept at {slept_at}")
        check(metric(sleeper, "raft_bases_installed_total") >= 1, "the sleeper came back through a base")
        written = next_offset(sleeper) * 1024
        check(written >= times * retained, f"{written} bytes were written")
        group = cluster.node(1).get("/v1/groups/slow/offsets/orders/0").json()
        check_equal(group["expired"], first, "messages that expired before the slow group had read them")
        check_equal(metric(cluster.node(2), "group_expired_messages_total"), first, "the metric says the same")
        kept = {node: used_bytes(node.data) for node in cluster}
        most = watcher.stop()
        # What is kept; what a leader keeps for a member that lags (two segments); bases and zeros ahead of the log, and a
        # tenth of a second of writes until it is looked at again.
        bound = 2 * retained + 4 * segment + 24 * MIB + written / took
        for node in cluster:
            check(most[node] <= bound, f"{node} held {most[node] / MIB:.1f} MiB at most, {bound / MIB:.1f} are allowed")
        cluster.stop_all()
        return (f"{written / MIB:.0f} MiB written in {took:.0f} s, {written / retained:.0f} times the {retained / MIB:.0f} MiB "
                f"that are kept; on disk at most {', '.join(f'{node} {most[node] / MIB:.0f}' for node in cluster)} MiB, "
                f"at rest {', '.join(f'{kept[node] / MIB:.0f}' for node in cluster)} MiB; start of the log {first} on all")


@promise(seconds=180)
def retention_bounds_the_disk_and_a_sleeper_comes_back_through_a_base(folder):
    """50 times the retained size is written, a follower killed meanwhile: disk use stays bounded, the log starts at the same
    message everywhere, what is in front of it is a 416 that names it, and a slow group is told how much it lost."""
    return soak(folder, 2 * MIB if is_sanitized() else 4 * MIB, 50)


@promise(seconds=1800, long=True)
def a_long_soak_with_retention_stays_bounded(folder):
    """The same with 64 MiB retained and 60 times as much written."""
    return soak(folder, 64 * MIB, 60)


@promise(seconds=120)
def settings_and_durable_groups_by_the_command_line(folder):
    """topic create and set, group set, topic info and group info say what holds; a consumer that was overtaken says how much
    it missed and goes on, or fails when told to."""
    with Cluster(folder, options=["--segment-bytes", str(MIB)]) as cluster:
        cluster.start()
        server = ["--server", f"127.0.0.1:{cluster.node(2).http_port}"]
        check_equal(cli("topic", "create", "orders", "--retention", "7d", "--retention-bytes", "10GiB",
                        "--retain-until-consumed", *server).returncode, 0, "topic create")
        info = cli("topic", "info", "orders", "-o", "table", *server).stdout.decode()
        check("until consumed" in info and "retention" in info, f"topic info: {info}")
        topic = cluster.node(3).topic("orders")
        check_equal((topic["retention_ms"], topic["retention_bytes"], topic["retain_until_consumed"]),
                    (7 * 86400000, 10 << 30, True), "settings of the topic")
        done = cli("topic", "set", "orders", "--retention", "forever", "--retention-bytes", "1MiB",
                   "--retain-until-consumed=off", *server)
        check_equal(done.returncode, 0, f"topic set: {done.stderr.decode()}")
        topic = cluster.node(1).topic("orders")
        check_equal((topic["retention_ms"], topic["retention_bytes"], topic["retain_until_consumed"]),
                    (None, 1 << 20, False), "settings of the topic")
        check_equal(cli("group", "set", "billing", "--topic", "orders", "--durable", *server).returncode, 0, "group set")
        produce_for(cluster, 8000)
        first = wait_for(lambda: cluster.node(1).get("/v1/topics/orders/partitions/0").json()["first_offset"],
                         patience(30), "something to be trimmed")
        check(first > 0, "the limit holds for a durable group, too")
        info = cli("group", "info", "billing", "-o", "json", *server)
        group = json.loads(info.stdout)["offsets"][0]
        check(group["durable"] and group["expired"] > 0, f"group info: {group}")
        done = cli("consume", "orders", "-g", "billing", "-e", "-f", "%o\\n", *server)
        check_equal(done.returncode, 0, f"consume: {done.stderr.decode()[-300:]}")
        check("were trimmed before they were read" in done.stderr.decode(), "it says what it missed")
        check(int(done.stdout.split()[0]) > 0, "it goes on at the first that is left")
        done = cli("consume", "orders", "--from", "0", "--on-trimmed", "fail", "-e", *server)
        check(done.returncode != 0, "it fails when told to")
        cluster.stop_all()
