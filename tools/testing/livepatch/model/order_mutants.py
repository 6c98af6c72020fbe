#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Changes a file in which the order of calls is what matters, to see whether tests notice.

    order_mutants.py --file FILE --crate DIR [--crate DIR...] [--also LIST] [--skip PREFIX...]
                     [--keep TEST...] [--jobs N] [--limit SECONDS] [--known KNOWN] TREE OUTCOMES

FILE, in TREE, is formatted by rustfmt. Each statement in it that is no more than a call is deleted,
and each two of these that follow each other are swapped: cargo-mutants does neither. What cargo-mutants
does is LIST, as printed by `cargo mutants --list --json`.

Each time, the tests of the crates run, one by one, until one fails: the fastest first, and those before
others of which more mutants were caught. Tests whose names begin with PREFIX are left out, but for each
TEST. A mutant that cannot be built is not counted as caught.

All of them take hours. What becomes of each is kept in KNOWN at once, with a digest of the mutated tree
and of what is asked here, so that a run that was stopped goes on where it was.

OUTCOMES is written as cargo-mutants writes its outcomes.json, as far as mutants.py reads it. TREE is not
changed: each job works on a copy beside it. What becomes of each mutant is printed as cargo-mutants prints
it, and which test has noticed.
"""

import argparse
import hashlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

# The beginning of a statement that is a call: a path or a chain of methods, and an argument list. What
# is before it is the indentation. No keyword is followed by a parenthesis right away.
CALL = re.compile(r"(\s+)(?:let _ = )?[a-z_]+(?:(?:::|\.|\(\)\.)[a-z_]+)*\(")

# The exit status of a Rust test program when a test has failed. Others say that it was killed, or worse.
FAILED = 101


def statements(lines):
    """Yields the statements that are calls, as (first line, line after the last one), from 0."""
    code = [re.sub(r"\s*//.*", "", line) for line in lines]
    for first, line in enumerate(code):
        match = CALL.match(line)
        if not match:
            continue
        last = first
        if not line.endswith(";"):
            # What belongs to it is indented further, but for the line that closes it.
            last += 1
            while not code[last][:len(match[1]) + 1].strip():
                last += 1
        # Otherwise it is an expression, and its value is used.
        if code[last].startswith(match[1]) and code[last].endswith(";"):
            yield first, last + 1


def function(lines, number):
    """The name of the function that a line is in."""
    for line in reversed(lines[:number]):
        if match := re.match(r".*\bfn (\w+)", line):
            return match[1]
    return "?"


def is_between(line):
    return not line.strip() or line.strip().startswith("//")


def order_mutants(lines):
    """Yields what is changed, its line from 0, and the file after that, in lines."""
    calls = list(statements(lines))
    if not calls:
        sys.exit("there are no calls")
    for first, end in calls:
        yield f"delete call in {function(lines, first)}", first, lines[:first] + lines[end:]
    for first, end in calls:
        for other, other_end in calls:
            if other < end or not all(is_between(line) for line in lines[end:other]):
                continue
            indent = [re.match(r"\s*", lines[number])[0] for number in (first, other)]
            if indent[0] != indent[1]:
                continue
            swapped = lines[other:other_end] + lines[end:other] + lines[first:end]
            yield f"swap call with the next one in {function(lines, first)}", first, lines[:first] + swapped + lines[other_end:]


def listed_mutants(lines, path):
    """The same for those that cargo-mutants has listed."""
    with open(path) as source:
        listed = json.load(source)
    if not listed:
        sys.exit(f"{path}: the list is empty")
    for mutant in listed:
        start, end = (mutant["span"][edge] for edge in ("start", "end"))
        first, last = start["line"] - 1, end["line"] - 1
        changed = lines[first][:start["column"] - 1] + mutant["replacement"] + lines[last][end["column"] - 1:]
        # "path:line:column: what"
        what = mutant["name"][len(mutant["file"]):].split(": ", 1)[1]
        yield what, first, lines[:first] + [changed] + lines[last + 1:]


def build(tree, crate):
    """Builds the tests of a crate, and returns the program; None if it is no valid Rust."""
    run = subprocess.run(
        ["cargo", "test", "--locked", "--no-run", "--message-format=json"],
        cwd=os.path.join(tree, crate),
        env={**os.environ, "CARGO_TARGET_DIR": os.path.join(tree, "target"), "RUSTFLAGS": "--cap-lints=warn"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    messages = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    if any(message.get("message", {}).get("level") == "error" for message in messages):
        return None
    if run.returncode != 0:
        # Something else: that says nothing about the mutant.
        raise RuntimeError(f"{crate}: cargo: exit status {run.returncode}\n{run.stderr}")
    [program] = (message["executable"] for message in messages if message.get("executable"))
    return program


def passes(program, test, limit):
    """Runs one test. True, False, or None if it takes too long."""
    try:
        run = subprocess.run(
            [program, "--exact", "--nocapture", test],
            env={**os.environ, "RUST_BACKTRACE": "0"},
            cwd=os.path.dirname(program),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return None
    if run.returncode == 0:
        return True
    # A panic during another one, perhaps where something is dropped, aborts.
    aborts = run.returncode == -signal.SIGABRT and b"panicked at" in run.stderr
    if run.returncode == FAILED or aborts:
        return False
    raise RuntimeError(f"{test}: exit status {run.returncode}")


class Known:
    """What became of mutants in other runs, or in this one."""

    def __init__(self, args):
        self.path = args.known
        self.lock = threading.Lock()
        self.outcomes = {}
        tree = hashlib.sha256(subprocess.run(["rustc", "-V"], stdout=subprocess.PIPE, check=True).stdout)
        tree.update(repr((args.file, args.crate, args.skip, args.keep, args.limit)).encode())
        for folder, folders, files in os.walk(args.tree):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(folder, name)
                tree.update(os.path.relpath(path, args.tree).encode() + b"\0")
                with open(path, "rb") as source:
                    tree.update(hashlib.sha256(source.read()).digest())
        self.tree = tree.digest()
        if self.path and os.path.exists(self.path):
            with open(self.path) as source:
                # The last line may have been cut short.
                self.outcomes = {digest: (summary, test) for digest, summary, test in
                                 (line.rstrip("\n").split("\t") for line in source if line.count("\t") == 2)}

    def digest(self, lines):
        return hashlib.sha256(self.tree + "\n".join(lines).encode()).hexdigest()

    def get(self, lines):
        return self.outcomes.get(self.digest(lines))

    def add(self, lines, summary, test):
        # One that takes too long may be in time on a machine that is less busy.
        if not self.path or summary == "Timeout":
            return
        with self.lock, open(self.path, "a") as target:
            target.write(f"{self.digest(lines)}\t{summary}\t{test or ''}\n")


class Tests:
    """The tests, by seconds, crate and name, and how many mutants each has caught."""

    def __init__(self, timed):
        self.lock = threading.Lock()
        self.seconds = {(crate, test): seconds for seconds, crate, test in timed}
        self.caught = dict.fromkeys(self.seconds, 0)

    def in_order(self):
        with self.lock:
            return sorted(self.seconds, key=lambda test: self.seconds[test] / (1 + self.caught[test]))

    def has_caught(self, crate, test):
        with self.lock:
            self.caught[crate, test] += 1


class Job:
    """A copy of the tree, and the tests in it."""

    def __init__(self, args, number):
        self.args = args
        self.tree = f"{args.tree.rstrip('/')}.{number}"
        shutil.rmtree(self.tree, ignore_errors=True)
        shutil.copytree(args.tree, self.tree)
        self.path = os.path.join(self.tree, args.file)

    def programs(self):
        """The program of each crate; None if one cannot be built."""
        programs = {}
        for crate in self.args.crate:
            programs[crate] = build(self.tree, crate)
            if programs[crate] is None:
                return None
        return programs

    def is_wanted(self, test):
        skipped = any(test.startswith(prefix) for prefix in self.args.skip)
        return test in self.args.keep or not skipped

    def time_tests(self):
        """All tests, none of which may fail."""
        tests = []
        programs = self.programs()
        if programs is None:
            raise RuntimeError("the tests cannot be built without any mutation")
        for crate, program in programs.items():
            listed = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True, check=True)
            for line in listed.stdout.splitlines():
                test, colon, kind = line.rpartition(": ")
                if not colon or kind != "test" or not self.is_wanted(test):
                    continue
                start = time.monotonic()
                if not passes(program, test, self.args.limit):
                    raise RuntimeError(f"{crate}: {test} fails without any mutation")
                tests.append((time.monotonic() - start, crate, test))
        if not tests:
            raise RuntimeError("there are no tests")
        return Tests(tests)

    def outcome(self, lines, tests):
        """What becomes of a mutant, in the words of cargo-mutants, and the test that says so."""
        with open(self.path, "w") as target:
            target.write("\n".join(lines) + "\n")
        programs = self.programs()
        if programs is None:
            return "Unviable", None
        slow = None
        for crate, test in tests.in_order():
            passed = passes(programs[crate], test, self.args.limit)
            if passed is None:
                # A larger one may be done sooner.
                slow = test
            elif not passed:
                tests.has_caught(crate, test)
                return "CaughtMutant", test
        return ("Timeout", slow) if slow else ("MissedMutant", None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", required=True)
    parser.add_argument("--crate", required=True, action="append")
    parser.add_argument("--also")
    parser.add_argument("--skip", default=[], action="append")
    parser.add_argument("--keep", default=[], action="append")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=float, default=600)
    parser.add_argument("--known")
    parser.add_argument("tree")
    parser.add_argument("outcomes")
    args = parser.parse_args()

    with open(os.path.join(args.tree, args.file)) as source:
        lines = source.read().splitlines()
    known = Known(args)
    jobs = [Job(args, number) for number in range(args.jobs)]
    tests = None
    ready = threading.Lock()

    todo = queue.SimpleQueue()
    all_mutants = list(order_mutants(lines))
    if args.also:
        all_mutants += listed_mutants(lines, args.also)
    for mutant in enumerate(all_mutants):
        todo.put(mutant)
    print(f"Found {len(all_mutants)} mutants to test", flush=True)
    outcomes = [None] * len(all_mutants)
    words = {"CaughtMutant": "caught", "Unviable": "unviable", "MissedMutant": "MISSED", "Timeout": "TIMEOUT"}

    def test_with(job, changed):
        """What becomes of a mutant of which that is not known."""
        nonlocal tests
        with ready:
            # Minutes, which are wasted if all is known.
            tests = tests or jobs[0].time_tests()
        summary, test = job.outcome(changed, tests)
        known.add(changed, summary, test)
        return summary, test

    def work(job):
        while True:
            try:
                index, (what, first, changed) = todo.get_nowait()
            except queue.Empty:
                return
            summary, test = known.get(changed) or test_with(job, changed)
            name = f"{args.file}:{first + 1}:1: {what}"
            outcomes[index] = {
                "scenario": {"Mutant": {"file": args.file, "name": name, "span": {"start": {"line": first + 1}}}},
                "summary": summary,
            }
            print(f"{words[summary]:8} {name} {f'({test})' if test else ''}: {lines[first].strip()}", flush=True)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job in jobs:
        shutil.rmtree(job.tree)
    if None in outcomes:
        sys.exit("a job has ended early")
    baseline = {"scenario": "Baseline", "summary": "Success"}
    with open(args.outcomes, "w") as target:
        json.dump({"outcomes": [baseline] + outcomes}, target)


if __name__ == "__main__":
    main()
