"""A real dkfs mount for tests: starts, kills and loses it, and looks at what came back."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("DKFS_BIN", ROOT / "build" / "bin")).resolve()
SLACK = float(os.environ.get("DKFS_TIME_FACTOR", "1"))  # sanitized programs are slower by less than this
CLOCK_REALTIME_COARSE = 5
PATIENCE = 300  # seconds that nothing here takes: only a promise that is broken waits so long


def run(*args, check=True, timeout=120, **kw):
    """Runs a program, its output captured as text."""
    return subprocess.run([str(a) for a in args], check=check, timeout=timeout, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)


def is_mounted(path):
    wanted = str(path)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), line.split()[4]) == wanted:
            return True
    return False


def command_lines():
    """Of every process, as it shows them: its id, and the words."""
    for proc in Path("/proc").iterdir():
        if proc.name.isdigit():
            try:
                yield int(proc.name), (proc / "cmdline").read_bytes().split(b"\0")
            except OSError:
                pass


def wait_until(condition, message, limit=PATIENCE):
    """Waits for what comes by itself, such as the end of a process or what the daemon is told after a close."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < deadline, message() if callable(message) else message
        time.sleep(0.01)
    return found


def drop_caches():
    """Clean pages, names and inodes of the whole machine leave memory; what was written is on the disk before."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def next_tick():
    """Until what happens now has another ctime than what happened before, where the kernel's times go in ticks."""
    now = time.time_ns()
    while time.clock_gettime_ns(CLOCK_REALTIME_COARSE) <= now:
        time.sleep(0.001)


@contextmanager
def free_port():
    """A port for a daemon's metrics. Bound meanwhile, so that nobody else gets it; who sets SO_REUSEADDR can listen there."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        yield s.getsockname()[1]


class Dkfs:
    """One DIR with its store. `options` are passed to every mount."""

    def __init__(self, base, options=()):
        self.base = Path(base)
        self.dir = self.base / "data"
        self.store = self.base / "store"
        self.dir.mkdir(parents=True, exist_ok=True)
        self.options = list(options)
        self.env = dict(os.environ)

    def command(self, *extra):
        return [BIN / "dkfs", "--store", self.store, "--metrics-addr", "off", *self.options, *extra, self.dir]

    def mount(self, *extra, check=True, timeout=120):
        return run(*self.command(*extra), check=check, timeout=timeout, env=self.env)

    def ctl(self, *args, check=True, timeout=300):
        return run(BIN / "dkfsctl", *args, check=check, timeout=timeout)

    def status(self):
        return json.loads(self.ctl("status", self.dir, "--json", check=False).stdout)

    def unmount(self):
        """Clean: returns when the store is closed."""
        return self.ctl("unmount", self.dir)

    def pids(self):
        """Every dkfs process of this store: each shows the store's path in its command line."""
        return [pid for pid, words in command_lines() if words[0].endswith(b"/dkfs") and str(self.store).encode() in words]

    def held(self):
        """Whether somebody has the store: a process that ends shows no command line long before its last thread is done."""
        try:
            fd = os.open(Path(self.store) / "LOCK", os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def gone(self):
        """Whether no process of this store is left, not even one that is just ending."""
        return not self.pids() and not self.held()

    def kill(self):
        """kill -9 of all dkfs processes, and waits until they are gone."""
        pids = self.pids()
        assert pids, "no dkfs process to kill"
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(self.gone, f"dkfs processes {pids} survive kill -9")

    def descriptors(self):
        """What the dkfs processes of this store have open, as /proc names it."""
        found = []
        for pid in self.pids():
            for fd in Path(f"/proc/{pid}/fd").iterdir():
                try:
                    found.append(os.readlink(fd))
                except OSError:
                    pass
        return found

    def wait_released(self):
        """Until the daemon has closed all that was unlinked in DIR: the last close is told to it, and not waited for."""
        def held():
            return [link for link in self.descriptors() if link.endswith(" (deleted)") and str(self.store) not in link]
        wait_until(lambda: not held(), lambda: f"{held()} stays open")

    def lose_dir(self):
        """Empties the real directory (unmounting what a kill left behind first)."""
        self.detach()
        for entry in self.dir.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def detach(self):
        while is_mounted(self.dir):
            done = run("umount", "-l", self.dir, check=False)
            assert done.returncode == 0 or not is_mounted(self.dir), done.stderr

    def wait_hydrated(self, timeout=PATIENCE):
        def hydrated():
            status = self.status()
            return status if status["hydration"]["done"] else None
        return wait_until(hydrated, lambda: f"hydration did not end: {self.status()}", timeout)

    def wait_adopted(self, timeout=PATIENCE):
        wait_until(lambda: self.status()["protected"]["share"] >= 1, lambda: f"adoption did not end: {self.status()}", timeout)

    def close(self):
        """Whatever state it is in: nothing mounted and no process afterwards."""
        if is_mounted(self.dir):
            try:
                run("umount", self.dir, check=False, timeout=20)
            except subprocess.TimeoutExpired:
                pass
        deadline = time.monotonic() + 20
        while not self.gone() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.pids():
            self.kill()
        self.detach()


def tree(root, times=True):
    """What a directory holds, as comparable data: type, mode, owner, times, xattrs, content, link groups."""
    root = Path(root)
    seen = {}
    groups = {}

    def visit(path, name):
        st = os.lstat(path)
        row = {"mode": st.st_mode, "uid": st.st_uid, "gid": st.st_gid}
        if times:
            row["mtime"] = st.st_mtime_ns
        if not stat.S_ISDIR(st.st_mode):
            row["nlink"] = st.st_nlink
            groups.setdefault(st.st_ino, []).append(name)
        if stat.S_ISREG(st.st_mode):
            row["size"] = st.st_size
            with open(path, "rb") as f:
                row["sha"] = hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
                    else hashlib.sha256(f.read()).hexdigest()
        elif stat.S_ISLNK(st.st_mode):
            row["target"] = os.readlink(path)
        elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
            row["rdev"] = st.st_rdev
        row["xattrs"] = {k: os.getxattr(path, k, follow_symlinks=False).hex()
                         for k in sorted(os.listxattr(path, follow_symlinks=False)) if not k.startswith("trusted.dkfs")}
        seen[name] = row
        if stat.S_ISDIR(st.st_mode):
            for entry in sorted(os.listdir(path)):
                if name == "." and entry == ".dkfs-partial":
                    continue
                visit(os.path.join(path, entry), entry if name == "." else f"{name}/{entry}")

    visit(root, ".")
    seen["links"] = sorted(sorted(names) for names in groups.values() if len(names) > 1)
    return seen


def difference(a, b):
    """For messages: what differs between two trees."""
    rows = []
    for name in sorted(set(a) | set(b)):
        if a.get(name) != b.get(name):
            rows.append(f"{name}: {a.get(name)} != {b.get(name)}")
    return "\n".join(rows[:20])


def assert_same(a, b):
    assert a == b, "trees differ:\n" + difference(a, b)
