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

FILES = ["abi", "registry", "patch", "ops", "reloc", "stack", "state", "symbols",
         "sysfs", "transition"]
ROOTS = ["klp_register_patch", "klp_enable_patch"]

# Functions that the names lead to, and that are no part of register and enable.
NOT_ON_THE_PATH = {
    "abi::find": "for disable and unregister",
    "registry::disable": "of operate(): Operation::Disable",
    "transition::reverse": "of operate(): an enable that takes a disable back",
    "registry::unregister": "of operate()",
    "registry::init_sysfs": "at boot",
    "patch::load_module": "when a module comes",
    "patch::apply_module": "when a module comes",
    "transition::refresh_ranges": "when a module comes",
}

# Steps that are there, by function and a part of the statement.
EXCUSED = {
    ("abi::klp_enable_patch", "Descriptor::check"): "input",
    ("abi::klp_register_patch", "Descriptor::check"): "input",
    ("abi::read", "self.name().ok_or(EINVAL)"): "input",
    ("registry::operate", "self.decide("): "input: lifecycle.rs",
    ("registry::check_name", "self.decide("): "input: lifecycle.rs",
    ("registry::parts", ""): "an id that was just found",
    ("registry::take_idle", ""): "an id that was just found",
    ("registry::operate", ".reverse("): "an enable that takes a disable back",
    ("patch::pre_patch", "to_result(ret)"): "the step is in registry::apply(), a veto in patching.rs",
    ("patch::find_call_site", "self.location"): "located before",
    ("abi::read", "Object::new("): "an allocation",
    ("patch::hold_module", "self.module.hold()"): "Point::HoldModule, before the call",
    ("patch::locate", "symbols::size_of("): "Point::Measure, before the call",
    ("sysfs::add", "to_result("): "Point::ShowPatch, ShowObject, ShowFunc, before the calls",
    ("ops::attach_shared", "filter.map_err("): "Point::SetFilter, before the call",
    ("ops::attach_alone", ""): "needs a direct caller: test-core-direct.sh",
    # Relocations need a real module, on both sides.
    ("reloc::", ""): "test-core-nomem.sh, test-core-reloc.sh",
}

MEMORY = re.compile(
    r"GFP_KERNEL|CString::try_from|Directory::new|Text::new|AllocError|slots_for")


def strip(text):
    """Blanks comments and strings, keeping every position."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())
    return re.sub(r'//[^\n]*|/\*.*?\*/|c?"(?:\\.|[^"\\])*"|b?\'(?:\\.|[^\'\\])\'', blank, text,
                  flags=re.S)


def closing(text, start):
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if depth == 0:
            return at
    return len(text)


class Function:
    def __init__(self, file, name, returns, body):
        self.file, self.name, self.returns, self.body = file, name, returns, body

    def key(self):
        return f"{self.file}::{self.name}"


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
        if (function.key() == key or key.endswith("::") and function.key().startswith(key)) \
                and part in statement:
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
    root = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).resolve().parent.parent
    known = {}
    for file in FILES:
        for function in functions(file, strip((root / f"{file}.rs").read_text())):
            if function.key() not in NOT_ON_THE_PATH and "Result" in function.returns \
                    or function.name in ROOTS:
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
                      or calls & names - {"new"}):
                bad.append(" ".join(statement.split())[-100:])
        wrong += [f"{function.key()}(): no fault point before: {step}" for step in bad]
        if not bad:
            print(f"pass\t{function.key()}()")
    for key, part in EXCUSED.keys() - USED:
        wrong.append(f"fault-points.py: {key}(), {part!r} is not there any more")
    if points == 0:
        wrong.append("no fault point was found")
    for message in wrong:
        print(f"fail\t{message}")
    sys.exit(bool(wrong))


main()
