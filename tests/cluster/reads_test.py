"""Every node serves consumers linearizably (PROTOCOL R)."""

import json
import threading

from cluster import Cluster, check, check_equal, cli, patience, wait_for
from promises import promise


@promise()
def a_read_from_any_node_sees_every_acknowledged_message(folder):
    """300 rounds: as soon as the leader has acknowledged a message, a fetch sent to a follower serves it, without wait."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        leader = cluster.leader("orders")
        nodes = [node for node in cluster if node is not leader] + [leader]
        for i in range(300):
            answer = leader.produce("orders", b"m%d" % i)
            check_equal(answer.status, 201, "produce")
            node = nodes[i % 3]
            page = node.fetch("orders", i).json()
            check_equal([message["value"] for message in page["messages"]], [f"m{i}"], f"round {i}, from {node}")
            check(page["high_watermark"] >= i + 1, f"watermark of {node} in round {i}")


@promise()
def followers_answer_fetches_by_confirmed_reads_alone(folder):
    """A consumer of one follower raises that follower's confirmed reads by its fetch answers; skipped and local stay 0,
    and the leader's counters do not move."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        leader = cluster.leader("orders")
        follower = next(node for node in cluster if node is not leader)
        lines = b"".join(b"line %d\n" % i for i in range(20000))
        done = cli("-s", leader.url, "produce", "orders", input=lines)
        check_equal(done.returncode, 0, f"produce: {done.stderr[-300:]!r}")
        before, leader_before = follower.group("orders"), leader.group("orders")
        fetches = 0
        offset, read = "earliest", []
        while True:
            answer = follower.fetch("orders", offset, limit=3000)
            check_equal(answer.status, 200, f"fetch at {offset}")
            fetches += 1
            page = answer.json()
            read += [message["value"] for message in page["messages"]]
            offset = page["next_offset"]
            if offset >= page["high_watermark"]:
                break
        check_equal("".join(f"{line}\n" for line in read).encode(), lines, "messages")
        after, leader_after = follower.group("orders"), leader.group("orders")
        check_equal(after["reads_confirmed"] - before["reads_confirmed"], fetches, "confirmed reads of the follower")
        check_equal(after["reads_skipped"], 0, "skipped reads of the follower")
        check_equal(after["reads_local"], 0, "local reads of the follower")
        check_equal(leader_after["reads_confirmed"], leader_before["reads_confirmed"], "reads answered by the leader")
        return f"{len(read)} messages in {fetches} confirmed fetches"


@promise()
def a_long_poll_answers_when_a_message_comes(folder):
    """A fetch at the end with wait=20s is answered by the message produced meanwhile, on a follower; without one it
    answers 200, empty, with the same next offset."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        leader = cluster.leader("orders")
        follower = next(node for node in cluster if node is not leader)
        check_equal(leader.produce("orders", b"first").status, 201, "produce")
        answers = []
        poll = threading.Thread(target=lambda: answers.append(follower.fetch("orders", 1, wait="20s", seconds=40)))
        poll.start()
        check_equal(leader.produce("orders", b"second").status, 201, "produce")
        poll.join(patience(15))
        check(answers, "the poll is answered before its wait is over")
        check_equal([message["value"] for message in answers[0].json()["messages"]], ["second"], "what it brings")
        answer = follower.fetch("orders", 2, wait="200ms")
        check_equal(answer.status, 200, "a poll that ends empty")
        check_equal((answer.json()["messages"], answer.json()["next_offset"]), ([], 2), "an empty page")


@promise()
def a_cut_off_node_serves_no_stale_read(folder):
    """A node without its two peers answers a fetch by an error within its limit, never from what it happens to hold."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        check_equal(cluster.node(1).produce("orders", b"m").status, 201, "produce")
        alone = cluster.node(2)
        wait_for(lambda: alone.fetch("orders").json()["messages"], patience(10), "the message on n2")
        cluster.node(1).kill()
        cluster.node(3).kill()
        wait_for(lambda: not alone.is_ready(), patience(10), "n2 to notice")
        answer = alone.fetch("orders", seconds=30)
        check(answer.status in (503, 504), f"a fetch without a majority: {answer}")
        body = json.loads(answer.body)
        check(body["detail"], "it says why")


@promise()
def every_place_to_start_from_is_the_right_one(folder):
    """earliest, latest, an offset, -N and a time start where they say, on every node."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        leader = cluster.leader("orders")
        for i in range(5):
            check_equal(leader.produce("orders", b"m%d" % i).status, 201, "produce")
        for node in cluster:
            starts = {"earliest": 0, "0": 0, "3": 3, "-2": 3, "-100": 0, "@1970-01-02T00:00:00Z": 0, "5": None,
                      "latest": None, "@2999-01-01T00:00:00Z": None}
            for start, first in starts.items():
                page = node.fetch("orders", start).json()
                found = [message["offset"] for message in page["messages"]]
                check_equal(found, [] if first is None else list(range(first, 5)), f"offset={start} from {node}")
                check_equal(page["next_offset"], 5, f"next offset after offset={start} from {node}")
