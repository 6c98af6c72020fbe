# SPDX-License-Identifier: GPL-2.0
"""Tests of needs.py and logs.py: python3 -m unittest, in this folder."""

import unittest

import logs
import needs


class Needs(unittest.TestCase):
    def check(self, path, c, rust, complete, selftests):
        found = (needs.for_c(path), needs.for_rust(path, False), needs.for_rust(path, True), needs.for_selftests(path))
        self.assertEqual(found, (c, rust, complete, selftests), path)

    def test_paths(self):
        self.check("Documentation/livepatch/x.rst", False, False, False, False)
        self.check("MAINTAINERS", False, False, False, False)
        self.check("kernel/exit.c", True, True, True, False)
        self.check("kernel/livepatch/klp.rs", False, True, True, False)
        self.check("kernel/livepatch/shim/tasks.c", False, True, True, False)
        self.check("kernel/livepatch/Makefile", True, True, True, False)
        self.check("kernel/livepatch/Kconfig", True, True, True, False)
        self.check("kernel/livepatch/x86_64.kunitconfig", False, False, False, False)
        self.check("rust/kernel/livepatch.rs", True, True, True, False)
        self.check("samples/livepatch/x.c", True, False, True, False)
        self.check("tools/testing/selftests/livepatch/x.sh", False, False, False, True)


class Logs(unittest.TestCase):
    def test_useful_lines(self):
        text = "cc a\na.c:1: error: bad\n  here\n" + "cc\n" * 30 + "make: *** [x] Error 2\n"
        lines = logs.useful_lines(text)
        self.assertEqual((lines[0], lines[-1]), ("a.c:1: error: bad", "make: *** [x] Error 2"))
        self.assertEqual(logs.useful_lines("a\nb\n"), ["a", "b"])

    def test_warnings(self):
        self.assertEqual(logs.warnings("warning: unused\na.c:1:2: warning: x [-Wx]\n1 warning generated.\nwarning[E1]: y\n"), 3)


if __name__ == "__main__":
    unittest.main()
