"""A checkpoint of a million group offsets while producers run: it may cost them little.

Five runs with checkpoints and five without take turns on the same data; the median of their p99 is compared. Speed is
printed and judged in the long suite only. What a checkpoint holds is compared with the log, replayed to its index by a
program that shares no code with the broker."""

import json
import os
import random
import re
import statistics
import sys

from cluster import Cluster, check, check_equal, cli
from promises import promise

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../reader"))
import formats
import replay

_TOPIC = "offsets"
_NEVER = 1_000_000_000
_ENTRIES = 20_000  # a run has some 50,000: every node writes one or more


def checkpoints_of(node):
    """What the node's log says of its checkpoints of the partition: [(pairs, take_us, write_ms)]."""
    pattern = r'event="checkpoint written" group=\d+ index=\d+ pairs=(\d+) bytes=\d+ take_us=(\d+) write_ms=(\d+)'
    return [tuple(map(int, match)) for match in re.findall(pattern, node.log())]


def check_offsets(cluster, groups, offset):
    """Every node, started from its checkpoint, knows what was committed."""
    cluster.start(120)
    for node in cluster:
        for number in random.sample(range(groups), min(groups, 500)):
            answer = node.get(f"/v1/groups/bench-{number:07}/offsets/{_TOPIC}/0")
            check(answer.status == 200 and answer.json()["offset"] == offset, f"group {number} on {node}: {answer}")
    cluster.stop_all()


def measure(cluster, groups, entries, seconds):
    """Median figures need one run: p99 and rate of producers, and the checkpoints that were written meanwhile."""
    cluster.options[-1] = str(entries)
    cluster.start(120)
    cluster.leader(_TOPIC)
    before = [len(checkpoints_of(node)) for node in cluster]
    done = cli("bench", "produce", "--topic", _TOPIC, "--duration", f"{seconds}s", "--json", "--server", cluster.urls,
               seconds=seconds + 60)
    check(done.returncode == 0, f"bench produce: {done.stderr!r}")
    written = [[checkpoint for checkpoint in checkpoints_of(node)[count:] if checkpoint[0] >= groups]
               for node, count in zip(cluster, before)]
    cluster.stop_all()
    figures = json.loads(done.stdout)
    return figures["p99_us"], figures["msgs_per_second"], written


def checkpoints_cost_little(folder, groups, runs, seconds):
    with Cluster(folder, options=["--log-level", "debug", "--checkpoint-entries", str(_NEVER)]) as cluster:
        cluster.start()
        done = cli("bench", "commit", "--topic", _TOPIC, "--groups", groups, "--json", "--server", cluster.urls, seconds=600)
        check(done.returncode == 0, f"bench commit: {done.stderr!r}")
        commits = json.loads(done.stdout)["commits_per_second"]
        cluster.stop_all()
        p99 = {True: [], False: []}
        rates = {True: [], False: []}
        checkpoints = []
        for number in range(2 * runs):
            writes = number % 2 == 1
            us, rate, written = measure(cluster, groups, _ENTRIES if writes else _NEVER, seconds)
            p99[writes].append(us)
            rates[writes].append(rate)
            if writes:
                check(all(written), f"a node wrote no checkpoint of {groups} offsets in a run: {written}")
                checkpoints += [checkpoint for node in written for checkpoint in node]
        check_offsets(cluster, groups, 0)
        ratio = statistics.median(p99[True]) / statistics.median(p99[False])
        take = sorted(checkpoint[1] for checkpoint in checkpoints)
        write = sorted(checkpoint[2] for checkpoint in checkpoints)
        return ratio, (
            f"{groups} offsets, committed at {commits:.0f}/s; {len(checkpoints)} checkpoints in {runs} runs: taken in "
            f"{statistics.median(take):.0f} us (max {take[-1]}), written in {statistics.median(write):.0f} ms; p99 of producers "
            f"{statistics.median(p99[True]) / 1000:.1f} ms with, {statistics.median(p99[False]) / 1000:.1f} ms without "
            f"(x {ratio:.2f}); {statistics.median(rates[True]) / 1000:.0f} and {statistics.median(rates[False]) / 1000:.0f} k msgs/s")


@promise(seconds=900, long=True)
def a_checkpoint_of_a_million_offsets_slows_producers_little(folder):
    """Median p99 with checkpoints at most 1.5 times that without, five runs each, in turns."""
    ratio, figures = checkpoints_cost_little(folder, 1_000_000, 5, 8)
    check(ratio <= 1.5, figures)
    return figures


def commit_all(cluster, groups):
    done = cli("bench", "commit", "--topic", _TOPIC, "--groups", groups, "--json", "--server", cluster.urls, seconds=600)
    check_equal(done.returncode, 0, f"bench commit: {done.stderr!r}")


def check_checkpoint(node, path, groups):
    """The newest checkpoint of the partition, pair by pair; how many groups had committed their first and their second offset."""
    log = formats.Log(path)
    check_equal(log.base.index, 0, f"start of {path}")
    checkpoint = formats.snapshots_of(path)[-1]
    state = replay.state_at(log, checkpoint.point.index)
    wanted, found = state.pairs(), checkpoint.pairs
    differing = [key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)]
    check(not differing, f"{checkpoint.path} of {node}: {len(differing)} of {len(wanted)} pairs differ from the log, first {differing[:3]}")
    check_equal(len(state.groups), groups, f"groups in {checkpoint.path}")
    second = sum(commit.offset > 0 for commit in state.groups.values())
    return len(wanted), groups - second, second


def checkpoints_equal_the_log(folder, groups, entries):
    with Cluster(folder, options=["--log-level", "debug", "--checkpoint-entries", str(entries)]) as cluster:
        cluster.start()
        commit_all(cluster, groups)
        for _ in range(20):
            check_equal(cluster.leader(_TOPIC).produce(_TOPIC, b"so that the next offsets are others", 0).status, 201, "produce")
        commit_all(cluster, groups)
        group = cluster.node(1).groups()[(_TOPIC, 0)]["group"]
        for node in cluster:  # a node that stops in peace writes a last one, behind everything
            node.kill()
        told = [check_checkpoint(node, formats.groups_of(node.data)[group], groups) for node in cluster]
        check(any(first > 0 and second > 0 for _, first, second in told), f"no checkpoint was taken amid commits: {told}")
        return ", ".join(f"{pairs} pairs ({first} and {second} offsets)" for pairs, first, second in told)


@promise(seconds=90)
def a_checkpoint_is_the_log_replayed_to_its_index(folder):
    """20,000 groups commit twice while checkpoints are written; every pair of each node's newest checkpoint is what its log
    gives when a program that knows only docs/FORMATS.md replays it from the first entry to the checkpoint's index."""
    return checkpoints_equal_the_log(folder, 20_000, 1_000)


@promise(seconds=900, long=True)
def a_checkpoint_of_a_million_offsets_is_the_log_replayed_to_its_index(folder):
    """The same with as many groups as a partition takes."""
    return checkpoints_equal_the_log(folder, 1_000_000, 20_000)
