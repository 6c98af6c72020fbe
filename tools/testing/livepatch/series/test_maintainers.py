# SPDX-License-Identifier: GPL-2.0
"""Tests of maintainers.py: python3 -m unittest, in this folder."""

import unittest

import maintainers
from errors import SeriesError

BASE = "About\n\tM: text\n\nMaintainers List\n----------------\n\nAB\nM:\ta\nF:\ta/\n\nCD\nM:\tb\nF:\tb/\n\nTHE REST\nM:\tc\n"
OURS = "CC\nM:\tx\nF:\tb/x*\nF:\tb/y/\nF:\tc/**/*.rs\n"


class Merge(unittest.TestCase):
    def test_place(self):
        self.assertEqual(maintainers.merge(BASE, OURS), BASE.replace("CD\n", OURS + "\nCD\n"))
        self.assertTrue(maintainers.merge(BASE, OURS.replace("CC", "ZZ")).endswith("THE REST\nM:\tc\n\nZZ" + OURS[2:]))

    def test_mistakes(self):
        for ours, message in ((OURS.replace("CC", "AB"), "has an entry AB"), (OURS + "\n" + OURS, "one entry"), ("", "one entry")):
            with self.assertRaisesRegex(SeriesError, message):
                maintainers.merge(BASE, ours)


class Late(unittest.TestCase):
    def test_find(self):
        merged = maintainers.merge(BASE, OURS)
        self.assertEqual("\n".join(maintainers.find(merged, "CC")) + "\n", OURS)
        self.assertEqual(maintainers.find(merged, "CX"), [])
        self.assertEqual(maintainers.find(merged, "THE REST"), ["THE REST", "M:\tc"])

    def test_late(self):
        ours = OURS.splitlines()
        arrivals = [(0, "b/x1"), (1, "b/x2"), (2, "b/y/1"), (3, "b/y/2")]
        entries = [[], ours[:3], ours[:3], ours]
        late = maintainers.late(arrivals, entries, lambda value: False)
        self.assertEqual(late, [(0, "b/x1"), (2, "b/y/1")])


class Check(unittest.TestCase):
    def test_patterns(self):
        files = ["b/x1", "b/x/1", "b/y/z/1", "c/1.rs", "c/d/1.rs", "c/d/e/1.rs"]
        uncovered, idle = maintainers.check(OURS + "F:\tnone\n", files, lambda value: False)
        self.assertEqual(uncovered, ["b/x/1", "c/1.rs"])
        self.assertEqual(idle, ["none"])

    def test_directory_without_slash(self):
        self.assertEqual(maintainers.check("T\nF:\td\n", ["d/e"], lambda value: True), ([], []))
        self.assertEqual(maintainers.check("T\nF:\td\n", ["d/e"], lambda value: False), (["d/e"], ["d"]))


if __name__ == "__main__":
    unittest.main()
