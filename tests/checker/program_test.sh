#!/usr/bin/env bash
# raftmq-history-check: its exit status and what it prints.
#
#   program_test.sh PROGRAM HISTORIES
set -uo pipefail
program=$1
histories=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
passed=0
failed=0

# expect STATUS PATTERN WHAT ARGUMENT...: runs the program; its output must match the extended regexp.
expect() {
    local status=$1 pattern=$2 what=$3 output seen
    shift 3
    output=$("$program" "$@" 2>&1)
    seen=$?
    if [ "$seen" -eq "$status" ] && grep -qE -e "$pattern" <<<"$output"; then
        passed=$((passed + 1))
        echo "ok - $what"
    else
        failed=$((failed + 1))
        printf 'not ok - %s: exit %s, output:\n%s\n' "$what" "$seen" "$output"
    fi
}

expect 0 '^history: clean$' 'a clean history exits 0' "$histories/clean.txt"
for file in "$histories"/*.txt; do
    expected=$(sed -nE 's/^# expect: ([a-z0-9-]+) ([0-9]+)$/\1=\2/p' "$file")
    [ -n "$expected" ] || continue
    expect 1 "^history: [0-9]+ anomal(y|ies): $expected\$" "$(basename "$file") exits 1 and is called $expected" "$file"
done

expect 1 '^    orders/0: values 1\.2\.\.1\.3 acked at offset 2 to p1 on n1 \(30\.\.40\): never read; offset 2 held value 2\.0 when c1 read it from n3 at 110$' \
    'a witness names partition, values, offset, sessions, nodes and times' "$histories/lost_write.txt"
expect 1 '^anomalies$' '--quiet prints the verdict alone' --quiet "$histories/lost_write.txt"
expect 0 '^clean$' '--quiet says clean' --quiet "$histories/clean.txt"

# One history in several files, in no order.
grep -v '^#' "$histories/stale_read.txt" | tac >"$folder/backwards"
expect 1 'stale-read=1$' 'lines may stand in any order' "$folder/backwards"
grep '^fetch' "$histories/stale_read.txt" >"$folder/reads"
grep '^produce' "$histories/stale_read.txt" >"$folder/writes"
expect 1 'stale-read=1$' 'several files are one history' "$folder/reads" "$folder/writes"
# Times that need all 64 bits to be told apart.
{
    echo 'offsets ok 18446744073709551500 18446744073709551501 session=c partition=t end=0'
    echo 'offsets ok 100 101 session=c partition=t end=0'
    echo 'produce ok 18446744073709551400 18446744073709551401 session=p partition=t values=1 at=0'
} >"$folder/wide"
expect 1 'stale-read=1$' 'times of 64 bits are sorted' "$folder/wide"
expect 1 'phantom=1$' 'a phantom is one' "$histories/phantom.txt"
expect 0 '^history: clean$' '--open allows values of producers that are not recorded' --open "$histories/phantom.txt"
if [ "$("$program" - <"$histories/clean.txt" | tail -1)" = 'history: clean' ]; then
    passed=$((passed + 1)); echo 'ok - "-" is standard input'
else
    failed=$((failed + 1)); echo 'not ok - "-" is standard input'
fi

: >"$folder/empty"
expect 2 'no operation' 'an empty history exits 2' "$folder/empty"
echo '# nothing' >"$folder/comment"
expect 2 'no operation' 'a history of comments exits 2' "$folder/comment"
expect 2 'No such file' 'a missing file exits 2' "$folder/missing"
printf 'offsets ok 1 2 session=c partition=t end=0\nfetch ok 3 4 session=c\n' >"$folder/malformed"
expect 2 "malformed:2: fetch needs \"partition\"" 'a malformed line exits 2 and is named' "$folder/malformed"
printf 'offsets ok 1 2 session=c partition=t end=0\nfetch ok x y session=c\n' >"$folder/times"
expect 2 'times:2: the fourth word is no time' 'a line without times exits 2 and is named' "$folder/times"
printf 'offsets ok 1 2 session=c partition=t end=12' >"$folder/half"
expect 2 'half:1: the last line is not whole' 'half a line exits 2' "$folder/half"
printf 'fetch ok 1 9 session=c partition=t from=0\nfetch ok 5 10 session=c partition=t from=0\n' >"$folder/overlap"
expect 2 'overlap:2: two fetches of one session' 'a history that cannot be judged exits 2' "$folder/overlap"
expect 2 '^Usage' 'no file exits 2'
expect 2 '^Usage' 'an unknown option exits 2' --frobnicate "$histories/clean.txt"
expect 2 'witnesses takes' 'a bad number exits 2' --witnesses 0 "$histories/clean.txt"
expect 0 '^Usage' '--help exits 0' --help

echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
