#!/usr/bin/env bash
# The same seeds twice, alone and two at a time, give the same trace hashes; other seeds give others.
set -euo pipefail
sim=$1
shift
set -- "$sim" "$@" # and options for every run
first=$("$@" --seed 1 --seeds 6 --until-ms 10000 --hashes | grep '^0x' | sort)
second=$("$@" --seed 1 --seeds 6 --until-ms 10000 --hashes --jobs 2 | grep '^0x' | sort)
if [ "$first" != "$second" ]; then
    printf 'the same seeds gave other runs:\n%s\n--\n%s\n' "$first" "$second"
    exit 1
fi
alone=$("$@" --seed 3 --until-ms 10000 --trace | sed -n 's/^trace hash //p')
listed=$(awk '$1 == "0x3" { print $2 }' <<<"$first")
if [ "$alone" != "$listed" ]; then
    printf 'seed 0x3 gave %s alone and %s among others\n' "$alone" "$listed"
    exit 1
fi
different=$(awk '{ print $2 }' <<<"$first" | sort -u | wc -l)
if [ "$different" -ne 6 ]; then
    printf '6 seeds gave only %s runs\n' "$different"
    exit 1
fi
printf '6 seeds, 6 runs, each the same again\n'
