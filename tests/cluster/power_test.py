"""Power cuts of real disks under load: what was acknowledged stays."""

import os
import random
import time

import verify
from cluster import Cluster, Failed, binary, check, check_equal, is_sanitized, patience
from disks import Disks
from history import Recorder
from load import Producer, check_history
from promises import promise

# What a history tells of acknowledged messages that are gone.
LOSS = ("lost-write", "unseen", "inconsistent-offsets", "stale-read", "nonmonotonic")


class Power:
    """Three nodes, each with its data on a disk of its own."""

    def __init__(self, folder, env=None):
        self.disks = Disks(folder, 3)
        self.cluster = Cluster(folder, 3, options=["--segment-bytes", "1048576", "--checkpoint-entries", "500"])
        self.env = env
        self.cuts = self.cuts_of_all = self.ended_alone = 0
        for node in self.cluster:
            node.data = os.path.join(self.disks.path(node.number), "data")
            self.start(node)
        self.cluster.wait_ready()
        self.cluster.create("orders")
        self.cluster.leader("orders")

    def start(self, node):
        node.start(wrapper=self.disks.inside(), env=self.env)

    def cut(self, nodes):
        """The power goes, then all that was in memory: the processes end, by themselves if they are left the time."""
        self.disks.cut([node.number for node in nodes])
        self.cuts += 1
        if len(nodes) == len(self.cluster.nodes):
            self.cuts_of_all += 1
            for node in nodes:
                node.kill()
            return
        for node in nodes:
            check_equal(node.wait_exit(30), 74, f"exit status of {node}, whose disk has failed")
            self.ended_alone += 1

    def restore(self, nodes):
        for node in nodes:
            self.disks.restore(node.number)
            self.start(node)

    def cut_all_and_judge(self, recorder):
        """A last cut, with the load just ended; then everything is read from every node."""
        recorder.stop()
        self.cut(self.cluster.nodes)
        self.restore(self.cluster.nodes)
        self.cluster.wait_ready(60)
        return recorder.finish().judge()

    def check_files(self):
        """`log verify` of every node, and equal chains of every group at what all have committed."""
        groups = [{group["group"]: group["commit_index"] for group in node.groups().values()} for node in self.cluster]
        self.cluster.stop_all()
        for node in self.cluster:
            node.data = self.disks.from_outside(node.data)
        for number in groups[0]:
            commit = min(commits[number] for commits in groups)
            found = [verify.verify_node(node, commit)[number] for node in self.cluster]
            check(all(group["last_index"] >= commit for group in found), f"the end of group {number}: {found}")
            check_equal(len({group["chain_at"] for group in found}), 1, f"chains of group {number} at {commit}: {found}")


def choose(draw, nodes, number):
    """Every second cut strikes all at once; of the others some a majority, some one node."""
    return list(nodes) if number % 2 == 0 else draw.sample(list(nodes), draw.choice((1, 1, 2)))


def cut_power(folder, cuts):
    seed = random.randrange(1 << 32)
    draw = random.Random(seed)
    power = Power(folder)
    with power.cluster as cluster:
        cluster.create("bulk")
        recorder = Recorder(cluster, attempt_s=patience(1)).start()
        bulk = Producer(cluster, "bulk", "b1", rate=1000)
        hurried = False
        for number in range(cuts - 1):
            nodes = choose(draw, cluster.nodes, number)
            power.cut(nodes)
            power.restore(nodes)
            # Now and then power goes again while the nodes still start; never twice in a row without progress.
            hurried = not hurried and draw.random() < 0.25
            try:
                if not hurried:
                    recorder.wait_progress(60)
            except Failed as error:
                raise Failed(f"seed {seed}, after cut {number + 1} of {nodes}: {error}") from None
            time.sleep(draw.uniform(0, 0.5))
        verdict = power.cut_all_and_judge(recorder)
        bulk.finish()
        ledger = check_history(cluster, "bulk", [bulk])
        power.check_files()
        return (f"{power.cuts} power cuts, {power.cuts_of_all} of all nodes at once, {power.ended_alone} nodes exited with 74 "
                f"by themselves, {verdict}; of another producer: {ledger}")


@promise(seconds=240)
def ten_power_cuts_lose_nothing(folder):
    """Power cuts of real disks (ext4 on loop devices, shut down without a flush) under recorded load, every second one on all
    three nodes at once, some again during the recovery: nodes whose disk fails exit with 74, all come back, and the history
    of all clients is clean, as is what a fast producer was told; then `log verify` of every node is."""
    return cut_power(folder, 4 if is_sanitized() else 10)


@promise(seconds=2400, long=True)
def a_hundred_power_cuts_lose_nothing(folder):
    """As above, 100 times, 50 of them on all nodes at once."""
    return cut_power(folder, 100)


@promise(seconds=120)
def a_power_cut_of_disks_that_lie_is_seen_as_loss(folder):
    """The control: with fdatasync turned into a no-op, the last step of the same test, a cut of all nodes, is reported as lost
    messages by the same judge. (What was there when the load began is synced behind the liar's back, so that nodes start.)"""
    shim = os.path.join(os.path.dirname(binary()), "raftmq_no_sync.so")
    check(os.path.exists(shim), f"{shim} is not built")
    power = Power(folder, env={"LD_PRELOAD": shim})
    with power.cluster as cluster:
        recorder = Recorder(cluster, attempt_s=patience(1)).start()
        power.disks.sync()
        recorder.wait_progress(20, acks=30)
        try:
            verdict = power.cut_all_and_judge(recorder)
        except Failed as error:
            named = [anomaly for anomaly in LOSS if anomaly in str(error)]
            check(named, f"it failed, but not by loss: {error}")
            return f"reported: {', '.join(named)}"
        raise Failed(f"nothing was synced, and yet nothing is missed: {verdict}")
