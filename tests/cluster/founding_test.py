"""How clusters come to be, and what an empty directory may and may not do (PROTOCOL M5, M6, M9)."""

import itertools
import json
import random
import shutil
import subprocess
import time

from cluster import Cluster, binary, check, check_equal, cli, patience, spawn, wait_for
from promises import promise


def cluster_ids(cluster):
    return {node.status()["cluster_id"] for node in cluster.running()}


def produce_and_read(cluster, topic="orders", text=b"hello"):
    check_equal(cluster.running()[0].produce(topic, text).status, 201, "produce")
    for node in cluster.running():
        values = [value for _, value in node.read_all(topic)]
        check_equal(values[-1], text.decode(), f"last message from {node}")


@promise(seconds=90)
def nodes_started_in_any_order_found_one_cluster(folder):
    """All six orders of starting three nodes, each started only when the one before listens: one cluster id."""
    for number, order in enumerate(itertools.permutations((1, 2, 3))):
        with Cluster(f"{folder}/{number}") as cluster:
            for node_number in order:
                node = cluster.node(node_number)
                node.start()
                wait_for(lambda: node.get("/livez").status == 200, patience(10), f"{node} to listen")
            cluster.wait_ready()
            check_equal(len(cluster_ids(cluster)), 1, f"cluster ids of order {order}")
            cluster.create("orders")
            produce_and_read(cluster)


@promise(seconds=150)
def twenty_kills_while_founding_give_one_cluster(folder):
    """20 SIGKILLs at random instants of the first half second of three nodes, each restarted at once: one cluster id, and
    it serves. The instants are printed when it fails."""
    chance = random.Random()
    with_kills = 0
    for attempt in range(5):
        seed = chance.getrandbits(32)
        draw = random.Random(seed)
        with Cluster(f"{folder}/{attempt}") as cluster:
            try:
                for node in cluster:
                    node.start()
                for _ in range(4):
                    victim = cluster.node(draw.randint(1, 3))
                    # The instant is the input of this test, not a wait for something to have happened.
                    wait_for(instant(draw.uniform(0.0, draw.choice((0.02, 0.12)))), 5, "the instant of a kill", every=0.001)
                    victim.kill()
                    with_kills += 1
                    victim.start()
                cluster.wait_ready(20)
                check_equal(len(cluster_ids(cluster)), 1, "cluster ids")
                cluster.create("orders")
                produce_and_read(cluster)
            except Exception:
                print(f"  # attempt {attempt} with seed {seed:#x}", flush=True)
                raise
    check_equal(with_kills, 20, "kills")


def instant(seconds):
    due = time.monotonic() + seconds
    return lambda: time.monotonic() >= due


@promise(seconds=60, quiet=True)
def an_emptied_directory_has_no_vote_before_it_was_taken_in(folder):
    """A node whose directory was emptied is a new incarnation. With one other node, where two whole ones would be a majority,
    it votes in no group and its status says why; when the third is back it comes in by itself and votes: two others may
    then be stopped one after the other."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        produce_and_read(cluster)
        wiped = next(node for node in cluster if node is not cluster.leader("orders") and node is not cluster.leader())
        last, another = [node for node in cluster if node is not wiped]
        wiped.kill()
        another.kill()
        shutil.rmtree(wiped.data)
        wiped.start()

        def status_says_why():
            problem = wiped.status()["problem"] or ""
            return problem if "no vote until" in problem and not wiped.is_ready() else None

        problem = wait_for(status_says_why, patience(15), "the emptied node's status to say why it does not serve")
        answer = last.produce("orders", b"no majority", seconds=20)
        check(answer.status in (503, 504), f"produce with one whole node and an emptied one: {answer}")
        check_equal(json.loads(answer.body)["status"], answer.status, "problem+json")
        check_equal(wiped.groups(), {}, "replicas of the emptied node")
        another.start()
        wait_for(lambda: wiped.is_ready() and votes(another, wiped), patience(30), "the emptied node to vote again")
        for stopped in (last, another):
            stopped.kill()
            check_equal(wiped.produce("orders", b"with the emptied one").status, 201, f"produce without {stopped}")
            stopped.start()
            wait_for(stopped.is_ready, patience(20), f"{stopped} to be back")
        for node in cluster:
            values = [value for _, value in node.read_all("orders")]
            check_equal(values[0], "hello", f"first message from {node}")
            check_equal(values.count("with the emptied one"), 2, f"messages from {node}")
        return problem


def votes(witness, node):
    """The witness says that the node is a voter of the meta group and of every partition, and behind in none."""
    changes = witness.get("/v1/cluster/changes").json()["changes"]
    members = {member["id"]: member for member in witness.status()["nodes"]}
    return not changes and members[node.number]["vote"] == "voter"


@promise(seconds=90, quiet=True)
def clusters_of_one_and_two_produce_read_and_restart(folder):
    """One and two nodes found a cluster, acknowledge, serve, restart with everything, and exit 0 on SIGTERM."""
    for count in (1, 2):
        with Cluster(f"{folder}/{count}", count).start() as cluster:
            cluster.create("orders")
            lines = [f"message {i}" for i in range(500)]
            done = cli("-s", cluster.urls, "produce", "orders", input="\n".join(lines).encode() + b"\n")
            check_equal(done.returncode, 0, f"produce: {done.stderr[-300:]!r}")
            for _ in range(2):
                for node in cluster:
                    node.kill()
                cluster.start()
                for node in cluster:
                    check_equal([value for _, value in node.read_all("orders")], lines, f"messages from {node}")
            cluster.stop_all()
            cluster.start()
            check_equal(cluster.node(1).read_all("orders")[-1][1], lines[-1], "after a clean stop")


@promise(quiet=True)
def a_command_hears_that_the_cluster_is_not_founded_yet(folder):
    """Two of three nodes were started, the third one never: what such a cluster is asked for ends with that reason, in the
    node's own words, and with exit status 4, whatever servers are named."""
    with Cluster(folder) as cluster:
        for number in (1, 2):
            cluster.node(number).start()
            wait_for(lambda: cluster.node(number).get("/livez").status == 200, patience(10), f"n{number} to listen")
        started = [spawn([binary(), "-s", servers, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
                   for servers in (cluster.node(1).url, cluster.urls)
                   for command in (["topic", "create", "orders"], ["topic", "list"], ["produce", "orders"])]
        for process in started:
            _, told = process.communicate(timeout=patience(20))
            check(b"the cluster is not founded yet: every node of --peers must be up once" in told, f"{process.args[3:]}: {told!r}")
            check_equal(process.returncode, 4, f"exit status of {process.args[3:]}: {told!r}")


@promise(quiet=True)
def a_half_dead_pair_refuses_writes_and_says_why(folder):
    """With one of two nodes gone nothing is acknowledged; produce answers 503 or 504, the status names the missing node."""
    with Cluster(folder, 2).start() as cluster:
        cluster.create("orders")
        produce_and_read(cluster)
        dead, alive = cluster.node(1), cluster.node(2)
        dead.kill()
        wait_for(lambda: not alive.is_ready(), patience(10), "the survivor to notice")
        answer = alive.produce("orders", b"alone", seconds=20)
        check(answer.status in (503, 504), f"produce at half a pair: {answer}")
        check_equal(answer.headers.get("content-type"), "application/problem+json", "type of the answer")
        problem = wait_for(lambda: alive.status()["problem"], patience(10), "the status to say why")
        check("n1" in problem or "node 1" in problem, f"it names the missing node: {problem!r}")
        done = cli("-s", alive.url, "--timeout", "3s", "produce", "orders", input=b"alone too\n", seconds=30)
        check(done.returncode in (4, 6), f"exit status of the tool: {done.returncode}, {done.stderr[-300:]!r}")
        dead.start()
        cluster.wait_ready()
        check_equal(cluster.node(1).produce("orders", b"together").status, 201, "produce with both")
        values = [value for _, value in alive.read_all("orders")]
        check_equal(values[0], "hello", "first message")
        check_equal(values[-1], "together", "last message")
        return problem


@promise()
def a_node_of_another_cluster_is_refused(folder):
    """A node with the data of another cluster reaches nobody: it does not become ready, says why, and the cluster it
    calls goes on; nothing is founded beside."""
    with Cluster(f"{folder}/a").start() as cluster, Cluster(f"{folder}/b", 1).start() as other:
        cluster.create("orders")
        stranger = cluster.node(3)
        stranger.kill()
        other.node(1).stop()
        stranger.data = other.node(1).data
        stranger.start()

        def refused():
            if not stranger.is_running():
                return stranger.process.returncode in (65, 78)
            return not stranger.is_ready() and stranger.status()["problem"]

        wait_for(refused, patience(15), "the stranger to be refused")
        check("cluster" in stranger.log() or "directory" in stranger.log(), f"its log says why: {stranger.log()[-500:]}")
        check_equal(cluster.node(1).produce("orders", b"still here").status, 201, "produce at the cluster")


@promise()
def unequal_lists_of_peers_found_nothing(folder):
    """Empty nodes whose lists of peers differ found no cluster, also where the one that would found has all that it lists;
    they name the difference."""
    with Cluster(folder) as cluster:
        full = cluster.peers
        cluster.peers = ",".join(full.split(",")[:2])
        cluster.node(1).start()
        cluster.peers = full
        cluster.node(2).start()

        def named():
            problem = cluster.node(1).status()["problem"] or ""
            return problem if "another list of peers" in problem else None

        problem = wait_for(named, patience(15), "the status to name the difference")
        check(not cluster.node(1).is_ready() and not cluster.node(2).is_ready(), "nobody founds")
        return problem


@promise()
def a_node_that_is_told_to_join_founds_nothing(folder):
    """`serve --join` without any node of the list: it waits, says that it only joins and whom it misses, also when it is
    started again without the flag. Without nodes to join, or with a list that does not name it, it is a usage error."""
    with Cluster(folder, 1) as cluster:
        new = cluster.grow(1)[0]
        new.start()
        wait_for(lambda: "only joins" in (new.status()["problem"] or ""), patience(15), "the status to say that it only joins")
        check("n1 does not answer" in new.status()["problem"], f"whom it misses: {new.status()['problem']}")
        check_equal(new.stop(), 0, "exit status")
        new.joins, cluster.peers = False, f"{new}={new.peer}"
        new.start()
        problem = wait_for(lambda: new.status()["problem"], patience(15), "a problem in the status")
        check("only join" in problem and not new.is_ready(), f"it founds nothing later, too: {problem}")
        for arguments, word in ((["--join"], "needs --peers"), (["--peers", "n1=h:1"], "--join")):
            done = cli("serve", "--node-id", "n2", "--data-dir", f"{folder}/none", *arguments)
            check_equal(done.returncode, 2, f"exit status of serve {arguments}: {done.stderr!r}")
            check(word in done.stderr.decode(), f"serve {arguments} says {done.stderr!r}")
