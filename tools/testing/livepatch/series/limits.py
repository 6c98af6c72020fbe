# SPDX-License-Identifier: GPL-2.0
"""How big a patch may be: what nobody can read nobody reviews."""

import dataclasses
import json
import os

from errors import SeriesError
from git import git
from groups import LIMITS


@dataclasses.dataclass
class Size:
    title: str
    line: int
    kind: str
    exception: str
    added: int

    def __str__(self):
        return f"{self.added:6d} of {LIMITS[self.kind]:4d}  {self.kind:5}  {self.title}"

    def is_too_big(self):
        return self.added > LIMITS[self.kind] and not self.exception


def size(repo, group):
    """The newest commit's."""
    added = 0
    for line in git(repo, "show", "-M", "--numstat", "--format=").splitlines():
        count = line.split("\t")[0]
        added += int(count) if count.isdigit() else 0
    return Size(group.title, group.line, group.kind, group.exception, added)


def enforce(sizes):
    messages = [
        f"series/groups:{size.line}: adds {size.added} lines, more than the {LIMITS[size.kind]} for {size.kind}: "
        f"'{size.title}' (give pieces of it to other groups, or say 'limit-exception: reason')"
        for size in sizes
        if size.is_too_big()
    ]
    if messages:
        raise SeriesError(*messages)


def write(place, sizes):
    with open(os.path.join(place.out, "sizes.json"), "w") as file:
        json.dump([dataclasses.asdict(size) for size in sizes], file, indent=1)


def summary(place):
    with open(os.path.join(place.out, "sizes.json")) as file:
        sizes = [Size(**size) for size in json.load(file)]
    biggest = max(sizes, key=lambda size: size.added)
    print(f"series: {len(sizes)} patches in {place.out}")
    print(f"        the biggest adds {biggest.added} lines: {biggest.title}")
    for size in sizes:
        if size.exception and size.added > LIMITS[size.kind]:
            print(f"        over the limit: {size.title}, {size.added} lines: {size.exception}")
