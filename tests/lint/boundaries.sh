#!/usr/bin/env bash
# Greps for what may appear only where the tree says (docs/ARCHITECTURE.md), in product code: raft, segment-log, snapshot,
# broker, cli. Comments do not count.
#
#   boundaries.sh [ROOT]     ROOT: the tree to look at, default this one
set -euo pipefail
root=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$root"
breaches=0

# The product's sources without comments and string literals, as "path:line:text".
sources=$(mktemp)
trap 'rm -f "$sources"' EXIT
find raft segment-log snapshot broker cli -name '*.[ch]' 2>/dev/null | LC_ALL=C sort | while read -r file; do
    awk -v path="$file" '
        {
            line = $0; kept = ""
            while (length(line) > 0) {
                if (comment) {
                    end = index(line, "*/")
                    if (end == 0) { line = ""; break }
                    line = substr(line, end + 2); comment = 0
                } else if (match(line, /\/\*|\/\/|"([^"\\]|\\.)*"/)) {
                    kept = kept substr(line, 1, RSTART - 1)
                    found = substr(line, RSTART, RLENGTH); line = substr(line, RSTART + RLENGTH)
                    if (found == "/*") comment = 1
                    else if (found == "//") { line = ""; break }
                    else if (kept ~ /^[ \t]*#[ \t]*include/) kept = kept found
                    else kept = kept "\"\""
                } else { kept = kept line; line = "" }
            }
            if (kept ~ /[^ \t]/) print path ":" FNR ":" kept
        }' "$file"
done >"$sources"

# only_in "WHAT" PATTERN ALLOWED: lines that match PATTERN stand only in files that match ALLOWED (extended regexps).
only_in() {
    local found place=${3//\\/}
    [ "$3" != "$nowhere" ] || place='no file'
    found=$(grep -E "^[^:]+:[0-9]+.*($2)" "$sources" | grep -vE "^($3)" || true)
    if [ -n "$found" ]; then
        breaches=$((breaches + 1))
        printf 'not ok - %s only in %s, but:\n%s\n' "$1" "$place" "$found"
    else
        printf 'ok - %s only in %s\n' "$1" "$place"
    fi
}
word='(^|[^A-Za-z0-9_.>])'
nowhere='$^'

only_in '<uv.h>' '#[ \t]*include[ \t]*<uv\.h>' 'broker/io/'
only_in '<llhttp.h>' '#[ \t]*include[ \t]*<llhttp\.h>' 'broker/http/'
only_in '<xxhash.h>' '#[ \t]*include[ \t]*<xxh(ash|_x86dispatch)\.h>' 'segment-log/checksum(_wide)?\.c:'
only_in '<jansson.h>' '#[ \t]*include[ \t]*<jansson\.h>' 'broker/http/|cli/'
only_in '<curl/curl.h>' '#[ \t]*include[ \t]*<curl/' 'cli/'
only_in 'clocks' "${word}(clock_gettime|gettimeofday|time|clock|uv_hrtime|uv_now|ftime|timespec_get)[ \t]*\(" \
    'broker/io/|segment-log/disk_posix\.c:|cli/'
only_in 'randomness' "${word}(rand|rand_r|random|srand|srandom|drand48|lrand48|arc4random|getrandom|getentropy)[ \t]*\(" \
    'broker/io/|cli/'
only_in 'sleeping' "${word}(sleep|usleep|nanosleep|clock_nanosleep|uv_sleep)[ \t]*\(" 'broker/io/|cli/'
only_in 'threads' "${word}(pthread_create|thrd_create|uv_thread_create)[ \t]*\(" 'broker/io/|cli/'
only_in 'sockets' "${word}(socket|accept4?|bind|getaddrinfo)[ \t]*\(" 'broker/io/|cli/'
only_in 'fsync' "${word}(fsync|fdatasync|sync_file_range|syncfs)[ \t]*\(" 'segment-log/disk_posix\.c:|cli/'
only_in 'unbounded string functions' "${word}(strcat|sprintf|vsprintf|gets|strtok)[ \t]*\(" "$nowhere"
only_in 'NDEBUG' "NDEBUG" "$nowhere"
only_in 'test branches in product code' '#[ \t]*if(def)?[ \t]+(TEST|UNIT_TEST|TESTING)' "$nowhere"

# Pure components see neither the broker nor each other's insides.
only_in 'headers of the broker' '#[ \t]*include[ \t]*<broker/' 'broker/|cli/'
only_in 'the public headers of the log' '#[ \t]*include[ \t]*<segment_log/' 'segment-log/|snapshot/|broker/|cli/'
only_in 'the public headers of the core' '#[ \t]*include[ \t]*<raft/' 'raft/|broker/|cli/'

[ "$breaches" -eq 0 ]
