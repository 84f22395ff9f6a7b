"""The file systems that are compared: each a directory for loads on one disk, opened and closed alike."""

import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from cost import cpu_seconds  # noqa: E402
from dkfs import BIN, ROOT, Dkfs, is_mounted, run  # noqa: E402

PASSTHROUGH = ROOT / "build" / "deps" / "libexec" / "passthrough_ll"


class Side:
    """Native: a plain directory. The others put something in front of it, at `dir`."""
    name = "native"

    def __init__(self, base, order="calls"):
        self.base, self.order = Path(base), order
        self.dir = self.base / "data"
        self.dir.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def available():
        return True

    def open(self):
        pass

    def close(self):
        pass

    def pids(self):
        """The processes that serve it."""
        return []

    def flush(self):
        run("sync", "-f", self.base, timeout=600)


class DkfsSide(Side):
    name = "dkfs"

    def __init__(self, base, order="calls", options=()):
        super().__init__(base, order)
        self.mounted = Dkfs(base, ["--order", order, *options])
        self.store = self.mounted.store
        self.port = 0

    def open(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        run(BIN / "dkfs", "--store", self.store, "--metrics-addr", f"127.0.0.1:{self.port}", *self.mounted.options, self.dir,
            timeout=600)

    def flush(self):
        """What was deferred is work that was put off, as dirty pages are."""
        super().flush()
        deadline = time.monotonic() + 60
        while self.pids() and self.mounted.status()["hydration"]["deferred_bytes"] > 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        super().flush()

    def reopen(self):
        self.mounted.unmount()
        self.open()

    def close(self):
        self.mounted.close()

    def pids(self):
        return self.mounted.pids()

    def requests(self):
        """FUSE requests answered so far, by name."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10).read().decode()
        start = 'dkfs_fuse_requests_total{op="'
        rows = (line[len(start):].split('"} ') for line in text.splitlines() if line.startswith(start))
        return {op: int(float(value)) for op, value in rows}

    def wait_packed(self, timeout=600, quiet=22):
        """Until the store has not changed for two looks of its background work (every 10 s), and no thread works: a pass over
        many segments, which gives way to others, shows nothing until it is done."""
        last, since, deadline = None, time.monotonic(), time.monotonic() + timeout
        cpu = cpu_seconds(self.pids())
        while time.monotonic() < deadline:
            status = self.mounted.status()
            now = status["store"]["bytes"], status["store"]["packed_segments"], status["seq"]["flushed"]
            spent, cpu = cpu_seconds(self.pids()) - cpu, cpu_seconds(self.pids())
            if now != last or spent > 0.05:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > quiet:
                return status
            time.sleep(1)
        raise AssertionError("the store does not come to rest")


class Server(Side):
    """A FUSE server in the foreground between `below` and `dir`."""

    def __init__(self, base, order="calls"):
        super().__init__(base, order)
        self.below = self.base / "below"
        self.below.mkdir(exist_ok=True)
        self.process = None

    def open(self):
        log = open(self.base / "server.log", "ab")
        self.process = subprocess.Popen([str(w) for w in self.command()], stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not is_mounted(self.dir):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: " + (self.base / "server.log").read_text()[-500:])
            time.sleep(0.02)

    def close(self):
        if is_mounted(self.dir):
            run("umount", self.dir, check=False)
        if self.process is not None:
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()
        while is_mounted(self.dir):
            run("umount", "-l", self.dir)

    def pids(self):
        return [self.process.pid] if self.process and self.process.poll() is None else []


class Passthrough(Server):
    """libfuse's own example: write-through beside order=calls, the kernel's writeback cache beside order=fsync."""
    name = "passthrough_ll"

    @staticmethod
    def available():
        return PASSTHROUGH.exists()

    def command(self):
        cache = "writeback" if self.order == "fsync" else "no_writeback"
        return [PASSTHROUGH, "-f", "-o", f"source={self.below},allow_other,cache=always,{cache}", self.dir]


class Bindfs(Server):
    name = "bindfs"

    @staticmethod
    def available():
        return shutil.which("bindfs") is not None

    def command(self):
        return ["bindfs", "-f", self.below, self.dir]


class Mergerfs(Server):
    name = "mergerfs"

    @staticmethod
    def available():
        return shutil.which("mergerfs") is not None

    def command(self):
        return ["mergerfs", "-f", "-o", "allow_other,use_ino,cache.files=auto-full", self.below, self.dir]


class Gocryptfs(Server):
    name = "gocryptfs"

    @staticmethod
    def available():
        return shutil.which("gocryptfs") is not None

    def command(self):
        word = self.base / "word"
        if not word.exists():
            word.write_text("benchmark\n")
            run("gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", word, self.below)
        return ["gocryptfs", "-q", "-fg", "-allow_other", "-passfile", word, self.below, self.dir]


class LoopDisk(Side):
    """A file system of its own in a file, so that what reaches its disk can be counted."""
    make = ["mkfs.ext4", "-q", "-m", "0"]
    gib = 16

    def open(self):
        image = self.base / "image"
        if not image.exists():
            run("truncate", "-s", f"{self.gib}G", image)
            run(*self.make, image)
        run("mount", "-o", "loop", image, self.dir)

    def close(self):
        while is_mounted(self.dir):
            run("umount", "-l", self.dir)


class Btrfs(LoopDisk):
    name = "btrfs"
    make = ["mkfs.btrfs", "-q"]

    @staticmethod
    def available():
        return shutil.which("mkfs.btrfs") is not None


SIDES = {side.name: side for side in (Side, DkfsSide, Passthrough, Bindfs, Mergerfs, Gocryptfs, Btrfs)}
OTHERS = ("passthrough_ll", "bindfs", "mergerfs", "gocryptfs", "btrfs")
