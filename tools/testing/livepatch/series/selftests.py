# SPDX-License-Identifier: GPL-2.0
"""The selftests so far: their modules are built for a kernel, programs and scripts are looked at."""

import glob
import os
import shutil
import time

from builds import locked
from needs import SELFTESTS

# What a build leaves behind; all else is a copy of the tree.
BUILT = ("*.o", "*.ko", "*.mod", "*.mod.c", ".*.cmd", "*.symvers", "modules.order", "sample_*")


def build(kernel, patch):
    """Returns the seconds that it took."""
    settings = kernel.settings
    source = os.path.join(kernel.source.directory, SELFTESTS)
    copy = os.path.join(kernel.directory, "klp-selftests")
    log = os.path.join(settings.logs, f"series-{patch}-{kernel.name}-selftests.log")
    with locked(settings.lock), open(log, "w") as output:
        start = time.monotonic()
        _forget_if_configured(kernel, copy)
        protected = [f"--filter=P {pattern}" for pattern in BUILT]
        kernel.run(["rsync", "-rlp", "--checksum", "--delete", *protected, source, copy + "/"], output)
        for script in sorted(glob.glob(source + "*.sh")):
            kernel.run(["bash", "-n", script], output)
        for program in sorted(glob.glob(source + "*.c")):
            kernel.run([f"clang{settings.llvm}", "-Wall", "-fsyntax-only", program], output)
        kernel.make(["modules", f"KBUILD_EXTMOD={copy}/test_modules"], output)
        return round(time.monotonic() - start)


def _forget_if_configured(kernel, copy):
    """Kbuild does not see that the configuration has changed under an external module."""
    configured = os.path.join(kernel.directory, "include/generated/autoconf.h")
    if os.path.exists(copy) and os.path.getmtime(configured) > os.path.getmtime(copy):
        shutil.rmtree(copy)
    os.makedirs(copy, exist_ok=True)
    os.utime(copy)
