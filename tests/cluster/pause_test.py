"""A leader stands still past an election and wakes up believing that it leads (PROTOCOL C7, R2)."""

import random
import signal
import subprocess
import threading
import time

from cluster import Cluster, binary, check, check_equal, cli, patience, spawn, wait_for
from history import TOPIC, Recorder
from leaders import LeaderWatch
from promises import promise


def pause(node):
    node.process.send_signal(signal.SIGSTOP)


def wake(node):
    node.process.send_signal(signal.SIGCONT)


def pause_leader(cluster, watch, recorder, chance):
    """One pause: the others elect and acknowledge; reads and a write are sent to the sleeper; it wakes. Returns how long
    nothing was acknowledged."""
    old = cluster.node(watch.wait_agreement(cluster.nodes, 20))
    peers = [node for node in cluster if node is not old]
    began = time.monotonic()
    pause(old)
    try:
        wait_for(lambda: watch.changes_since(began), patience(5), f"another leader than {old}, which sleeps")
        new = watch.wait_agreement(peers, 5)
        check(new != old.number, f"{old} leads in its sleep")
        recorder.wait_progress(10)
        gap = max(recorder.longest_gap(began, time.monotonic()))
        # All of this is acknowledged elsewhere before the sleeper is asked: an answer from what it holds is stale.
        probes = recorder.probe(old, 4)
        writer = threading.Thread(target=recorder.plain_write, args=(old, 20), daemon=True)
        writer.start()
        time.sleep(chance.uniform(0.02, 0.4))
    finally:
        wake(old)
    for thread in [*probes, writer]:
        thread.join(patience(25))
        check(not thread.is_alive(), f"{old} does not answer what waited for it")
    recorder.wait_progress(10)
    return gap


def pauses(folder, count):
    chance = random.Random(count)
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        cluster.leader(TOPIC)
        recorder = Recorder(cluster).start()
        with LeaderWatch(cluster.nodes, TOPIC) as watch:
            gaps = [pause_leader(cluster, watch, recorder, chance) for _ in range(count)]
            watch.wait_agreement(cluster.nodes, 20)
            check(len(watch.terms) > count, f"{count} pauses made only {len(watch.terms)} leaders")
        verdict = recorder.finish().judge()
        answered = sum(line.startswith("fetch ok") for probe in recorder.probes for line in probe.lines)
        check(answered > count, f"only {answered} reads were answered by those that woke up")
        check_equal([node.is_running() for node in cluster], [True] * 3, "nodes that still run")
        return f"{count} pauses, outage at most {max(gaps):.2f} s, {answered} reads answered after waking, {verdict}"


@promise(seconds=90)
def a_paused_leader_serves_nothing_stale(folder):
    """5 times the leader is stopped (SIGSTOP) until another one has acknowledged writes of every producer; reads and
    writes wait at the sleeper, then it goes on (SIGCONT). No stale read, nothing lost, no answer but what holds."""
    return pauses(folder, 5)


@promise(seconds=900, long=True)
def fifty_paused_leaders_serve_nothing_stale(folder):
    """As above, 50 times."""
    return pauses(folder, 50)


@promise(seconds=60)
def a_paused_follower_disturbs_nobody(folder):
    """A follower stands still for longer than an election timeout, 4 times: the leader stays, in its term (PreVote), and
    what the follower answers on waking is fresh."""
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        cluster.leader(TOPIC)
        recorder = Recorder(cluster).start()
        with LeaderWatch(cluster.nodes, TOPIC) as watch:
            leader = watch.wait_agreement(cluster.nodes, 20)
            since = time.monotonic()
            followers = [node for node in cluster if node.number != leader]
            for i in range(4):
                follower = followers[i % 2]
                pause(follower)
                try:
                    time.sleep(1.0)  # the length of the pause is the fault itself
                    recorder.wait_progress(10)
                    probes = recorder.probe(follower)
                finally:
                    wake(follower)
                for thread in probes:
                    thread.join(patience(20))
                    check(not thread.is_alive(), f"{follower} does not answer what waited for it")
            check_equal(watch.wait_agreement(cluster.nodes, 10), leader, "who leads")
            check_equal(watch.changes_since(since), [], "changes of leader")
        return recorder.finish().judge()


@promise(quiet=True)
def a_node_that_hangs_costs_a_command_a_second_and_not_its_time(folder):
    """The first of three servers that a command is given is stopped (SIGSTOP), a follower: every command ends well, within
    3 s. What writes gets nowhere that it could be carried out later."""
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        leader = cluster.leader(TOPIC)
        hung, *others = sorted(cluster.nodes, key=lambda node: node is leader)
        servers = ",".join(node.url for node in (hung, *others))
        slowest = 0
        pause(hung)
        for arguments in (["topic", "list"], ["produce", TOPIC], ["consume", TOPIC, "-e"], ["consume", TOPIC, "-e", "-g", "g"],
                          ["topic", "create", "more"], ["topic", "delete", "more", "--yes"], ["group", "list"],
                          ["cluster", "changes"], ["cluster", "status"]):
            began = time.monotonic()
            done = cli("-s", servers, *arguments, input=b"a message\n")
            took = time.monotonic() - began
            slowest = max(slowest, took)
            # Its answer is that the cluster is not healthy.
            check_equal(done.returncode, 1 if arguments == ["cluster", "status"] else 0, f"{arguments}: {done.stderr!r}")
            check(took < patience(3), f"{arguments} takes {took:.1f} s")
        wake(hung)
        check_equal(hung.get("/v1/topics/more").status, 404, "the topic that was deleted, at the node that woke up")
        return f"slowest {slowest:.1f} s"


@promise()
def a_consumer_turns_away_from_a_node_that_hangs(folder):
    """A consumer follows at a node, which is stopped (SIGSTOP): what is acknowledged elsewhere then reaches it from another
    node, within 4 s of the stop."""
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        leader = cluster.leader(TOPIC)
        hung, *others = sorted(cluster.nodes, key=lambda node: node is leader)
        check_equal(cli("-s", leader.url, "produce", TOPIC, input=b"first\n").returncode, 0, "exit status of the first produce")
        consumer = spawn([binary(), "-s", ",".join(node.url for node in (hung, *others)), "consume", TOPIC],
                         stdout=subprocess.PIPE)
        check_equal(consumer.stdout.readline(), b"first\n", "what comes first")
        pause(hung)
        began = time.monotonic()
        check_equal(cli("-s", leader.url, "produce", TOPIC, input=b"second\n").returncode, 0, "exit status of the second produce")
        check_equal(consumer.stdout.readline(), b"second\n", "what comes next")
        took = time.monotonic() - began
        wake(hung)
        check(took < patience(4), f"the second message came after {took:.1f} s")
        return f"after {took:.1f} s"
