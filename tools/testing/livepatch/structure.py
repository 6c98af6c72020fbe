#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The house of the Rust core: is every file a room of moderate size, and does every import point down?

Usage: structure.py [KERNEL/LIVEPATCH]

Reads the Rust files of the core (not its tests) and prints a table: for each file its lines, the
lines of its longest function, its unsafe blocks, and who imports it. The exit status is 0 if no file
is longer than MAX_LINES, no function longer than MAX_FUNCTION, no circle of imports is there, and
nothing but model/sort.rs sorts: the sorts of the standard library need more stack than there is.

An import is a `use` of a path that begins with crate, self or super and leads to another file. That
a file declares another one (`mod`) is none.
"""
import re
import sys
from pathlib import Path

from rust_source import closing, strip

MAX_LINES = 450
MAX_FUNCTION = 50
# Crate roots: they declare all others.
ROOTS = ("klp.rs", "klp_kunit.rs")


def longest_function(text):
    longest = 0
    for match in re.finditer(r"\bfn\s+\w+", text):
        opening = re.compile(r"[{;]").search(text, match.end())
        if opening and opening.group() == "{":
            end = closing(text, opening.start())
            longest = max(longest, text.count("\n", match.start(), end) + 1)
    return longest


def expand(tree):
    """The paths of a use tree such as `crate::{a::b, c::{self, d}}`."""
    tree = tree.strip()
    brace = tree.find("{")
    if brace < 0:
        yield re.split(r"\s+as\s+", tree)[0].strip()
        return
    prefix, inner, depth, part = tree[:brace], tree[brace + 1:closing(tree, brace)], 0, ""
    for char in inner + ",":
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            if part.strip():
                for path in expand(part):
                    yield prefix + path
            part = ""
        else:
            part += char


def module_path(root, file):
    parts = file.relative_to(root).with_suffix("").parts
    return tuple(part for part in parts if part != "mod")


def target_of(path, own, files):
    """The module that a path leads to; None if it is not one of ours."""
    parts = path.replace(" ", "").split("::")
    if parts[0] == "crate":
        at = ()
        parts = parts[1:]
    elif parts[0] == "self":
        at, parts = own, parts[1:]
    elif parts[0] == "super":
        at = own
        while parts and parts[0] == "super":
            at, parts = at[:-1], parts[1:]
    else:
        return None
    found = at if at in files else None
    for part in parts:
        at = at + (part,)
        if at in files:
            found = at
    return found


def circles(imports):
    """Strongly connected components with more than one member, by Tarjan's algorithm."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in imports[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = stack[stack.index(node):]
            del stack[stack.index(node):]
            if len(component) > 1:
                found.append(component)

    for node in imports:
        if node not in index:
            visit(node)
    return found


def main():
    root = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).resolve().parents[3] / "kernel/livepatch"
    files = {}
    for file in sorted(root.rglob("*.rs")):
        relative = file.relative_to(root)
        if file.name not in ROOTS and "tests" not in relative.parts:
            files[module_path(root, file)] = file
    imports, table, wrong = {}, [], []
    sorts = re.compile(r"(\.|>::)\s*(sort|select_nth)\w*\s*(::\s*<[^>]*>\s*)?\(")
    for module, file in files.items():
        source = file.read_text()
        text = strip(source)
        uses = re.findall(r"\buse\s+([^;]+);", text)
        targets = (target_of(path, module, files) for use in uses for path in expand(use))
        imports[module] = {target for target in targets if target is not None and target != module}
        lines, longest = source.count("\n"), longest_function(text)
        table.append((module, lines, longest, len(re.findall(r"\bunsafe\s*\{", text))))
        if sorts.search(text):
            wrong.append(f"{'/'.join(module)}.rs sorts by itself, not by model/sort.rs")
        if lines > MAX_LINES:
            wrong.append(f"{'/'.join(module)}.rs has {lines} lines, more than {MAX_LINES}")
        if longest > MAX_FUNCTION:
            wrong.append(f"{'/'.join(module)}.rs has a function of {longest} lines, more than {MAX_FUNCTION}")
    print("| file | lines | longest function | unsafe blocks | imported by |\n|---|---|---|---|---|")
    for module, lines, longest, unsafe in table:
        by = ", ".join("/".join(other) for other in imports if module in imports[other])
        print(f"| {'/'.join(module)} | {lines} | {longest} | {unsafe} | {by} |")
    for circle in circles(imports):
        wrong.append("a circle of imports: " + ", ".join("/".join(module) for module in circle))
    for message in wrong:
        print(f"error: {message}")
    sys.exit(bool(wrong))


main()
