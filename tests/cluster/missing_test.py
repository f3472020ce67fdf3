"""Files that are missing leave no bytes to be damaged: what stands beside them tells, to a start as to who looks at them offline."""

import os
import shutil
import sys

from cluster import Cluster, check, check_equal, cli, patience, wait_for
from promises import promise

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../reader"))
import formats


def segments(group):
    return sorted(name for name in os.listdir(group) if name.endswith(".segment"))


def bases(group):
    return sorted(int(name[5:25]) for name in os.listdir(group) if name.startswith("base-") and name.endswith(".snap"))


def start_index(group):
    """Of the entry behind which the first segment starts."""
    with open(os.path.join(group, segments(group)[0]), "rb") as file:
        return int.from_bytes(file.read(56)[48:], "little") - 1


def is_trimmed(group):
    """Several segments are left behind a base, and nothing in front of it."""
    return start_index(group) > 0 and bases(group)[0] == start_index(group) and len(segments(group)) >= 4


def told(action, directory):
    done = cli("log", action, directory)
    return done.returncode, (done.stdout + done.stderr).decode()


def reader_finds(group):
    """What the independent reader has against the log."""
    try:
        formats.Log(group)
    except formats.Damaged as problem:
        return problem
    return None


def check_lost(data, group, lost, name):
    """Without these files, `name` is told, in a copy of the node's directory that is otherwise the same."""
    with_whole = os.path.join(data, "groups", group)
    aside = os.path.join(data, "..", "aside")
    os.makedirs(aside)
    for segment in lost:
        shutil.move(os.path.join(with_whole, segment), aside)
    for action, directory in (("verify", data), ("verify", with_whole), ("inspect", data), ("dump", data)):
        status, text = told(action, directory)
        check_equal(status, 1, f"exit status of log {action} of {directory} without {lost}: {text[-300:]}")
        check(f"{name} at 0: " in text, f"log {action} of {directory} without {lost} names {name}: {text[-600:]}")
    check(reader_finds(with_whole), f"the reader misses {lost}")
    for segment in lost:
        shutil.move(os.path.join(aside, segment), with_whole)
    os.rmdir(aside)


@promise(seconds=90)
def every_segment_that_is_missing_is_named(folder):
    """Of a node whose log was trimmed each segment is taken away in turn, the first, those between and the last one, then the last
    beside a flipped byte, and all of them: `log verify`, `log inspect` and `log dump` name what is missing and exit with 1, and so
    does the independent reader; of the untouched directory none does. A start without one of them names it, too."""
    with Cluster(folder, count=1, options=["--segment-bytes", "65536"]) as cluster:
        node = cluster.start().node(1)
        cluster.create("orders", retention_bytes=262144)
        root = os.path.join(node.data, "groups")

        def trimmed():
            """Stopped with nothing on its way."""
            lines = b"".join(b"%d %s\n" % (i, b"x" * 1000) for i in range(100))
            done = cli("produce", "orders", "--server", f"127.0.0.1:{node.http_port}", input=lines)
            check_equal(done.returncode, 0, f"produce: {done.stderr[-300:]}")
            group = os.path.join(root, next(name for name in os.listdir(root) if int(name) > 0))
            if not is_trimmed(group):
                return None
            check_equal(node.stop(), 0, "exit status")
            if is_trimmed(group):
                return os.path.basename(group)
            node.start()
            cluster.wait_ready()
            return None

        group = wait_for(trimmed, patience(40), "the start of the log to be trimmed")
        data = os.path.join(folder, "copy", "n1")
        shutil.copytree(node.data, data)
        copied = os.path.join(data, "groups", group)
        for action in ("verify", "inspect", "dump"):
            status, text = told(action, data)
            check_equal(status, 0, f"exit status of log {action} of the whole directory: {text[-300:]}")
        check_equal(reader_finds(copied), None, "what the reader finds in the whole directory")

        names = [os.path.basename(segment.path) for segment in formats.Log(copied).segments]
        for i, name in enumerate(names):
            check_lost(data, group, [name], name if i + 1 < len(names) else names[-2])
        check_lost(data, group, names, f"groups/{group}")
        with open(os.path.join(copied, names[1]), "r+b") as file:
            file.seek(formats.ENTRIES_POS + 40)
            byte = file.read(1)[0]
            file.seek(formats.ENTRIES_POS + 40)
            file.write(bytes([byte ^ 4]))
        check_lost(data, group, [names[-1]], names[-2])

        os.unlink(os.path.join(root, group, names[0]))
        node.start()
        wait_for(lambda: "is missing" in node.log(), patience(20), "the node to name the file")
        return f"{len(names)} segments behind entry {start_index(copied)}"
