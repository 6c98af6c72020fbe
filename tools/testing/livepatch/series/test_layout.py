# SPDX-License-Identifier: GPL-2.0
"""Tests of layout.py, with files and git diff: python3 -m unittest, in this folder."""

import os
import tempfile
import unittest

import groups
import layout
from errors import SeriesError


class Files(unittest.TestCase):
    BASE = {"edit": "1\n2\n3\n", "other": "o\n"}
    TREE = {"edit": "1\ntwo\n2b\n3\n\n4\n", "new": "a\n\nb\n", "other": "O\n"}

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        for name, files in (("base", self.BASE), ("tree", self.TREE)):
            os.mkdir(self.path(name))
            for path, text in files.items():
                with open(os.path.join(self.path(name), path), "w") as file:
                    file.write(text)

    def tearDown(self):
        self.directory.cleanup()

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def layout(self, text):
        return layout.Layout(groups.parse(text), self.path("base"), self.path("tree"), sorted(self.TREE))

    def test_whole_files(self):
        plan = self.layout("= a\n+ new\n\n= b\n+ *\n- new\n- nothing\n")
        self.assertEqual([plan.touched(number) for number in (0, 1)], [["new"], ["edit", "other"]])
        self.assertEqual([plan.content("other", number) for number in (0, 1)], [b"o\n", b"O\n"])
        self.assertEqual(plan.content("new", 0), b"a\n\nb\n")
        self.assertEqual(plan.notes, ["series/groups:7: no file is nothing"])

    def test_pieces(self):
        plan = self.layout("= a\n+ other\n@ edit /^4/\n\n= b\n+ *\n- other\n\n= c\n@ edit /two/\n@ new /b/\n")
        contents = [plan.content("edit", number) for number in range(3)]
        self.assertEqual(contents, [b"1\n2\n3\n\n4\n", b"1\n2\n2b\n3\n\n4\n", self.TREE["edit"].encode()])
        self.assertEqual([plan.content("new", number) for number in range(3)], [None, b"a\n", b"a\n\nb\n"])
        self.assertEqual(plan.touched(2), ["edit", "new"])

    def test_arrival(self):
        plan = self.layout("= a\n+ other\n\n= b\n@ new /b/\n\n= c\n+ *\n- other\n")
        self.assertEqual([plan.arrives(path) for path in ("edit", "new", "other")], [2, 1, 0])

    def test_left_out(self):
        plan = self.layout("= a\n+ other\nleft-out: w\n\n= b\n+ *\n- other\n")
        self.assertEqual([plan.is_left_out(path) for path in ("edit", "other")], [False, True])

    def test_mistakes(self):
        for text, message in (
            ("= a\n+ new\n+ other\n", "groups: no group takes edit"),
            ("= a\n+ *\n\n= b\n+ new\n", "groups: new is in the groups of the lines 1 and 4"),
            ("= a\n+ *\n\n= b\n@ nope /x/\n", "groups:5: nope is none of our files"),
            ("= a\n+ new\nleft-out: w\n\n= b\n+ *\n- new\n@ new /a/\n", "groups:8: new is left out"),
            ("= a\n+ *\n\n= b\n@ new /x/\n", "groups:5: new: /x/ matches no line"),
            ("= a\n+ *\n\n= b\n@ edit /3/\n", "groups:5: line 4 of edit is the base's"),
            ("= a\n+ *\n\n= b\n@ new /a/,/b/\n\n= c\n@ new /b/\n\n= d\n@ new /^$/,$\n", "groups:8: a piece of new is in the piece of line 11"),
        ):
            with self.assertRaisesRegex(SeriesError, message):
                self.layout(text)


if __name__ == "__main__":
    unittest.main()
