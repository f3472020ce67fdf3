#!/usr/bin/env bash
# Proves that the net of the sanitized build holds: each planted bug, in a plain program and in a Criterion test, leaves a
# report in the folder that sanitizer options name. `check` fails a run when such a folder holds any file.
#
#   net_holds.sh PLANTED PLANTED_CRITERION
set -uo pipefail
[ $# -eq 2 ] || { sed -n '2,5p' "$0"; exit 2; }
planted=$1 criterion=$2
here=$(cd "$(dirname "$0")" && pwd)
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
passed=0 failed=0

# caught NAME PATTERN COMMAND...: the command must leave a report that matches, in a folder of its own.
caught() {
    local name=$1 pattern=$2 folder=$reports/$1
    shift 2
    mkdir -p "$folder"
    ASAN_OPTIONS="log_path=$folder/report" UBSAN_OPTIONS="log_path=$folder/report:print_stacktrace=1" \
        LSAN_OPTIONS="log_path=$folder/report:exitcode=0" timeout 60 "$@" >"$reports/$name.out" 2>&1
    local status=$?
    if [ -n "$("$here/reports.sh" "$folder")" ] && grep -rqE "$pattern" "$folder"; then
        passed=$((passed + 1))
        echo "ok - $name is reported (exit status $status)"
    else
        failed=$((failed + 1))
        echo "not ok - $name left no report matching '$pattern' (exit status $status)"
        cat "$reports/$name.out"
    fi
}

caught plain_leak 'LeakSanitizer: detected memory leaks' "$planted" leak
caught plain_overflow 'AddressSanitizer: heap-buffer-overflow' "$planted" overflow
caught plain_undefined 'runtime error: signed integer overflow' "$planted" undefined
caught criterion_leak 'LeakSanitizer: detected memory leaks' "$criterion" --filter planted/leak
caught criterion_overflow 'AddressSanitizer: heap-buffer-overflow' "$criterion" --filter planted/overflow
caught criterion_undefined 'runtime error: signed integer overflow' "$criterion" --filter planted/undefined

echo "# $passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
