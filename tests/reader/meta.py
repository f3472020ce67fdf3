"""Group 0, as docs/FORMATS.md tells under "State of group 0" and "Entry payloads": what its snapshots hold, and the commands in its
log. Each value and each payload must be exactly of its form."""

import struct

from formats import Damaged


class Fields:
    """Little-endian fields, one behind the other."""

    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def check(self, holds, why):
        if not holds:
            raise Damaged(self.what, self.at, why)

    def numbers(self, form):
        form = "<" + form
        self.check(self.at + struct.calcsize(form) <= len(self.data), "cut off")
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def number(self, form="Q"):
        return self.numbers(form)[0]

    def text(self):
        count = self.number("H")
        self.check(self.at + count <= len(self.data), "cut off in a text")
        self.at += count
        return self.data[self.at - count:self.at].decode()

    def settings(self):
        version, flags, zero, batch, retention_ms, retention_bytes = self.numbers("HBBIqq")
        changed = self.number() if version == 2 else 0
        self.check(version in (1, 2) and zero == 0 and flags <= (1 if version == 1 else 3), "settings")
        self.check(version == (2 if changed or flags & 2 else 1), "settings of a version that they do not need")
        self.check(128 <= batch <= 17 << 20 and retention_ms >= -1 and retention_bytes >= -1, "settings out of range")
        return {"batch": batch, "retention_ms": retention_ms, "retention_bytes": retention_bytes, "changed": changed}

    def replicas(self, count):
        return [self.numbers("QQ") for _ in range(count)]

    def end(self):
        self.check(self.at == len(self.data), "bytes behind it")


# ---- state ----------------------------------------------------------------------------------------------------------------


class State:
    """Topics, partitions and nodes that a snapshot of group 0 holds."""

    def __init__(self, pairs):
        self.topics, self.groups, self.nodes, self.counters = {}, {}, {}, (0, 1, 1)
        kinds = {b"c": self._counters, b"g": self._group, b"n": self._node, b"t": self._topic}
        for key, value in pairs.items():
            fields = Fields(value, f"value of {key!r}")
            fields.check(key[:1] in kinds, "unknown key")
            kinds[key[:1]](key[1:], fields)
            fields.end()
        self._compare()

    def _counters(self, rest, fields):
        version, zero, *self.counters = fields.numbers("HHIQQ")
        fields.check((rest, version, zero) == (b"", 1, 0), "counters")

    def _group(self, rest, fields):
        version, wished, number, first_leader, wish, recorded, founders, lingering, settled, wanted = fields.numbers("HHIQQQHHHH")
        fields.check(version == 2 and settled <= 1 and lingering <= 16 and wished and founders, "partition")
        self.groups[struct.unpack(">Q", rest)[0]] = {
            "number": number, "first_leader": first_leader, "wish": wish, "recorded": recorded, "settled": settled,
            "wanted": wanted or founders, "replicas": fields.replicas(wished), "founders": fields.replicas(founders),
            "lingering": fields.replicas(lingering), "topic": fields.text()}

    def _node(self, rest, fields):
        version, flags, zero, incarnation, brought, replaced_by = fields.numbers("HHIQQQ")
        fields.check(version in (2, 3) and flags <= 3 and zero == 0, "node")
        renewed = fields.number() if version == 3 else 0
        self.nodes[struct.unpack(">Q", rest)[0]] = {
            "voter": bool(flags & 1), "leaves": bool(flags & 2), "incarnation": incarnation, "brought": brought,
            "replaced_by": replaced_by, "renewed": renewed, "http": fields.text(), "peer": fields.text(), "kafka": fields.text()}

    def _topic(self, rest, fields):
        version, zero, partitions, born, born_ms = fields.numbers("HHIQq")
        fields.check((version, zero) == (1, 0) and 1 <= partitions <= 256, "topic")
        settings = fields.settings()
        self.topics[rest.decode()] = {"born": born, "born_ms": born_ms, "settings": settings,
                                      "groups": [fields.number() for _ in range(partitions)]}

    def _compare(self):
        """Topics and partitions name each other, and the counters are behind all."""
        named = {group: (name, number) for name, topic in self.topics.items() for number, group in enumerate(topic["groups"])}
        told = {group: (partition["topic"], partition["number"]) for group, partition in self.groups.items()}
        if named != told or self.counters[0] != len(self.topics) or any(group >= self.counters[1] for group in told):
            raise Damaged("state of group 0", 0, f"topics name {named}, partitions {told}, counters {self.counters}")


# ---- commands -------------------------------------------------------------------------------------------------------------


def _node(fields):
    node_id, incarnation, replaces, flags = fields.numbers("QQQI")
    fields.check(node_id and incarnation and flags <= 3, "node")
    return {"node": node_id, "incarnation": incarnation, "replaces": replaces, "founder": bool(flags & 1),
            "http": fields.text(), "peer": fields.text(), "kafka": fields.text()}


def _create(fields):
    name, settings = fields.text(), fields.settings()
    partitions, replicas = fields.numbers("II")
    fields.check(1 <= partitions <= 256 and 1 <= replicas <= 7 and settings["changed"] == 0, "topic")
    return {"name": name, "settings": settings,
            "replicas": [list(fields.numbers(f"{replicas}Q")) for _ in range(partitions)]}


def _leave(fields):
    node_id, by, shrinks, spares = fields.numbers("QQII")
    fields.check(node_id and shrinks <= 1 and spares <= 16, "change of a node")
    return {"node": node_id, "by": by, "shrinks": bool(shrinks), "spares": list(fields.numbers(f"{spares}Q"))}


def _place(fields):
    group, grows, count = fields.numbers("QQI")
    fields.check(1 <= count <= 7, "place")
    return {"group": group, "grows": grows, "nodes": list(fields.numbers(f"{count}Q"))}


def _record(fields):
    group, index, wish, count = fields.numbers("QQQI")
    fields.check(1 <= count <= 16, "record")
    return {"group": group, "index": index, "wish": wish, "members": [fields.numbers("QQI") for _ in range(count)]}


def _set(fields):
    name, which = fields.text(), fields.number("I")
    fields.check(1 <= which < 32, "settings")
    return {"name": name, "which": which, "settings": fields.settings()}


def _over(fields):
    return dict(zip(("group", "node", "epoch"), fields.numbers("QQQ")))


KINDS = {
    1: ("node", _node),
    2: ("create", _create),
    3: ("delete", lambda fields: {"name": fields.text()}),
    4: ("producers", lambda fields: {}),
    5: ("admit", lambda fields: {"node": fields.number(), "peer": fields.text()}),
    6: ("remove", _leave),
    7: ("replace", _leave),
    8: ("place", _place),
    9: ("record", _record),
    10: ("set", _set),
    11: ("over", _over),
}


def command(entry):
    """(what, its fields) of a META entry."""
    fields = Fields(entry.payload, f"META entry {entry.index}")
    version, kind, zero, request = fields.numbers("HHIQ")
    fields.check(version == 3 and zero == 0 and kind in KINDS, "version or type")
    name, read = KINDS[kind]
    told = read(fields)
    fields.end()
    return name, told | {"request": request}


def topics_at(log, index):
    """Names of the topics behind the entry of that index, by the commands in a log that begins with its group."""
    names = set()
    for entry in log.entries[:index]:
        if entry.type != 8:
            continue
        what, told = command(entry)
        if what == "create":
            names.add(told["name"])
        elif what == "delete":
            names.discard(told["name"])
    return names
