"""XXH3-64 as its specification describes it (xxHash 0.8), in plain Python: slow, and no code of the broker."""

import struct

MASK = (1 << 64) - 1
PRIME32_1, PRIME32_2, PRIME32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
PRIME64_1, PRIME64_2, PRIME64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
PRIME64_4, PRIME64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
PRIME_MX1, PRIME_MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
STRIPE, STRIPES_PER_BLOCK = 64, 16
_LANES = struct.Struct("<8Q")


def _u32(data, at):
    return int.from_bytes(data[at:at + 4], "little")


def _u64(data, at):
    return int.from_bytes(data[at:at + 8], "little")


def _fold(a, b):
    product = a * b
    return (product & MASK) ^ (product >> 64)


def _rotate(value, by):
    return (value << by | value >> (64 - by)) & MASK


def _swap(value, size):
    return int.from_bytes(value.to_bytes(size, "little"), "big")


def _avalanche(h):
    h = (h ^ h >> 37) * PRIME_MX1 & MASK
    return h ^ h >> 32


def _avalanche_xxh64(h):
    h = (h ^ h >> 33) * PRIME64_2 & MASK
    h = (h ^ h >> 29) * PRIME64_3 & MASK
    return h ^ h >> 32


def _up_to_16(data, seed):
    n = len(data)
    if n > 8:
        low = _u64(data, 0) ^ ((_u64(SECRET, 24) ^ _u64(SECRET, 32)) + seed & MASK)
        high = _u64(data, n - 8) ^ ((_u64(SECRET, 40) ^ _u64(SECRET, 48)) - seed & MASK)
        return _avalanche(n + _swap(low, 8) + high + _fold(low, high) & MASK)
    if n >= 4:
        seed ^= _swap(seed & 0xffffffff, 4) << 32
        flip = (_u64(SECRET, 8) ^ _u64(SECRET, 16)) - seed & MASK
        h = (_u32(data, n - 4) + (_u32(data, 0) << 32)) ^ flip
        h ^= _rotate(h, 49) ^ _rotate(h, 24)
        h = h * PRIME_MX2 & MASK
        h = (h ^ (h >> 35) + n) * PRIME_MX2 & MASK
        return h ^ h >> 28
    if n > 0:
        combined = data[0] << 16 | data[n >> 1] << 24 | data[n - 1] | n << 8
        return _avalanche_xxh64(combined ^ ((_u32(SECRET, 0) ^ _u32(SECRET, 4)) + seed & MASK))
    return _avalanche_xxh64(seed ^ _u64(SECRET, 56) ^ _u64(SECRET, 64))


def _mix(data, at, key, seed):
    return _fold(_u64(data, at) ^ (_u64(SECRET, key) + seed & MASK),
                 _u64(data, at + 8) ^ (_u64(SECRET, key + 8) - seed & MASK))


def _up_to_128(data, seed):
    n = len(data)
    h = n * PRIME64_1
    for i in range((n - 1) // 32 + 1):
        h += _mix(data, 16 * i, 32 * i, seed) + _mix(data, n - 16 * (i + 1), 32 * i + 16, seed)
    return _avalanche(h & MASK)


def _up_to_240(data, seed):
    n = len(data)
    h = n * PRIME64_1 + sum(_mix(data, 16 * i, 16 * i, seed) for i in range(8))
    h = _avalanche(h & MASK)
    h += sum(_mix(data, 16 * i, 16 * (i - 8) + 3, seed) for i in range(8, n // 16))
    return _avalanche(h + _mix(data, n - 16, 119, seed) & MASK)


def _accumulate(lanes, stripe, key):
    for i, (word, secret) in enumerate(zip(_LANES.unpack(stripe), key)):
        mixed = word ^ secret
        lanes[i ^ 1] = lanes[i ^ 1] + word & MASK
        lanes[i] = lanes[i] + (mixed & 0xffffffff) * (mixed >> 32) & MASK


def _long(data, seed):
    secret = b"".join(struct.pack("<QQ", _u64(SECRET, 16 * i) + seed & MASK, _u64(SECRET, 16 * i + 8) - seed & MASK)
                      for i in range(12))
    lanes = [PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1]
    keys = [_LANES.unpack_from(secret, 8 * i) for i in range(STRIPES_PER_BLOCK)]
    scramble = _LANES.unpack_from(secret, len(secret) - STRIPE)
    n = len(data)
    for i in range((n - 1) // STRIPE):  # the last stripe is taken separately, whole or not
        _accumulate(lanes, data[STRIPE * i:STRIPE * (i + 1)], keys[i % STRIPES_PER_BLOCK])
        if i % STRIPES_PER_BLOCK == STRIPES_PER_BLOCK - 1:
            lanes = [((lane ^ lane >> 47) ^ key) * PRIME32_1 & MASK for lane, key in zip(lanes, scramble)]
    _accumulate(lanes, data[n - STRIPE:], _LANES.unpack_from(secret, len(secret) - STRIPE - 7))
    h = n * PRIME64_1
    for i in range(4):
        h += _fold(lanes[2 * i] ^ _u64(secret, 11 + 16 * i), lanes[2 * i + 1] ^ _u64(secret, 19 + 16 * i))
    return _avalanche(h & MASK)


def xxh3_64(data, seed=0):
    data = bytes(data)
    if len(data) <= 16:
        return _up_to_16(data, seed)
    if len(data) <= 128:
        return _up_to_128(data, seed)
    return _up_to_240(data, seed) if len(data) <= 240 else _long(data, seed)
