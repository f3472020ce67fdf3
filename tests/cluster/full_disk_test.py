"""Small disks under load (L11): no exit, no corruption, 507, and by itself again when there is space."""

import threading
import time

from bad_input_test import SmallDisk
from cluster import Cluster, check, check_equal, cli, patience, wait_for
from promises import promise


class Load:
    """Producers of 100 kB messages to all nodes in turn; what was acknowledged is remembered."""

    def __init__(self, cluster, count=4):
        self.cluster, self.acked, self.refused, self.last_ack = cluster, [], 0, 0.0
        self.lock, self.ends = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, producer):
        number = 0
        while not self.ends.is_set():
            node = self.cluster.nodes[(producer + number) % len(self.cluster.nodes)]
            value = f"{producer}-{number:06d}-".encode() + b"z" * 100000
            number += 1
            try:
                answer = node.produce("orders", value, seconds=10)
            except OSError:
                continue
            with self.lock:
                if answer.status == 201:
                    self.acked.append((answer.json()["offset"], value.decode()))
                    self.last_ack = time.monotonic()
                elif answer.status == 507:
                    self.refused += 1
            if answer.status != 201:
                time.sleep(0.02)

    def stop(self):
        self.ends.set()
        for thread in self.threads:
            thread.join()


def wait_full(load):
    """Nothing is taken any more, and it is said why."""
    before = load.refused
    wait_for(lambda: time.monotonic() - load.last_ack > 2 and load.refused > before, patience(60), "the disks to be full")


def first_ack_after(load, since):
    wait_for(lambda: load.last_ack > since, patience(5), "writes to be taken within 5 s", every=0.01)
    return load.last_ack - since


def check_acked(cluster, load):
    for node in cluster:
        found = dict(node.read_all("orders", limit=30))
        first = min(found)
        lost = [offset for offset, value in load.acked if offset >= first and found.get(offset) != value]
        check(not lost, f"{node} lacks or changed what was acknowledged at {lost[:5]}")


@promise(seconds=240)
def full_disks_under_load_refuse_and_recover_within_five_seconds(folder):
    """Three nodes on disks of 40 MiB and more, filled by four producers: writes are refused with 507, no node ends, reads go
    on; with more space they are taken within 5 s, and every node has all that was acknowledged."""
    options = ["--segment-bytes", "2097152", "--reserve-bytes", "8388608"]
    with Cluster(folder, options=options) as cluster:
        disks = [SmallDisk(node.data, size) for node, size in zip(cluster, ("40m", "44m", "48m"))]
        for node, disk in zip(cluster, disks):
            node.start(wrapper=disk.inside())
        cluster.wait_ready()
        cluster.create("orders")
        load = Load(cluster)
        wait_full(load)
        check_equal(len(cluster.running()), 3, "nodes that run on full disks")
        check_equal(cluster.node(2).fetch("orders", limit=1).status, 200, "a read while full")
        since = time.monotonic()
        for disk in disks:
            disk.grow("1g")  # not full again before the load ends
        grown = first_ack_after(load, since)
        time.sleep(2)
        load.stop()
        check_equal(len(cluster.running()), 3, "nodes that run at the end")
        wait_for(lambda: len({node.group("orders")["applied_index"] for node in cluster}) == 1, patience(30), "all in sync")
        check_acked(cluster, load)
        cluster.stop_all()
        return (f"{len(load.acked)} acknowledged, {load.refused} refused with 507; "
                f"taken again {grown:.1f} s after the disks grew")


@promise()
def what_a_full_disk_refuses_is_known_not_to_be_stored(folder):
    """`produce` of one message, and of many batches to four partitions at once, where more space is to be kept free than
    there is: exit status 4, which says that nothing was stored, and nothing is."""
    with Cluster(folder, 1).start() as cluster:
        node = cluster.node(1)
        cluster.create("orders", partitions=4)
        node.stop()
        cluster.options += ["--reserve-bytes", "1000T"]
        cluster.start()
        many = b"".join(b"%d\n" % number for number in range(50000))
        for messages, options in ((b"one\n", []), (many, []), (many, ["--idempotent", "off"])):
            done = cli("-s", cluster.urls, "produce", "orders", *options, input=messages)
            check_equal(done.returncode, 4, f"exit status with {options}: {done.stderr!r}")
            check(b"nothing was stored" in done.stderr, f"told with {options}: {done.stderr!r}")
            check(b"unknown" not in done.stderr, f"told with {options}: {done.stderr!r}")
        stored = [node.get(f"/v1/topics/orders/partitions/{number}").json()["next_offset"] for number in range(4)]
        check_equal(stored, [0] * 4, "messages that are stored")
