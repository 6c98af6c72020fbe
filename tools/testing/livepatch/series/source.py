# SPDX-License-Identifier: GPL-2.0
"""A source tree that is the base plus the series so far. Only what changes is written: make goes by times."""

import os
import shutil
import subprocess

from errors import SeriesError
from layout import read


class SourceTree:
    def __init__(self, base, directory):
        self.base = base
        self.directory = directory
        # What was ever put here. All else is the base's.
        self._list = directory + ".paths"
        self.paths = set()
        if os.path.exists(self._list):
            with open(self._list) as paths:
                self.paths = set(paths.read().splitlines())

    def prepare(self, paths):
        """Makes it the base, except for these files and those that were put here before."""
        self.paths |= set(paths)
        with open(self._list, "w") as file:
            file.writelines(path + "\n" for path in sorted(self.paths))
        excluded = [f"--exclude=/{path}" for path in sorted(self.paths)]
        os.makedirs(self.directory, exist_ok=True)
        result = subprocess.run(
            ["rsync", "-a", "--delete", "--exclude=/.git", *excluded, self.base + "/", self.directory + "/"],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise SeriesError(f"rsync to {self.directory}:", *result.stderr.splitlines())

    def update(self, wanted):
        """wanted: from path to the file with its content. Returns the paths that changed."""
        changed = []
        for path in sorted(self.paths):
            source = wanted.get(path)
            if source is None and os.path.isfile(os.path.join(self.base, path)):
                source = os.path.join(self.base, path)
            if self._put(path, source):
                changed.append(path)
        return changed

    def _put(self, path, source):
        target = os.path.join(self.directory, path)
        if source is None:
            if not os.path.exists(target):
                return False
            os.remove(target)
            return True
        if os.path.isfile(target) and read(source) == read(target):
            shutil.copymode(source, target)
            return False
        os.makedirs(os.path.dirname(target), exist_ok=True)
        # The new time is now; a half written file is never in the place of a whole one.
        shutil.copyfile(source, target + ".klp-new")
        shutil.copymode(source, target + ".klp-new")
        os.replace(target + ".klp-new", target)
        return True
