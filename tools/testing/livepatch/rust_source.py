# SPDX-License-Identifier: GPL-2.0
"""The text of a Rust file, as far as scripts have to understand it that are no compiler."""
import re

BRACKETS = ("([{", ")]}")


def strip(text):
    """Blanks comments and strings, keeping every position and every line."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())
    return re.sub(r'//[^\n]*|/\*.*?\*/|c?"(?:\\.|[^"\\])*"|b?\'(?:\\.|[^\'\\])\'', blank, text,
                  flags=re.S)


def closing(text, start):
    """Where the bracket is closed that is open at `start`."""
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] in BRACKETS[0]) - (text[at] in BRACKETS[1])
        if depth == 0:
            return at
    return len(text)
