#!/usr/bin/env bash
# Rare paths: the table and the sources name the same ones, each stands at one place, and a build without them holds no trace.
#
#   lint.sh ROOT [RAFTMQ]     RAFTMQ: a binary that was built without them
set -euo pipefail
cd "$1"
binary=${2:-}
failed=0

table=$(sed -nE 's/^ *X\(([A-Z][A-Z0-9_]*), .*/\1/p' tests/rare/include/rare/points.h | LC_ALL=C sort)
placed=$(grep -rhoE 'RARELY\([A-Za-z0-9_]+\)' --include='*.[ch]' raft segment-log snapshot broker cli |
    sed -E 's/RARELY\((.*)\)/\1/' | LC_ALL=C sort)
[ -n "$table" ] || { echo "not ok - the table of rare paths is empty"; exit 1; }

say() { # WHAT LIST
    [ -n "$2" ] || return 0
    printf 'not ok - %s:\n%s\n' "$1" "$2"
    failed=1
}
say 'listed twice' "$(uniq -d <<<"$table")"
say 'at two places' "$(uniq -d <<<"$placed")"
say 'in the table and at no place' "$(LC_ALL=C comm -23 <(echo "$table") <(echo "$placed"))"
say 'at a place and not in the table' "$(LC_ALL=C comm -13 <(echo "$table") <(echo "$placed"))"
if [ -n "$binary" ] && grep -qiE 'rare_(is_taken|set_hook)' "$binary"; then
    say 'a build without rare paths knows of them' "$binary"
fi
[ "$failed" -eq 0 ] && echo "ok - $(wc -l <<<"$table") rare paths, each in the table and at one place"
exit "$failed"
