"""The state of a partition, built entry by entry as docs/FORMATS.md tells under "What entries do to a partition". A checkpoint
holds exactly the pairs that this gives at its index: that is how it is known to be right."""

import struct

import formats

PRODUCERS_MAX = 10_000
BATCHES_KEPT = 5
SEQUENCE_MASK = 0x7fffffff
COUNTERS = struct.Struct("<HHqIIQ")
COMMIT = struct.Struct("<BBHQq")
RECORD = struct.Struct("<HHQqqq")
RECORD_MORE = struct.Struct("<IIQQ")
PRODUCER = struct.Struct("<BBHQQ")
BATCH = struct.Struct("<IIQ")


def number_key(tag, number):
    return tag + struct.pack(">Q", number)


class Commit:
    """What is kept of a group."""

    def __init__(self, offset, generation, fence, timestamp, durable, unread_from, expired, metadata):
        self.offset, self.generation, self.fence, self.timestamp = offset, generation, fence, timestamp
        self.durable, self.unread_from, self.expired, self.metadata = durable, unread_from, expired, metadata

    def expired_at(self, log_start):
        return self.expired + max(0, log_start - self.unread_from)

    def value(self):
        more = self.durable or self.expired or self.unread_from != self.offset
        head = RECORD.pack(2 if more else 1, len(self.metadata), self.offset, self.generation, self.fence, self.timestamp)
        tail = RECORD_MORE.pack(int(self.durable), 0, self.unread_from, self.expired) if more else b""
        return head + tail + self.metadata


class Producer:
    def __init__(self):
        self.epoch, self.index, self.records, self.batches = -1, 0, 0, []

    def note(self, epoch, first, count, offset):
        if epoch != self.epoch or first != (self.batches[-1][1] + 1) & SEQUENCE_MASK:
            self.epoch, self.records, self.batches = epoch, first, []
        self.batches = (self.batches + [(first, (first + count - 1) & SEQUENCE_MASK, offset)])[-BATCHES_KEPT:]
        self.records += count

    def value(self):
        head = PRODUCER.pack(1, len(self.batches), self.epoch, self.index, self.records)
        return head + b"".join(BATCH.pack(*batch) for batch in self.batches)


class Partition:
    """The state in front of the first entry of a log that begins with the partition."""

    def __init__(self):
        self.index, self.log_start, self.trimmed_index, self.fenced_below = 0, 0, 0, -1
        self.groups, self.producers, self.settings = {}, {}, b""
        self.counted = False  # whether there are counters: from the first producer, group or trimmed index on

    def apply(self, entry):
        if entry.index != self.index + 1:
            raise ValueError(f"entry {entry.index} behind {self.index}")
        self.index = entry.index
        action = {"DATA": self._data, "OFFSETS": self._offsets, "SETTINGS": self._settings, "TRIM": self._trim}
        action.get(formats.TYPES[entry.type], lambda entry: None)(entry)

    def pairs(self):
        """Key to value, as a snapshot holds them."""
        found = {}
        if self.counted:
            found[b"c"] = COUNTERS.pack(1, 0, self.fenced_below, len(self.producers), len(self.groups), self.trimmed_index)
        if self.settings:
            found[b"s"] = self.settings
        for name, commit in self.groups.items():
            found[b"o" + name] = commit.value()
            if commit.durable:
                found[number_key(b"d", commit.offset) + name] = b"\0"
        for producer_id, producer in self.producers.items():
            found[number_key(b"p", producer_id)] = producer.value()
            found[number_key(b"u", producer.index)] = struct.pack(">Q", producer_id)
        return found

    def _data(self, entry):
        producer_id, epoch, first, count = struct.unpack_from(">qhiI", entry.payload, 43)
        if producer_id < 0:
            return
        producer = self.producers.setdefault(producer_id, Producer())
        if epoch < producer.epoch:
            return
        producer.note(epoch, first, count, entry.offset)
        producer.index = entry.index
        self.counted = True
        if len(self.producers) > PRODUCERS_MAX:
            oldest = min(self.producers, key=lambda number: self.producers[number].index)
            del self.producers[oldest]
            self.fenced_below = max(self.fenced_below, oldest)

    def _offsets(self, entry):
        _version, _zero, count = struct.unpack_from("<HHI", entry.payload)
        at = 8
        for _ in range(count):
            flags, name_bytes, metadata_bytes, offset, generation = COMMIT.unpack_from(entry.payload, at)
            name_pos = at + COMMIT.size
            name = entry.payload[name_pos:name_pos + name_bytes]
            at = name_pos + name_bytes + metadata_bytes
            self._commit(flags, name, offset, generation, entry.payload[at - metadata_bytes:at], entry.timestamp)
        if at != len(entry.payload):
            raise ValueError(f"entry {entry.index}: bytes behind its commits")

    def _commit(self, flags, name, offset, generation, metadata, timestamp):
        old = self.groups.get(name)
        fence = old.fence if old else -1
        if old and 0 <= generation < fence:
            return
        if flags & 1:
            self.counted = self.counted or old is not None
            self.groups.pop(name, None)
            return
        durable = bool(flags & 2) or (bool(old and old.durable) and not flags & 4)
        self.groups[name] = Commit(offset, generation, max(generation, fence), timestamp, durable,
                                   max(offset, self.log_start), old.expired_at(self.log_start) if old else 0, metadata)
        self.counted = True

    def _settings(self, entry):
        def changed(settings):
            return struct.unpack_from("<Q", settings, 24)[0] if len(settings) == 32 else 0
        if changed(entry.payload) >= changed(self.settings):
            self.settings = entry.payload

    def _trim(self, entry):
        _version, rule, _zero, up_to, start = struct.unpack("<HHIQQ", entry.payload)
        lowest = min((commit.offset for commit in self.groups.values() if commit.durable), default=0)
        if rule == 2 and start > lowest:
            up_to, start = 0, lowest
        if up_to > self.trimmed_index:
            self.trimmed_index, self.counted = up_to, True
        self.log_start = max(self.log_start, start)


def state_at(log, index):
    """Of a log that begins with its partition: the state behind the entry of that index."""
    state = Partition()
    for entry in log.entries[:index]:
        state.apply(entry)
    return state
