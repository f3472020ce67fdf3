"""What the command line says, and with which exit status it ends, when the cluster cannot do what it was asked."""

import os
import pty
import subprocess
import tempfile
import time

from cluster import Cluster, binary, check, check_equal, free_ports, patience, spawn, wait_for
from promises import promise


def run_all(commands, seconds=20):
    """Side by side, each to its end: [(arguments, exit status, stderr)]."""
    started = []
    for arguments in commands:
        with tempfile.TemporaryFile() as message:
            message.write(b"a message\n")
            message.seek(0)
            started.append((arguments, spawn([binary(), *arguments], stdin=message, stdout=subprocess.PIPE,
                                             stderr=subprocess.PIPE)))
    ended = []
    for arguments, process in started:
        _, told = process.communicate(timeout=patience(seconds))
        ended.append((arguments, process.returncode, told.decode()))
    return ended


def lose_quorum(cluster):
    """The node that is left, once it knows that it is alone."""
    left, *others = cluster.nodes
    for node in others:
        node.kill()
    wait_for(lambda: b"no quorum" in left.get("/v1/topics").body, patience(20), f"{left} to miss the others")
    return left


@promise(quiet=True)
def without_a_quorum_every_command_tells_why_and_that_nothing_was_done(folder):
    """Two of three are dead. Whoever asks hears from the third what is missing, and exit status 4 says that nothing was
    done, also of what writes: no attempt is cut off in the middle."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        left = lose_quorum(cluster)
        dead = cluster.node(2)
        told_by_all = run_all([["-s", f"{left.url},{dead.url}", "--timeout", "4s", *command] for command in (
            ["topic", "list"], ["consume", "orders", "-n", "1"], ["produce", "orders"], ["cluster", "changes"],
            ["topic", "create", "more"], ["topic", "delete", "orders", "--yes"], ["cluster", "remove", "n3", "--shrink"],
            ["cluster", "transfer", "--meta"])])
        for arguments, status, told in told_by_all:
            check("no quorum: 1 of 3 voters" in told and "n2, n3" in told, f"{arguments[4:]} says {told!r}")
            check_equal(told.count("nothing was stored"), 1, f"how often {arguments[4:]} says it: {told!r}")
            check("raftmq dev" not in told, f"{arguments[4:]} asks whether a node runs: {told!r}")
            check_equal(status, 4, f"exit status of {arguments[4:]}, which says {told!r}")


def on_a_terminal(arguments):
    """To its end: exit status, what the terminal showed, and when each part of it came."""
    master, slave = pty.openpty()
    began = time.monotonic()
    process = spawn([binary(), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    shown = []
    try:
        while part := os.read(master, 4096):
            shown.append((time.monotonic() - began, part.decode()))
    except OSError:  # the other side is closed
        pass
    os.close(master)
    return process.wait(patience(5)), shown


@promise(quiet=True)
def where_nobody_listens_a_terminal_is_told_after_a_second(folder):
    """And once; the end comes with the timeout, and asks whether a node runs. Off a terminal there is the end alone."""
    del folder
    address = f"127.0.0.1:{free_ports(1)[0]}"
    arguments = ["-s", address, "--timeout", "3s", "topic", "list"]
    status, shown = on_a_terminal(arguments)
    check_equal(status, 4, f"exit status; shown: {shown}")
    at, first = shown[0]
    check(0.9 < at < patience(2.5), f"the first words after {at:.1f} s: {shown}")
    check(f"no answer from {address}: Connection refused; retrying until 3 s are over" in first, f"shown: {shown}")
    check_equal("".join(part for _, part in shown).count("retrying"), 1, f"times told: {shown}")
    began = time.monotonic()
    (_, status, told), = run_all([arguments])
    check(2.5 < time.monotonic() - began < patience(5), "it ends with its timeout")
    check_equal(status, 4, f"exit status: {told!r}")
    check("Connection refused" in told and "raftmq dev" in told and "retrying" not in told, f"told: {told!r}")
