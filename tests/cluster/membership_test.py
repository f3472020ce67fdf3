"""Nodes come, go and take each other's place, under load and with the dead among them."""

import json
import os
import pty
import shutil
import signal
import subprocess
import time

from cluster import Cluster, binary, check, check_equal, cli, patience, spawn, wait_for
from history import TOPIC, Recorder
from promises import promise

_SECONDS = 40


def cluster_verb(cluster, *arguments, seconds=_SECONDS):
    """`raftmq cluster ...` to its end; the finished process."""
    return cli("-s", cluster.urls, "cluster", *arguments, "-o", "json", seconds=seconds)


def succeed(cluster, *arguments):
    done = cluster_verb(cluster, *arguments)
    check_equal(done.returncode, 0, f"exit status of cluster {' '.join(arguments)}: {done.stderr.decode()!r}")
    return json.loads(done.stdout), done.stderr.decode()


def changes(node):
    return node.get("/v1/cluster/changes", seconds=12).json()["changes"]


def replicas(node, topic):
    return [sorted(replica["node"] for replica in partition["replicas"])
            for partition in node.topic(topic)["partition_list"]]


def voters(node):
    return sorted(member["id"] for member in node.status()["nodes"] if member["vote"] == "voter")


def throw_away(node):
    """Stop it when it still runs, and forget its data."""
    if node.is_running():
        check_equal(node.stop(), 0, f"exit status of {node}, which is in no group any more")
    shutil.rmtree(node.data)


@promise(seconds=120)
def a_node_is_removed_under_load_and_others_take_its_place(folder):
    """Of five nodes the one that leads a topic of three replicas goes: another node takes its place there, a partition is
    moved by hand, and all stays clean."""
    with Cluster(folder, 5).start() as cluster:
        cluster.create(TOPIC, replicas=3)
        old = cluster.leader(TOPIC)
        recorder = Recorder(cluster, attempt_s=2.0).start()
        rows, _ = succeed(cluster, "remove", str(old))
        check_equal((rows[0]["node"], rows[0]["state"]), (old.number, "done"), "the row told")
        throw_away(old)
        recorder.wait_progress(20, acks=10)
        rest = [node for node in cluster if node is not old]
        held = replicas(rest[0], TOPIC)[0]
        check(len(held) == 3 and old.number not in held, f"replicas without {old}: {held}")
        check_equal(voters(rest[0]), [node.number for node in rest], "voters of meta")
        spare = next(node for node in rest if node.number not in held)
        wanted = sorted([*held[1:], spare.number])
        done = cli("-s", cluster.urls, "topic", "place", f"{TOPIC}/0", ",".join(f"n{number}" for number in wanted))
        check_equal(done.returncode, 0, f"exit status of topic place: {done.stderr!r}")
        check_equal(replicas(rest[0], TOPIC), [wanted], "replicas that were chosen")
        recorder.wait_progress(20, acks=10)
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
        succeed(cluster, "remove", "n3")
        check_equal(voters(one), [1, 2], "voters of meta")
        check_equal(replicas(one, TOPIC), [[1, 2]], "replicas")
        check_equal(one.produce(TOPIC, b"x").status, 201, "a produce")


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
