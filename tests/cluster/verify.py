"""What `raftmq log verify` says about the files of stopped nodes."""

import json

from cluster import check, check_equal, cli


def verify_node(node, index=None):
    """Groups of a stopped node by group id, after every payload hash and chain was recomputed."""
    more = [] if index is None else ["--at", index]
    done = cli("log", "verify", node.data, "-o", "json", *more, seconds=120)
    check_equal(done.returncode, 0, f"log verify of {node}: {(done.stderr + done.stdout)[-600:]!r}")
    return {group["group"]: group for group in json.loads(done.stdout)["groups"]}


def check_stopped_nodes(cluster, topic, commit):
    """Every node's files are whole and all chains are equal at the lowest common commit index."""
    chains = set()
    for node in cluster:
        check(not node.is_running(), f"{node} is stopped")
        groups = verify_node(node, commit)
        found = [group for group in groups.values() if group["group"] != 0]
        check_equal(len(found), 1, f"groups of {node} besides meta")
        check(found[0]["last_index"] >= commit, f"{node} holds the committed index {commit} of {topic}")
        chains.add(found[0]["chain_at"])
    check_equal(len(chains), 1, f"different chains at index {commit}")
