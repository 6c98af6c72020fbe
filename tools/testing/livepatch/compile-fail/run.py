#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Mistakes in livepatches must be compile errors, with the right message at the right line.

    run.py BUILD_DIR rust|c CASES...

Each case is a livepatch module in one file. It is compiled by the command with which the kernel's
build in BUILD_DIR has compiled samples/livepatch/rust_livepatch_sample.rs. Comments in it say what
the compiler has to say:

    //~ TEXT       an error that has TEXT in its message, a label or a note, at this line
    //~^ TEXT      the same at the line above; //~^^ at the one above that
    //~? TEXT      an error in a generic function, of which the compiler does not say who calls it
    // without: CONFIG_X     compile it as if the kernel did not have that option
    // core: rust            only with that livepatch core

Every error must be at a line for which one is expected, and what is expected must be there. A case
without expectations is a control: it must compile, without any warning.

Prints a line for each case: "pass" or "fail", a tab, its name, and the reason after a tab.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

SAMPLE = "samples/livepatch/rust_livepatch_sample"


def command(build):
    """The environment and arguments of the kernel's rustc, without source and output."""
    directory, name = os.path.split(SAMPLE)
    with open(os.path.join(build, directory, f".{name}.o.cmd")) as cmd:
        line = next(line for line in cmd if line.startswith("savedcmd_"))
    line = line.split(":=", 1)[1].replace("$$", "$").replace("$(pound)", "#")
    # What comes after the compiler is not of interest.
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    # As the kernel's Makefile sets it.
    environment, arguments = dict(os.environ, RUSTC_BOOTSTRAP="1"), []
    for word in lexer:
        if word in (";", "&&"):
            break
        if not arguments and re.match(r"[A-Z_]+=", word):
            key, value = word.split("=", 1)
            environment[key] = value
        else:
            arguments.append(word)
    assert arguments[-1].endswith(SAMPLE + ".rs"), f"unexpected command: {line}"
    arguments.pop()
    at = arguments.index("--out-dir")
    del arguments[at : at + 2]
    return environment, [a for a in arguments if not a.startswith("--emit=")]


def places(diagnostic, case):
    """The lines of the case that a message is about: where it points to, or else its notes do."""
    for parts in [diagnostic], diagnostic["children"]:
        lines = {
            span["line_start"]
            for part in parts
            for span in part["spans"]
            if span["is_primary"] and os.path.basename(span["file_name"]) == os.path.basename(case)
        }
        if lines:
            return lines
    return set()


def all_text(diagnostic):
    for part in [diagnostic] + diagnostic["children"]:
        yield part["message"]
        for span in part["spans"]:
            yield span["label"] or ""


def check(case, build, environment, arguments, core):
    with open(case) as source:
        lines = source.read().splitlines()
    expected, without = [], []
    for number, line in enumerate(lines, 1):
        if match := re.search(r"//~(\^*) (.*)", line):
            expected.append((number - len(match[1]), match[2].strip()))
        if match := re.search(r"//~\? (.*)", line):
            expected.append((None, match[1].strip()))
        if match := re.match(r"// without: (\w+)", line):
            without.append(match[1])
        if (match := re.match(r"// core: (\w+)", line)) and match[1] != core:
            return None

    with tempfile.TemporaryDirectory() as out:
        arguments = list(arguments)
        for at, argument in enumerate(arguments):
            if argument.startswith("@") and without:
                with open(os.path.join(build, argument[1:])) as config:
                    kept = [l for l in config if not any(re.match(rf"--cfg={w}(=|$)", l) for w in without)]
                arguments[at] = "@" + os.path.join(out, "rustc_cfg")
                with open(os.path.join(out, "rustc_cfg"), "w") as config:
                    config.writelines(kept)
        # Some errors are only found when code is generated.
        result = subprocess.run(
            arguments + ["--error-format=json", "--crate-name=livepatch_case", f"--emit=obj={out}/case.o", case],
            cwd=build, env=environment, stderr=subprocess.PIPE, text=True, check=False,
        )

    problems, found = [], set()
    for line in result.stderr.splitlines():
        try:
            diagnostic = json.loads(line)
        except ValueError:
            problems.append(line)
            continue
        level = diagnostic.get("level", "")
        if not level.startswith("error") and level != "warning":
            continue
        # The last line, and the one that counts.
        if not diagnostic["spans"] and diagnostic["message"].startswith(("aborting", "For more")):
            continue
        if level == "warning" and expected:
            continue
        text = "\n".join(all_text(diagnostic))
        lines = places(diagnostic, case) or {None}
        found |= {(n, t) for n, t in expected if n in lines and t in text}
        # One mistake can lead to more than one error at its place.
        if not lines & {n for n, t in expected}:
            problems.append(f"unexpected, line {sorted(lines)}: {diagnostic['message']}")
    problems += [f"line {n}: the compiler does not say: {text}" for n, text in expected if (n, text) not in found]
    if expected and result.returncode == 0:
        problems.insert(0, "it compiles")
    if not expected and result.returncode != 0 and not problems:
        problems.append(f"rustc: exit status {result.returncode}")
    return ("fail", "; ".join(problems)) if problems else ("pass", "")


def main():
    build, core, *cases = sys.argv[1:]
    environment, arguments = command(build)
    bad = False
    for case in cases:
        result = check(os.path.abspath(case), build, environment, arguments, core)
        if not result:
            continue
        status, reason = result
        name = os.path.basename(case)[: -len(".rs")]
        print(status, name, reason.replace("\n", " / "), sep="\t", flush=True)
        bad |= status == "fail"
    return bad


if __name__ == "__main__":
    sys.exit(main())
