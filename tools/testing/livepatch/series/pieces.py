# SPDX-License-Identifier: GPL-2.0
"""A file that is spread over several patches: its lines, and which patch brings each of them."""

import bisect
import dataclasses

from errors import SeriesError

# The patch that the base's own lines came with.
BASE = -1


@dataclasses.dataclass
class Span:
    """The lines first .. last of a file belong to a group, by a line of series/groups."""

    first: int
    last: int
    group: int
    line: int


@dataclasses.dataclass
class Line:
    """There from the patch `comes` on, and from the patch `goes` on no more."""

    text: str
    comes: int
    goes: int | None = None

    def is_there(self, group):
        return self.comes <= group and (self.goes is None or group < self.goes)


class Overlap(SeriesError):
    """What is wrong with a span and another one."""

    def __init__(self, span, message):
        super().__init__(message)
        self.span = span


def find(piece, lines, group):
    """Where a piece is, as a Span."""
    begin = 0
    if piece.after:
        begin = _only(piece.after, lines, f"{piece.path}: /{piece.after.pattern}/") + 1
        first = _first(piece.start, lines, begin, f"{piece.path}: /{piece.start.pattern}/")
    else:
        first = _only(piece.start, lines, f"{piece.path}: /{piece.start.pattern}/")
    last = first
    if piece.to_eof:
        last = len(lines) - 1
    elif piece.end:
        last = _first(piece.end, lines, first, f"{piece.path}: /{piece.end.pattern}/")
    return Span(first, last, group, piece.line)


def _only(regex, lines, what):
    found = [number for number, line in enumerate(lines) if regex.search(line)]
    if not found:
        raise SeriesError(f"{what} matches no line")
    if len(found) > 1:
        raise SeriesError(
            f"{what} matches lines {found[0] + 1} and {found[1] + 1}: "
            "give a line before the right one, '@ path /after/ /start/,/end/'"
        )
    return found[0]


def _first(regex, lines, begin, what):
    for number in range(begin, len(lines)):
        if regex.search(lines[number]):
            return number
    raise SeriesError(f"{what} matches no line from line {begin + 1} on")


def owners(count, spans, rest):
    """For each of a file's lines the group that brings it. What is in no span is of group `rest`."""
    result = [rest] * count
    within = [None] * count
    # The outer ones first.
    for span in sorted(spans, key=lambda span: (span.first - span.last, span.group)):
        for number in range(span.first, span.last + 1):
            if within[number] is not within[span.first]:
                raise Overlap(span, f"overlaps the piece of line {(within[number] or within[span.first]).line}")
        outer = within[span.first]
        if outer and outer.group >= span.group:
            raise Overlap(span, f"is in the piece of line {outer.line}, and has to come in a later patch than that")
        for number in range(span.first, span.last + 1):
            result[number] = span.group
            within[number] = span
    return result


def merge(base, final, hunks, owner, rest):
    """The lines of base and final, in one list. hunks: (base begin, end, final begin, end), each a difference.

    An old line goes when that comes which has its place; if nothing does, with the group `rest`.
    """
    owner = _with_blanks(final, hunks, owner)
    result = []
    at_base = 0
    for base_begin, base_end, begin, end in [*hunks, (len(base), len(base), len(final), len(final))]:
        result += [Line(text, BASE) for text in base[at_base:base_begin]]
        at_base = base_end
        for offset in range(max(base_end - base_begin, end - begin)):
            if base_begin + offset < base_end:
                goes = owner[min(begin + offset, end - 1)] if end > begin else rest
                result.append(Line(base[base_begin + offset], BASE, goes))
            if begin + offset < end:
                result.append(Line(final[begin + offset], owner[begin + offset]))
    return result


def _with_blanks(final, hunks, owner):
    """A blank line of ours comes with the first of the two lines that it parts."""
    result = list(owner)
    for _, _, begin, end in hunks:
        texts = [number for number in range(begin, end) if final[number].strip()]
        for blank in set(range(begin, end)) - set(texts):
            at = bisect.bisect(texts, blank)
            result[blank] = min(owner[number] for number in [blank, *texts[max(at - 1, 0) : at + 1]])
    return result


def content(lines, group):
    """The file's text after a patch, or None if there is no file yet."""
    if not any(line.is_there(group) for line in lines):
        return None
    result = []
    seam = False
    for line in lines:
        if not line.is_there(group):
            # Where something that comes later will be: blank lines around it must not add up.
            seam = seam or line.comes > group
            continue
        if seam and _superfluous(result, line):
            continue
        if seam and (not line.text.strip() or line.text.lstrip().startswith(("}", ")", "]"))):
            _drop_blanks(result)
        if line.text.strip():
            seam = False
        result.append(line)
    if seam:
        _drop_blanks(result)
    return "".join(line.text for line in result)


def _superfluous(before, line):
    """A blank line at a seam that is not the base's, at the beginning or after one of its kind."""
    if line.text.strip() or line.comes == BASE:
        return False
    return not before or not before[-1].text.strip() or before[-1].text.rstrip().endswith(("{", "(", "["))


def _drop_blanks(result):
    while result and not result[-1].text.strip() and result[-1].comes != BASE:
        result.pop()
