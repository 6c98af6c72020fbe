# SPDX-License-Identifier: GPL-2.0
"""Tests of groups.py: python3 -m unittest, in this folder."""

import unittest

import groups
from errors import SeriesError


class Parse(unittest.TestCase):
    def test_group(self):
        (group,) = groups.parse("# c\n\n= title\n+ a/*\n- a/b\nkind: docs\nlimit-exception: why\n\nText.\n\n- text\n")
        self.assertEqual((group.title, group.line, group.kind, group.exception), ("title", 3, "docs", "why"))
        self.assertEqual(group.commit_message(), "title\n\nText.\n\n- text\n")
        self.assertTrue(group.takes("a/c/d"))
        self.assertFalse(group.takes("a/b"))
        self.assertFalse(group.takes("c"))

    def test_left_out(self):
        first, second = groups.parse("= t\n+ a\nleft-out: why\n\n= u\n+ b\n")
        self.assertEqual((first.left_out, second.left_out), ("why", ""))

    def test_last_glob_decides(self):
        (group,) = groups.parse("= t\n+ *\n- a*\n+ ab\n\nText.\n")
        self.assertEqual([group.takes(path) for path in ("a", "ab", "b")], [False, True, True])

    def test_pieces(self):
        text = "= t\n@ f /one/\n@ f /from/,/to\\/x/\n@ f /before/ /from/,$\n\nText.\n"
        one, two, three = groups.parse(text)[0].pieces
        self.assertEqual((one.path, one.start.pattern, one.end, one.to_eof, one.line), ("f", "one", None, False, 2))
        self.assertTrue(two.end.search("to/x"))
        self.assertEqual((three.after.pattern, three.to_eof), ("before", True))

    def test_mistakes(self):
        for text, message in (
            ("", "no group"),
            ("x\n", ":1: a group begins"),
            ("= t\nx\n", ":2: before the message"),
            ("= t\n@ f /x\n", ":2: a piece is"),
            ("= t\n@ f /(/\n", ":2: "),
            ("= t\nkind: x\n", ":2: kind: is one of"),
            ("= t\nlimit-exception:\n", ":2: limit-exception: needs"),
            ("= t\nleft-out:\n", ":2: left-out: needs"),
            ("= t\n@ f /x/\nleft-out: why\n", ":1: a group that is left out"),
        ):
            with self.assertRaisesRegex(SeriesError, message):
                groups.parse(text)


if __name__ == "__main__":
    unittest.main()
