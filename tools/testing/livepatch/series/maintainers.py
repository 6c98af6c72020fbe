# SPDX-License-Identifier: GPL-2.0
"""Our entry of MAINTAINERS: its place among the others, and whether it lists all that is ours."""

import re

from errors import SeriesError


def titles(lines):
    """(line number, title) of each entry: a line after a blank one, with a line "X:" after it."""
    for number in range(1, len(lines) - 1):
        if (
            not lines[number - 1].strip()
            and lines[number].strip()
            and not re.match(r"[A-Z]:\s", lines[number])
            and re.match(r"[A-Z]:\t", lines[number + 1])
        ):
            yield number, lines[number].strip()


def entry(text):
    """The lines of a file with one entry, blank lines around it left out."""
    lines = text.strip("\n").splitlines()
    while lines and (lines[0].startswith("#") or not lines[0].strip()):
        lines.pop(0)
    if len(list(titles(["", *lines, ""]))) != 1 or not all(re.match(r"[A-Z]:\t\S", line) for line in lines[1:]):
        raise SeriesError("MAINTAINERS: here stands one entry: a title, and lines 'X:<tab>value'")
    return lines


def merge(base, ours):
    """The base's MAINTAINERS with our entry: after the last of those that come before it in the alphabet."""
    lines = base.splitlines()
    new = entry(ours)
    starts = list(titles(lines))
    if any(title == new[0] for _, title in starts):
        raise SeriesError(f"MAINTAINERS: the base has an entry {new[0]}")
    before = [(title, number) for number, title in starts if title < new[0]]
    if not before:
        raise SeriesError("MAINTAINERS: the base's has no entry before ours")
    at = max(before)[1]
    while at < len(lines) and lines[at].strip():
        at += 1
    return "\n".join(lines[:at] + ["", *new] + lines[at:]) + "\n"


def pattern(value, is_directory):
    """A value of F: as scripts/get_maintainer.pl reads it: a function of a path."""
    regex = value.replace(".", r"\.").replace("**", "\0").replace("*", ".*").replace("?", ".").replace("\0", "(?:.*)")
    if is_directory and not regex.endswith("/"):
        regex += "/"

    def matches(path):
        if not re.match(regex, path):
            return False
        return regex.endswith("/") or "(?:" in regex or regex.count("/") == path.count("/")

    return matches


def find(text, title):
    """The lines of the entry with that title in a whole MAINTAINERS; none if it has no such entry."""
    lines = text.splitlines()
    for start, found in titles(lines):
        if found == title:
            end = start
            while end < len(lines) and lines[end].strip():
                end += 1
            return lines[start:end]
    return []


def late(arrivals, entries, is_directory):
    """arrivals: (number of the patch that brings it, path) of each new file; entries: our entry after each patch.

    Returns the (number, path) of those that the entry does not have then.
    """
    result = []
    for number in sorted({number for number, _ in arrivals}):
        paths = [path for arrival, path in arrivals if arrival == number]
        ours = entries[number]
        uncovered = check("\n".join(ours), paths, is_directory)[0] if ours else paths
        result += [(number, path) for path in uncovered]
    return result


def check(ours, files, is_directory):
    """files: those that are new in the tree. Returns (what no F: line has, F: lines that have nothing)."""
    values = [line[2:].strip() for line in entry(ours) if line.startswith("F:")]
    matchers = {value: pattern(value, is_directory(value)) for value in values}
    uncovered = [path for path in files if not any(matches(path) for matches in matchers.values())]
    idle = [value for value, matches in matchers.items() if not any(matches(path) for path in files)]
    return uncovered, idle
