# SPDX-License-Identifier: GPL-2.0
"""Which patch brings what: the groups of series/groups, applied to the files that there are."""

import collections
import os

import git
import pieces
from errors import SeriesError


def read(path):
    with open(path, "rb") as source:
        return source.read()


def to_text(data):
    return data.decode("utf-8", "surrogateescape")


class Layout:
    """`files` are paths in `tree`; those that `base` has too are edits."""

    def __init__(self, groups, base, tree, files, name="series/groups"):
        self.groups = groups
        self.base = base
        self.tree = tree
        self.files = files
        self.name = name
        self.notes = []
        self.owner = self._owners()
        self._lines = self._spread()

    def _owners(self):
        """The group whose globs take a file, for each file."""
        owner, mistakes = {}, []
        for path in self.files:
            takers = [number for number, group in enumerate(self.groups) if group.takes(path)]
            if len(takers) == 1:
                owner[path] = takers[0]
                continue
            where = " and ".join(str(self.groups[number].line) for number in takers)
            mistakes.append(
                f"{self.name}: {path} is in the groups of the lines {where}" if where else f"{self.name}: no group takes {path}"
            )
        if mistakes:
            raise SeriesError(*mistakes)
        for group in self.groups:
            for glob in group.globs:
                if not any(glob.matches(path) for path in self.files):
                    self.notes.append(f"{self.name}:{glob.line}: no file is {glob.pattern}")
        return owner

    def _spread(self):
        """The lines of each file that has pieces."""
        by_path, mistakes = collections.defaultdict(list), []
        for number, group in enumerate(self.groups):
            for piece in group.pieces:
                by_path[piece.path].append((number, piece))
        result = {}
        for path, found in by_path.items():
            try:
                result[path] = self._spread_one(path, found)
            except SeriesError as error:
                mistakes += error.messages
        if mistakes:
            raise SeriesError(*mistakes)
        return result

    def _spread_one(self, path, found):
        if path not in self.owner:
            raise SeriesError(*(f"{self.name}:{piece.line}: {path} is none of our files" for _, piece in found))
        if self.is_left_out(path):
            raise SeriesError(*(f"{self.name}:{piece.line}: {path} is left out" for _, piece in found))
        final = to_text(read(os.path.join(self.tree, path))).splitlines(keepends=True)
        spans = [self._find(piece, final, number) for number, piece in found]
        base, hunks = [], [(0, 0, 0, len(final))]
        if self.is_edit(path):
            base = to_text(read(os.path.join(self.base, path))).splitlines(keepends=True)
            hunks = git.hunks(os.path.join(self.base, path), os.path.join(self.tree, path))
            self._are_ours(path, spans, hunks)
        owner = self._line_owners(path, final, spans)
        return pieces.merge(base, final, hunks, owner, self.owner[path])

    def _find(self, piece, lines, number):
        try:
            return pieces.find(piece, lines, number)
        except SeriesError as error:
            raise SeriesError(f"{self.name}:{piece.line}: {error}") from None

    def _are_ours(self, path, spans, hunks):
        added = {number for _, _, begin, end in hunks for number in range(begin, end)}
        for span in spans:
            for number in range(span.first, span.last + 1):
                if number not in added:
                    raise SeriesError(f"{self.name}:{span.line}: line {number + 1} of {path} is the base's, not ours")

    def _line_owners(self, path, final, spans):
        try:
            return pieces.owners(len(final), spans, self.owner[path])
        except pieces.Overlap as error:
            raise SeriesError(f"{self.name}:{error.span.line}: a piece of {path} {error}") from None

    def is_left_out(self, path):
        return bool(self.groups[self.owner[path]].left_out)

    def arrives(self, path):
        """The first patch that has something of ours in the file."""
        if path in self._lines:
            return min(line.comes for line in self._lines[path] if line.comes != pieces.BASE)
        return self.owner[path]

    def is_edit(self, path):
        return os.path.isfile(os.path.join(self.base, path))

    def touched(self, number):
        """The files that the patch may change."""
        return sorted(
            {path for path, owner in self.owner.items() if owner == number} | {piece.path for piece in self.groups[number].pieces}
        )

    def content(self, path, number):
        """The file after that patch, as bytes; None if there is none."""
        if path in self._lines:
            text = pieces.content(self._lines[path], number)
            return None if text is None else text.encode("utf-8", "surrogateescape")
        if self.owner[path] <= number:
            return read(os.path.join(self.tree, path))
        return read(os.path.join(self.base, path)) if self.is_edit(path) else None
