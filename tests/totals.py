#!/usr/bin/env python3
"""Counts a ctest run: tests/totals.py JUNIT_XML prints "PASSED FAILED SKIPPED".

A Criterion binary counts by its own tests, a script that ends with "# N passed, N failed, N skipped" by those; any other
test counts as one. A test that ctest calls failed adds at least one failure, whatever its output says.
"""

import re
import sys
import xml.etree.ElementTree as xml

CRITERION = re.compile(r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
SCRIPT = re.compile(r"^# (\d+) passed, (\d+) failed(?:, (\d+) skipped)?", re.M)


def count(case):
    output = case.findtext("system-out") or ""
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        return 0, 0, 1
    failed_by_ctest = case.find("failure") is not None or case.get("status") == "fail"
    passed = failed = skipped = 0
    for _, passing, failing, crashing in CRITERION.findall(output):
        passed, failed = passed + int(passing), failed + int(failing) + int(crashing)
    for good, bad, left_out in SCRIPT.findall(output):
        passed, failed, skipped = passed + int(good), failed + int(bad), skipped + int(left_out or 0)
    if failed_by_ctest:
        return passed, max(failed, 1), skipped
    if passed + failed + skipped == 0:
        return 1, 0, 0
    return passed, failed, skipped


def main():
    totals = [0, 0, 0]
    for case in xml.parse(sys.argv[1]).getroot().iter("testcase"):
        totals = [total + more for total, more in zip(totals, count(case))]
    print(*totals)


if __name__ == "__main__":
    main()
