"""The two kinds of place a test of this folder runs in."""

import os
import shlex
from pathlib import Path

import dkfs as support


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
        self.fs = support.Dkfs(base, shlex.split(os.environ.get("DKFS_POSIX_OPTIONS", "")))
        self.dir = self.fs.dir
        self.fs.mount()

    def lose_and_return(self):
        """kill -9 of all dkfs processes, the directory emptied, mounted again over nothing."""
        self.fs.ctl("sync", self.dir)
        self.fs.kill()
        self.fs.lose_dir()
        self.fs.mount()
