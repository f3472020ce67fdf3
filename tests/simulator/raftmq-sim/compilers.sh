#!/usr/bin/env bash
# The same seeds give the same runs, whoever compiled them and how: -O0, -O2 and sanitized, by GCC and by Clang.
#   compilers.sh FOLDER [SEEDS [FIRST]]     builds below FOLDER, which may be kept for the next time
set -euo pipefail
folder=${1:?compilers.sh FOLDER [SEEDS [FIRST]]} seeds=${2:-100} first=${3:-1}
source=$(cd "$(dirname "$0")/../../.." && pwd)
mkdir -p "$folder"

# NAME ARGUMENTS: the hashes of one build, in $folder/NAME.hashes.
hash_of() {
    local name=$1 began
    shift
    cmake -G Ninja -S "$source" -B "$folder/$name" "$@" >"$folder/$name.log" 2>&1
    ninja -C "$folder/$name" -j "${JOBS:-2}" raftmq_sim >>"$folder/$name.log" 2>&1 || {
        tail -30 "$folder/$name.log"
        exit 1
    }
    began=$(date +%s)
    "$folder/$name/bin/raftmq-sim" --seed "$first" --seeds "$seeds" --jobs "${JOBS:-2}" --hashes \
        >"$folder/$name.out" 2>&1 || {
        tail -5 "$folder/$name.out"
        printf '%s: a seed failed\n' "$name"
        exit 1
    }
    grep '^0x' "$folder/$name.out" | sort >"$folder/$name.hashes"
    printf '%-10s %s seeds in %s s\n' "$name" "$(wc -l <"$folder/$name.hashes")" "$(($(date +%s) - began))"
}

hash_of gcc-O2 -D CMAKE_C_COMPILER=gcc -D CMAKE_BUILD_TYPE=Release -D CMAKE_C_FLAGS_RELEASE=-O2
hash_of clang-O2 -D CMAKE_C_COMPILER=clang -D CMAKE_BUILD_TYPE=Release -D CMAKE_C_FLAGS_RELEASE=-O2
hash_of gcc-O0 -D CMAKE_C_COMPILER=gcc -D CMAKE_BUILD_TYPE=Debug -D CMAKE_C_FLAGS_DEBUG=-O0
hash_of clang-O0 -D CMAKE_C_COMPILER=clang -D CMAKE_BUILD_TYPE=Debug -D CMAKE_C_FLAGS_DEBUG=-O0
hash_of gcc-asan -D CMAKE_C_COMPILER=gcc -D CMAKE_BUILD_TYPE=Debug -D CMAKE_C_FLAGS_DEBUG=-O1 -D RAFTMQ_ASAN=ON
hash_of clang-asan -D CMAKE_C_COMPILER=clang -D CMAKE_BUILD_TYPE=Debug -D CMAKE_C_FLAGS_DEBUG=-O1 -D RAFTMQ_ASAN=ON

failed=0
for hashes in "$folder"/*.hashes; do
    cmp -s "$folder/gcc-O2.hashes" "$hashes" && continue
    printf '%s gives other runs than gcc-O2, the first:\n' "$(basename "$hashes" .hashes)"
    diff "$folder/gcc-O2.hashes" "$hashes" | sed -n 2,5p || true
    failed=1
done
[ "$failed" -eq 0 ] && printf '%s seeds, six builds, the same runs\n' "$seeds"
exit "$failed"
