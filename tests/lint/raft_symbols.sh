#!/usr/bin/env bash
# The consensus core is pure: compares the symbols that libraft.a leaves undefined with raft_symbols.txt.
#
#   raft_symbols.sh LIBRAFT_A [NM]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
library=$1 nm=${2:-nm}
defined=$(mktemp) wanted=$(mktemp) allowed=$(mktemp)
trap 'rm -f "$defined" "$wanted" "$allowed"' EXIT

"$nm" --defined-only "$library" | awk 'NF == 3 { print $3 }' | sort -u >"$defined"
"$nm" --undefined-only "$library" | awk '$1 == "U" { print $2 }' | sort -u >"$wanted"
[ -s "$defined" ] || { echo "not ok - $library defines no symbol"; exit 1; }
grep -vE '^(#|$)' "$here/raft_symbols.txt" | sort -u >"$allowed"

outside=$(comm -23 "$wanted" "$defined" | comm -23 - "$allowed")
if [ -n "$outside" ]; then
    printf 'not ok - libraft.a reaches outside of itself:\n%s\n' "$outside"
    exit 1
fi
echo "ok - libraft.a needs only what raft_symbols.txt allows"
