#!/usr/bin/env python3
"""xxh3.py against values of the specification's vectors and, where it is installed, against libxxhash itself."""

import ctypes
import ctypes.util
import random
import sys

sys.dont_write_bytecode = True
from xxh3 import xxh3_64

# By libxxhash 0.8, of the bytes 0, 1, 2, ... modulo 251.
KNOWN = {
    (0, 0x0): 0x2d06800538d394c2,
    (3, 0x0): 0x5f4299fc161c9cbb,
    (8, 0x7): 0xdb86d781f5b8bd4a,
    (16, 0x0): 0x8355e3a6f61770db,
    (24, 0x8000000000000000): 0xa5b3177e0c1e6293,
    (128, 0x0): 0x85c6174c7ff4c46b,
    (240, 0x9): 0x867fde7c7eef1d26,
    (241, 0x0): 0x02e8cd95421c6d02,
    (1024, 0x5): 0xeed5c1d2df01228f,
    (1025, 0x0): 0xe95c42288f28186e,
    (4096, 0x123456789abcdef): 0x1d9c372ee81ca59c,
}


def main():
    data = bytes(i % 251 for i in range(5000))
    for (count, seed), value in KNOWN.items():
        if xxh3_64(data[:count], seed) != value:
            print(f"not ok - {count} bytes, seed {seed:#x}: {xxh3_64(data[:count], seed):#x}, known {value:#x}")
            return 1
    print(f"ok - {len(KNOWN)} known values")
    name = ctypes.util.find_library("xxhash")
    if not name:
        print("ok - libxxhash # SKIP not installed")
        return 0
    library = ctypes.CDLL(name)
    library.XXH3_64bits_withSeed.restype = ctypes.c_uint64
    library.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    draw = random.Random(1)
    for count in [*range(0, 300), *range(1000, 1100), 2048, 2049, 4095, 4096, 4999]:
        for seed in (0, 1, draw.getrandbits(64)):
            wanted = library.XXH3_64bits_withSeed(data[:count], count, seed)
            if xxh3_64(data[:count], seed) != wanted:
                print(f"not ok - {count} bytes, seed {seed:#x}: libxxhash says {wanted:#x}")
                return 1
    print("ok - the same as libxxhash")
    return 0


if __name__ == "__main__":
    sys.exit(main())
