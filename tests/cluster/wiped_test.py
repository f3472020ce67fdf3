"""Nodes that lose their data directory under load, and come back by themselves (PROTOCOL M5)."""

import shutil

from cluster import Cluster, check, patience, wait_for
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
