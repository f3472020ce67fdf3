#!/usr/bin/env bash
# A rule that nothing can break proves nothing: plants one breach of each kind in an empty tree and expects boundaries.sh
# to name it, and a clean tree, with the same words in comments and strings, to pass.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{raft,segment-log,snapshot,broker/io,broker/http,cli}
failed=0

expect() { # STATUS NAME
    "$here/boundaries.sh" "$tree" >"$tree/out" 2>&1
    local status=$?
    if { [ "$1" = clean ] && [ $status -eq 0 ]; } || { [ "$1" = breach ] && [ $status -ne 0 ]; }; then
        echo "ok - $2"
    else
        failed=1
        echo "not ok - $2 (exit status $status)"
        grep '^not ok' "$tree/out"
    fi
}

printf '/* clock_gettime( and\n * <uv.h> */\nconst char *text = "rand(1) fsync(2)"; // sleep(1)\nint random_term(void);\n' \
    >"$tree/raft/clean.c"
printf '#include <uv.h>\n' >"$tree/broker/io/io_uv.c"
expect clean "words in comments, strings and longer names are no breach"

plant() { # PATH LINE
    printf '%s\n' "$2" >"$tree/$1"
    expect breach "$1: $2"
    rm "$tree/$1"
}
plant broker/http/server.c '#include <uv.h>'
plant broker/io/stream.c '#include <llhttp.h>'
plant snapshot/format.c '#include <xxhash.h>'
plant raft/election.c 'now = time(NULL);'
plant snapshot/writer.c 'clock_gettime(CLOCK_MONOTONIC, &now);'
plant raft/step.c 'return (int)rand();'
plant broker/http/routes.c 'usleep(10);'
plant segment-log/log.c 'if (fdatasync(fd) != 0) return;'
plant cli/main.c 'sprintf(target, source);'
plant raft/log.c '#include <segment_log/segment_log.h>'
plant segment-log/segment.c '#include <broker/io.h>'
exit $failed
