#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Is there a fault point at each step of register and enable that can fail?

Usage: fault-points.py [KERNEL/LIVEPATCH]

Reads the core's source, not as a compiler would: whatever is called by a name
that a function of the core has counts as a call of it. Beginning at
klp_register_patch() and klp_enable_patch(), each `?` and each result of a C
function has to be one of these:

- a call of a function of the core that is looked at itself;
- an allocation: the KUnit tests let each one fail, whatever it is for;
- a step after `fault::check(Point::...)`, in the statement or in the one before;
- excused below.

Prints "pass" or "fail", a tab and what it is about, one line for each function.
The exit status is 0 if nothing failed.
"""
import re
import sys
from pathlib import Path

from rust_source import closing, strip

# Not the core: what tests it, and rules that cannot fail in this sense.
NOT_LOOKED_AT = ("tests/", "model/", "klp_kunit", "fault")
ROOTS = ["klp_register_patch", "klp_enable_patch"]

# Functions that the names lead to, and that are no part of register and enable. Functions are
# FILE::NAME, the file's path below kernel/livepatch without .rs; FILE:: means all of its functions.
NOT_ON_THE_PATH = {
    "operations::init_sysfs": "at boot",
    "operations::disable": "another operation",
    "operations::unregister": "another operation",
    "operations::take_unregistered": "for unregister",
    "operations::write_enabled": "what it does is in operate()",
    "operations::write_force": "another operation",
    "sysfs::": "calls the operations",
    "kobject::store": "calls the operations",
    "transition::disable": "of start(): PatchState::Unpatched",
    "transition::reverse": "of operate(): an enable that takes a disable back",
    "module::": "when a module comes",
    "patch::load_module": "when a module comes",
}

# Names of functions that are methods of many types, too: no proof that a step is a call of them.
COMMON = {"new", "filter"}

# Steps that are there, by function and a part of the statement. A point that the reason names has
# to be there.
EXCUSED = {
    ("operations::operate", "registry.subject("): "an id that was just found",
    ("operations::start", "registry.subject("): "an id that was just found",
    ("operations::operate", "transition.as_mut()"): "there is one: it is to be reversed",
    ("operations::enable_registered", "registry.take_registered("): "an id that was just found",
    ("operations::start_enable", "registry.take_enabled("): "an id that was just found",
    ("patch/read::read_func", "descriptor.name().ok_or(EINVAL)"): "input",
    ("patch/read::read_object", "Object::new("): "an allocation",
    ("patch/callbacks::pre_patch", "to_result(ret)"):
        "Point::PrePatch, before the call; a veto in patching.rs",
    ("patch/func::find_call_site", "code.call_site("): "Point::FindCallSite, before the call",
    ("kobject::add", "to_result("):
        "Point::ShowPatch, Point::ShowObject, Point::ShowFunc, before the calls",
    ("shim::filter", ""): "Point::SetFilter, before the call",
    ("shim::register", ""): "Point::RegisterHandler, before the call",
    ("shim::clear_jumps", ""): "Point::LeaveJumps, before the call",
    ("shim::set_jumps", ""): "nothing depends on it: the handler goes on to be called",
    # Relocations need a real module, on both sides.
    ("reloc::", ""): "test-core-nomem.sh, test-core-reloc.sh",
    ("reloc/elf::", ""): "test-core-nomem.sh, test-core-reloc.sh",
}

# What a function returns that can fail.
FALLIBLE = re.compile(r"Result|Refused")

MEMORY = re.compile(
    r"GFP_KERNEL|CString::try_from|Directory::new|Text::new|AllocError|slots_for")


class Function:
    def __init__(self, file, name, returns, body):
        self.file, self.name, self.returns, self.body = file, name, returns, body

    def key(self):
        return f"{self.file}::{self.name}"

    def is_in(self, key):
        """`key` is that of a function, or FILE:: for all of a file."""
        return key in (self.key(), f"{self.file}::")


def functions(file, text):
    for match in re.finditer(r"\bfn\s+(\w+)", text):
        at = match.end()
        if at < len(text) and text[at] == "<":
            depth = 0
            while True:
                depth += (text[at] == "<") - (text[at] == ">" and text[at - 1] not in "-=")
                at += 1
                if depth == 0:
                    break
        if at >= len(text) or text[at] != "(":
            continue
        at = closing(text, at) + 1
        opening = re.compile(r"[{;]").search(text, at)
        if opening and opening.group() == "{":
            end = closing(text, opening.start())
            yield Function(file, match.group(1), text[at:opening.start()],
                           text[opening.start() + 1:end])


def statement_start(body, at):
    """Where the statement begins that `at` is in."""
    depth = 0
    while at > 0:
        at -= 1
        char = body[at]
        if char in ")]":
            depth += 1
        elif char == "}":
            # A block that ends a statement, or a closure in the middle of one?
            rest = body[at + 1:].lstrip()
            if depth == 0 and rest[:1] not in (".", "?", ")", ",", ";") and not rest.startswith("else"):
                return at + 1
            depth += 1
        elif char in "([{":
            if depth:
                depth -= 1
            elif char == "{":
                return at + 1
        elif char == ";" and depth == 0:
            return at + 1
    return 0


def excused(function, statement):
    for (key, part), reason in EXCUSED.items():
        if function.is_in(key) and part in statement:
            USED.add((key, part))
            return reason
    return None


USED = set()


def steps(function):
    """Statements in which something can fail."""
    body, seen = function.body, {}
    for match in re.finditer(r"\?(?!Sized)|\bto_result\(", body):
        start = statement_start(body, match.start())
        end = match.end() if match.group() == "?" else closing(body, match.end() - 1) + 1
        seen[start] = max(end, seen.get(start, 0))
    for start, end in sorted(seen.items()):
        statement = body[start:end]
        before = body[statement_start(body, start - 1):start] if start else ""
        if statement.split("(")[0].strip() != "fault::check":
            yield statement, before


def main():
    root = Path(sys.argv[1]) if sys.argv[1:] else \
        Path(__file__).resolve().parents[3] / "kernel/livepatch"
    known, checked = {}, set()
    for path in sorted(root.rglob("*.rs")):
        file = path.relative_to(root).with_suffix("").as_posix()
        if file.startswith(NOT_LOOKED_AT):
            continue
        text = strip(path.read_text())
        checked |= set(re.findall(r"fault::check\((Point::\w+)\)", text))
        for function in functions(file, text):
            off_path = any(function.is_in(key) for key in NOT_ON_THE_PATH)
            if FALLIBLE.search(function.returns) and not off_path or function.name in ROOTS:
                known.setdefault(function.name, []).append(function)

    path, todo = {}, [f for name in ROOTS for f in known.get(name, [])]
    if not todo:
        sys.exit("fault-points.py: the functions to begin with are not there")
    while todo:
        function = todo.pop()
        if id(function) in path:
            continue
        path[id(function)] = function
        for name in re.findall(r"\b(\w+)\b", function.body):
            todo += known.get(name, [])
    names = {function.name for function in path.values()}

    points, wrong = 0, []
    for function in sorted(path.values(), key=Function.key):
        bad = []
        for statement, before in steps(function):
            calls = set(re.findall(r"\b(\w+)\b", statement))
            if "fault::check(" in statement or "fault::check(" in before:
                points += 1
            elif not (excused(function, statement) or MEMORY.search(statement)
                      or calls & names - COMMON):
                bad.append(" ".join(statement.split())[-100:])
        wrong += [f"{function.key()}(): no fault point before: {step}" for step in bad]
        if not bad:
            print(f"pass\t{function.key()}()")
    for key, part in EXCUSED.keys() - USED:
        wrong.append(f"fault-points.py: {key}(), {part!r} is not there any more")
    for (key, _), reason in EXCUSED.items():
        for point in set(re.findall(r"Point::\w+", reason)) - checked:
            wrong.append(f"fault-points.py: {key}(): there is no {point}")
    if points == 0:
        wrong.append("no fault point was found")
    for message in wrong:
        print(f"fail\t{message}")
    sys.exit(bool(wrong))


main()
