"""Nodes that lose their data directory under load, and come back by themselves (PROTOCOL M5)."""

import os
import shutil

from cluster import Cluster, Node, check, check_equal, free_ports, patience, wait_for
from founding_test import votes
from history import TOPIC, Recorder
from promises import promise


def wipe_and_return(cluster, recorder, wiped):
    others = [node for node in cluster if node is not wiped]
    before = wiped.status()["incarnation"]
    wiped.kill()
    shutil.rmtree(wiped.data)
    recorder.wait_progress(20)
    wiped.start()
    wait_for(lambda: wiped.is_ready() and votes(others[0], wiped), patience(40), f"{wiped} to vote again")
    check(wiped.status()["incarnation"] != before, "it is a new incarnation")
    recorder.wait_progress(20)
    # Two of three are a majority only with the one that was wiped.
    others[0].kill()
    recorder.wait_progress(20)
    others[0].start()
    wait_for(others[0].is_ready, patience(20), f"{others[0]} to be back")


@promise(seconds=120)
def a_wiped_follower_and_a_wiped_leader_are_back_as_voters_under_load(folder):
    """SIGKILL, an emptied directory, a start, and nothing else: while producers, readers and committers work the node is a
    voter again, takes part in a majority of two, and the history is clean. A follower first, then the leader."""
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        recorder = Recorder(cluster).start()
        follower = next(node for node in cluster if node is not cluster.leader(TOPIC) and node is not cluster.leader())
        wipe_and_return(cluster, recorder, follower)
        wipe_and_return(cluster, recorder, cluster.leader(TOPIC))
        return recorder.finish().judge()


def overwrite(folder):
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), "r+b", buffering=0) as file:
                for _ in range(0, os.fstat(file.fileno()).st_size, 1 << 20):
                    file.write(os.urandom(min(1 << 20, os.fstat(file.fileno()).st_size - file.tell())))


@promise(seconds=120)
def an_overwritten_directory_is_set_aside_and_its_node_is_back_by_itself(folder):
    """Every file of a node is overwritten with random bytes, then it is killed and started: what it had is kept aside, it is a
    voter again as a new incarnation, and the history is clean. A follower first, then the leader (PROTOCOL M5)."""
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        recorder = Recorder(cluster).start()
        follower = next(node for node in cluster if node is not cluster.leader(TOPIC) and node is not cluster.leader())
        for number in range(2):
            spoiled = follower if number == 0 else cluster.leader(TOPIC)
            other = next(node for node in cluster if node is not spoiled)
            before = spoiled.status()["incarnation"]
            overwrite(spoiled.data)
            spoiled.kill()
            overwrite(spoiled.data)  # what it wrote until then
            recorder.wait_progress(20)
            spoiled.start()
            wait_for(lambda: spoiled.is_ready() and votes(other, spoiled), patience(40), f"{spoiled} to vote again")
            check(spoiled.status()["incarnation"] != before, "it is a new incarnation")
            check("identity" in os.listdir(f"{spoiled.data}/unreadable-1"), "what it had is kept")
            recorder.wait_progress(20)
        return recorder.finish().judge()


@promise(seconds=90, quiet=True)
def a_second_directory_of_a_node_waits_until_the_first_is_gone(folder):
    """A node id on a second, empty directory and at another address: refused while the first one is connected, and its
    status says so (PROTOCOL M2). When the first is gone it takes its place, the others find it at the new address, and the
    first directory is refused from then on."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        first, witness = cluster.node(3), cluster.node(1)
        http_port, peer_port = free_ports(2)
        second = Node(cluster, 3, http_port, peer_port)
        second.data, second.log_path = f"{folder}/second", f"{folder}/second.log"
        second.start("--advertise-peer", second.peer)

        def says(node, words):
            problem = node.status()["problem"] or ""
            return problem if words in problem else None

        refusal = wait_for(lambda: says(second, "another data directory"), patience(20), "the second to be refused")
        check(first.is_ready(), "the first goes on")
        check_equal(witness.produce("orders", b"with the first").status, 201, "produce")
        check_equal(second.groups(), {}, "replicas of the second")
        first.kill()
        wait_for(lambda: second.is_ready() and votes(witness, second), patience(30), "the second to take its place")
        addresses = {member["id"]: member["peer"] for member in witness.status()["nodes"]}
        check_equal(addresses[3], second.peer, "the address that the others have")
        first.start()
        wait_for(lambda: says(first, "took the place of"), patience(20), "the first to be refused for good")
        check(second.is_ready(), "the second goes on")
        cluster.node(2).kill()
        check_equal(witness.produce("orders", b"with the second").status, 201, "produce")
        values = [value for _, value in second.read_all("orders")]
        check_equal(values, ["with the first", "with the second"], "messages from the second")
        second.kill()
        return refusal
