# SPDX-License-Identifier: GPL-2.0
"""git, without the user's configuration (signing, hooks, templates): that has no part in this."""

import os
import re
import subprocess

from errors import SeriesError

ENVIRONMENT = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")


def git(repo, *arguments, text=None):
    """What git says on stdout."""
    result = subprocess.run(
        ["git", "-C", repo, *arguments], input=text, capture_output=True, text=True, errors="surrogateescape", env=ENVIRONMENT
    )
    if result.returncode:
        raise SeriesError(f"git {' '.join(arguments[:2])}: {(result.stderr or result.stdout).strip()}")
    return result.stdout


def hunks(old, new):
    """Where two files differ: (old begin, end, new begin, end), lines from 0 on, the end not included."""
    result = subprocess.run(
        ["git", "diff", "--no-index", "--no-color", "-U0", "--", old, new], capture_output=True, env=ENVIRONMENT
    )
    found = []
    for match in re.finditer(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", result.stdout, re.M):
        start, count, new_start, new_count = (1 if n is None else int(n) for n in match.groups())
        # Of an empty range, git gives the line before it.
        begin = start - 1 if count else start
        new_begin = new_start - 1 if new_count else new_start
        found.append((begin, begin + count, new_begin, new_begin + new_count))
    return found
