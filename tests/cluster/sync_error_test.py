"""EIO at the syncs of a real process, one after the other: it exits with 74 at once, and acknowledges nothing after it (L11)."""

import glob
import os
import re
import shutil
import statistics

from cluster import Cluster, Skipped, check, check_equal, is_sanitized, patience, wait_for
from promises import promise

TRACE = "trace=fdatasync,fsync,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,exit_group"
EXITED = re.compile(r"^(\d+\.\d+) \+\+\+ exited with (\d+) \+\+\+")
FAILED = re.compile(r"^(\d+\.\d+) (fdatasync|fsync)\(.*= -1 EIO .*<(\d+\.\d+)>$")
ACKED = re.compile(r'^(\d+\.\d+) (?:write|writev|sendto|sendmsg)\(.*TCP.*HTTP/1\.1 20[01]')
PASSED_ON = re.compile(r"Raftmq-Leader: (?!1\\r)")  # another leader's ack, handed on by the victim, which is n1
LIMIT = 0.1  # seconds from the failed call to the end of the process


def start_failing(node, nth):
    """Under strace, as its grandchild, so that the process is the node's own: each thread's nth sync fails."""
    prefix = os.path.join(node.cluster.folder, f"failing-{nth}")
    node.start(wrapper=("strace", "-D", "-f", "-ff", "-yy", "-ttt", "-T", "-s", "256", "-o", prefix, "-e", TRACE,
                        "-e", f"inject=fdatasync,fsync:error=EIO:when={nth}"),
               env={"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"})
    return prefix


def read_trace(prefix):
    """(when the first sync had failed, when the process was gone, acks in between)"""
    failed, exited, acked = [], [], []
    for path in glob.glob(prefix + ".*"):
        with open(path, errors="replace") as file:
            for line in file:
                if found := FAILED.match(line):
                    failed.append(float(found.group(1)) + float(found.group(3)))
                elif found := EXITED.match(line):
                    exited.append(float(found.group(1)))
                elif (found := ACKED.match(line)) and not PASSED_ON.search(line):
                    acked.append(float(found.group(1)))
    if not failed or not exited:
        return None
    first = min(failed)
    return first, max(exited), [when for when in acked if when > first]


@promise(seconds=300)
def wherever_a_sync_fails_the_node_exits_with_74_at_once(folder):
    """strace lets the first, second, third ... fdatasync or fsync of each thread of one node fail, from its start on, while
    messages, group offsets and topics come: it exits with 74 within 100 ms, acks nothing after it, and is started again."""
    if not shutil.which("strace"):
        raise Skipped("strace is not installed (Debian: strace)")
    with Cluster(folder, options=["--segment-bytes", "1M", "--checkpoint-entries", "20"]) as cluster:
        cluster.start()
        cluster.create("orders", retention_bytes=400000)
        victim, others = cluster.node(1), [cluster.node(2), cluster.node(3)]
        took = []
        for nth in [1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 21, 27, 34]:
            if victim.is_running():
                victim.kill()
            prefix = start_failing(victim, nth)

            def ended():
                if victim.process.poll() is not None:
                    return True
                for node in others:
                    node.produce("orders", os.urandom(20000), seconds=20)
                try:
                    victim.produce("orders", b"to the victim", seconds=5)
                except OSError:
                    pass  # it is starting, or gone
                return victim.process.poll() is not None

            wait_for(ended, patience(60), f"{victim} to end at sync {nth} of a thread")
            status = victim.process.returncode
            trace = wait_for(lambda: read_trace(prefix), patience(10), f"the trace of sync {nth}")
            failed, gone, late = trace
            check_equal(status, 74, f"exit status after sync {nth}; its log: {victim.log()[-400:]}")
            check(not late, f"sync {nth}: acks {[round((when - failed) * 1e6) for when in late]} us after it")
            took.append(gone - failed)
        victim.start()
        cluster.wait_in_sync(victim, "orders", 60)
        if not is_sanitized():
            check(statistics.median(took) <= LIMIT, f"from a failed sync to the end: {sorted(took)}")
        cluster.stop_all()
        return (f"{len(took)} syncs; from the failure to the end {min(took) * 1e3:.0f} / {statistics.median(took) * 1e3:.0f} / "
                f"{max(took) * 1e3:.0f} ms (minimum, median, maximum)")
