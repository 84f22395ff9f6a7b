"""The two kinds of place a test of this folder runs in."""

import os
import shlex
import time
from pathlib import Path

import dkfs as support


OPTIONS = shlex.split(os.environ.get("DKFS_POSIX_OPTIONS", ""))
WRITEBACK = "fsync" in OPTIONS  # the kernel's writeback cache; what it does otherwise stands in docs/posix.md
CLOCK_REALTIME_COARSE = 5


def next_tick():
    """Until what happens now has another ctime than what happened before: the writeback cache has that of the tick."""
    now = time.time_ns()
    while WRITEBACK and time.clock_gettime_ns(CLOCK_REALTIME_COARSE) <= now:
        time.sleep(0.001)


class Native:
    """A directory of the disk itself."""

    kind = "native"

    def __init__(self, root):
        self.dir = Path(root)

    def lose_and_return(self):
        """Nothing was lost."""


class Mounted:
    """A dkfs mount."""

    kind = "dkfs"

    def __init__(self, base):
        self.fs = support.Dkfs(base, OPTIONS)
        self.dir = self.fs.dir
        self.fs.mount()

    def lose_and_return(self):
        """kill -9 of all dkfs processes, the directory emptied, mounted again over nothing."""
        self.fs.ctl("sync", self.dir)
        self.fs.kill()
        self.fs.lose_dir()
        self.fs.mount()


def assert_it_survives(place):
    """What the place shows is shown again after kill and loss. (With the writeback cache times are not exact.)"""
    before = support.tree(place.dir, times=not WRITEBACK)
    place.lose_and_return()
    support.assert_same(support.tree(place.dir, times=not WRITEBACK), before)
