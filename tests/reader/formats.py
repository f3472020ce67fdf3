"""The files of a node, read as docs/FORMATS.md describes them. Written from that page, without a look at the broker's code, so
that what the page leaves open, or tells wrong, shows. Reads only; says where and why a file is not what it should be."""

import os
import struct

from xxh3 import xxh3_64

BLOCK = 4096
ENTRIES_POS = 3 * BLOCK
PAYLOAD_BYTES_MAX = 17 << 20
BASE_OFFSET_MAX = (1 << 63) - (1 << 32)
TYPES = {1: "DATA", 2: "NOOP", 3: "CONFIG", 4: "OFFSETS", 5: "SETTINGS", 6: "TRIM", 7: "RECOVERY", 8: "META"}


class Damaged(Exception):
    def __init__(self, path, pos, reason):
        super().__init__(f"{path} at {pos}: {reason}")
        self.path, self.pos, self.reason = path, pos, reason


class OtherVersion(Damaged):
    """The checksum is right, and what it covers means something that the page does not tell."""


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def is_zero(data):
    return not any(data)


def up(number, multiple):
    return -(-number // multiple) * multiple


def group_seed(cluster, group):
    return xxh3_64(cluster + struct.pack("<Q", group))


def part_checksum(part, seed=0):
    """Of what has its checksum at 8..15."""
    return xxh3_64(part[:8] + part[16:], seed)


class Point:
    """A place in a log: the state behind an entry."""

    def __init__(self, index, term, chain, next_offset, timestamp):
        self.index, self.term, self.chain = index, term, chain
        self.next_offset, self.timestamp = next_offset, timestamp

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        return f"index {self.index} term {self.term} chain {self.chain:016x} next {self.next_offset}"


# ---- entries -----------------------------------------------------------------------------------------------------------


class Entry:
    FIELDS = struct.Struct("<4sBBHQIIQQQqQQQ")

    def __init__(self, data, pos):
        """What stands at `pos`, in at least 80 bytes."""
        (self.magic, self.type, self.version, self.header_bytes, self.checksum, self.payload_bytes, self.count,
         self.index, self.term, self.offset, self.timestamp, self.payload_hash, self.chain,
         self.zero) = self.FIELDS.unpack_from(data)
        self.header = data[:80]
        self.payload = data[80:80 + self.payload_bytes]
        self.padding = data[80 + self.payload_bytes:up(80 + self.payload_bytes, 8)]
        self.pos, self.end = pos, pos + up(80 + self.payload_bytes, 8)

    @classmethod
    def bytes_at(cls, head):
        """How many bytes the entry takes that begins so."""
        return up(80 + min(struct.unpack_from("<I", head, 16)[0], PAYLOAD_BYTES_MAX), 8)

    def problem(self, seed):
        """What is wrong with the entry by itself; None: nothing."""
        if part_checksum(self.header, seed) != self.checksum:
            return "checksum of the header"
        if self.version != 1 or self.header_bytes != 80 or self.zero or self.type not in TYPES:
            return "a field of the header"
        if self.payload_bytes > PAYLOAD_BYTES_MAX or (self.count > 0) != (self.type == 1):
            return "payload bytes or record count"
        if self.index == 0 or self.offset > BASE_OFFSET_MAX:
            return "index or base offset"
        if len(self.payload) != self.payload_bytes or not is_zero(self.padding):
            return "cut off, or its padding is not zero"
        if self.type == 1:
            if self.term > 0x7fffffff or self.payload_bytes < 16:
                return "term or size of a batch"
            if struct.unpack_from(">QII", self.payload) != (self.offset, self.payload_bytes - 12, self.term):
                return "the stamp of the batch"
        if xxh3_64(self.payload[16 if self.type == 1 else 0:]) != self.payload_hash:
            return "payload hash"
        return None

    def follows(self, before):
        """Why it does not follow that point; None: it does."""
        if self.index != before.index + 1:
            return "another index"
        if self.offset != before.next_offset:
            return "another base offset"
        if self.term < before.term or self.timestamp < before.timestamp:
            return "term or time falls"
        header = self.header
        if xxh3_64(struct.pack("<Q", before.chain) + header[:8] + header[16:64] + header[72:80]) != self.chain:
            return "another chain"
        return None

    def point(self):
        return Point(self.index, self.term, self.chain, self.offset + self.count, self.timestamp)

    def line(self):
        """As `raftmq log dump --json` prints it."""
        return {"index": self.index, "term": self.term, "type": TYPES[self.type], "offset": self.offset,
                "count": self.count, "bytes": self.payload_bytes, "timestamp": self.timestamp,
                "chain": f"{self.chain:016x}", "pos": self.pos}


# ---- segments ----------------------------------------------------------------------------------------------------------


class Mark:
    FIELDS = struct.Struct("<4sBBHQQQQQQQQq")

    def __init__(self, block, seed, segment):
        (magic, version, self.flags, self.tail_bytes, checksum, self.sequence, of_segment, self.end_pos, index, term,
         chain, next_offset, timestamp) = self.FIELDS.unpack_from(block)
        self.point = Point(index, term, chain, next_offset, timestamp)
        self.tail = block[80:80 + self.tail_bytes]
        self.continued = bool(self.flags & 1)
        self.valid = (magic == b"RMQM" and self.tail_bytes <= BLOCK - 80
                      and part_checksum(block[:80 + self.tail_bytes], seed) == checksum and of_segment == segment)
        self.known = version == 1 and not self.flags & ~1

    def is_of(self, segment):
        """It may tell of that segment."""
        return (self.valid and self.end_pos >= ENTRIES_POS and self.end_pos % 8 == 0
                and self.point.index >= segment.base.index
                and self.tail_bytes in (0, self.end_pos % segment.sector_bytes))


class Segment:
    FIELDS = struct.Struct("<4sHHQ16sQQQQQQqII")

    def __init__(self, path):
        self.path, self.data = path, read_file(path)
        if len(self.data) < ENTRIES_POS:
            raise Damaged(path, 0, "shorter than its three blocks")
        (magic, version, self.flags, checksum, self.cluster, self.group, self.sequence, first_index, term, chain,
         offset, timestamp, self.sector_bytes, entries_pos) = self.FIELDS.unpack_from(self.data)
        self.seed = group_seed(self.cluster, self.group)
        if magic != b"RMQS" or part_checksum(self.data[:BLOCK], self.seed) != checksum:
            raise Damaged(path, 0, "header block")
        if version != 1 or entries_pos != ENTRIES_POS or not is_zero(self.data[96:BLOCK]):
            raise OtherVersion(path, 0, "version or fields of the header block")
        if self.sector_bytes not in (512, 1024, 2048, 4096) or self.flags & ~1:
            raise OtherVersion(path, 88, "sector bytes or flags")
        if os.path.basename(path) != f"{self.sequence:020d}.segment":
            raise Damaged(path, 40, "the sequence is not that of the name")
        self.base = Point(first_index - 1, term, chain, offset, timestamp)
        marks = [Mark(self.data[at:at + BLOCK], self.seed, self.sequence) for at in (BLOCK, 2 * BLOCK)]
        if not all(mark.known for mark in marks if mark.valid):
            raise OtherVersion(path, BLOCK, "version or flags of a mark")
        valid = [mark for mark in marks if mark.is_of(self)]
        if not valid:
            raise Damaged(path, BLOCK, "neither mark is valid")
        self.mark = max(valid, key=lambda mark: mark.sequence)
        if self.mark.tail_bytes:  # a truncation may have been rewriting this sector
            end = self.mark.end_pos
            first, boundary = end - self.mark.tail_bytes, up(end, self.sector_bytes)
            self.data = (self.data[:first].ljust(first, b"\0") + self.mark.tail + bytes(boundary - end)
                         + self.data[boundary:])
        self.entries, self.torn_pos = self._follow()
        self.footer = self._footer()

    def _bytes(self, pos, count):
        """Where the file that is written ends, zeros stand for what follows."""
        data = self.data[pos:pos + count]
        return data if self.mark.continued else data.ljust(count, b"\0")

    def _entry_at(self, pos, before):
        """(entry, None), or (None, why there is none)."""
        head = self._bytes(pos, 80)
        if head[:4] != b"RMQE" or len(head) < 80:
            return None, "no record"
        entry = Entry(self._bytes(pos, Entry.bytes_at(head)), pos)
        problem = entry.problem(self.seed) or entry.follows(before)
        return (None, problem) if problem else (entry, None)

    def _follow(self):
        """Entries as far as they go, and where they end."""
        entries, at, pos, mark = [], self.base, ENTRIES_POS, self.mark
        if mark.end_pos == ENTRIES_POS and mark.point != self.base:
            raise Damaged(self.path, BLOCK, "the mark of an empty segment is not at its base")
        while not (mark.continued and pos >= mark.end_pos):
            entry, problem = self._entry_at(pos, at)
            if entry is None:  # the next flush starts at a sector
                aligned = up(pos, self.sector_bytes)
                entry, aligned_problem = self._entry_at(aligned, at)
                place, problem = (aligned, aligned_problem) if problem == "no record" else (pos, problem)
            if entry is None:
                if pos < mark.end_pos:
                    raise Damaged(self.path, place, f"entry {at.index + 1} in front of the mark: {problem}")
                break
            if pos < mark.end_pos < entry.end:
                raise Damaged(self.path, pos, "an entry reaches across the mark")
            entries.append(entry)
            at, pos = entry.point(), entry.end
            if pos == mark.end_pos and at != mark.point:
                raise Damaged(self.path, pos, "the chain does not lead to the mark")
        return entries, pos

    def end(self):
        return self.entries[-1].point() if self.entries else self.base

    def _footer(self):
        """Its trailer and items, when it counts; None: there is none."""
        data, at = self.data, len(self.data) - BLOCK
        if not self.mark.continued or at < ENTRIES_POS or data[at:at + 4] != b"RMQF":
            return None
        trailer = data[at:]
        (_, version, flags, checksum, sequence, pos, end_pos, content_hash) = struct.unpack_from("<4sHHQQQQQ", trailer)
        last, before = Point(*struct.unpack_from("<QQQQq", trailer, 48)), Point(*struct.unpack_from("<QQQQq", trailer, 88))
        (sector_bytes, item_bytes, highest_time, items, facts_bytes, terms, configurations, index_checksum,
         facts_checksum) = struct.unpack_from("<IIqIIIIQQ", trailer, 128)
        if version != 1 or flags or part_checksum(trailer, self.seed) != checksum or not is_zero(trailer[176:]):
            return None
        if (sequence, end_pos, sector_bytes) != (self.sequence, self.mark.end_pos, self.sector_bytes):
            return None
        if last != self.mark.point or before != self.base or item_bytes != 56 or not 1 <= items <= 1024:
            return None
        index = data[pos:pos + 56 * items]
        facts_pos = pos + up(len(index), BLOCK)
        facts = data[facts_pos:facts_pos + facts_bytes]
        if xxh3_64(data[pos:facts_pos], self.seed) != index_checksum:
            return None
        if xxh3_64(data[facts_pos:at], self.seed) != facts_checksum:
            return None
        if pos != up(end_pos, BLOCK) or facts_pos + up(facts_bytes, BLOCK) != at:
            return None
        if not is_zero(data[pos + len(index):facts_pos]) or not is_zero(data[facts_pos + facts_bytes:at]):
            return None
        footer = Footer(content_hash, highest_time, index, facts, terms, configurations)
        if not footer.is_well_formed:
            return None
        footer.compare(self)
        return footer


class Footer:
    def __init__(self, content_hash, highest_time, index, facts, terms, configurations):
        self.content_hash, self.highest_time = content_hash, highest_time
        self.items = [(item[0], Point(*item[1:6]), item[6]) for item in struct.iter_unpack("<QQQQQqq", index)]
        self.terms = [struct.unpack_from("<QQ", facts, 16 * i) for i in range(terms)]
        self.configurations, at, self.is_well_formed = [], 16 * terms, True
        for _ in range(configurations):
            number, payload_bytes, zero = struct.unpack_from("<QII", facts, at)
            end = at + 16 + payload_bytes
            self.configurations.append((number, facts[at + 16:end]))
            at += 16 + (payload_bytes + 7) // 8 * 8
            self.is_well_formed &= zero == 0 and is_zero(facts[end:at])
        self.is_well_formed &= at == len(facts)

    def compare(self, segment):
        """Its checksums hold, so it must say what the entries say."""
        data, entries, before, found = segment.data, segment.entries, segment.base, {}
        terms, highest, highest_before = [], -(1 << 63), {}
        for entry in entries:
            if not terms or entry.term != terms[-1][1]:
                terms.append((entry.index, entry.term))
            found[entry.pos], highest_before[entry.pos] = before, highest
            if entry.type == 1:
                highest = max(highest, struct.unpack_from(">q", entry.payload, 35)[0])
            before = entry.point()
        wrong = [name for name, holds in (
            ("content hash", xxh3_64(data[:BLOCK] + b"".join(data[e.pos:e.end] for e in entries)) == self.content_hash),
            ("term changes", terms == self.terms),
            ("CONFIG entries", [(e.index, e.payload) for e in entries if e.type == 3] == self.configurations),
            ("highest message time", highest == self.highest_time),
            ("sparse index", all(found.get(pos) == point and highest_before.get(pos) == time
                                 for pos, point, time in self.items)),
            ("its first item", self.items[0][0] == entries[0].pos),
        ) if not holds]
        if wrong:
            raise Damaged(segment.path, segment.mark.end_pos, f"the footer differs from the entries: {', '.join(wrong)}")


class Log:
    """The segments of a group, of which the last may be followed by files that were never acknowledged."""

    def __init__(self, directory):
        names = sorted(name for name in os.listdir(directory) if name.endswith(".segment"))
        if not names:
            raise Damaged(directory, 0, "there are no segments")
        bases = sorted((base.point for base in snapshots_of(directory) if base.kind == 1), key=lambda point: point.index)
        if len(names) > 1 and bases and self._is_born_behind(os.path.join(directory, names[-1]), bases[-1]):
            try:
                self._read(directory, names, bases)
                return
            except Damaged:
                names = names[-1:]  # what is left in front of it is over
        self._read(directory, names, bases)

    @staticmethod
    def _is_born_behind(path, base):
        try:
            segment = Segment(path)
        except Damaged:
            return False
        return segment.flags & 1 and segment.base == base

    def _read(self, directory, names, bases):
        self.segments = []
        for name in names:
            segment = Segment(os.path.join(directory, name))
            if self.segments:
                before = self.segments[-1]
                if segment.sequence != before.sequence + 1 or segment.base != before.end():
                    raise Damaged(segment.path, 40, "it does not follow the segment in front of it")
            self.segments.append(segment)
            if not segment.mark.continued:
                break
        if not self.segments or self.segments[-1].mark.continued:
            raise Damaged(directory, 0, "continued, but nothing follows")
        self.cluster, self.group = self.segments[0].cluster, self.segments[0].group
        self.base = self.segments[0].base
        self.entries = [entry for segment in self.segments for entry in segment.entries]
        self.mark = self.segments[-1].mark
        self.end = self.segments[-1].end()
        self._compare(bases)

    def _compare(self, bases):
        """With the bases that stand beside it."""
        first, last = self.segments[0], self.segments[-1]
        if not bases:
            if self.base.index > 0:
                raise Damaged(first.path, 48, "no base stands where the log starts")
            return
        if self.base.index > bases[0].index and not first.flags & 1:
            raise Damaged(first.path, 48, f"entries {bases[0].index + 1}..{self.base.index} in front of it are missing")
        if bases[-1] not in [self.base, *(entry.point() for entry in self.entries)]:
            raise Damaged(last.path, 0, f"the log does not hold the entry of its newest base, of {bases[-1].index}")


# ---- identity and votes ------------------------------------------------------------------------------------------------


class Identity:
    def __init__(self, directory):
        path = os.path.join(directory, "identity")
        data = read_file(path)
        if len(data) != 2 * 8192:
            raise Damaged(path, 0, f"{len(data)} bytes")
        if data[:8192] != data[8192:]:
            raise Damaged(path, 8192, "the two copies differ")
        data = data[:8192]
        (magic, version, zero, checksum, self.node_id, self.incarnation, self.cluster, founding_bytes, self.marks,
         self.incarnation_index, self.meta_epoch, self.votes_lost_up_to) = struct.unpack_from("<4sHHQQQ16sIIQQQ", data)
        if magic != b"RMQI" or part_checksum(data) != checksum:
            raise Damaged(path, 0, "magic or checksum")
        if version != 1 or zero or self.marks & ~7 or founding_bytes > 4096:
            raise OtherVersion(path, 4, "version, zeros, marks or founding bytes")
        if not is_zero(data[80:4096]) or not is_zero(data[4096 + founding_bytes:]):
            raise OtherVersion(path, 80, "what is not zero")
        self.founding = read_founding(data[4096:4096 + founding_bytes]) if founding_bytes else None


def read_founding(data):
    version, count, zero, cluster, founder = struct.unpack_from("<BB6s16sQ", data)
    nodes = [struct.unpack_from("<QQ", data, 32 + 16 * i) for i in range(count)]
    if version != 1 or not is_zero(zero) or len(data) != 32 + 16 * count or nodes != sorted(nodes):
        raise Damaged("founding", 0, "not of its form")
    return {"cluster": cluster, "founder": founder, "nodes": nodes}


class Votes:
    SLOT = 266240

    def __init__(self, directory):
        path = os.path.join(directory, "votes")
        data = read_file(path)
        slots = [slot for slot in (self._slot(data[at:at + self.SLOT]) for at in (0, self.SLOT)) if slot]
        if not slots:
            raise Damaged(path, 0, "neither slot is whole")
        self.slots_whole = len(slots)
        self.cluster, self.node_id, self.sequence, self.records, is_known = max(slots, key=lambda slot: slot[2])
        if not is_known:
            raise OtherVersion(path, 0, "version, zeros, or state or order of the records")

    @staticmethod
    def _slot(slot):
        """What is in it, and whether the page tells what that means; None: it does not check out."""
        if len(slot) < BLOCK:
            return None
        magic, version, zero, checksum, cluster, node_id, sequence, count = struct.unpack_from("<4sHHQ16sQQI", slot)
        end = BLOCK + 64 * count
        if magic != b"RMQV" or count > 4096 or len(slot) < end or part_checksum(slot[:end]) != checksum:
            return None
        names = ("group", "epoch", "meta_index", "term", "vote_node", "vote_epoch", "state")
        records = [dict(zip(names, struct.unpack_from("<QQQQQQI", slot, BLOCK + 64 * i))) for i in range(count)]
        groups = [record["group"] for record in records]
        is_known = (version == 1 and zero == 0 and is_zero(slot[52:BLOCK]) and groups == sorted(set(groups))
                    and all(record["state"] <= 2 for record in records)
                    and all(is_zero(slot[at + 52:at + 64]) for at in range(BLOCK, end, 64)))
        return cluster, node_id, sequence, records, is_known


# ---- snapshots ---------------------------------------------------------------------------------------------------------


class Snapshot:
    FIELDS = struct.Struct("<4sHHQII16sQQQQQqQQQQQ")

    def __init__(self, path):
        self.path, data = path, read_file(path)
        if len(data) < 128:
            raise Damaged(path, 0, "shorter than its header")
        (magic, version, self.kind, checksum, header_bytes, configuration_bytes, self.cluster, self.group, index, term,
         chain, next_offset, timestamp, self.log_start, self.configuration_index, self.pairs_count, pair_bytes,
         zero) = self.FIELDS.unpack_from(data)
        if magic != b"RMQS" or part_checksum(data[:header_bytes]) != checksum:
            raise Damaged(path, 0, "magic, or checksum of the header")
        kind = {1: "base", 2: "checkpoint"}.get(self.kind)
        if version != 1 or not kind or zero or not is_zero(data[128 + configuration_bytes:header_bytes]):
            raise OtherVersion(path, 4, "version, kind or zeros")
        if header_bytes != (128 + configuration_bytes + 7) // 8 * 8 or configuration_bytes > BLOCK:
            raise Damaged(path, 16, "header bytes or configuration bytes")
        name = os.path.basename(path)
        if name != f"{kind}-{index:020d}.snap" and (name, kind) != (f"base-{index:020d}.snap.copy", "base"):
            raise Damaged(path, 48, "kind or index are not those of the name")
        self.point = Point(index, term, chain, next_offset, timestamp)
        self.configuration = read_configuration(data[128:128 + configuration_bytes])
        self.pairs, self.hash, self.last_key = {}, checksum, b""
        blocks, pos = 0, header_bytes
        while data[pos:pos + 4] == b"RMQB":
            pos = self._block(data, pos)
            blocks += 1
        self._trailer(data, pos, blocks)
        if len(self.pairs) != self.pairs_count or sum(len(k) + len(v) for k, v in self.pairs.items()) != pair_bytes:
            raise Damaged(path, 104, "number or bytes of the pairs")

    def _block(self, data, pos):
        pairs, checksum, payload_bytes, zero = struct.unpack_from("<IQII", data, pos + 4)
        end = pos + 24 + payload_bytes
        if zero or end > len(data) or part_checksum(data[pos:end], self.hash) != checksum:
            raise Damaged(self.path, pos, "block")
        self.hash, at = checksum, pos + 24
        for _ in range(pairs):
            key_bytes, pair_zero, value_bytes = struct.unpack_from("<HHI", data, at)
            key = data[at + 8:at + 8 + key_bytes]
            if pair_zero or key_bytes > 1024 or value_bytes > 1 << 20 or key <= self.last_key:
                raise Damaged(self.path, at, "pair, or order of the keys")
            self.last_key = key
            self.pairs[key] = data[at + 8 + key_bytes:at + 8 + key_bytes + value_bytes]
            at += 8 + key_bytes + value_bytes
        if at != end or pairs == 0:
            raise Damaged(self.path, pos, "pairs do not fill the block")
        return end

    def _trailer(self, data, pos, blocks):
        if len(data) != pos + 32:
            raise Damaged(self.path, pos, "no trailer at the end")
        magic, zero, checksum, blocks_count, file_bytes = struct.unpack_from("<4s4sQQQ", data, pos)
        if magic != b"RMQF" or not is_zero(zero) or part_checksum(data[pos:], self.hash) != checksum:
            raise Damaged(self.path, pos, "trailer")
        if blocks_count != blocks or file_bytes != len(data):
            raise Damaged(self.path, pos, "blocks or bytes of the file")

    def offsets(self):
        """Consumer offsets in the state of a partition, by group."""
        found = {}
        for key, value in self.pairs.items():
            if key[:1] == b"o":
                version, _metadata_bytes, offset = struct.unpack_from("<HHQ", value)
                if version not in (1, 2):
                    raise Damaged(self.path, 0, "version of a commit")
                found[key[1:].decode()] = offset
        return found


def read_configuration(data):
    version, joint, count, zero = struct.unpack_from("<BBH4s", data)
    if version != 1 or joint > 1 or not 1 <= count <= 16 or not is_zero(zero) or len(data) != 8 + 24 * count:
        raise Damaged("configuration", 0, "not of its form")
    members = []
    for i in range(count):
        node_id, epoch, flags, member_zero = struct.unpack_from("<QQB7s", data, 8 + 24 * i)
        if node_id == 0 or flags & ~7 or not is_zero(member_zero):
            raise Damaged("configuration", 8 + 24 * i, "member")
        members.append({"node": node_id, "epoch": epoch, "voter": bool(flags & 1)})
    return members


# ---- a node ------------------------------------------------------------------------------------------------------------


def groups_of(directory):
    root = os.path.join(directory, "groups")
    return {int(name): os.path.join(root, name) for name in sorted(os.listdir(root), key=int)}


def snapshots_of(directory):
    """All of a group, copies of bases among them: each with the same bytes as what it is a copy of."""
    names = sorted(name for name in os.listdir(directory) if name.endswith((".snap", ".snap.copy")))
    for name in names:
        path = os.path.join(directory, name)
        if name.endswith(".copy") and name[:-5] in names and read_file(path) != read_file(path[:-5]):
            raise Damaged(path, 0, "it is another file than its base")
    return [Snapshot(os.path.join(directory, name)) for name in names]
