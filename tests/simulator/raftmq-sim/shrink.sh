#!/usr/bin/env bash
# A run that fails only by kills is shrunk to few nodes and kills alone (three, when a majority must be left), and the command that is printed fails in the same way.
set -euo pipefail
sim=$1
shift
options=("$@") # for every run: a smaller one to begin with
seed=
for candidate in 1 2 3 4 5 6 7 8 9 10; do
    told=$("$sim" --seed "$candidate" --canary kill "${options[@]}" 2>&1) && continue
    grep -q '^FAILED canary' <<<"$told" || { printf 'seed %s fails by itself\n' "$candidate"; exit 1; }
    seed=$candidate
    break
done
if [ -z "$seed" ]; then
    printf 'no seed of ten had three kills\n'
    exit 1
fi
shrunk=$("$sim" --seed "$seed" --canary kill "${options[@]}" --shrink) && status=0 || status=$?
command=$(sed -n 's/^canary still, .*attempts: raftmq-sim //p' <<<"$shrunk")
if [ "$status" -ne 1 ] || [ -z "$command" ]; then
    printf 'nothing was shrunk (%s):\n%s\n' "$status" "$shrunk"
    exit 1
fi
read -ra arguments <<<"$command"
ended=$("$sim" "${arguments[@]}" 2>&1) && { printf 'it does not fail: %s\n' "$command"; exit 1; }
if ! grep -q '^FAILED canary' <<<"$ended"; then
    printf 'it fails in another way: %s\n' "$command"
    exit 1
fi
plan=$(grep -a -m1 'faults from' <<<"$ended")
if ! grep -qE ': kill every [0-9]+ ms$' <<<"$plan"; then
    printf 'faults are left that it does not need: %s\n' "$plan"
    exit 1
fi
if ! grep -qE ' 0 consumers .* 0 committers ' <<<"$ended"; then
    printf 'clients are left that it does not need:\n%s\n' "$ended" | head -8
    exit 1
fi
if ! grep -q '^seed .*: [123] nodes of' <<<"$ended"; then
    printf 'nodes are left that it does not need:\n%s\n' "$ended" | head -8
    exit 1
fi
printf 'shrunk to %s\n' "$command"
