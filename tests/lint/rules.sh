#!/bin/sh
# Every test that docs/TESTING.md names beside a rule exists. A name is `suite/promise` (Criterion), `scenario_file`, `sim NAME`
# (an invariant of the simulator) or the name of a cluster test.
set -eu
cd "${1:-"$(dirname "$0")/../.."}"

names=$(awk '/^## /{inside = ($0 == "## Rules and their tests")} inside && /^\| [A-Z][0-9]/' docs/TESTING.md |
    cut -d'|' -f4 | grep -o '`[^`]*`' | tr -d '`' | sort -u)
[ -n "$names" ] || { echo "docs/TESTING.md: no rules are listed"; exit 1; }

missing=0
old_ifs=$IFS
IFS='
'
for name in $names; do
    case $name in
        */*) grep -rqE "^(Parameterized)?Test\(${name%%/*}, *${name#*/}[),]" tests || missing=1 ;;
        scenario_random) [ -f tests/scenario/random_test.c ] || missing=1 ;;
        scenario_*) [ -f "tests/scenario/${name#scenario_}.txt" ] || missing=1 ;;
        "sim "*) grep -rqF "failure(\"${name#sim }\"" tests/simulator || missing=1 ;;
        *) grep -rqE "^def $name\(" tests/cluster || missing=1 ;;
    esac
    [ "$missing" -eq 0 ] && continue
    echo "docs/TESTING.md names a test that does not exist: $name"
    failed=1
    missing=0
done
IFS=$old_ifs
exit "${failed:-0}"
