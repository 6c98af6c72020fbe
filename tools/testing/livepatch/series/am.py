# SPDX-License-Identifier: GPL-2.0
"""git am, as people will use the series; and that it gives exactly the tree that we build."""

import os
import tempfile

import cut
from errors import SeriesError
from git import git
from layout import read


def apply(repo, patch):
    try:
        git(repo, "am", "-q", patch)
    except SeriesError as error:
        raise SeriesError(f"{os.path.basename(patch)} does not apply:", str(error)) from None


def differences(files, tree, repo):
    """The files of ours that are not in repo as they are in tree."""
    for path in files:
        target = os.path.join(repo, path)
        if not os.path.isfile(target):
            yield f"{path}: is in the tree and not in the series"
        elif read(target) != read(os.path.join(tree, path)):
            yield f"{path}: the series gives something else than the tree has"
        elif os.access(target, os.X_OK) != os.access(os.path.join(tree, path), os.X_OK):
            yield f"{path}: executable in one of series and tree"
    known = set(files)
    for path in git(repo, "ls-files", "-z").split("\0")[:-1]:
        if path not in known:
            yield f"{path}: is in the series and not in the tree"


def am(place):
    with tempfile.TemporaryDirectory() as repo:
        cut.base_repository(place, repo)
        for patch in place.patches():
            apply(repo, patch)
        files = place.series_files()
        different = list(differences(files, place.tree, repo))
    if different:
        raise SeriesError(*different)
    print(f"{len(place.patches())} patches apply, and give the tree's {len(files)} files")
