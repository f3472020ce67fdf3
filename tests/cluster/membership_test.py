"""Nodes come, go and take each other's place, under load and with the dead among them."""

import json
import os
import pty
import random
import shutil
import signal
import subprocess
import time

from cluster import Cluster, binary, check, check_equal, cli, patience, spawn, wait_for
from history import TOPIC, Recorder
from pause_test import pause, wake
from promises import promise

_SECONDS = 40


def cluster_verb(cluster, *arguments, seconds=_SECONDS):
    """`raftmq cluster ...` to its end; the finished process."""
    return cli("-s", cluster.urls, "cluster", *arguments, "-o", "json", seconds=seconds)


def succeed(cluster, *arguments, seconds=_SECONDS):
    done = cluster_verb(cluster, *arguments, seconds=seconds)
    check_equal(done.returncode, 0, f"exit status of cluster {' '.join(arguments)}: {done.stderr.decode()!r}")
    return json.loads(done.stdout), done.stderr.decode()


def changes(node):
    return node.get("/v1/cluster/changes", seconds=12).json()["changes"]


def replicas(node, topic):
    return [sorted(replica["node"] for replica in partition["replicas"])
            for partition in node.topic(topic)["partition_list"]]


def voters(node):
    return sorted(member["id"] for member in node.status()["nodes"] if member["vote"] == "voter")


def join(cluster, node):
    """Admit it, start it, wait until it is a member."""
    succeed(cluster, "add", f"{node}={node.peer}", "--no-wait")
    node.start()
    succeed(cluster, "add", f"{node}={node.peer}")
    wait_for(node.is_ready, patience(20), f"{node} to be ready")


def throw_away(node):
    """Stop it when it still runs, and forget its data."""
    if node.is_running():
        check_equal(node.stop(), 0, f"exit status of {node}, which is in no group any more")
    shutil.rmtree(node.data)


def replace(cluster, old, new):
    rows, told = succeed(cluster, "replace", str(old), str(new))
    check_equal((rows[0]["node"], rows[0]["with"], rows[0]["state"]), (str(old), str(new), "done"), "the row told")
    check(f"{old} is in no group any more" in told, f"what is said at the end: {told!r}")
    return rows[0]["took_ms"] / 1000


def check_lives_on(cluster, recorder, members, topics):
    """`members` are all that is left: they are the replicas of every topic and vote in meta, and two of them suffice."""
    recorder.wait_progress(20, acks=10)
    numbers = [node.number for node in members]
    for node in members:
        for topic in topics:
            check_equal(set(map(tuple, replicas(node, topic))), {tuple(numbers)}, f"replicas of {topic} by {node}")
        check_equal(voters(node), numbers, f"voters of meta by {node}")
    check_equal(changes(members[0]), [], "changes left")
    done = cli("-s", members[0].url, "cluster", "status", "-o", "json")
    check_equal(done.returncode, 0, f"exit status of cluster status: {done.stdout.decode()}")
    check_equal([node["id"] for node in json.loads(done.stdout)["nodes"]], numbers, "nodes that are told of")
    victim = members[0]
    victim.kill()
    recorder.wait_progress(20, acks=10)
    victim.start()
    wait_for(victim.is_ready, patience(20), f"{victim} to be ready")
    cluster.wait_in_sync(victim, TOPIC)


def replace_two(folder, dead):
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        cluster.create("many", partitions=5)
        one, two, three = cluster.nodes
        four, five = cluster.grow(2)
        recorder = Recorder(cluster, attempt_s=2.0).start()
        if dead:
            three.kill()
            recorder.wait_progress(20)
        took = []
        for old, new in ((two, four), (three, five)):
            join(cluster, new)
            recorder.wait_progress(20)
            took.append(replace(cluster, old, new))
            throw_away(old)
            recorder.wait_progress(20)
        check_lives_on(cluster, recorder, [one, four, five], [TOPIC, "many"])
        verdict = recorder.finish().judge()
        return f"replaced in {took[0]:.2f} s and {took[1]:.2f} s, {verdict}"


@promise(seconds=150)
def two_of_three_are_replaced_under_load(folder):
    """4 takes the place of 2, and 5 that of 3, while clients write and read: nothing lost, duplicated or stale; the old
    nodes are stopped and thrown away; two of the three that are left suffice."""
    return replace_two(folder, dead=False)


@promise(seconds=150)
def a_dead_node_is_replaced_under_load(folder):
    """The same while 3 is dead from the start (SIGKILL)."""
    return replace_two(folder, dead=True)


@promise(seconds=120)
def a_replacement_resumes_after_the_leader_of_meta_dies(folder):
    """The newcomer stands still, so the replacement does; whoever watches is told by whom. The leader of meta dies in its
    midst. The newcomer goes on: the next leader ends what was begun, and the command that watches ends well."""
    with Cluster(folder, 5).start() as cluster:
        cluster.create(TOPIC, replicas=3)
        cluster.create("many", partitions=5, replicas=3)
        new = cluster.grow(1)[0]
        recorder = Recorder(cluster, attempt_s=2.0).start()
        join(cluster, new)
        leader = cluster.leader()
        holders = replicas(leader, TOPIC)[0]
        old = next(node for node in cluster.nodes[:5] if node is not leader and node.number in holders)
        pause(new)
        time.sleep(1.5)  # the length of the pause: longer than anybody who has heard of it lately could vouch for it
        log_path = os.path.join(folder, "replace.log")
        with open(log_path, "wb") as log:
            watching = spawn([binary(), "-s", cluster.urls, "cluster", "replace", str(old), str(new), "-o", "json"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)

        def is_blocked():
            return any(str(new) in (change["blocked"] or "") for change in changes(leader))

        wait_for(is_blocked, patience(20), f"a change that {new} blocks")
        leader.kill()
        recorder.wait_progress(20)
        rest = [node for node in cluster.nodes[:5] if node not in (leader, old)]
        check(changes(rest[0]), "the change is forgotten")
        check(watching.poll() is None, f"the watching command ended early: {watching.returncode}")
        wake(new)
        out, _ = watching.communicate(timeout=patience(40))
        with open(log_path) as log:
            told = log.read()
        check_equal(watching.returncode, 0, f"exit status of the watching command: {told!r}")
        check_equal(json.loads(out)[0]["state"], "done", "the row told")
        check(f"{new}" in told and "left; " in told, f"progress: {told!r}")
        leader.start()
        wait_for(leader.is_ready, patience(20), f"{leader} to be ready")
        throw_away(old)
        recorder.wait_progress(20, acks=10)
        check_equal(changes(new), [], "changes left")
        check_equal(voters(new), sorted(node.number for node in [*rest, leader, new]), "voters of meta")
        held = [number for topic in (TOPIC, "many") for partition in replicas(new, topic) for number in partition]
        check(old.number not in held and new.number in held, f"replicas are on {sorted(set(held))}")
        return f"{told.count('left; ')} lines of progress, {recorder.finish().judge()}"


@promise(seconds=120)
def a_node_is_removed_under_load_and_others_take_its_place(folder):
    """Of five nodes the one that leads a topic of three replicas goes: another node takes its place there, a partition is
    moved by hand, and all stays clean."""
    with Cluster(folder, 5).start() as cluster:
        cluster.create(TOPIC, replicas=3)
        old = cluster.leader(TOPIC)
        recorder = Recorder(cluster, attempt_s=2.0).start()
        rows, _ = succeed(cluster, "remove", str(old))
        check_equal((rows[0]["node"], rows[0]["state"]), (str(old), "done"), "the row told")
        rest = [node for node in cluster if node is not old]
        # The removed node is asked first, and has only old news.
        wait_for(lambda: cli("-s", f"{old.url},{rest[0].url}", "cluster", "status").returncode == 0, patience(20),
                 "a status that is well")
        throw_away(old)
        recorder.wait_progress(20, acks=10)
        held = replicas(rest[0], TOPIC)[0]
        check(len(held) == 3 and old.number not in held, f"replicas without {old}: {held}")
        check_equal(voters(rest[0]), [node.number for node in rest], "voters of meta")
        spare = next(node for node in rest if node.number not in held)
        wanted = sorted([*held[1:], spare.number])
        done = cli("-s", cluster.urls, "topic", "place", f"{TOPIC}/0", ",".join(f"n{number}" for number in wanted))
        check_equal(done.returncode, 0, f"exit status of topic place: {done.stderr!r}")
        check(b" replicas from now on" not in done.stderr, f"as many as before: {done.stderr!r}")
        check_equal(replicas(rest[0], TOPIC), [wanted], "replicas that were chosen")
        recorder.wait_progress(20, acks=10)
        done = cli("-s", cluster.urls, "topic", "place", f"{TOPIC}/0", ",".join(f"n{number}" for number in wanted[:2]))
        check_equal(done.returncode, 0, f"exit status of topic place: {done.stderr!r}")
        check(b"is to have 2 replicas from now on, not 3 as before: none of them may fail" in done.stderr,
              f"what fewer mean: {done.stderr!r}")
        return recorder.finish().judge()


@promise(seconds=90)
def a_removal_that_would_lose_the_quorum_is_refused(folder):
    """With one of three dead, removing another would leave one of two: refused with the reason, nothing changes. The dead
    one may go; then the pair is all there is."""
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        one, two, three = cluster.nodes
        three.kill()
        cluster.leader(TOPIC)
        wait_for(lambda: not any(member["connected"] for member in one.status()["nodes"] if member["id"] == 3), 10,
                 "n1 to miss n3")
        done = cluster_verb(cluster, "remove", "n2")
        check_equal(done.returncode, 5, f"exit status: {done.stderr!r}")
        check("n3" in done.stderr.decode() and "quorum" in done.stderr.decode(), f"the reason: {done.stderr!r}")
        check_equal(changes(one), [], "changes")
        check_equal(voters(one), [1, 2, 3], "voters of meta")
        done = cluster_verb(cluster, "remove", "n3")
        check_equal(done.returncode, 5, f"exit status: {done.stderr!r}")
        check("--shrink" in done.stderr.decode(), f"the remedy: {done.stderr!r}")
        succeed(cluster, "remove", "n3", "--shrink")
        check_equal(one.status()["state"], "degraded", "state")
        check_equal(voters(one), [1, 2], "voters of meta")
        check_equal(replicas(one, TOPIC), [[1, 2]], "replicas")
        check_equal(one.produce(TOPIC, b"x").status, 201, "a produce")


@promise(seconds=90, quiet=True)
def what_is_not_a_change_is_refused_with_the_reason(folder):
    """Wrong words, nodes that nobody knows, a place that is taken, a change that is under way: exit status and sentence."""
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        new = cluster.grow(1)[0]
        for arguments, status, text in [
            (["add", "four"], 2, "not a node"),
            (["add", "n4=host"], 2, "host:port"),
            (["add", "n4=h:1,n5=h:2"], 2, "one node"),
            (["add", "n4=http://h:1"], 2, "URL"),
            (["add", "n1=127.0.0.1:1"], 5, "n1"),
            (["add", f"n4={cluster.node(2).peer}"], 5, "is the address of n2"),
            (["add", f"n2={cluster.node(2).peer}", "--no-wait"], 0, "a member already"),
            (["replace", "n9", f"{new}={new.peer}"], 3, "no such node"),
            (["remove", "x"], 2, "not a node"),
            (["remove", "n9"], 3, "n9"),
            (["replace", "n2", "n2"], 2, "own place"),
            (["replace", "n2", "n9"], 3, "n9"),
            (["remove", "n2", "--wait", "--no-wait"], 2, "exclude"),
        ]:
            done = cluster_verb(cluster, *arguments)
            check_equal(done.returncode, status, f"exit status of cluster {arguments}: {done.stderr!r}")
            check(text in done.stderr.decode(), f"cluster {arguments} says {done.stderr!r}, not {text!r}")
        check_equal(len(cluster.node(1).status()["nodes"]), 3, "nodes after all that was refused")
        began = time.monotonic()
        done = cluster_verb(cluster, "add", f"{new}={new.peer}", "--wait=1s")
        check_equal(done.returncode, 1, f"exit status of a wait that was too short: {done.stderr!r}")
        check(0.9 < time.monotonic() - began < patience(8), "it waited for as long as it was told")
        check(f"{new}" in done.stderr.decode() and "--join" in done.stderr.decode(), f"what to do: {done.stderr!r}")
        check(f"raftmq cluster remove {new}   takes it back" in done.stderr.decode(), f"the way back: {done.stderr!r}")
        check(changes(cluster.node(1)), "the cluster waits for n4")
        done = cli("-s", cluster.urls, "cluster", "changes", "-o", "table")
        check(f"+{new}" in done.stdout.decode(), f"cluster changes: {done.stdout!r}")
        new.start()
        succeed(cluster, "add", f"{new}={new.peer}")
        check_equal(changes(cluster.node(1)), [], "changes left")


@promise()
def progress_is_a_line_on_a_terminal_and_text_in_a_log(folder):
    """`cluster add` of a node that is not started yet, until Ctrl-C: on a terminal one line is written over and over, in a
    log a new line comes only with something new. The exit status is 130, and the change is there still."""
    with Cluster(folder).start() as cluster:
        new = cluster.grow(1)[0]
        arguments = [binary(), "-s", cluster.urls, "cluster", "add", f"{new}={new.peer}"]
        screen, terminal = pty.openpty()
        log_path = os.path.join(folder, "add.log")
        with open(log_path, "wb") as log:
            on_terminal = spawn(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal)
            in_log = spawn(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        os.close(terminal)
        shown = b""
        deadline = time.monotonic() + patience(20)
        while shown.count(b"\r\x1b[K") < 4:  # more often than there is news
            check(time.monotonic() < deadline, f"no progress on a terminal: {shown!r}")
            shown += os.read(screen, 4096)
        check(f"meta: waiting, {new} is not in it yet".encode() in shown, f"what is shown: {shown!r}")
        for process in (on_terminal, in_log):
            process.send_signal(signal.SIGINT)
            check_equal(process.wait(patience(15)), 130, "exit status after Ctrl-C")
        os.close(screen)
        with open(log_path) as log:
            told = log.read()
        check_equal(told.count(f"{new} is not in it yet"), 1, f"lines of progress in a log: {told!r}")
        check("the cluster goes on by itself" in told and "\r" not in told, f"what a log says at the end: {told!r}")
        check(changes(cluster.node(1)), "the change is forgotten")


def kill_while(cluster, process, nodes, chance):
    """Until the process ends: one of `nodes` at a time is killed, started again, and has caught up before the next."""
    kills = 0
    while process.poll() is None:
        victim = chance.choice(nodes)
        victim.kill()
        kills += 1
        time.sleep(chance.uniform(0.05, 0.5))  # the length of its death
        victim.start()
        wait_for(victim.is_ready, patience(20), f"{victim} to be ready after kill {kills}")
        cluster.wait_in_sync(victim, TOPIC)
    return kills


@promise()
def an_addition_that_is_taken_back_is_not_called_done(folder):
    """Whoever waits for it is told, by exit status 5."""
    with Cluster(folder).start() as cluster:
        new = cluster.grow(1)[0]
        adding = spawn([binary(), "-s", cluster.urls, "cluster", "add", f"{new}={new.peer}"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(lambda: changes(cluster.node(1)), patience(20), f"the cluster to wait for {new}")
        succeed(cluster, "remove", str(new))
        out, told = adding.communicate(timeout=patience(20))
        check_equal(adding.returncode, 5, f"exit status: {told!r}")
        check_equal(out, b"", "a row that says that it is done")
        check("was taken back" in told.decode(), f"told: {told!r}")


@promise(seconds=240, long=True)
def a_script_is_not_kept_for_ever_by_a_node_that_nobody_starts(folder):
    """Off a terminal an addition ends when nothing has moved for two minutes, and says how to take it back; that does."""
    with Cluster(folder).start() as cluster:
        new = cluster.grow(1)[0]
        began = time.monotonic()
        done = cluster_verb(cluster, "add", f"{new}={new.peer}", seconds=170)
        took, told = time.monotonic() - began, done.stderr.decode()
        check_equal(done.returncode, 1, f"exit status: {told!r}")
        check(119 < took < 150, f"it took {took:.0f} s")
        check("nothing has moved" in told and f"raftmq cluster remove {new}   takes it back" in told, f"told: {told!r}")
        check(changes(cluster.node(1)), f"the cluster waits for {new}")
        succeed(cluster, "remove", str(new))
        check_equal(changes(cluster.node(1)), [], "changes left")
        return f"ended after {took:.0f} s"


@promise(seconds=200)
def replacements_go_on_while_nodes_are_killed(folder):
    """2 is replaced by 4 and 3 by 5, while one node after the other is killed and started again, the leaders, the newcomers
    and those that leave among them. Every change ends, and the history is clean."""
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        cluster.create("many", partitions=3)
        one, two, three = cluster.nodes
        four, five = cluster.grow(2)
        recorder = Recorder(cluster, attempt_s=2.0).start()
        chance, kills, members = random.Random(7), 0, [one, two, three]
        for old, new in ((two, four), (three, five)):
            join(cluster, new)
            with open(os.path.join(folder, f"replace-{old}.log"), "wb") as log:
                replacing = spawn([binary(), "-s", cluster.urls, "cluster", "replace", str(old), str(new)],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            members = [new if node is old else node for node in members]
            kills += kill_while(cluster, replacing, members, chance)
            check_equal(replacing.returncode, 0, f"exit status of the replacement of {old}")
            throw_away(old)
            recorder.wait_progress(20)
        check_lives_on(cluster, recorder, [one, four, five], [TOPIC, "many"])
        return f"{kills} kills, {recorder.finish().judge()}"
