# SPDX-License-Identifier: GPL-2.0
"""Writes the patches and the cover letter."""

import os
import re
import shutil
import tempfile

import limits
from errors import SeriesError
from git import git


def base_repository(place, repo):
    """A repository with nothing but the base content of the files that are edited."""
    os.makedirs(repo, exist_ok=True)
    git(repo, "init", "-q", "-b", "base")
    for path in place.edits():
        target = os.path.join(repo, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(os.path.join(place.base, path), target)
    git(repo, "add", "-A", "-f")
    git(repo, "commit", "-q", "--allow-empty", "-m", "base")


def put(place, repo, path, data):
    target = os.path.join(repo, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(data)
    shutil.copymode(os.path.join(place.tree, path), target)


def commit(place, plan, number, repo):
    """One group. Returns whether there is anything in it."""
    group = plan.groups[number]
    if group.left_out:
        return False
    for path in plan.touched(number):
        data = plan.content(path, number)
        if data is not None:
            put(place, repo, path, data)
            git(repo, "add", "-f", "--", path)
    if not git(repo, "diff", "--cached", "--name-only"):
        return False
    git(repo, "commit", "-q", "-s", "-F", "-", text=group.commit_message())
    return True


def cut(place):
    """Returns the patches' sizes and titles, as limits.Size."""
    plan = place.layout()
    sizes = []
    with tempfile.TemporaryDirectory() as repo:
        base_repository(place, repo)
        for number, group in enumerate(plan.groups):
            if commit(place, plan, number, repo):
                sizes.append(limits.size(repo, group))
            elif group.left_out:
                files = [path for path, owner in plan.owner.items() if owner == number]
                plan.notes += [f"left out: {path}: {group.left_out}" for path in files]
            else:
                plan.notes.append(f"series/groups:{group.line}: nothing in it yet: {group.title}")
        shutil.rmtree(place.out, ignore_errors=True)
        os.makedirs(place.out)
        git(repo, "format-patch", "-q", "--cover-letter", "--no-signature", "-M", "-o", place.out, f"-{len(sizes)}")
    for note in plan.notes:
        print("note:", note)
    cover(place, [size.title for size in sizes])
    limits.write(place, sizes)
    for size in sizes:
        print(size)
    limits.enforce(sizes)


def numbered(text, titles):
    """Fills in {title of a patch} and {last}: the number of that patch, and of the last one."""
    numbers = {title: number for number, title in enumerate(titles, 1)} | {"last": len(titles)}
    unknown = [what for what in re.findall(r"\{([^{}]*)\}", text) if what not in numbers]
    if unknown:
        raise SeriesError(*(f"series/cover.txt: no patch is called '{what}'" for what in unknown))
    return re.sub(r"\{([^{}]*)\}", lambda match: str(numbers[match[1]]), text)


def cover(place, titles):
    """The cover letter's two blanks: series/cover.txt has the title, a blank line, and the text."""
    with open(place.series("cover.txt")) as text:
        title, _, blurb = numbered(text.read(), titles).partition("\n")
    if not title.strip() or not blurb.startswith("\n"):
        raise SeriesError("series/cover.txt: a title, a blank line, and the text")
    path = os.path.join(place.out, "0000-cover-letter.patch")
    with open(path) as file:
        letter = file.read()
    letter = letter.replace("*** SUBJECT HERE ***", title.strip())
    letter = letter.replace("*** BLURB HERE ***", blurb.strip("\n"))
    with open(path, "w") as file:
        file.write(letter)


def subject(path):
    """A patch's title, without [PATCH n/m]."""
    with open(path, errors="surrogateescape") as patch:
        match = re.search(r"^Subject: (?:\[[^]]*\] )?(.*(?:\n .*)*)", patch.read(), re.M)
    return re.sub(r"\n ", " ", match[1])
