# SPDX-License-Identifier: GPL-2.0
"""Tests of cut.py: python3 -m unittest, in this folder."""

import unittest

import cut
from errors import SeriesError


class Numbered(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual(cut.numbered("a {b: c!} - {last}\n", ["a: a", "b: c!", "d"]), "a 2 - 3\n")

    def test_mistakes(self):
        with self.assertRaisesRegex(SeriesError, "no patch is called 'b: d'"):
            cut.numbered("{b: d}", ["b: c"])


if __name__ == "__main__":
    unittest.main()
