#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Line coverage of kernel/livepatch/model, but for its tests, by the tests on the host.

    coverage.py TREE LCOV PERCENT LIST

TREE is what was tested, LCOV what llvm-cov exported. LIST names files that may have less than
PERCENT, and says why; its top tells how.

Prints a table, and for each file a line: "pass" or "fail", a tab, what it is, and a remark after a
tab. A file that has functions and that no test program contains is a failure, and so is one in the
list that has PERCENT all the same.
"""

import collections
import os
import re
import sys

MODEL = "kernel/livepatch/model"
TESTS = "tests/"


def hits(tree, path):
    """How often each line that can run has run, by file of the model."""
    lines = collections.defaultdict(collections.Counter)
    file = None
    with open(path) as source:
        for record in source:
            tag, _, rest = record.strip().partition(":")
            if tag == "SF":
                file = os.path.relpath(os.path.realpath(rest), os.path.realpath(tree))
            elif tag == "DA" and file.startswith(MODEL + "/") and not file.startswith(f"{MODEL}/{TESTS}"):
                line, count = rest.split(",")[:2]
                # The same file is in several programs.
                lines[os.path.relpath(file, MODEL)][int(line)] += int(count)
    return lines


def explained(path):
    """The files in the list."""
    files = {}
    with open(path) as source:
        for line in source:
            if line.strip() and not line.startswith("#"):
                file, _, reason = line.partition(":")
                if not reason.strip():
                    sys.exit(f"{path}: no reason: {line}")
                files[file.strip()] = reason.strip()
    return files


def spans(numbers):
    """Line numbers as "3-5, 9"."""
    result = []
    for number in sorted(numbers):
        if result and result[-1][1] == number - 1:
            result[-1][1] = number
        else:
            result.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in result)


def main():
    tree, lcov, least, path = sys.argv[1:]
    least = float(least)
    lines = hits(tree, lcov)
    listed = explained(path)
    results = []
    total = [0, 0]

    def row(file, covered, count, remark=""):
        print("    %-20s%8d%10d%9.1f%%  %s" % (file, count, covered, 100 * covered / count, remark))

    print("    %-20s%8s%10s%10s" % ("model/", "lines", "covered", ""))
    names = []
    for folder, _, files in os.walk(os.path.join(tree, MODEL)):
        names += [os.path.relpath(os.path.join(folder, file), os.path.join(tree, MODEL)) for file in files]
    for file in sorted(name for name in names if name.endswith(".rs") and not name.startswith(TESTS)):
        with open(os.path.join(tree, MODEL, file)) as source:
            code = re.search(r"^ *(pub(\(\w+\))? )?(const )?fn \w+.*?[;{]", source.read(), re.M | re.S)
        if not lines[file]:
            # Only modules and types.
            if code:
                results.append(("fail", file, "no test program contains it"))
            continue
        count = len(lines[file])
        missed = [line for line, hit in lines[file].items() if hit == 0]
        covered = count - len(missed)
        total[0] += covered
        total[1] += count
        row(file, covered, count, f"not: {spans(missed)}" if missed else "")

        enough = 100 * covered / count >= least
        if enough and file in listed:
            results.append(("fail", file, f"{os.path.basename(path)} says that it has less than {least:g} %"))
        elif enough or file in listed:
            results.append(("pass", file, listed.get(file, "")))
        else:
            results.append(("fail", file, f"less than {least:g} %: lines {spans(missed)}"))
    if total[1]:
        row("total", *total)
    for file in listed:
        if not lines[file]:
            results.append(("fail", file, f"is in {os.path.basename(path)}, and not in the model"))
    for status, file, remark in results:
        print(status, f"model/{file}: line coverage", remark, sep="\t")


main()
