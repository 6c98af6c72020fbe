#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Does each function of the core do with little stack?

Usage: frames.py OBJDUMP OBJECT...

CONFIG_FRAME_WARN is for C alone. What a stack has room for, 16 KiB on x86_64, is for all that is
called, and the core is called by what has used some of it. Prints the functions with the largest
frames. The exit status is 0 if none is larger than MAX bytes. KUnit tests, which have a stack of
their own, do not count.
"""
import re
import subprocess
import sys

MAX = 1536
SHOWN = 10

# In the mangled name of a function: it is in a module `tests`.
TESTS = "5tests"

FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
FRAME = re.compile(r"\bsubq?\s+\$(0x[0-9a-f]+|\d+), %rsp\b")


def frames(objdump, files):
    """Bytes and name of each function that takes some."""
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", *files],
                          check=True, capture_output=True, text=True).stdout
    function, found = None, {}
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            function = match[1]
        elif match := FRAME.search(line):
            found[function] = max(found.get(function, 0), int(match[1], 0))
    return sorted(((size, name) for name, size in found.items() if TESTS not in name), reverse=True)


def main(objdump, *files):
    """Prints and judges."""
    found = frames(objdump, files)
    if not found:
        sys.exit("frames.py: no function with a frame in there")
    for size, name in found[:SHOWN]:
        print("fail" if size > MAX else "ok", size, name, sep="\t")
    sys.exit(found[0][0] > MAX)


main(*sys.argv[1:])
