#!/usr/bin/env bash
# Names the sanitizer reports in a folder, one a line: each is a failure.
#
#   reports.sh FOLDER
#
# One kind does not count: Criterion's own process sometimes ends before it has freed 48 bytes of its own. A report is left
# out only if it is a leak report in which every allocation was made by libcriterion.so itself: a leak of a test has the
# test's or another library's frame right above the allocator.
set -euo pipefail
find "$1" -type f | LC_ALL=C sort | while read -r file; do
    awk '
        /ERROR:|WARNING:|runtime error:/ && !/LeakSanitizer: detected memory leaks/ { other = 1 }
        /LeakSanitizer: detected memory leaks/ { leaks = 1 }
        /^ *#1 / { if (/libcriterion\.so/) own++; else foreign++ }
        END { exit !(leaks && own && !foreign && !other) }' "$file" || printf '%s\n' "$file"
done
