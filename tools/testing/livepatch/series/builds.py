# SPDX-License-Identifier: GPL-2.0
"""A kernel that is configured and built in a folder of its own, from a SourceTree."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time

import logs
from errors import SeriesError
from layout import read


@contextlib.contextmanager
def locked(path):
    """One build at a time on this machine: the lock that all of klp-dev takes."""
    with open(path, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"        waiting for another build to release {path}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Build:
    """`fragments` go on top of tinyconfig; symbols that do not exist (yet) are dropped, but for those in `required`."""

    def __init__(self, settings, source, name, fragments, required):
        self.settings = settings
        self.source = source
        self.name = name
        self.directory = os.path.join(settings.cache, name)
        self.fragments = fragments
        self.required = required
        self._stamp = os.path.join(self.directory, ".klp-built")
        os.makedirs(self.directory, exist_ok=True)

    def is_built(self, targets):
        return os.path.exists(self._stamp) and read(self._stamp).decode() == self._what(targets)

    def _what(self, targets):
        return " ".join([*targets, self._config_key()])

    def spoil(self):
        """Something has changed."""
        if os.path.exists(self._stamp):
            os.remove(self._stamp)

    def build(self, targets, patch):
        """Returns (seconds, warnings)."""
        self.spoil()
        log = os.path.join(self.settings.logs, f"series-{patch}-{self.name}.log")
        with locked(self.settings.lock):
            start = time.monotonic()
            with open(log, "w") as output:
                self._configure(output)
                self.make(targets, output)
            seconds = time.monotonic() - start
        with open(self._stamp, "w") as stamp:
            stamp.write(self._what(targets))
        return round(seconds), logs.warnings(to_text(log))

    def run(self, command, output, **options):
        output.write("$ " + " ".join(command) + "\n")
        output.flush()
        result = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options)
        if result.returncode:
            output.flush()
            raise SeriesError(f"{self.name}: see {output.name}", *("  | " + line for line in logs.useful_lines(to_text(output.name))))

    def make(self, targets, output):
        self.run(
            ["make", "-C", self.source.directory, f"O={self.directory}", "ARCH=x86_64"]
            + [f"LLVM={self.settings.llvm}", f"-j{self.settings.jobs}", *targets],
            output,
        )

    def _configure(self, output):
        key = self._config_key()
        config = os.path.join(self.directory, ".config")
        key_file = os.path.join(self.directory, ".klp-config")
        if os.path.exists(config) and os.path.exists(key_file) and read(key_file).decode() == key:
            return
        before = os.path.join(self.directory, ".klp-config-before")
        if os.path.exists(config):
            shutil.copy2(config, before)
        self.make(["-s", "tinyconfig"], output)
        merge = ["scripts/kconfig/merge_config.sh", "-m", "-O", self.directory, config, *self.fragments]
        self.run(merge, output, cwd=self.source.directory)
        self.make(["-s", "olddefconfig"], output)
        for symbol in self.required:
            if not re.search(f"^{symbol}=y$", to_text(config), re.M):
                raise SeriesError(f"{self.name}: {symbol} did not take effect, see {output.name}")
        # The same again: with its old time, so that nothing is built anew.
        if os.path.exists(before) and read(before) == read(config):
            os.replace(before, config)
        with open(key_file, "w") as file:
            file.write(key)

    def _config_key(self):
        """Everything of ours that a .config comes from."""
        key = hashlib.sha256()
        kconfigs = [path for path in sorted(self.source.paths) if os.path.basename(path).startswith("Kconfig")]
        for path in self.fragments + [os.path.join(self.source.directory, path) for path in kconfigs]:
            key.update(read(path) if os.path.exists(path) else b"")
        return key.hexdigest()


def to_text(path):
    return read(path).decode(errors="replace")
