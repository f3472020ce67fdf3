"""Leadership handed over on request, under load: nobody is failed by it, and everybody waits for a moment only."""

import json
import time

from cluster import Cluster, check, check_equal, cli, patience, wait_for
from history import TOPIC, Recorder
from leaders import LeaderWatch
from outage_test import quantile
from promises import promise

_TRANSFERS = 20


def transfer(cluster, *arguments):
    """`raftmq cluster transfer`; the finished process and its table as JSON."""
    done = cli("-s", cluster.urls, "cluster", "transfer", *arguments, "-o", "json")
    return done, json.loads(done.stdout) if done.stdout else None


@promise(seconds=120)
def twenty_transfers_under_load_lose_nothing(folder):
    """The command line tool moves the leadership of a topic 20 times, through any node, to a chosen one or the best. Every
    produce is answered OK at its first attempt; nothing lost, duplicated or stale; how long producers waited is printed."""
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        cluster.leader(TOPIC)
        # An attempt may take as long as the server lets it wait: a failed one is the server's answer.
        recorder = Recorder(cluster, attempt_s=patience(15), pause_s=0.002).start()
        gaps, took = [], []
        with LeaderWatch(cluster.nodes, TOPIC) as watch:
            for number in range(_TRANSFERS):
                old = watch.wait_agreement(cluster.nodes, 20)
                recorder.wait_progress(10, acks=5)
                began = time.monotonic()
                to = (old + number % 2) % 3 + 1
                chosen = () if number % 5 == 4 else ("--to", f"n{to}")
                done, rows = transfer(cluster, f"{TOPIC}/0" if number % 2 else TOPIC, *chosen)
                check_equal(done.returncode, 0, f"exit status of transfer {number}: {done.stderr!r}")
                leader = int(rows[0]["leader"].removeprefix("n"))
                check(leader == to if chosen else leader != old, f"transfer {number} from n{old} to n{to}: {rows}")
                took.append(rows[0]["took_ms"] / 1000)
                recorder.wait_progress(patience(5), acks=5)
                gaps += recorder.longest_gap(began, time.monotonic())
                check_equal(watch.wait_agreement(cluster.nodes, 10), leader, f"who leads after transfer {number}")
            check_equal(len(watch.terms), _TRANSFERS + 1, f"terms that had a leader: {watch.terms}")
        verdict = recorder.finish().judge()
        failed = [answer for producer in recorder.producers for answer in producer.failed]
        check_equal(failed, [], "attempts of producers that were not acknowledged")
        figures = ", ".join(f"{name} {quantile(gaps, part):.3f}" for name, part in (("p50", 0.5), ("p99", 0.99)))
        check(max(gaps) < patience(2), f"somebody waited {max(gaps):.2f} s; {figures}")
        return (f"{_TRANSFERS} transfers, {len(gaps)} outages in s: {figures}, max {max(gaps):.3f}; answered after p50 "
                f"{quantile(took, 0.5):.3f}, max {max(took):.3f}; {verdict}")


@promise()
def a_node_hands_over_all_that_it_leads(folder):
    """`--from` moves everything, `--meta` moves meta; the node then leads nothing, and stops without an election."""
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC, partitions=6)
        node = cluster.leader(TOPIC)
        led = [name for name, group in node.groups().items() if group["role"] == "leader"]
        done, rows = transfer(cluster, "--from", f"n{node.number}")
        check_equal(done.returncode, 0, f"exit status: {done.stderr!r}")
        check_equal(rows[0]["groups"], len(led), f"groups of {node} that were handed over")
        check_equal([name for name, group in node.groups().items() if group["role"] == "leader"], [], f"led by {node}")
        done, rows = transfer(cluster, "--meta", "--to", str(node))
        check_equal((done.returncode, rows and rows[0]["leader"]), (0, str(node)), f"meta to {node}: {done.stderr!r}")
        wait_for(lambda: cluster.leader() is node, 5, f"{node} to lead meta")


@promise()
def a_transfer_that_cannot_be_is_refused_with_the_reason(folder):
    """Unknown topics and partitions, wrong words, a node without a replica, one that is dead, one that was cut off by
    SIGKILL: exit status and sentence say what it is, and the leader stays."""
    with Cluster(folder).start() as cluster:
        cluster.create(TOPIC)
        leader = cluster.leader(TOPIC)
        for arguments, status, text in [
            (["nothing", "--to", "n1"], 3, "topic"),
            ([f"{TOPIC}/7"], 3, "partition"),
            ([f"{TOPIC}/x"], 2, "not a number"),
            ([TOPIC, "--to", "leader"], 2, "not a node"),
            ([TOPIC, "--to", "n9"], 5, "n9 is no member"),
            ([TOPIC, "--meta"], 2, "one of"),
            ([], 2, "one of"),
            (["--from", "n1", "--to", "1"], 2, "same node"),
            (["--from", "n9"], 3, "n9: the cluster knows no such node"),
        ]:
            done, _ = transfer(cluster, *arguments)
            check_equal(done.returncode, status, f"exit status of transfer {arguments}: {done.stderr!r}")
            check(text in done.stderr.decode(), f"transfer {arguments} says {done.stderr!r}, not {text!r}")
        dead = next(node for node in cluster if node is not leader)
        dead.kill()
        done, _ = transfer(cluster, TOPIC, "--to", str(dead))
        check_equal(done.returncode, 5, f"exit status of a transfer to a dead node: {done.stderr!r}")
        check(f"{dead} is not connected" in done.stderr.decode(), f"the reason: {done.stderr!r}")
        check_equal(cluster.leader(TOPIC), leader, "who leads")
