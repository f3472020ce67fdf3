"""Record batches v2 built and taken apart by hand, so that a test shares no code with the broker."""

import struct


def _crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def varint(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value >= 0x80:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def batch(values, producer_id=-1, producer_epoch=-1, sequence=-1, timestamp_ms=1_700_000_000_000):
    """A batch of values without keys or headers."""
    records = b""
    for number, value in enumerate(values):
        body = b"\0" + varint(0) + varint(number) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(body)) + body
    checked = struct.pack(">hiqqqhii", 0, len(values) - 1, timestamp_ms, timestamp_ms, producer_id, producer_epoch,
                          sequence, len(values)) + records
    head = struct.pack(">iBI", 0, 2, crc32c(checked))
    return struct.pack(">qi", 0, len(head) + len(checked)) + head + checked
