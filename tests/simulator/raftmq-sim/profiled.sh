#!/usr/bin/env bash
# raftmq-sim as fast as it gets, for many seeds: optimized across files, after a profile of its own runs. Same hashes.
#   profiled.sh FOLDER [SEEDS]     builds FOLDER/bin/raftmq-sim; the profile is of that many seeds
set -euo pipefail
folder=${1:?profiled.sh FOLDER [SEEDS]} seeds=${2:-20}
source=$(cd "$(dirname "$0")/../../.." && pwd)

build() {
    cmake -G Ninja -S "$source" -B "$folder" -D CMAKE_C_COMPILER=gcc -D CMAKE_BUILD_TYPE=Release "$@" >/dev/null
    ninja -C "$folder" -j "${JOBS:-2}" raftmq_sim
}

# Counts of another version would be of other functions.
[ ! -d "$folder" ] || find "$folder" -name '*.gcda' -delete
build -D CMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF -D CMAKE_C_FLAGS=-fprofile-generate
"$folder/bin/raftmq-sim" --seed 7000001 --seeds "$seeds" --jobs 1
# What these seeds never run is compiled as without a profile, not for size: other seeds may run it.
build -D CMAKE_INTERPROCEDURAL_OPTIMIZATION=ON \
    -D CMAKE_C_FLAGS='-fprofile-use -fprofile-partial-training -Wno-missing-profile'
