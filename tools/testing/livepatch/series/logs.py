# SPDX-License-Identifier: GPL-2.0
"""What a person needs to see of a build's log."""

import re

ERROR = re.compile(r"(^|[^-\w])(error(\[E\d+\])?:|fatal error|undefined (reference|symbol))|\*\*\*|FAILED")
WARNING = re.compile(r"(^|: )warning(\[\w+\])?:", re.IGNORECASE)


def useful_lines(text, limit=24):
    """The first errors with what follows them: later ones are mostly their consequences."""
    lines = text.splitlines()
    chosen, until = [], -1
    for number, line in enumerate(lines):
        if ERROR.search(line):
            until = number + 6
        if number <= until:
            chosen.append(line)
    return chosen[:limit] or lines[-15:]


def warnings(text):
    return sum(1 for line in text.splitlines() if WARNING.search(line) and "generated" not in line)
