"""Links between nodes are cut, in one direction, in both, or for large packets only (PROTOCOL C1, C4, C9, R2)."""

import json
import time

from cluster import check, check_equal, patience, wait_for
from history import TOPIC, Recorder
from leaders import LeaderWatch
from load import Producer, check_history
from namespaces import NetworkCluster
from promises import promise


class Scene:
    """A cluster with cuttable links, under recorded load, with an eye on who leads."""

    def __init__(self, folder, count=3, **load):
        self.cluster = NetworkCluster(folder, count)
        self._count, self._load = count, load

    def __enter__(self):
        self.cluster.__enter__()
        try:
            self.cluster.start()
            self.cluster.create(TOPIC, replicas=self._count)
            self.cluster.leader(TOPIC)
            self.watch = LeaderWatch(self.cluster.nodes, TOPIC).__enter__()
            self.recorder = Recorder(self.cluster, **self._load).start()
        except BaseException:
            self.cluster.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.watch.__exit__()
            for client in self.recorder.clients:
                client.stopping.set()
        finally:
            self.cluster.__exit__()

    def leader(self):
        number = self.watch.wait_agreement(self.cluster.nodes, 20)
        return self.cluster.node(number)

    def wait_whole(self, seconds=15):
        """Ready, one leader that all agree on, every producer goes on; then who leads."""
        self.cluster.wait_ready(seconds)
        leader = self.leader()
        self.recorder.wait_progress(seconds)
        return leader

    def judge(self):
        return self.recorder.finish().judge()


def check_refuses(recorder, node, kinds, seconds=15):
    """Within `seconds` (a write that was taken before may first have to time out, its fate unknown) the node refuses and
    says why. Writes go into the history, so that one which was stored all the same is no surprise to the judge."""

    def refusal(ask):
        answer = ask()
        check(answer.status >= 500, f"{node}, cut off, answers {answer}")
        told = json.loads(answer.body)
        return told if answer.status == 503 and told["type"].endswith("no-leader") else None

    asks = {"write": lambda: recorder.plain_write(node, 15),
            "read": lambda: node.fetch(TOPIC, 0, seconds=15),
            "commit": lambda: node.request("PUT", f"/v1/groups/minority/offsets/{TOPIC}/0", b'{"offset":1}')}
    for kind in kinds:
        limit = 15 if kind == "write" else seconds
        told = wait_for(lambda: refusal(asks[kind]), patience(limit), f"{node} to refuse a {kind}")
        check("quorum" in told["detail"] or "leader" in told["detail"], f"{node} says why: {told}")
    return told["detail"]


@promise(seconds=120)
def a_cut_off_leader_refuses_and_the_majority_serves(folder):
    """The leader loses both peers, three times: every producer goes on at the majority, within 2 s; the old leader
    answers no read and, in the last round, no write and no commit, and says why. After the heal one leader, the majority's; nothing lost, no stale read."""
    with Scene(folder) as scene:
        cluster, times = scene.cluster, []
        for round_number in range(3):
            old = scene.wait_whole()
            cut_at = time.monotonic()
            cluster.cut([old], cluster.others(old))
            new = cluster.node(scene.watch.wait_agreement(cluster.others(old), 2))
            scene.recorder.wait_progress(patience(10))
            gap = max(scene.recorder.longest_gap(cut_at, time.monotonic()))
            served = min(at for producer in scene.recorder.producers for at in producer.acks
                         if at > new_leader_at(scene, cut_at)) - cut_at
            check(served <= patience(2), f"the majority serves a write only {served:.2f} s after the cut")
            times.append(served)
            reason = check_refuses(scene.recorder, old,
                                   ["read", "write", "commit"] if round_number == 2 else ["read"], seconds=4)
            check("no quorum: 1 of 3" in reason, f"{old} names what is missing: {reason}")
            healed_at = time.monotonic()
            cluster.heal()
            after = scene.wait_whole()
            check_equal(after, new, "who leads after the heal")
            scene.watch.check_stays(cluster.nodes, 1)
            changes = scene.watch.changes_since(cut_at)
            check_equal(len(changes), 1, f"leaders since the cut ({changes}); healed {healed_at - cut_at:.1f} s after it")
        return (f"writes again after {', '.join(f'{t:.2f}' for t in times)} s, longest gap of the last {gap:.2f} s, "
                f"{scene.judge()}")


def new_leader_at(scene, since):
    return min(at for number, at in scene.watch.terms.values() if at > since)


def one_way(folder, is_mute):
    with Scene(folder) as scene:
        cluster = scene.cluster
        old = scene.wait_whole()
        peers = cluster.others(old)
        cut_at = time.monotonic()
        if is_mute:
            cluster.cut_one_way([old], peers)
        else:
            cluster.cut_one_way(peers, [old])
        new = cluster.node(scene.watch.wait_agreement(peers, 5))
        check(new is not old, f"{old} still leads")
        recovered = new_leader_at(scene, cut_at) - cut_at
        scene.recorder.wait_progress(10)
        scene.watch.check_stays(peers, 4)
        changes = scene.watch.changes_since(cut_at)
        check_equal(len(changes), 1, f"leaders since the cut: {changes}")
        check_refuses(scene.recorder, old, ["write", "read"])
        healed_at = time.monotonic()
        cluster.heal()
        scene.wait_whole()
        scene.watch.check_stays(cluster.nodes, 2)
        changes = scene.watch.changes_since(healed_at)
        check(len(changes) <= 1, f"leaders since the heal: {changes}")
        return f"another leader after {recovered:.2f} s, {len(changes)} more after the heal, {scene.judge()}"


@promise(seconds=90)
def a_leader_that_hears_nobody_gives_way_once(folder):
    """The leader's packets reach its peers, theirs do not reach it: it steps down, one leader follows and stays, and the
    old one neither disturbs it nor serves; after the heal at most one more change."""
    return one_way(folder, is_mute=False)


@promise(seconds=90)
def a_leader_that_nobody_hears_gives_way_once(folder):
    """The other direction."""
    return one_way(folder, is_mute=True)


@promise(seconds=90)
def a_bridge_keeps_its_leader(folder):
    """Five nodes; two on each side hear each other only by the middle one. The leader, on one side, keeps its majority:
    the far side does not depose it, and clients go on. After the heal it still leads."""
    with Scene(folder, 5) as scene:
        cluster = scene.cluster
        old = scene.wait_whole()
        rest = cluster.others(old)
        near, middle, far = [old, rest[0]], rest[1], rest[2:]
        cut_at = time.monotonic()
        cluster.cut(near, far)
        scene.watch.check_stays([*near, middle], 5)
        scene.recorder.wait_progress(10)
        cluster.heal()
        check_equal(scene.wait_whole(), old, "who leads after the heal")
        check_equal(scene.watch.changes_since(cut_at), [], "changes of leader")
        return scene.judge()


@promise(seconds=90)
def a_leader_behind_a_bridge_moves_to_it_once(folder):
    """Three nodes in a chain, the leader at one end: it may stay, or the middle may take over, but no more than one
    change, and clients go on. Then the links turn so that the leader is cut off from both: one change."""
    with Scene(folder) as scene:
        cluster = scene.cluster
        old = scene.wait_whole()
        middle, far = cluster.others(old)
        cut_at = time.monotonic()
        cluster.cut([old], [far])
        scene.watch.check_stays([old, middle], 4)
        changes = scene.watch.changes_since(cut_at)
        check(len(changes) <= 1, f"leaders since the first cut: {changes}")
        scene.recorder.wait_progress(10)
        cluster.heal()
        old = scene.wait_whole()
        turned_at = time.monotonic()
        cluster.cut([old], cluster.others(old))
        scene.watch.wait_agreement(cluster.others(old), 5)
        scene.recorder.wait_progress(10)
        scene.watch.check_stays(cluster.others(old), 2)
        changes = scene.watch.changes_since(turned_at)
        check_equal(len(changes), 1, f"leaders since the second cut: {changes}")
        cluster.heal()
        scene.wait_whole()
        return scene.judge()


@promise(seconds=120)
def a_split_into_2_2_1_refuses_and_heals_alone(folder):
    """Five nodes without a majority anywhere, meta and a topic of five replicas: every node refuses reads and writes and
    says why, no leader is left, and as soon as the links are back everything goes on by itself."""
    with Scene(folder, 5) as scene:
        cluster = scene.cluster
        scene.wait_whole()
        a, b, c, d, e = cluster.nodes
        cluster.split([a, b], [c, d], [e])
        reason = {str(node): check_refuses(scene.recorder, node, ["write", "read"]) for node in cluster}
        since = time.monotonic()
        time.sleep(2)
        check_equal(scene.watch.changes_since(since), [], "leaders while nobody has a majority")
        check(all(view[1] != "leader" for view in scene.watch.views.values()), f"nobody leads: {scene.watch.views}")
        check(all(text for text in reason.values()), f"each says why: {reason}")
        acked = [len(producer.acks) for producer in scene.recorder.producers]
        healed_at = time.monotonic()
        cluster.heal()
        recovered = scene.recorder.wait_progress(15)
        check(time.monotonic() - healed_at < patience(10), "writes within 10 s of the heal")
        check(all(len(p.acks) > n for p, n in zip(scene.recorder.producers, acked)), "every producer goes on")
        scene.wait_whole()
        return f"writes {recovered:.2f} s after the heal, n5 says: {reason['n5']}; {scene.judge()}"


@promise(seconds=120)
def a_path_that_drops_large_packets_keeps_no_useless_leader(folder):
    """Packets of 1000 bytes and more from the leader to its peers vanish; heartbeats and acks go through. The leader
    steps down within 3 s; it has the longest log and may win again, and must step down again, until another node leads;
    then large writes go on and the leader stays."""
    with Scene(folder, value_bytes=3000, batch_max=2) as scene:
        cluster = scene.cluster
        old = scene.wait_whole()
        cut_at = time.monotonic()
        cluster.cut_large([old], cluster.others(old))
        wait_for(lambda: scene.watch.views[old.number][1] != "leader", patience(3), f"{old} to step down")
        stepped_down = time.monotonic() - cut_at
        wait_for(lambda: scene.watch.changes_since(cut_at)[-1:] and scene.watch.changes_since(cut_at)[-1][1] != old.number,
                 patience(15), f"another leader than {old}")
        changed = scene.watch.terms[scene.watch.changes_since(cut_at)[-1][0]][1]
        in_vain = len(scene.watch.changes_since(cut_at)) - 1
        # A follower over the broken path may take long; the producers may not.
        progress = scene.recorder.wait_progress(10)
        since = time.monotonic()
        scene.recorder.wait_progress(15, acks=100)
        gap = max(scene.recorder.longest_gap(since, time.monotonic()))
        check_equal(scene.watch.changes_since(changed), [], "leaders after the first that can be heard")
        cluster.heal()
        scene.wait_whole()
        return (f"steps down after {stepped_down:.2f} s, elected {in_vain} times in vain, another leader after "
                f"{changed - cut_at:.2f} s, writes {progress:.2f} s later, then at most {gap:.2f} s apart, {scene.judge()}")


@promise(seconds=60)
def the_command_line_tool_leaves_a_cut_off_leader(folder):
    """`raftmq produce` sends to the leader, which loses its peers and keeps its clients: the tool turns to the others and
    goes on within 5 s; after the heal everything it sent stands once and in order on every node."""
    with NetworkCluster(folder) as cluster:
        cluster.start()
        cluster.create(TOPIC)
        leader = cluster.leader(TOPIC)
        producers = [Producer(cluster, TOPIC, f"p{i + 1}", 500) for i in range(2)]
        wait_for(lambda: all(p.acked_count() > 100 for p in producers), patience(20), "acks")
        cluster.cut([leader], cluster.others(leader))
        cut_at = time.monotonic()
        wait_for(lambda: any(n.group(TOPIC)["role"] == "leader" for n in cluster.others(leader)), patience(5),
                 "another leader")
        acked = [p.acked_count() for p in producers]
        wait_for(lambda: all(p.acked_count() > n + 1000 for p, n in zip(producers, acked)), patience(5),
                 "every producer to go on at the majority")
        went_on = time.monotonic() - cut_at
        cluster.heal()
        cluster.wait_in_sync(leader, TOPIC)
        for producer in producers:
            producer.finish()
        return f"1000 more of each acknowledged {went_on:.2f} s after the cut, {check_history(cluster, TOPIC, producers)}"


@promise(seconds=60)
def a_pulled_cable_is_noticed(folder):
    """The leader's cable is pulled, for peers and clients alike, and put back: the others serve within 2 s, and it
    follows again by itself."""
    with Scene(folder) as scene:
        cluster = scene.cluster
        old = scene.wait_whole()
        cut_at = time.monotonic()
        cluster.unplug(old)
        scene.watch.wait_agreement(cluster.others(old), 5)
        recovered = new_leader_at(scene, cut_at) - cut_at
        check(recovered <= patience(2), f"another leader only after {recovered:.2f} s")
        scene.recorder.wait_progress(10)
        cluster.plug(old)
        scene.wait_whole()
        check_equal(len(scene.watch.changes_since(cut_at)), 1, "changes of leader")
        return f"another leader after {recovered:.2f} s, {scene.judge()}"
