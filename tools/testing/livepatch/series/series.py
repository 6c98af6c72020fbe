#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The overlay as a series of patches. lib/series.sh calls this; series/groups says how it is cut.

    series.py PLACE cut|am|checkpatch|maintainers|summary|check
    series.py merge-maintainers BASE OURS

PLACE is --repo, --base, --tree, --manifest and --out, see place.py.
"""

import argparse
import os
import sys

import am
import checkpatch
import cut
import limits
import maintainers
from errors import SeriesError
from place import Place


def check_maintainers(place):
    """Our entry against the files that are new in the tree, and against those of each patch."""
    with open(os.path.join(place.repo, "MAINTAINERS")) as text:
        ours = text.read()
    edits = set(place.edits())
    uncovered, idle = maintainers.check(
        ours,
        [path for path in place.series_files() if path not in edits],
        lambda value: os.path.isdir(os.path.join(place.tree, value)),
    )
    for value in idle:
        print("note: MAINTAINERS: nothing of ours is at F:", value)
    if uncovered:
        raise SeriesError(*(f"MAINTAINERS: no line F: of our entry has {path}" for path in uncovered))
    late = list(late_maintainers(place, maintainers.entry(ours)[0]))
    if late:
        raise SeriesError(*late)


def late_maintainers(place, title):
    """What is wrong with our entry at the patch that brings a file, though it is right in the end."""
    plan = place.layout()
    new = [path for path in place.files() if not plan.is_edit(path) and not plan.is_left_out(path)]
    entries = [
        maintainers.find((plan.content("MAINTAINERS", number) or b"").decode(errors="replace"), title)
        for number in range(len(plan.groups))
    ]
    late = maintainers.late(
        [(plan.arrives(path), path) for path in new],
        entries,
        lambda value: os.path.isdir(os.path.join(place.tree, value)),
    )
    for number, path in late:
        group = plan.groups[number]
        yield f"series/groups:{group.line}: our entry of MAINTAINERS has no line F: yet for {path}: '{group.title}'"


def merge_maintainers(base, ours):
    with open(base) as base_text, open(ours) as our_text:
        sys.stdout.write(maintainers.merge(base_text.read(), our_text.read()))


def check_series(place):
    # Only this needs what the shell knows of compilers and caches.
    import check

    check.check(place)


COMMANDS = {
    "cut": cut.cut,
    "am": am.am,
    "checkpatch": checkpatch.checkpatch,
    "maintainers": check_maintainers,
    "summary": limits.summary,
    "check": check_series,
}


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "merge-maintainers":
        merge_maintainers(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(usage=__doc__)
    for option in ("repo", "base", "tree", "manifest", "out"):
        parser.add_argument("--" + option, required=True)
    parser.add_argument("command", choices=COMMANDS)
    arguments = vars(parser.parse_args())
    command = arguments.pop("command")
    COMMANDS[command](Place(**arguments))


if __name__ == "__main__":
    try:
        main()
    except SeriesError as error:
        for message in error.messages:
            print("error:", message, file=sys.stderr)
        sys.exit(1)
