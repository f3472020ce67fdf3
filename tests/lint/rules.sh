#!/bin/sh
# Every test that docs/TESTING.md names beside a rule or a mechanism exists, and no mechanism is left out. A name is
# `suite/promise` (Criterion), `scenario_file`, `sim NAME` (an invariant of the simulator), the name of a ctest or that of a
# cluster test.
set -eu
cd "${1:-"$(dirname "$0")/../.."}"

rows() {
    awk -v title="## $1" -v row="$2" '/^## /{inside = ($0 == title)} inside && $0 ~ row' docs/TESTING.md
}

names=$( (rows "Rules and their tests" '^\\| [A-Z][0-9]'; rows "Mechanisms and their tests" '^\\| [0-9]') |
    cut -d'|' -f4 | grep -o '`[^`]*`' | tr -d '`' | sort -u)
[ -n "$names" ] || { echo "docs/TESTING.md: no rules are listed"; exit 1; }

mechanisms=$(rows "Mechanisms and their tests" '^\\| [0-9]' | grep '`' | cut -d'|' -f2 | tr -d ' ' | tr '\n' ' ')
[ "$mechanisms" = "$(seq -s ' ' 1 42) " ] || { echo "docs/TESTING.md: mechanisms 1 to 42, each once, in order"; exit 1; }

missing=0
old_ifs=$IFS
IFS='
'
for name in $names; do
    case $name in
        */*) grep -rqE "^(Parameterized)?Test\(${name%%/*}, *${name#*/}[),]" tests || missing=1 ;;
        scenario_random) [ -f tests/scenario/random_test.c ] || missing=1 ;;
        scenario_election_rounds | lint_* | simulator_* | bench_* | crash_states) grep -rqE "NAME $name\b" tests || missing=1 ;;
        fuzz_saved_*) [ -f "tests/fuzz/${name#fuzz_saved_}_fuzz.c" ] || missing=1 ;;
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
