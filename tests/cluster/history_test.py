"""The recorded clients themselves: a healthy cluster is clean, and what is wrong is seen."""

import re

from cluster import Cluster, check, check_equal, wait_for
from history import Recorder, run_checker
from promises import promise


@promise()
def a_healthy_cluster_leaves_a_clean_history(folder):
    """Producers, readers and committers at all nodes: clean. Then the same history with one answer falsified at a time
    is not: an ack of another offset, an end before an ack, a message that was never sent, an offset that goes back."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        recorder = Recorder(cluster).start()
        wait_for(lambda: len(recorder.producers[0].acks) > 100, 30, "100 acks")
        verdict = recorder.finish().judge()
    with open(recorder.path) as file:
        lines = file.readlines()
    last = max(int(line.split()[3]) for line in lines) + 1
    head = f"ok {last} {last + 1} session=liar partition=orders/0"
    ack = next(line for line in reversed(lines) if line.startswith("produce ok") and "+2" in line)
    offset = int(re.search(r" at=(\d+)", ack).group(1))
    lies = {
        "stale-read": [f"fetch {head} seek from={offset} next={offset} end={offset}\n"],
        "phantom": [f"fetch {head} seek from=0 got=0:99.0\n"],
        "offset-loss": [f"committed {head} group=group1 offset=0\n"],
        "lost-write": [re.sub(r" at=\d+", " at=3", re.sub(r"p(\d)", r"p9", ack)).replace("values=", "values=77")
                       .replace("producer=", "producer=9")],
    }
    for anomaly, more in lies.items():
        path = recorder.path + "." + anomaly
        with open(path, "w") as file:
            file.writelines(lines + more)
        done = run_checker(path)
        check_equal(done.returncode, 1, f"exit status for a planted {anomaly}: {done.stdout[-500:]!r}")
        check(anomaly.encode() in done.stdout, f"{anomaly} is named: {done.stdout[-500:]!r}")
    return verdict
