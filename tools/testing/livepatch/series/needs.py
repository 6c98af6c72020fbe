# SPDX-License-Identifier: GPL-2.0
"""Which builds a change of a file can have an effect on."""

SELFTESTS = "tools/testing/selftests/livepatch/"
CONFIG = ("Makefile", "Kconfig", "Kconfig.test")


def is_code(path):
    """Not: documentation, programs that are not part of a kernel, and what only kunit.py reads."""
    return not (
        path.startswith(("Documentation/", "tools/"))
        or path == "MAINTAINERS"
        or path.endswith((".kunitconfig", "/.gitignore", ".rst", ".py"))
    )


def for_c(path):
    """The kernel with LIVEPATCH_C. Of kernel/livepatch it has only the base's own files."""
    if path.startswith("kernel/livepatch/"):
        return path.rsplit("/", 1)[1] in CONFIG
    return is_code(path)


def for_rust(path, complete):
    """The one with LIVEPATCH_RUST: before it is complete, only kernel/livepatch/ and what that uses."""
    return is_code(path) and (complete or not path.startswith("samples/"))


def for_selftests(path):
    return path.startswith(SELFTESTS)
