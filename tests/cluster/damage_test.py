"""Damage to the files of a live cluster: found, repaired from the other nodes, and never served."""

import os
import random
import re

import verify
from cluster import Cluster, Failed, check, check_equal, cli, is_sanitized, patience, wait_for
from history import HistoryReader, Recorder
from promises import promise


def is_empty_or_gone(path):
    try:
        return os.path.getsize(path) == 0
    except FileNotFoundError:
        return True


def files_of(node):
    """Every file that counts, however small; what is being written under another name does not. They come and go meanwhile."""
    found = []
    for folder, _, names in os.walk(node.data):
        found += [os.path.join(folder, name) for name in names
                  if not name.endswith((".new", ".tmp")) and name != "LOCK"]
    return sorted(path for path in found if not is_empty_or_gone(path))


def flip(path, draw):
    """One byte, anywhere in the file, gets another value; returns where."""
    with open(path, "r+b") as file:
        pos = draw.randrange(os.fstat(file.fileno()).st_size)
        byte = os.pread(file.fileno(), 1, pos)
        os.pwrite(file.fileno(), bytes([byte[0] ^ draw.randrange(1, 256)]), pos)
        os.fdatasync(file.fileno())
    return pos


class Damage:
    def __init__(self, cluster, recorder, draw):
        self.cluster, self.recorder, self.draw = cluster, recorder, draw
        self.flips = self.restarts = 0
        self.by_kind = {}

    def scrub(self, what):
        """Until every node says that it is clean."""
        done = cli("-s", self.cluster.urls, "log", "scrub", "--wait=60s", "-o", "json", seconds=90)
        check_equal(done.returncode, 0, f"log scrub after {what}: {(done.stdout + done.stderr)[-800:]!r}")

    def read_from(self, node):
        """Old messages from that node's files, by recorded reads that the judge looks at: the right bytes, or none."""
        reader = HistoryReader(self.recorder, f"after{len(self.recorder.probes)}", [node])
        self.recorder.probes.append(reader)
        for _ in range(3):
            end = max(other.offset for other in self.recorder.readers)
            reader.offset, reader.seek = self.draw.randrange(max(1, end)), True
            reader.fetch(node, limit=500, seconds=patience(5))

    def strike(self):
        """A flip on a random node, and the way back to a clean cluster."""
        node = self.draw.choice(self.cluster.nodes)
        path = self.draw.choice(files_of(node))
        kind = "segment" if path.endswith(".segment") else re.split("[-.]", os.path.basename(path))[0]
        kind = "copy" if path.endswith(".copy") else kind
        try:
            pos = flip(path, self.draw)
        except FileNotFoundError:
            return  # it was just dropped
        self.flips += 1
        self.by_kind[kind] = self.by_kind.get(kind, 0) + 1
        what = f"flip {self.flips}, byte {pos} of {os.path.relpath(path, self.cluster.folder)}"
        try:
            self.read_from(node)
            if self.draw.random() < 0.2:
                node.kill()
                node.start()
                self.restarts += 1
                self.cluster.wait_in_sync(node, "orders", 60)
            self.scrub(what)
        except Failed as error:
            raise Failed(f"{what}: {error}") from None
        self.recorder.check_alive()


def check_files(cluster):
    """`log verify` of every node, equal chains of every group at what all have committed, and no replica was made again."""
    for node in cluster:
        aside = [name for name in os.listdir(node.data) if name == "lost" or name.startswith(("unreadable-", "votes.lost"))]
        check_equal(aside, [], f"set aside by {node}")
    groups = [{group["group"]: group["commit_index"] for group in node.groups().values()} for node in cluster]
    cluster.stop_all()
    for number in groups[0]:
        commit = min(commits[number] for commits in groups)
        found = [verify.verify_node(node, commit)[number] for node in cluster]
        check_equal(len({group["chain_at"] for group in found}), 1, f"chains of group {number} at {commit}: {found}")


def flip_bytes(folder, flips):
    seed = random.randrange(1 << 32)
    options = ["--segment-bytes", "131072", "--checkpoint-entries", "200"]
    with Cluster(folder, options=options).start() as cluster:
        cluster.create("orders")
        cluster.leader("orders")
        recorder = Recorder(cluster, attempt_s=patience(1), value_bytes=200, pause_s=0.02).start()
        damage = Damage(cluster, recorder, random.Random(seed))
        wait_for(lambda: len(files_of(cluster.node(1))) > 8, patience(30), "some segments")
        try:
            while damage.flips < flips:
                damage.strike()
            verdict = recorder.finish().judge()
        except Failed as error:
            raise Failed(f"seed {seed}: {error}") from None
        logs = [log for node in cluster for log in node.get("/v1/scrub").json()["logs"]]
        repaired, mended = (sum(log[name] for log in logs) for name in ("segments_repaired", "blocks_mended"))
        check_files(cluster)
        kinds = ", ".join(f"{count} in {kind} files" for kind, count in sorted(damage.by_kind.items()))
        return f"{damage.flips} flips ({kinds}), {damage.restarts} restarts, {repaired} segments repaired and {mended} blocks mended since, {verdict}"


@promise()
def damage_that_nobody_can_repair_is_told_and_read_past(folder):
    """A node alone with a flipped bit: `cluster status` names topic, partition, offsets and node and ends with 1, /readyz stays
    200 and hides nothing, a consumer ends with 1 in front of it and names the commands that go on, which do."""
    with Cluster(folder, 1, ["--checkpoint-entries", "10"]).start() as cluster:
        node = cluster.node(1)
        cluster.create("orders")
        for i in range(30):
            check_equal(node.produce("orders", b"precious-%02d" % i).status, 201, "produce")
        wait_for(lambda: any(f"/{1:020}/checkpoint-" in path for path in files_of(node)), patience(10), "a checkpoint")
        status = cli("cluster", "status", "--server", node.url)
        check_equal(status.returncode, 0, f"cluster status of a whole node: {status.stderr!r}")
        path = next(path for path in files_of(node) if path.endswith(".segment") and b"precious-02" in open(path, "rb").read())
        with open(path, "r+b") as file:
            file.seek(open(path, "rb").read().find(b"precious-02"))
            file.write(b"P")
        node.kill()
        node.start()
        wait_for(lambda: node.status()["unrepaired_ranges"] == 1, patience(15), "the damage to be given up")
        wait_for(node.is_ready, patience(15), "a node that serves all else")
        name = 'damaged on n1: topic "orders" partition 0 offsets 2..2; nobody can repair it now: there is no other replica'
        for form in ("table", "json"):
            status = cli("cluster", "status", "-o", form, "--server", node.url)
            check_equal(status.returncode, 1, f"exit status: {status.stdout!r}")
            check(name in (status.stdout + status.stderr).decode(), f"it is named: {status}")
        text = node.get("/readyz?verbose").body.decode()
        check("[!]damage on this node: 1 range" in text and "mended" not in text, f"readyz: {text}")
        consumed = cli("consume", "orders", "-e", "--timeout", "1s", "--server", node.url)
        check_equal((consumed.returncode, consumed.stdout), (1, values(0, 2)), f"consume: {consumed.stderr!r}")
        go_on(node, consumed, b"raftmq consume orders --partition 0 --from 3   ")
        consumed = cli("consume", "orders", "-e", "-g", "g", "--timeout", "1s", "--server", node.url)
        check_equal(consumed.returncode, 1, f"consume of a group: {consumed.stderr!r}")
        go_on(node, consumed, b"raftmq group seek g --topic orders --partition 0 --to 3 --execute   ")
        consumed = cli("consume", "orders", "-e", "-g", "g", "--server", node.url)
        check_equal((consumed.returncode, consumed.stdout), (0, values(3, 30)), f"consume: {consumed.stderr!r}")


def values(first, end):
    return b"".join(b"precious-%02d\n" % i for i in range(first, end))


def go_on(node, refused, command):
    """It is in the hint, and works."""
    check(b"  " + command in refused.stderr, f"what goes on: {refused.stderr!r}")
    done = cli(*command.decode().split()[1:], *(["-e"] if b"consume" in command else []), "--server", node.url)
    check_equal(done.returncode, 0, f"{command!r}: {done.stderr!r}")


@promise(seconds=240)
def twenty_flipped_bytes_are_repaired_under_load(folder):
    """Under recorded load one byte after the other is flipped, on a random node, in a random file, the next only after
    `log scrub --wait` says that all is clean: nobody is served a wrong byte, no acknowledged message is lost, and at the end
    `log verify` of every node is clean and all chains are equal."""
    return flip_bytes(folder, 6 if is_sanitized() else 20)


@promise(seconds=2400, long=True)
def two_hundred_flipped_bytes_are_repaired_under_load(folder):
    """As above, 200 times."""
    return flip_bytes(folder, 200)
