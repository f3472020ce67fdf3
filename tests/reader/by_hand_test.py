#!/usr/bin/env python3
"""What formats.py makes of files that no node has left behind yet: of a newer version, or half-way through a change. The files are
written here, field by field; where it matters what the broker makes of the same, a test of the broker has it too."""

import os
import struct
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import formats
from xxh3 import xxh3_64

CLUSTER, GROUP, SECTOR = bytes(range(1, 17)), 7, 512
SEED = formats.group_seed(CLUSTER, GROUP)


def sealed(part, seed=0):
    """With its checksum at 8..15."""
    return part[:8] + struct.pack("<Q", formats.part_checksum(part, seed)) + part[16:]


def padded(data, count):
    return data + bytes(count - len(data))


def changed(data, pos, value, seed=0, part=None):
    """One byte is another one, and the checksum of the part right again."""
    start, end = part or (0, len(data))
    new = bytearray(data)
    new[pos] = value
    new[start:end] = sealed(bytes(new[start:end]), seed)
    return bytes(new)


# ---- a log ----------------------------------------------------------------------------------------------------------------


def entry(before, payload=b"", kind=8):
    """An entry that follows that point."""
    header = struct.pack("<4sBBHQIIQQQqQ", b"RMQE", kind, 1, 80, 0, len(payload), 0, before.index + 1, before.term,
                         before.next_offset, before.timestamp, xxh3_64(payload))
    chain = xxh3_64(struct.pack("<Q", before.chain) + header[:8] + header[16:64] + bytes(8))
    header = sealed(header + struct.pack("<QQ", chain, 0), SEED)
    return padded(header + payload, (80 + len(payload) + 7) // 8 * 8)


def behind(before, data):
    return formats.Entry(data, 0).point()


def mark(sequence, end_pos, point, flags=0, tail=b"", segment=1):
    head = struct.pack("<4sBBHQQQQQQQQq", b"RMQM", 1, flags, len(tail), 0, sequence, segment, end_pos, point.index, point.term,
                       point.chain, point.next_offset, point.timestamp)
    return padded(sealed(head + tail, SEED), 4096)


def header(base, sequence=1):
    fields = struct.pack("<4sHHQ16sQQQQQQqII", b"RMQS", 1, 0, 0, CLUSTER, GROUP, sequence, base.index + 1, base.term, base.chain,
                         base.next_offset, base.timestamp, SECTOR, 12288)
    return sealed(padded(fields, 4096), SEED)


BASE = formats.Point(0, 1, SEED, 0, 0)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, data):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def log(self, marks, records):
        """The first segment of a log, read."""
        self.write("00000000000000000001.segment", header(BASE) + b"".join(marks) + records)
        return formats.Log(self.folder.name)


class NewerVersion(Case):
    """A right checksum over what the page has no meaning for: told from damage."""

    def refused(self, read, name, data):
        self.write(name, data)
        with self.assertRaises(formats.OtherVersion):
            read()

    def test_identity(self):
        data = padded(struct.pack("<4sHHQQQ16sIIQQQ", b"RMQI", 1, 0, 0, 3, 9, CLUSTER, 0, 1, 0, 0, 0), 8192)
        self.write("identity", 2 * sealed(data))
        self.assertEqual(formats.Identity(self.folder.name).node_id, 3)
        for pos in (4, 6, 52, 80, 4095, 4096, 8191):
            self.refused(lambda: formats.Identity(self.folder.name), "identity", 2 * changed(data, pos, 9))

    def test_votes(self):
        record = padded(struct.pack("<QQQQQQI", 1, 2, 3, 4, 5, 6, 1), 64)
        slot = padded(struct.pack("<4sHHQ16sQQI", b"RMQV", 1, 0, 0, CLUSTER, 3, 9, 1), 4096) + record
        self.write("votes", sealed(slot))
        self.assertEqual(formats.Votes(self.folder.name).records[0]["term"], 4)
        for pos in (4, 6, 52, 4095, 4096 + 48, 4096 + 52, 4096 + 63):
            self.refused(lambda: formats.Votes(self.folder.name), "votes", changed(slot, pos, 9))

    def test_segment(self):
        self.assertEqual(self.log([mark(1, 12288, BASE), mark(2, 12288, BASE)], b"").end, BASE)
        name = "00000000000000000001.segment"
        marks = mark(1, 12288, BASE) + mark(2, 12288, BASE)
        for pos in (4, 7, 89, 92, 96, 4095):
            self.refused(lambda: formats.Log(self.folder.name), name, changed(header(BASE), pos, 9, SEED) + marks)
        for pos in (4096 + 4, 4096 + 5):
            data = changed(header(BASE) + marks, pos, 9, SEED, (4096, 4096 + 80))
            self.refused(lambda: formats.Log(self.folder.name), name, data)

    def test_snapshot(self):
        configuration = struct.pack("<BBH4sQQB7s", 1, 0, 1, bytes(4), 1, 0, 1, bytes(7))
        head = sealed(struct.pack("<4sHHQII16sQQQQQqQQQQQ", b"RMQS", 1, 1, 0, 160, 32, CLUSTER, GROUP, 4, 1, 2, 3, 5, 0, 0, 0, 0, 0)
                      + configuration)
        def whole(head):
            trailer = struct.pack("<4s4sQQQ", b"RMQF", bytes(4), 0, 0, len(head) + 32)
            return head + sealed(trailer, struct.unpack_from("<Q", head, 8)[0])
        name = "base-00000000000000000004.snap"
        path = self.write(name, whole(head))
        self.assertEqual(formats.Snapshot(path).point.index, 4)
        for pos in (4, 6, 120):
            self.refused(lambda: formats.Snapshot(path), name, whole(changed(head, pos, 3)))


class End(Case):
    """Where a log ends that is half-way through a change."""

    def setUp(self):
        super().setUp()
        self.first = entry(BASE, b"first")
        self.after_first = behind(BASE, self.first)
        self.second = entry(self.after_first, b"second" + bytes(100))
        self.after_second = behind(self.after_first, self.second)
        self.records = self.first + self.second
        self.assertLess(len(self.records), SECTOR)

    def test_whole(self):
        log = self.log([mark(1, 12288, BASE), mark(2, 12288 + len(self.first), self.after_first)], self.records)
        self.assertEqual(log.end, self.after_second)

    def test_behind_a_cut_the_sector_is_zero(self):
        """Both marks are lower, and the sector is not overwritten yet."""
        marks = [mark(number, 12288 + len(self.first), self.after_first, tail=self.first) for number in (4, 5)]
        for torn in (self.records, self.first[:20] + self.second, b""):
            self.assertEqual(self.log(marks, torn).end, self.after_first)
        # What begins at the next sector follows by the chain, as ever.
        log = self.log(marks, padded(self.records, SECTOR) + self.second)
        self.assertEqual(log.end, self.after_second)

    def test_where_the_file_ends_zeros_stand(self):
        marks = [mark(1, 12288, BASE), mark(2, 12288, BASE)]
        self.assertEqual(self.log(marks, self.records[:-90]).end, self.after_second)
        self.assertEqual(self.log(marks, self.records[:-110]).end, self.after_first)

    def test_behind_a_continued_segment_they_do_not(self):
        marks = [mark(number, 12288 + len(self.records), self.after_second, flags=1) for number in (4, 5)]
        with self.assertRaises(formats.Damaged):
            self.log(marks, self.records[:-90])

    def test_a_mark_that_cannot_be_true_is_none(self):
        good = mark(1, 12288 + len(self.first), self.after_first)
        late = formats.Point(9, 1, 5, 0, 0)
        for bad in (mark(2, 12288 - 8, BASE), mark(2, 12288 + 4, late), mark(2, 12288 + 8, late, tail=bytes(16)),
                    mark(2, 12288 + 4096, late, tail=bytes(SECTOR)), mark(2, 12288 + 800, late, tail=bytes(16)),
                    mark(2, 12288 + 800, late, segment=2)):
            self.assertEqual(self.log([good, bad], self.records).end, self.after_second)


if __name__ == "__main__":
    unittest.main()
