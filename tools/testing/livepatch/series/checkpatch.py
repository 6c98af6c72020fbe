# SPDX-License-Identifier: GPL-2.0
"""checkpatch --strict over each patch. Where it is wrong stands in series/checkpatch.allow, with the reason."""

import concurrent.futures
import fnmatch
import os
import re
import subprocess

from errors import SeriesError

# Asks about MAINTAINERS in each patch with a new file. series.py maintainers does better: our entry
# has to have each file from the patch on that brings it.
IGNORED = "FILE_PATH_CHANGES"
MESSAGE = re.compile(r"(?P<path>[^:]*):(?:\d+:)? *(?:ERROR|WARNING|CHECK):(?P<type>[A-Z0-9_]+):")


class Allowed:
    """Lines "TYPE GLOB", below a comment with the reason."""

    def __init__(self, text, name="series/checkpatch.allow"):
        self.entries, self.used, self.name = [], set(), name
        reason = False
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                reason = False
            elif line.startswith("#"):
                reason = True
            else:
                kind, glob, *more = line.split()
                if not reason and not more:
                    raise SeriesError(f"{name}:{number}: an exception has its reason in a comment before it")
                self.entries.append((number, kind, glob))

    def has(self, message):
        match = MESSAGE.match(message)
        if not match:
            return False
        found = [
            number
            for number, kind, glob in self.entries
            if kind == match["type"] and fnmatch.fnmatchcase(match["path"], glob)
        ]
        self.used.update(found)
        return bool(found)

    def unused(self):
        return [f"{self.name}:{number}: not needed: {kind} {glob}" for number, kind, glob in self.entries if number not in self.used]


def run(base, patch):
    """checkpatch's messages, one per line."""
    result = subprocess.run(
        ["perl", "scripts/checkpatch.pl", "--strict", "--no-summary", "--terse", "--show-types", "--showfile"]
        + ["--ignore", IGNORED, "--", os.path.abspath(patch)],
        cwd=base,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return [line for line in result.stdout.splitlines() if line.strip()]


def allowed(place):
    with open(place.series("checkpatch.allow")) as text:
        return Allowed(text.read())


def unexpected(base, patch, exceptions):
    return [message for message in run(base, patch) if not exceptions.has(message)]


def enforce(messages):
    if messages:
        raise SeriesError(*messages, f"checkpatch --strict is not silent: {len(messages)} lines")


def checkpatch(place):
    exceptions = allowed(place)
    patches = place.patches()
    bad = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for patch, left in zip(patches, pool.map(lambda patch: unexpected(place.base, patch, exceptions), patches)):
            bad += [f"{os.path.basename(patch)[:4]} {message}" for message in left]
    for note in exceptions.unused():
        print("note:", note)
    enforce(bad)
    print(f"checkpatch --strict: {len(patches)} patches")
