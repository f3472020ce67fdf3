"""Nodes die under load; what was acknowledged stays, once and in order."""

import json
import os

import verify
from batch import batch
from cluster import Cluster, check, check_equal, cli, patience, wait_for
from load import Producer, check_history
from promises import promise

BATCH_TYPE = {"Content-Type": "application/vnd.raftmq.batch"}


def kill_leader_under_load(folder, kills, producers_count, rate, options=()):
    with Cluster(folder, options=options).start() as cluster:
        cluster.create("orders", partitions=1)
        cluster.leader("orders")
        producers = [Producer(cluster, "orders", f"p{i + 1}", rate) for i in range(producers_count)]
        wait_for(lambda: all(p.acked_count() > 0 for p in producers), patience(20), "a first ack for each producer")
        for round_number in range(kills):
            leader = cluster.leader("orders")
            leader.kill()
            acked = [p.acked_count() for p in producers]
            wait_for(lambda: all(p.acked_count() > n + 100 for p, n in zip(producers, acked)), patience(20),
                     f"every producer to go on after kill {round_number + 1}, of {leader}")
            leader.start()
            cluster.wait_in_sync(leader, "orders")
        for producer in producers:
            producer.finish()
        verdict = check_history(cluster, "orders", producers)
        commit = min(node.group("orders")["commit_index"] for node in cluster)
        cluster.stop_all()
        verify.check_stopped_nodes(cluster, "orders", commit)
        return f"{kills} kills, {verdict}"


@promise(seconds=240)
def twenty_kills_of_the_leader_lose_nothing(folder):
    """20 SIGKILLs of the leader under load from 4 idempotent producers, each killed node back in sync before the next:
    0 acknowledged messages lost, 0 duplicates, 0 reordered; then `log verify` on each stopped node is clean and the
    chains at the lowest common commit index are equal."""
    return kill_leader_under_load(folder, kills=20, producers_count=4, rate=2000)


@promise(seconds=120)
def kills_with_small_segments_lose_nothing(folder):
    """The same over many segment rolls and checkpoints."""
    return kill_leader_under_load(folder, kills=6, producers_count=4, rate=1500,
                                  options=["--segment-bytes", "262144", "--checkpoint-entries", "200"])


@promise(seconds=1800, long=True)
def two_hundred_kills_of_the_leader_lose_nothing(folder):
    """As above, 200 times."""
    return kill_leader_under_load(folder, kills=200, producers_count=4, rate=300)


@promise()
def a_retry_across_a_failover_gets_the_original_offset(folder):
    """A batch sent again with the same producer id, epoch and sequence is stored once, also by the next leader, and the
    answer carries the offset it got first."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        leader = cluster.leader("orders")
        answer = leader.request("POST", "/v1/producers")
        check(answer.status in (200, 201), f"producer id: {answer}")
        producer = answer.json()
        path = "/v1/topics/orders/messages?partition=0"
        offsets = []
        batches = [batch([b"m%d" % i, b"n%d" % i], producer["producer_id"], producer["epoch"], i * 2)
                   for i in range(5)]
        for data in batches:
            answer = leader.request("POST", path, data, BATCH_TYPE)
            check_equal(answer.status, 201, f"produce: {answer}")
            offsets.append(answer.json()["offset"])
        check_equal(offsets, [0, 2, 4, 6, 8], "offsets of five batches of two")

        for node in cluster.running():
            answer = node.request("POST", path, batches[3], BATCH_TYPE)
            check(answer.status in (200, 201), f"retry at {node}: {answer}")
            check_equal(answer.json()["offset"], 6, f"offset of a retry at {node}")
        leader.kill()
        survivor = cluster.leader("orders")
        for number in (4, 0):
            answer = wait_for(lambda: [a for a in [survivor.request("POST", path, batches[number], BATCH_TYPE)]
                                       if a.status in (200, 201)], patience(10), "the next leader to take the retry")[0]
            check_equal(answer.json()["offset"], offsets[number], f"offset of batch {number} retried at the next leader")
        gap = batch([b"gap"], producer["producer_id"], producer["epoch"], 12)
        answer = survivor.request("POST", path, gap, BATCH_TYPE)
        check_equal(answer.status, 409, f"a gap in the sequence: {answer}")
        check_equal([value for _, value in survivor.read_all("orders")],
                    [f"{letter}{i}" for i in range(5) for letter in "mn"], "messages")


@promise()
def group_offsets_survive_a_failover(folder):
    """An offset committed by a group is read back from every surviving node after the leader is killed."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        leader = cluster.leader("orders")
        for i in range(10):
            check_equal(leader.produce("orders", b"m%d" % i).status, 201, "produce")
        json_type = {"Content-Type": "application/json"}
        path = "/v1/groups/billing/offsets/orders/0"
        answer = leader.request("PUT", path, json.dumps({"offset": 7}), json_type)
        check_equal(answer.status, 204, f"commit an offset: {answer}")
        answer = leader.request("PUT", path, json.dumps({"offset": 9, "if_offset": 3}), json_type)
        check_equal(answer.status, 409, f"compare and set against another offset: {answer}")
        leader.kill()
        cluster.leader("orders")
        for node in cluster.running():
            answer = wait_for(lambda: [a for a in [node.get("/v1/groups/billing/offsets/orders/0")] if a.status == 200],
                              patience(10), f"the group's offset from {node}")[0]
            check_equal(answer.json()["offset"], 7, f"offset of the group, from {node}")


@promise()
def a_group_goes_on_where_it_stopped(folder):
    """`consume -g` commits what it printed; the next one starts there, also after the leader was killed in between."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        lines = [f"line {i}" for i in range(300)]
        done = cli("-s", cluster.urls, "produce", "orders", input="\n".join(lines).encode() + b"\n")
        check_equal(done.returncode, 0, f"produce: {done.stderr[-300:]!r}")
        done = cli("-s", cluster.urls, "consume", "orders", "-g", "g1", "--from", "earliest", "-n", "120", "-f", "%v\\n")
        check_equal(done.returncode, 0, f"consume: {done.stderr[-300:]!r}")
        check_equal(done.stdout.decode().splitlines(), lines[:120], "first part")
        cluster.leader("orders").kill()
        cluster.leader("orders")
        done = cli("-s", cluster.urls, "consume", "orders", "-g", "g1", "-e", "-f", "%v\\n")
        check_equal(done.returncode, 0, f"consume: {done.stderr[-300:]!r}")
        check_equal(done.stdout.decode().splitlines(), lines[120:], "second part")


@promise()
def a_restart_of_all_nodes_keeps_everything(folder):
    """SIGKILL to all three at once, restart: every acknowledged message, topic and group offset is there."""
    with Cluster(folder, options=["--segment-bytes", "262144", "--checkpoint-entries", "50"]).start() as cluster:
        cluster.create("orders", partitions=3)
        cluster_id = cluster.node(1).status()["cluster_id"]
        produced = {}
        for partition in range(3):
            lines = [f"{partition}/{i}/" + "y" * (i % 97) for i in range(3000)]
            done = cli("-s", cluster.urls, "produce", "orders", "-p", partition, input="\n".join(lines).encode() + b"\n")
            check_equal(done.returncode, 0, f"produce: {done.stderr[-300:]!r}")
            produced[partition] = lines
            answer = cluster.node(1).request("PUT", f"/v1/groups/g/offsets/orders/{partition}",
                                             json.dumps({"offset": 100 + partition}), {"Content-Type": "application/json"})
            check_equal(answer.status, 204, f"commit an offset: {answer}")
        for round_number in range(3):
            for node in cluster:
                node.kill()
            cluster.start()
            for node in cluster:
                check_equal(node.status()["cluster_id"], cluster_id, f"cluster id of {node}")
                for partition in range(3):
                    messages = node.read_all("orders", partition)
                    check_equal([value for _, value in messages], produced[partition],
                                f"partition {partition} from {node} after restart {round_number + 1}")
                    answer = node.get(f"/v1/groups/g/offsets/orders/{partition}")
                    check_equal(answer.json()["offset"], 100 + partition, f"group offset from {node}")


@promise()
def sigterm_hands_leadership_over_and_exits_0(folder):
    """SIGTERM to the leader under load: the process exits 0, another node leads, no producer notices more than a pause."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        producers = [Producer(cluster, "orders", f"p{i + 1}", 300) for i in range(2)]
        wait_for(lambda: all(p.acked_count() > 100 for p in producers), patience(20), "acks")
        for _ in range(3):
            leader = cluster.leader("orders")
            check_equal(leader.stop(), 0, f"exit status of {leader} after SIGTERM")
            check(cluster.leader("orders") is not leader, "another node leads")
            leader.start()
            cluster.wait_in_sync(leader, "orders")
        for producer in producers:
            producer.finish()
        return str(check_history(cluster, "orders", producers))


@promise()
def a_second_copy_of_a_node_is_refused(folder):
    """A node started twice on one data directory: the second exits with 75 and says so; the first goes on."""
    with Cluster(folder, 1).start() as cluster:
        node = cluster.node(1)
        arguments = node.arguments()
        done = cli(*arguments[1:], seconds=20)
        check_equal(done.returncode, 75, f"exit status of the second: {done.stderr[-300:]!r}")
        check(b"in use" in done.stderr or b"lock" in done.stderr, f"it says why: {done.stderr[-300:]!r}")
        check(node.is_ready(), "the first is still ready")
        check(os.path.isdir(node.data), "its data is there")
