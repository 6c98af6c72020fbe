# SPDX-License-Identifier: GPL-2.0
"""The text of series/groups: what it says at its own top, as objects."""

import dataclasses
import fnmatch
import re

from errors import SeriesError

# How many lines a patch of each kind may add.
LIMITS = {"code": 900, "tests": 1500, "docs": 1500}

REGEX = r"/((?:[^/\\]|\\.)*)/"
PIECE = re.compile(rf"@ (\S+) (?:{REGEX} )?{REGEX}(?:,(?:{REGEX}|(\$)))?\s*")


@dataclasses.dataclass
class Glob:
    """A line "+ glob" or "- glob"."""

    takes: bool
    pattern: str
    line: int

    def matches(self, path):
        return fnmatch.fnmatchcase(path, self.pattern)


@dataclasses.dataclass
class Piece:
    """A line "@ path /start/,/end/": some lines of a file."""

    path: str
    after: re.Pattern | None
    start: re.Pattern
    end: re.Pattern | None
    to_eof: bool
    line: int


@dataclasses.dataclass
class Group:
    """What becomes one patch."""

    title: str
    line: int
    globs: list[Glob] = dataclasses.field(default_factory=list)
    pieces: list[Piece] = dataclasses.field(default_factory=list)
    kind: str = "code"
    exception: str = ""
    # Why its files are in no patch.
    left_out: str = ""
    message: list[str] = dataclasses.field(default_factory=list)

    def takes(self, path):
        """Whether the globs take the file: the last one that matches decides."""
        taken = False
        for glob in self.globs:
            if glob.matches(path):
                taken = glob.takes
        return taken

    def commit_message(self):
        return self.title + "\n\n" + "\n".join(self.message).strip("\n") + "\n"


def parse(text, name="series/groups"):
    """The groups, in order."""
    groups = []
    header = False
    for number, line in enumerate(text.splitlines(), 1):
        place = f"{name}:{number}"
        if line.startswith("#"):
            continue
        if line.startswith("= "):
            groups.append(Group(line[2:].strip(), number))
            header = True
        elif not groups:
            if line.strip():
                raise SeriesError(f"{place}: a group begins with '= title'")
        elif header and not line.strip():
            # Blank lines before the globs, and the one that ends them.
            header = not (groups[-1].globs or groups[-1].pieces)
        elif header:
            _header_line(groups[-1], line, number, place)
        else:
            groups[-1].message.append(line)
    if not groups:
        raise SeriesError(f"{name} has no group")
    for group in groups:
        if group.left_out and group.pieces:
            raise SeriesError(f"{name}:{group.line}: a group that is left out has whole files only")
    return groups


def _header_line(group, line, number, place):
    key, _, value = line.partition(" ")
    value = value.strip()
    if key in ("+", "-") and value:
        group.globs.append(Glob(key == "+", value, number))
    elif key == "@":
        group.pieces.append(_piece(line, number, place))
    elif key == "kind:":
        if value not in LIMITS:
            raise SeriesError(f"{place}: kind: is one of {', '.join(LIMITS)}")
        group.kind = value
    elif key == "limit-exception:":
        if not value:
            raise SeriesError(f"{place}: limit-exception: needs a reason")
        group.exception = value
    elif key == "left-out:":
        if not value:
            raise SeriesError(f"{place}: left-out: needs a reason")
        group.left_out = value
    else:
        raise SeriesError(
            f"{place}: before the message (after a blank line) stand '+ glob', '- glob', "
            "'@ path /start/,/end/', 'kind:', 'limit-exception:' and 'left-out:'"
        )


def _piece(line, number, place):
    match = PIECE.fullmatch(line)
    if not match:
        raise SeriesError(f"{place}: a piece is '@ path [/after/ ]/start/[,/end/ or ,$]'")
    path, after, start, end, to_eof = match.groups()
    try:
        regexes = [None if regex is None else re.compile(regex) for regex in (after, start, end)]
    except re.error as error:
        raise SeriesError(f"{place}: {error}") from None
    return Piece(path, *regexes, to_eof is not None, number)
