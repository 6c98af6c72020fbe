#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What Documentation/livepatch/rust-api.rst says must be so.

    check-doc.py TREE [--table]

- The numbers in its table are those of the samples in TREE; --table prints that table.
- What it says that the compiler says is in what a case expects.
- The places where its excerpts from other files begin and end exist, and the rest of its Rust code
  is in a file of this folder, but for comments at the end of lines.
- The fix that it begins with applies to the sample in TREE.

Prints a line for each: "pass" or "fail", a tab, what it is, and the reason after a tab.
"""

import os
import re
import subprocess
import sys
import textwrap

# Sample, mistakes of the table that are possible in it, those of them that C finds. The last two
# are counted by hand: None for modules that are no livepatches.
SAMPLES = [
    ("sample", 8, 3),
    ("callbacks_demo", 8, 4),
    ("callbacks_mod", None, None),
    ("callbacks_busymod", None, None),
    ("shadow_mod", None, None),
    ("shadow_fix1", 11, 3),
    ("shadow_fix2", 11, 3),
    ("lifecycle", 9, 4),
]


def code(path):
    """The lines of a file that are neither empty nor comments."""
    with open(path) as source:
        text = source.read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    return [line for line in text.splitlines() if line.strip()]


# Those whose original can do more.
MARKED = ("callbacks_demo", "lifecycle")


def row(tree, name, mistakes, found):
    directory = os.path.join(tree, "samples/livepatch")
    original = os.path.join(directory, f"livepatch-{name.replace('_', '-')}.c")
    c = str(len(code(original))) if os.path.exists(original) else "--"
    lines, unsafe = 0, 0
    for part in ".rs", "_main.rs", "_traced.c":
        path = os.path.join(directory, f"rust_livepatch_{name}{part}")
        if os.path.exists(path):
            lines += len(code(path))
            unsafe += sum(len(re.findall(r"\bunsafe\b", line)) for line in code(path))
    numbers = [str(n) if n is not None else "--" for n in (mistakes, found)]
    cells = [name + (" [#p]_" if name in MARKED else ""), c, str(lines), str(unsafe)] + numbers
    widths = [24, 7, 8, 13, 9, 13]
    return "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths)).rstrip()


def check_table(tree, doc):
    wanted = [row(tree, *sample) for sample in SAMPLES]
    missing = [line for line in wanted if line not in doc]
    return f"should be: {missing}" if missing else ""


def check_excerpts(tree, doc):
    problems = []
    for match in re.finditer(r"\.\. literalinclude:: (\S+)\n((?:   :.*\n)*)", doc):
        path = os.path.join(tree, "Documentation/livepatch", match[1])
        with open(path) as source:
            text = source.read()
        at = 0
        for option, value in re.findall(r":(start-at|end-before): (.*)", match[2]):
            at = text.find(value, at)
            if at < 0:
                problems.append(f"{os.path.basename(path)}: no {option} {value!r}")
                break
    here = os.path.dirname(os.path.abspath(__file__))
    cases = [plain(open(os.path.join(here, name)).read()) for name in os.listdir(here) if name.endswith(".rs")]
    for match in re.finditer(r"\.\. code-block:: rust\n\n((?:   .*\n|\s*\n)*)", doc):
        block = plain(textwrap.dedent(match[1])).strip("\n")
        if not any(block in case for case in cases):
            problems.append(f"in no file: {block.splitlines()[0]!r} ...")
    return "; ".join(problems)


def check_messages(tree, doc):
    here = os.path.dirname(os.path.abspath(__file__))
    cases = [open(os.path.join(here, name)).read() for name in os.listdir(here) if name.endswith(".rs")]
    expected = [line for case in cases for line in re.findall(r"//~[?^]* (.*)", case)]
    table = doc[doc.index("   * - the compiler says\n") :]
    table = table[: table.index("\n\n")]
    messages = [match.replace("``", "`") for match in re.findall(r"   \* - (.*)", table)[1:]]
    unknown = [m for m in messages if not any(m in e or m.strip("`") in e for e in expected)]
    return f"in no case: {unknown}" if unknown or not messages else ""


def plain(text):
    """Without comments at the end of lines."""
    return re.sub(r"(\S) *//.*", r"\1", text)


def check_fix(tree, doc):
    diff = re.search(r"\.\. code-block:: diff\n\n((?:   .*\n|\s*\n)*)", doc)[1]
    # A line that is empty but for its mark has lost that to the one who writes the page.
    diff = "".join(line if line.strip() else " \n" for line in textwrap.dedent(diff).rstrip("\n").splitlines(True))
    result = subprocess.run(
        ["patch", "-p1", "-F0", "--dry-run", "-d", tree],
        input=diff + "\n", capture_output=True, text=True, check=False,
    )
    return "" if result.returncode == 0 else result.stdout.strip().replace("\n", " / ")


def main():
    tree = sys.argv[1]
    if "--table" in sys.argv:
        print("\n".join(row(tree, *sample) for sample in SAMPLES))
        return False
    with open(os.path.join(tree, "Documentation/livepatch/rust-api.rst")) as page:
        doc = page.read()
    bad = False
    for check, what in (
        (check_table, "rust-api.rst: the numbers of the samples"),
        (check_messages, "rust-api.rst: messages of the compiler"),
        (check_excerpts, "rust-api.rst: excerpts from compiled files"),
        (check_fix, "rust-api.rst: the fix in C applies"),
    ):
        problem = check(tree, doc)
        print("fail" if problem else "pass", what, problem, sep="\t")
        bad |= bool(problem)
    return bad


if __name__ == "__main__":
    sys.exit(main())
