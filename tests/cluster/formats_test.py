"""What nodes write is what docs/FORMATS.md says: a reader that was written from that page alone agrees with them."""

import json
import os
import subprocess
import sys

from cluster import Cluster, check, check_equal, cli, patience, wait_for
from load import Producer
from promises import promise

READER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../reader")
sys.path.insert(0, READER)
import formats
import meta
import replay


def write_something(cluster):
    """Rolls, checkpoints, bases, leaders that are killed, offsets of groups; then all nodes are stopped, one of them hard."""
    cluster.create("orders", partitions=2)
    for partition in range(2):
        check_equal(cluster.leader("orders").produce("orders", b"hello", partition).status, 201, "produce")
    producer = Producer(cluster, "orders", "p1", 2000, options=["--partition", "0"])
    for round_number in range(2):
        acked = producer.acked_count()
        wait_for(lambda: producer.acked_count() > acked + 2000, patience(30), "2000 acks")
        leader = cluster.leader("orders")
        leader.kill()
        acked = producer.acked_count()
        wait_for(lambda: producer.acked_count() > acked + 200, patience(30), f"acks without {leader}")
        leader.start()
        cluster.wait_in_sync(leader, "orders")
    producer.finish()
    for offset in (1, 5, 40):
        answer = cluster.node(1).request("PUT", "/v1/groups/billing/offsets/orders/0",
                                         json.dumps({"offset": offset}), {"Content-Type": "application/json"})
        check_equal(answer.status, 204, f"commit: {answer}")
    status = {node: (node.status(), node.groups()) for node in cluster}
    cluster.node(3).kill()
    for node in cluster.running():
        check_equal(node.stop(), 0, f"exit status of {node}")
    return status


def dumped(directory):
    """Entries as the broker's own tool tells them."""
    done = cli("log", "dump", "--json", directory, seconds=60)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, [line for line in lines if "index" in line]


def check_node(node, told, groups):
    identity, votes = formats.Identity(node.data), formats.Votes(node.data)
    check_equal(identity.node_id, node.number, f"node id of {node}")
    check_equal(identity.cluster.hex(), told["cluster_id"].replace("-", ""), f"cluster of {node}")
    check_equal([node_id for node_id, _ in identity.founding["nodes"]], [1, 2, 3], "nodes of the founding")
    check_equal((votes.node_id, votes.cluster, votes.slots_whole), (node.number, identity.cluster, 2), f"votes of {node}")
    terms = {record["group"]: record["term"] for record in votes.records}
    by_group = {group["group"]: group for group in groups.values()}
    check_equal(set(terms), set(by_group), f"groups in the votes of {node}")
    entries = snapshots = footers = copies = 0
    for group, path in formats.groups_of(node.data).items():
        log = formats.Log(path)
        status, wanted = dumped(path)
        check_equal(status, 0, f"log dump of {path}")
        check_equal([entry.line() for entry in log.entries], wanted, f"entries of {path}")
        check(terms[group] >= by_group[group]["term"], f"term of group {group} in the votes of {node}")
        check(log.mark.point.index >= by_group[group]["durable_index"] - 1 and log.end.index >= log.mark.point.index,
              f"mark of {path}: {log.mark.point}, durable {by_group[group]['durable_index']}")
        points = {entry.index: entry.chain for entry in log.entries} | {log.base.index: log.base.chain}
        for snapshot in formats.snapshots_of(path):
            check_equal((snapshot.cluster, snapshot.group), (log.cluster, group), f"group of {snapshot.path}")
            check(snapshot.point.index < log.base.index or points[snapshot.point.index] == snapshot.point.chain,
                  f"chain in {snapshot.path}")
            check_equal(sum(member["voter"] for member in snapshot.configuration), 3, f"voters in {snapshot.path}")
            check(set(snapshot.offsets().values()) <= {1, 5, 40}, f"offsets in {snapshot.path}")
            if group == 0:
                check_meta(log, snapshot)
            elif log.base.index == 0:
                check_equal(snapshot.pairs, replay.state_at(log, snapshot.point.index).pairs(), f"state in {snapshot.path}")
            snapshots += 1
            copies += snapshot.path.endswith(".copy")
        entries += len(log.entries)
        footers += sum(segment.footer is not None for segment in log.segments)
        if group == 0:
            commands = [meta.command(entry)[0] for entry in log.entries if entry.type == 8]
            check("create" in commands or log.base.index > 0, f"commands of {path}: {commands}")
    check(copies > 0, f"a base of {node} has its copy")
    return entries, snapshots, footers


def check_meta(log, snapshot):
    """What group 0 holds is what its commands made."""
    state = meta.State(snapshot.pairs)
    if log.base.index == 0:
        check_equal(set(state.topics), meta.topics_at(log, snapshot.point.index), f"topics in {snapshot.path}")
    for topic in state.topics.values():
        check_equal(len(topic["groups"]), 2, f"partitions in {snapshot.path}")
    for partition in state.groups.values():
        check_equal(sorted(node for node, _ in partition["replicas"]), [1, 2, 3], f"replicas in {snapshot.path}")
    for node in state.nodes.values():
        check(node["voter"] and node["peer"].count(":") == 1, f"node in {snapshot.path}: {node}")


def check_damage(node, group):
    """A flipped byte in an entry in front of the mark is named by both, behind the same entry."""
    path = formats.groups_of(node.data)[group]
    log = formats.Log(path)
    segment = log.segments[0]
    before, entry = segment.entries[1:3]
    with open(segment.path, "r+b") as file:
        file.seek(entry.pos + 40)
        byte = file.read(1)[0]
        file.seek(entry.pos + 40)
        file.write(bytes([byte ^ 4]))
    try:
        formats.Log(path)
        check(False, "the reader does not notice a flipped byte")
    except formats.Damaged as problem:
        check_equal((problem.path, problem.pos), (segment.path, entry.pos), "place of the damage")
    done = cli("log", "verify", path)
    check_equal(done.returncode, 1, "log verify of a damaged log")
    told = (done.stdout + done.stderr).decode()
    check(any(f"{segment.path} at {pos}:" in told for pos in (before.end, entry.pos)), f"log verify names the place: {told}")


@promise(seconds=90)
def a_reader_written_from_the_formats_agrees(folder):
    """Identity, votes, marks, entries, footers and snapshots of three real nodes, with rolls, checkpoints and killed leaders, are read
    by a program that was written from docs/FORMATS.md: every entry is the one that `log dump` tells, chains of snapshots
    are those of the log, and a flipped byte is found by both, behind the same entry."""
    options = ["--segment-bytes", "131072", "--checkpoint-entries", "100"]
    with Cluster(folder, options=options).start() as cluster:
        status = write_something(cluster)
        counts = [check_node(node, *status[node]) for node in cluster]
        group = status[cluster.node(1)][1][("orders", 0)]["group"]
        check_damage(cluster.node(1), group)
        done = subprocess.run([sys.executable, os.path.join(READER, "read"), cluster.node(2).data], stdout=subprocess.PIPE,
                              timeout=patience(60))
        check_equal(done.returncode, 0, "reader as a program")
        check(all(all(count) for count in counts), f"entries, snapshots and footers on every node: {counts}")
        return "{} entries, {} snapshots, {} footers".format(*map(sum, zip(*counts)))
