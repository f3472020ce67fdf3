#!/usr/bin/env bash
# What no node can stand must be seen: a judge that lets an old copy of a disk pass would let bugs pass.
set -euo pipefail
sim=$1

# FAULT NAMES: with this fault some seed fails, and it fails by one of these names.
want() {
    local told names=$2
    told=$("$sim" --seed 1 --seeds 40 --jobs 2 --with "$1" 2>&1) && {
        printf 'nothing was seen of %s:\n%s\n' "$1" "$told"
        exit 1
    }
    if ! grep -qE "^FAILED ($names) seed=" <<<"$told"; then
        printf '%s was seen as something else:\n%s\n' "$1" "$told" | tail -20
        exit 1
    fi
    printf '%s: %s\n' "$1" "$(grep -m1 '^FAILED' <<<"$told")"
}

want old-backup 'lost-durable|lost-vote'
