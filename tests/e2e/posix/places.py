"""The two kinds of place a test of this folder runs in."""

import os
import re
import shlex
from pathlib import Path

import dkfs as support


OPTIONS = shlex.split(os.environ.get("DKFS_POSIX_OPTIONS", ""))
WRITEBACK = "fsync" in OPTIONS  # the kernel's writeback cache; what it does otherwise stands in docs/posix.md
KERNEL = tuple(int(n) for n in re.findall(r"\d+", os.uname().release)[:2])
TICKS = WRITEBACK or KERNEL < (6, 13)  # since then a time that somebody has seen is followed by another one


def next_tick():
    """Until what happens now has another ctime than what happened before."""
    if TICKS:
        support.next_tick()


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
