#!/usr/bin/env bash
# Every C file of the tree is formatted by .clang-format. Exits 77 (skipped) where clang-format is not installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v clang-format >/dev/null || { echo "SKIP: clang-format is not installed (Debian: clang-format)"; exit 77; }
mapfile -t files < <(find raft segment-log snapshot broker cli tests -name '*.[ch]' | LC_ALL=C sort)
found=$(clang-format --dry-run -Werror "${files[@]}" 2>&1 || true)
if [ -n "$found" ]; then
    printf '%s\n' "$found" | sed -nE 's/:[0-9]+:[0-9]+: error.*//p' | sort | uniq -c
    echo "not ok - run: clang-format -i FILE"
    exit 1
fi
echo "ok - ${#files[@]} files are formatted"
