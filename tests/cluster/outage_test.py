"""How long a producer waits when its leader goes: by kill -9, by a pause, by a partition.

An outage is the longest time between two acknowledgements of one producer around the fault, seen by an idempotent
client with one batch in flight that repeats at the next node when there is no answer within 0.3 s. Every kind also ends
with a clean history."""

import math
import time

from cluster import Cluster, check, patience, wait_for
from history import TOPIC, Recorder
from leaders import LeaderWatch
from namespaces import NetworkCluster
from pause_test import pause, wake
from promises import promise

_FAULTS = 50
_BOUND_S = 5.0


def quantile(values, part):
    """The smallest value that `part` of all do not exceed."""
    return sorted(values)[math.ceil(len(values) * part) - 1]


def measure(cluster, fault):
    """`fault(node)` breaks the leader and returns how to mend it; 50 times."""
    cluster.start()
    cluster.create(TOPIC)
    cluster.leader(TOPIC)
    outages, elections = [], []
    recorder = Recorder(cluster, readers=1, committers=1, attempt_s=0.3, pause_s=0.002).start()
    with LeaderWatch(cluster.nodes, TOPIC) as watch:
        for number in range(_FAULTS):
            old = cluster.node(watch.wait_agreement(cluster.nodes, 20))
            recorder.wait_progress(10, acks=10)
            began = time.monotonic()
            mend = fault(old)
            try:
                wait_for(lambda: watch.changes_since(began), patience(_BOUND_S), f"a leader after {old}, fault {number}")
                recorder.wait_progress(patience(_BOUND_S), acks=5)
                elections.append(min(at for _, at in watch.terms.values() if at > began) - began)
                outages += recorder.longest_gap(began, time.monotonic())
            finally:
                mend()
            cluster.wait_ready()
            cluster.wait_in_sync(old, TOPIC)
    verdict = recorder.finish().judge()
    figures = ", ".join(f"{name} {quantile(outages, part):.3f}" for name, part in (("p50", 0.5), ("p99", 0.99)))
    check(max(outages) <= patience(_BOUND_S), f"an outage of {max(outages):.2f} s; {figures}")
    return (f"{_FAULTS} faults, {len(outages)} outages in s: {figures}, max {max(outages):.3f}; a leader seen after p50 "
            f"{quantile(elections, 0.5):.3f}, max {max(elections):.3f}; {verdict}")


@promise(seconds=600, long=True)
def outages_of_fifty_kills_are_short(folder):
    """kill -9 of the leader, 50 times; aim: p50 0.1 s, p99 0.5 s, max 1.0 s."""

    def fault(node):
        node.kill()
        return node.start

    with Cluster(folder) as cluster:
        return measure(cluster, fault)


@promise(seconds=600, long=True)
def outages_of_fifty_pauses_are_short(folder):
    """SIGSTOP of the leader until another one serves, 50 times."""

    def fault(node):
        pause(node)
        return lambda: wake(node)

    with Cluster(folder) as cluster:
        return measure(cluster, fault)


@promise(seconds=600, long=True)
def outages_of_fifty_partitions_are_short(folder):
    """The leader is cut off from both peers, while clients still reach it, until another one serves, 50 times."""
    with NetworkCluster(folder) as cluster:

        def fault(node):
            cluster.cut([node], cluster.others(node))
            return cluster.heal

        return measure(cluster, fault)
