# SPDX-License-Identifier: GPL-2.0
"""Tests of pieces.py: python3 -m unittest, in this folder."""

import unittest

import groups
import pieces
from errors import SeriesError
from pieces import Span


def piece(text):
    return groups.parse(f"= t\n@ f {text}\n")[0].pieces[0]


def new_file(final, *spans, rest=0):
    """What a file that the base does not have is after each of four patches."""
    lines = final.splitlines(keepends=True)
    owner = pieces.owners(len(lines), spans, rest)
    merged = pieces.merge([], lines, [(0, 0, 0, len(lines))], owner, rest)
    return [pieces.content(merged, group) for group in range(4)]


class Find(unittest.TestCase):
    LINES = ["fn a() {", "}", "fn b() {", "}", "end"]

    def find(self, text):
        span = pieces.find(piece(text), self.LINES, 7)
        self.assertEqual(span.group, 7)
        return span.first, span.last

    def test_find(self):
        self.assertEqual(self.find("/fn b/"), (2, 2))
        self.assertEqual(self.find("/fn b/,/^}/"), (2, 3))
        self.assertEqual(self.find("/fn b/,/fn/"), (2, 2))
        self.assertEqual(self.find("/fn b/,$"), (2, 4))
        self.assertEqual(self.find("/fn a/ /fn/,/}/"), (2, 3))

    def test_mistakes(self):
        for text, message in (
            ("/x/", "matches no line"),
            ("/fn/", "matches lines 1 and 3"),
            ("/fn b/,/x/", "no line from line 3"),
            ("/fn b/ /fn/", "no line from line 4"),
            ("/}/ /fn/", "matches lines 2 and 4"),
        ):
            with self.assertRaisesRegex(SeriesError, message):
                self.find(text)


class Owners(unittest.TestCase):
    def test_nested(self):
        self.assertEqual(pieces.owners(6, [Span(2, 3, 2, 0), Span(1, 4, 1, 0)], 0), [0, 1, 2, 2, 1, 0])

    def test_earlier_than_its_file(self):
        self.assertEqual(pieces.owners(2, [Span(0, 0, 0, 0)], 3), [0, 3])

    def test_overlaps(self):
        for spans in (
            [Span(0, 2, 1, 8), Span(1, 3, 2, 9)],
            [Span(1, 3, 1, 8), Span(0, 2, 2, 9)],
        ):
            with self.assertRaisesRegex(SeriesError, "overlaps the piece of line 8"):
                pieces.owners(5, spans, 0)

    def test_inner_earlier(self):
        for inner in (1, 2):
            with self.assertRaisesRegex(SeriesError, "is in the piece of line 8"):
                pieces.owners(5, [Span(0, 3, 2, 8), Span(1, 1, inner, 9)], 0)

    def test_same_lines(self):
        self.assertEqual(pieces.owners(2, [Span(0, 0, 2, 0), Span(0, 0, 1, 0)], 0), [2, 0])


class NewFile(unittest.TestCase):
    def test_absent_before(self):
        self.assertEqual(new_file("a\n", rest=2), [None, None, "a\n", "a\n"])

    def test_blank_lines_do_not_add_up(self):
        text = "a\n\nb\n\nc\n\nd\n"
        self.assertEqual(new_file(text, Span(2, 2, 2, 0), Span(4, 4, 1, 0))[:3], ["a\n\nd\n", "a\n\nc\n\nd\n", text])

    def test_blank_at_the_end(self):
        self.assertEqual(new_file("a\n\nb\n", Span(2, 2, 1, 0))[:2], ["a\n", "a\n\nb\n"])

    def test_blank_at_the_beginning(self):
        self.assertEqual(new_file("a\n\nb\n", Span(0, 0, 1, 0))[0], "b\n")

    def test_braces(self):
        text = "impl {\n    x\n\n    y\n}\n"
        self.assertEqual(new_file(text, Span(3, 3, 1, 0))[0], "impl {\n    x\n}\n")
        self.assertEqual(new_file(text, Span(1, 1, 1, 0))[0], "impl {\n    y\n}\n")

    def test_blanks_that_are_meant(self):
        text = "a\n\n\nb\nc\n"
        self.assertEqual(new_file(text, Span(4, 4, 1, 0))[0], "a\n\n\nb\n")

    def test_blanks_come_with_early_pieces(self):
        text = "a\n\nb\nc\n\nd\n\ne\n"
        self.assertEqual(new_file(text, Span(0, 0, 0, 0), Span(5, 5, 0, 0), rest=1)[:2], ["a\n\nd\n", text])

    def test_the_end_is_the_whole(self):
        text = "\n\na\n\n\n{\n\nb\n\n}\n\n"
        self.assertEqual(new_file(text, Span(2, 3, 1, 0), Span(7, 7, 3, 0))[3], text)


class Edit(unittest.TestCase):
    BASE = ["x\n", "old\n", "\n", "z\n"]
    FINAL = ["x\n", "new\n", "more\n", "\n", "z\n", "\n", "last\n"]
    HUNKS = [(1, 2, 1, 3), (4, 4, 5, 7)]

    def contents(self, *spans, rest=0):
        owner = pieces.owners(len(self.FINAL), spans, rest)
        merged = pieces.merge(self.BASE, self.FINAL, self.HUNKS, owner, rest)
        return [pieces.content(merged, group) for group in range(3)]

    def test_base_before(self):
        self.assertEqual(self.contents(rest=1)[0], "".join(self.BASE))
        self.assertEqual(self.contents(rest=1)[1], "".join(self.FINAL))

    def test_old_line_goes_when_its_successor_comes(self):
        contents = self.contents(Span(1, 1, 2, 0))
        self.assertEqual(contents[0], "x\nold\nmore\n\nz\n\nlast\n")
        self.assertEqual(contents[2], "".join(self.FINAL))

    def test_blanks_of_the_base_stay(self):
        contents = self.contents(Span(1, 2, 1, 0), Span(6, 6, 1, 0))
        self.assertEqual(contents[0], "x\nold\n\nz\n")

    def test_pure_removal(self):
        merged = pieces.merge(["a\n", "b\n"], ["a\n"], [(1, 2, 1, 1)], [2], 2)
        self.assertEqual([pieces.content(merged, group) for group in (1, 2)], ["a\nb\n", "a\n"])


if __name__ == "__main__":
    unittest.main()
