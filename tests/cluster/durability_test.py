"""An acknowledgement leaves only after a majority has it on disk; a failed sync ends a node (PROTOCOL L11)."""

import http.client
import os

from cluster import Cluster, check, check_equal, patience, wait_for
from promises import promise
from syscalls import Tracer

WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2")
SENDS = ("write", "writev", "sendto", "sendmsg")

# The leak check of a sanitized build cannot run in a traced process.
UNTRACED_LEAKS = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0",
                  "LSAN_OPTIONS": os.environ.get("LSAN_OPTIONS", "") + ":detect_leaks=0"}


def start(cluster):
    for node in cluster:
        node.start(env=UNTRACED_LEAKS)
    cluster.wait_ready()
    cluster.create("orders")
    return cluster


def produce_on_own_connection(node, token):
    """One message over a connection of its own; (status, the client's port)."""
    connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=patience(20))
    try:
        connection.connect()
        port = connection.sock.getsockname()[1]
        connection.request("POST", "/v1/topics/orders/messages", token.encode())
        response = connection.getresponse()
        response.read()
        return response.status, port
    finally:
        connection.close()


def sync_finished(calls, token):
    """When the first fdatasync of the segment file that got `token`, begun after that write, was finished; None if
    never. The file's name comes with it."""
    for write in calls:
        if write.name in WRITES and token in write.arguments and write.target.startswith("/") and write.result > 0:
            for sync in calls:
                if sync.name in ("fdatasync", "fsync") and sync.target == write.target and sync.result == 0 \
                        and sync.begun >= write.finished:
                    return sync.finished, write.target
            return None
    return None


@promise(seconds=120)
def no_ack_leaves_before_two_nodes_have_synced_the_segment(folder):
    """strace on all three nodes: for each of 40 messages, sent to leader and followers, at least two nodes have finished
    an fdatasync of the very segment file that holds it before the first byte of the ack is written."""
    with Cluster(folder) as cluster:
        start(cluster)
        tracers = {node: Tracer(node) for node in cluster}
        sent = []
        for i in range(40):
            token = f"durable-{i:04d}-{os.urandom(6).hex()}"
            node = cluster.node(i % 3 + 1)
            status, port = produce_on_own_connection(node, token)
            check_equal(status, 201, f"produce at {node}")
            sent.append((node, token, port))
        for node in cluster:
            node.get("/livez")  # answered by the thread that sent the acks, so the tracer has noted those
        calls = {node: tracer.stop() for node, tracer in tracers.items()}
        margins = []
        for node, token, port in sent:
            # by both ends: a link between nodes may have the client's port, too, for its own end is another one
            ends = f":{node.http_port}->127.0.0.1:{port}]"
            acks = [call for call in calls[node] if call.name in SENDS and ends in call.target]
            check(acks and "201" in acks[0].arguments, f"the ack of {token} is in the trace of {node}: {acks}")
            ack = acks[0].begun
            found = {other: sync_finished(calls[other], token) for other in cluster}
            finished = sorted(when for when, _ in filter(None, found.values()))
            before = [when for when in finished if when < ack]
            check(len(before) >= 2, f"{token}: acked at {ack:.6f} by {node}, syncs of its segment finished at {found}")
            margins.append(ack - before[1])
        return f"{len(sent)} acks, the second sync was finished {min(margins) * 1e6:.0f} µs or more before"


def fail_fdatasync_of(cluster, victim):
    """Let every fdatasync of `victim` fail with EIO, produce, and see it exit."""
    for i in range(5):
        check_equal(victim.produce("orders", b"before %d" % i).status, 201, "produce")
    tracer = Tracer(victim, "-e", "inject=fdatasync:error=EIO")
    tokens = []

    def exited():
        token = f"after-{len(tokens)}"
        tokens.append(token)
        other = next(node for node in cluster if node is not victim)
        other.produce("orders", token.encode(), seconds=20)
        return not victim.is_running()

    wait_for(exited, patience(30), f"{victim} to exit", every=0.05)
    status = victim.wait_exit()
    tracer.process.wait(20)
    calls = tracer.calls()
    failed = [call for call in calls if call.name == "fdatasync" and call.result == -1]
    check(failed, "an fdatasync failed in the trace")
    check_equal(status, 74, f"exit status of {victim}; its log: {victim.log()[-400:]}")
    check("level=error" in victim.log(), "its log has an error for the operator")
    late_syncs = [call for call in calls if call.name == "fdatasync" and call.begun > failed[0].finished
                  and call.target == failed[0].target]
    check(not late_syncs, f"the failed fdatasync is never tried again: {late_syncs}")
    acks = [call for call in calls if call.name in SENDS and call.begun > failed[0].finished
            and "TCP" in call.target and "HTTP/1.1 20" in call.arguments]
    check(not acks, f"it acknowledges nothing after the failure: {acks}")
    return failed[0], calls


def check_the_others_go_on(cluster, victim):
    survivors = [node for node in cluster if node is not victim]
    wait_for(lambda: survivors[0].produce("orders", b"go on").status == 201, patience(20), "the others to go on")
    victim.start(env=UNTRACED_LEAKS)
    cluster.wait_in_sync(victim, "orders")
    values = [[value for _, value in node.read_all("orders")] for node in cluster]
    check(values[0] == values[1] == values[2], "all nodes serve the same messages")
    check_equal(len(set(values[0])) + values[0].count("go on") - 1, len(values[0]), "no message stands twice")
    for i in range(5):
        check(f"before {i}" in values[0], f"before {i} is there")


@promise(seconds=120)
def a_leader_whose_fdatasync_fails_exits_74_and_acks_nothing_more(folder):
    """strace injects EIO into fdatasync of the leader: it exits with 74, sends no ack after it, never tries the sync
    again; the two others go on; restarted on a healthy disk it is back in sync."""
    with Cluster(folder) as cluster:
        start(cluster)
        victim = cluster.leader("orders")
        failed, _ = fail_fdatasync_of(cluster, victim)
        check_the_others_go_on(cluster, victim)
        return f"failed in {os.path.basename(failed.target)}"


@promise(seconds=120)
def a_follower_whose_fdatasync_fails_exits_74(folder):
    """The same for a follower; producers see at most a pause."""
    with Cluster(folder) as cluster:
        start(cluster)
        leader = cluster.leader("orders")
        victim = next(node for node in cluster if node is not leader)
        fail_fdatasync_of(cluster, victim)
        check_the_others_go_on(cluster, victim)
