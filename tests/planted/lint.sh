#!/usr/bin/env bash
# Planted bugs: the table and the sources name the same ones, and a build without them holds no trace.
#
#   lint.sh ROOT [RAFTMQ]     RAFTMQ: a binary that was built without bugs
set -euo pipefail
cd "$1"
binary=${2:-}
failed=0

table=$(sed -nE 's/^ *X\(([A-Z][A-Za-z0-9_]*), .*/\1/p' tests/planted/include/planted/bugs.h | LC_ALL=C sort)
planted=$(grep -rhoE 'PLANTED\([A-Za-z0-9_]+\)' --include='*.[ch]' raft segment-log snapshot broker cli |
    sed -E 's/PLANTED\((.*)\)/\1/' | LC_ALL=C sort -u)
[ -n "$table" ] || { echo "not ok - the table of planted bugs is empty"; exit 1; }

say() { # WHAT LIST
    [ -n "$2" ] || return 0
    printf 'not ok - %s:\n%s\n' "$1" "$2"
    failed=1
}
say 'listed twice' "$(uniq -d <<<"$table")"
say 'in the table and planted nowhere' "$(LC_ALL=C comm -23 <(echo "$table") <(echo "$planted"))"
say 'planted and not in the table' "$(LC_ALL=C comm -13 <(echo "$table") <(echo "$planted"))"
if [ -n "$binary" ] && grep -qiE 'planted_bug' "$binary"; then
    say 'a build without planted bugs knows of them' "$binary"
fi
[ "$failed" -eq 0 ] && echo "ok - $(wc -l <<<"$table") planted bugs, all in the table and in the sources"
exit "$failed"
