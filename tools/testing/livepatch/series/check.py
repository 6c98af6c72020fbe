# SPDX-License-Identifier: GPL-2.0
"""make check-series: git am and checkpatch one by one, and after each patch the tree builds.

Two builds. With LIVEPATCH_C all of the kernel, from the first patch on. With LIVEPATCH_RUST what there is
of the core, until the series has Kconfig's choice: its rules, which are a crate for KUnit, and as soon as
it has a crate of its own kernel/livepatch/. Then all of the kernel.
"""

import dataclasses
import os
import shutil
import time

import am
import checkpatch
import cut
import needs
import selftests
from builds import Build
from errors import SeriesError
from git import git
from source import SourceTree

CORE = "kernel/livepatch/klp.rs"
RULES = "kernel/livepatch/klp_kunit"
KCONFIG = "kernel/livepatch/Kconfig"
# What is laid over until the series has Kconfig's choice.
LAID_OVER = (KCONFIG, "rust/kernel/Kconfig.test", "init/")
# A floor is not used yet by those above it.
UNUSED = "KRUSTFLAGS=-Adead_code -Aunused"


@dataclasses.dataclass
class Settings:
    cache: str
    logs: str
    lock: str
    llvm: str
    jobs: str
    configs: str
    first: int
    last: int

    @classmethod
    def from_environment(cls):
        given = [os.environ[name] for name in ("KLP_SERIES_CACHE", "KLP_LOGS", "KLP_BUILD_LOCK", "KLP_LLVM", "KLP_JOBS", "KLP_CONFIGS")]
        try:
            bounds = [int(os.environ.get("CHECK_SERIES_" + name) or 0) for name in ("FROM", "TO")]
        except ValueError:
            raise SeriesError("CHECK_SERIES_FROM and CHECK_SERIES_TO are numbers of patches") from None
        os.makedirs(given[0], exist_ok=True)
        # make writes real paths down.
        return cls(os.path.realpath(given[0]), *given[1:], *bounds)

    def config(self, name):
        return os.path.join(self.configs, name + ".config")


def snapshot(place, directory):
    """Patches and files as they are now: this takes hours, and others go on working."""
    shutil.rmtree(directory, ignore_errors=True)
    frozen = dataclasses.replace(
        place,
        tree=os.path.join(directory, "final"),
        manifest=os.path.join(directory, "manifest"),
        out=os.path.join(directory, "patches"),
    )
    shutil.copytree(place.out, frozen.out)
    with open(frozen.manifest, "w") as manifest:
        manifest.writelines(path + "\n" for path in place.series_files())
    for path in frozen.files():
        target = os.path.join(frozen.tree, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(os.path.join(place.tree, path), target)
    return frozen


class Checker:
    def __init__(self, place, settings):
        self.settings = settings
        self.place = snapshot(place, os.path.join(settings.cache, "snapshot"))
        self.repo = os.path.join(settings.cache, "am")
        shutil.rmtree(self.repo, ignore_errors=True)
        cut.base_repository(self.place, self.repo)
        here = os.path.dirname(os.path.abspath(__file__))
        self.c = Build(
            settings,
            SourceTree(place.base, os.path.join(settings.cache, "source-c")),
            "c",
            [settings.config("vm"), settings.config("arch-x86_64"), settings.config("core-c")],
            ["CONFIG_LIVEPATCH", "CONFIG_RUST"],
        )
        self.rust = Build(
            settings,
            SourceTree(place.base, os.path.join(settings.cache, "source-rust")),
            "rust",
            [
                settings.config("vm"),
                settings.config("arch-x86_64"),
                settings.config("core-rust"),
                os.path.join(here, "rust.config"),
            ],
            ["CONFIG_LIVEPATCH_RUST"],
        )
        self.allowed = checkpatch.allowed(place)
        self.count = {"C": 0, "Rust": 0, "selftests": 0}
        self.prepared = set()

    def has(self, path):
        return os.path.isfile(os.path.join(self.repo, path))

    def is_complete(self):
        """Whether the series so far has Kconfig's choice."""
        with open(os.path.join(self.repo, KCONFIG)) as kconfig:
            # Before the choice, LIVEPATCH_RUST is a symbol that nothing sets.
            return "config LIVEPATCH_C\n" in kconfig.read()

    def update(self, build, laid_over=()):
        """Writes what the series has so far into a build's tree. Returns what has changed."""
        if build.name not in self.prepared:
            build.source.prepare(self.place.files())
            self.prepared.add(build.name)
        wanted = {path: os.path.join(self.repo, path) for path in self.place.files() if self.has(path)}
        wanted |= {path: os.path.join(self.place.tree, path) for path in laid_over}
        return build.source.update(wanted)

    def step(self, number):
        """Builds after a patch. Returns what was built, in words."""
        changed = git(self.repo, "show", "--name-only", "--format=", "HEAD").split()
        done = self.build_c(number)
        complete = self.is_complete()
        if self.has(CORE) or self.has(RULES + ".rs"):
            done += self.build_rust(number, complete)
        if any(needs.for_selftests(path) for path in changed):
            done += self.build_selftests(number, complete and self.has(CORE))
        return ", ".join(done) or "nothing to build"

    def build_c(self, number):
        if any(needs.for_c(path) for path in self.update(self.c)):
            self.c.spoil()
        return self.build("C", self.c, ["bzImage", "modules"], number)

    def build_rust(self, number, complete):
        laid_over = [] if complete else [path for path in self.place.files() if path.startswith(LAID_OVER)]
        if any(needs.for_rust(path, complete) for path in self.update(self.rust, laid_over)):
            self.rust.spoil()
        if complete:
            return self.build("Rust", self.rust, ["bzImage", "modules"], number)
        target = "kernel/livepatch/" if self.has(CORE) else RULES + ".o"
        return self.build("Rust*", self.rust, [target, UNUSED], number)

    def build(self, title, build, targets, number):
        if build.is_built(targets):
            return []
        seconds, warnings = build.build(targets, f"{number:02}")
        self.count[title.rstrip("*")] += 1
        return [f"{title} {seconds} s" + (f" ({warnings} warnings)" if warnings else "")]

    def build_selftests(self, number, with_rust):
        done = []
        for title, build in [("C", self.c)] + [("Rust", self.rust)] * with_rust:
            done.append(f"selftests for {title} {selftests.build(build, f'{number:02}')} s")
            self.count["selftests"] += 1
        return done


def titled(number, total, patch):
    return f"{number:3}/{total}  {cut.subject(patch)}"


def check_one(checker, number, total, patch):
    """One patch, and one line about it."""
    try:
        am.apply(checker.repo, patch)
        if number < checker.settings.first:
            return
        checkpatch.enforce(checkpatch.unexpected(checker.place.base, patch, checker.allowed))
        done = checker.step(number)
    except SeriesError as error:
        print(f"{titled(number, total, patch)}: FAILED", flush=True)
        again = f"when that is put right: make check-series CHECK_SERIES_FROM={number}"
        raise SeriesError(f"patch {number}, {os.path.basename(patch)}:", *error.messages, again) from None
    print(f"{titled(number, total, patch):76}  {done}", flush=True)


def check(place):
    settings = Settings.from_environment()
    start = time.monotonic()
    checker = Checker(place, settings)
    patches = checker.place.patches()
    total = len(patches)
    last = min(settings.last or total, total)
    print(f"{total} patches, one by one. C: all of the kernel with LIVEPATCH_C. Rust: the same with LIVEPATCH_RUST.")
    print("Rust*: kernel/livepatch/ as far as there is something, with the final Kconfig laid over it,")
    print(f"       and {UNUSED}.", flush=True)
    for number, patch in enumerate(patches[:last], 1):
        check_one(checker, number, total, patch)
    if last == total:
        different = list(am.differences(checker.place.files(), checker.place.tree, checker.repo))
        if different:
            raise SeriesError(*different)
    report(checker, settings, last, total, round(time.monotonic() - start))


def report(checker, settings, last, total, seconds):
    counted = ", ".join(f"{title} {count}" for title, count in checker.count.items())
    end = "byte-equal to the overlay" if last == total else "stopped there as told"
    print(f"check-series: patches {max(settings.first, 1)} to {last} of {total}; builds: {counted}; {seconds} s; {end}")
