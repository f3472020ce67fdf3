"""Who leads the topic, watched over time from every node."""

import http.client
import json
import threading
import time

from cluster import Failed, check, patience, request


class LeaderWatch:
    """A thread per node asks it every 20 ms. A context manager."""

    def __init__(self, nodes, topic):
        self._topic, self._stopping = topic, threading.Event()
        self._lock = threading.Lock()
        self.terms = {}  # term -> (number of the node that said "I lead", when first)
        self.two_leaders = None
        self.views = {}  # node number -> (when, role, leader, term)
        self._threads = [threading.Thread(target=self._watch, args=(node,), daemon=True) for node in nodes]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(5)

    def _watch(self, node):
        while not self._stopping.wait(0.02):
            try:
                answer = request(node.http_port, "GET", "/v1/cluster?groups=1", seconds=1, host=node.host)
                group = next(group for group in json.loads(answer.body)["groups"] if group["topic"] == self._topic)
            except (OSError, http.client.HTTPException, ValueError, KeyError, StopIteration):
                continue
            self._see(node.number, group)

    def _see(self, number, group):
        with self._lock:
            self.views[number] = (time.monotonic(), group["role"], group["leader"], group["term"])
            if group["role"] != "leader":
                return
            known = self.terms.setdefault(group["term"], (number, time.monotonic()))
            if known[0] != number:
                self.two_leaders = f"n{known[0]} and n{number} both lead term {group['term']}"

    def changes_since(self, since):
        """Leaders that appeared after then, [(term, node number)]."""
        check(self.two_leaders is None, self.two_leaders)
        with self._lock:
            return [(term, number) for term, (number, at) in sorted(self.terms.items()) if at > since]

    def wait_agreement(self, nodes, seconds):
        """Until all of `nodes`, asked from now on, name one leader in one term; its number."""
        since, deadline = time.monotonic(), time.monotonic() + patience(seconds)
        while time.monotonic() < deadline:
            check(self.two_leaders is None, self.two_leaders)
            with self._lock:
                views = [self.views.get(node.number, (0, None, None, None)) for node in nodes]
            if all(view[0] > since for view in views):
                named = {view[2:] for view in views}
                leaders = [view for view in views if view[1] == "leader"]
                if len(named) == 1 and len(leaders) == 1:
                    return leaders[0][2]
            time.sleep(0.01)
        raise Failed(f"{seconds:g} s without one leader that {nodes} agree on: {self.views}")

    def check_stays(self, nodes, seconds):
        """For so long no other leader appears anywhere."""
        leader = self.wait_agreement(nodes, 5)
        since = time.monotonic()
        time.sleep(seconds)
        changes = self.changes_since(since)
        check(not changes, f"other leaders within {seconds:g} s: {changes}")
        return leader
