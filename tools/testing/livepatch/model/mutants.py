#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What became of mutants, compared with the list of those that no test can catch.

    mutants.py TREE LIST OUTCOMES...

TREE has what was mutated, OUTCOMES the outcomes.json of each run of cargo-mutants or order_mutants.py.
LIST says at its top what it looks like.

Prints a table, and for each file and each mistake a line: "pass" or "fail", a tab, what it is, and
a remark after a tab. A mistake is a mutant that was not caught and is not in the list, or one that
is in the list and was caught, or is not there any more.
"""

import collections
import itertools
import json
import os
import sys

KINDS = {
    "CaughtMutant": "caught",
    "Unviable": "unviable",
    "Timeout": "hangs",
    "MissedMutant": "survives",
}
MODEL = "kernel/livepatch/model/"


def explained(path):
    """The entries of the list, each as (file, line, mutant, kind)."""
    entries = []
    with open(path) as source:
        lines = [line.rstrip("\n") for line in source if not line.startswith("#")]
    for paragraph in "\n".join(lines).split("\n\n"):
        fields = {}
        name = None
        for line in paragraph.splitlines():
            if not line.strip():
                continue
            if line.startswith(" ") and name:
                fields[name] += " " + line.strip()
                continue
            name, colon, value = line.partition(":")
            if not colon or name in fields:
                sys.exit(f"{path}: cannot read '{line}'")
            fields[name] = value.strip()
        if not fields:
            continue
        kind = [kind for kind in ("survives", "hangs") if fields.get(kind)]
        if len(kind) != 1 or set(fields) != {"file", "line", "mutant", kind[0]}:
            sys.exit(f"{path}: an entry has file, line, mutant, and survives or hangs: {fields}")
        entries.append((fields["file"], fields["line"], fields["mutant"], kind[0]))
    return entries


def mutants(tree, path):
    """All mutants, each as (file, line, mutant, kind), and their places."""
    with open(path) as source:
        outcomes = json.load(source)["outcomes"]
    for outcome in outcomes:
        if outcome["scenario"] == "Baseline":
            if outcome["summary"] != "Success":
                sys.exit("the tests fail without any mutation")
            continue
        mutant = outcome["scenario"]["Mutant"]
        file = os.path.normpath(mutant["file"])
        start = mutant["span"]["start"]["line"]
        with open(os.path.join(tree, file)) as source:
            line = source.read().splitlines()[start - 1].strip()
        # "path:line:column: what"
        text = mutant["name"][len(mutant["file"]):].split(": ", 1)[1]
        kind = KINDS.get(outcome["summary"])
        if kind is None:
            sys.exit(f"{mutant['name']}: cargo-mutants says {outcome['summary']}")
        yield (file.removeprefix(MODEL), line, text, kind), start


def main():
    tree, path, *outcomes = sys.argv[1:]
    listed = collections.Counter(explained(path))
    files = collections.defaultdict(collections.Counter)
    mistakes = []

    for key, start in itertools.chain.from_iterable(mutants(tree, run) for run in outcomes):
        file, line, text, kind = key
        files[file]["mutants"] += 1
        files[file][kind] += 1
        if kind not in ("survives", "hangs"):
            continue
        if listed[key]:
            listed[key] -= 1
            files[file]["explained"] += 1
        else:
            mistakes.append((file, f"{file}:{start}: {text}", f"{kind}, and is not in {os.path.basename(path)}: {line}"))
    for (file, line, text, kind), left in listed.items():
        if left:
            mistakes.append((file, f"{file}: {text}", f"{os.path.basename(path)} says that it {kind}, which is not so (any more): {line}"))

    columns = ("mutants", "caught", "unviable", "hangs", "survives", "explained")
    total = collections.Counter()
    print("    %-20s" % "model/" + "".join("%10s" % column for column in columns))
    for file, counts in sorted(files.items()):
        total.update(counts)
        print("    %-20s" % file + "".join("%10d" % counts[column] for column in columns))
    print("    %-20s" % "total" + "".join("%10d" % total[column] for column in columns))

    bad = {file for file, _, _ in mistakes}
    for file, counts in sorted(files.items()):
        if file not in bad:
            print("pass", f"model/{file}: {counts['mutants']} mutants", f"{counts['caught']} caught", sep="\t")
    for _, name, remark in mistakes:
        print("fail", "model/" + name, remark, sep="\t")


main()
