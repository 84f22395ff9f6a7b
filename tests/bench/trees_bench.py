"""Trees: untar, git clone with status and gc, rsync -a. The input is this machine's own headers and documents."""

import shutil
import time

from figures import Row
from runner import Paired
from sides import run


def seconds(*words, **kw):
    start = time.monotonic()
    run(*words, timeout=900, **kw)
    return time.monotonic() - start


def sources(folder, settings):
    """A plain tree of small files and its copy in a tar file, outside all sides."""
    tree = folder / "input"
    if not tree.exists():
        parts = ["/usr/include/linux"] if settings.quick else ["/usr/include", "/usr/share/doc", "/usr/share/perl"]
        tree.mkdir()
        for part in parts:
            run("cp", "-a", "--parents", part, tree, check=False, timeout=600)
        run("tar", "-C", tree, "-cf", folder / "input.tar", ".", timeout=600)
    return tree


class Trees(Paired):
    def __init__(self, name, rows, measure):
        super().__init__(name, rows)
        self.work = measure

    def prepare(self, side, settings):
        return sources(side.base.parent, settings)

    def measure(self, side, tree, settings):
        out = side.dir / "out"
        try:
            return self.work(tree, out)
        finally:
            shutil.rmtree(out)


def untar(tree, out):
    out.mkdir()
    return {"untar": seconds("tar", "-C", out, "-xf", tree.parent / "input.tar")}


def rsync(tree, out):
    return {"rsync": seconds("rsync", "-a", f"{tree}/", f"{out}/")}


def git(tree, out):
    origin = tree.parent / "origin.git"
    if not origin.exists():
        words = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "--git-dir", origin, "--work-tree", tree]
        run("git", "init", "-q", "--bare", origin)
        run(*words, "add", "-A", timeout=900)
        run(*words, "commit", "-q", "-m", "input", timeout=900)
    found = {"git.clone": seconds("git", "clone", "-q", f"file://{origin}", out)}
    found["git.status"] = seconds("git", "-C", out, "status", "--short")
    found["git.gc"] = seconds("git", "-C", out, "gc", "-q")
    return found


BENCHES = [
    Trees("untar", [Row("untar", "untar of small files", "s", "time", 0.5, 0.8)], untar),
    Trees("git", [Row("git.clone", "git clone", "s", "time", 0.5, 0.8), Row("git.status", "git status after it", "s", "time"),
                  Row("git.gc", "git gc after it", "s", "time")], git),
    Trees("rsync", [Row("rsync", "rsync -a of small files", "s", "time")], rsync),
]
