#!/usr/bin/python3
"""Loads of endurance.py: endurance_loads.py NAME run SEED DIR OUTSIDE | NAME check ACKED DIR OUTSIDE.

`run` works until it is killed and prints one line for each step that was acknowledged to it; `check` says after a loss
whether everything up to the line ACKED ("-": none) is there, and exits with 1 if not.
"""

import mmap
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path


def fail(message):
    print(message, file=sys.stderr)
    sys.exit(1)


class Sqlite:
    """Alternates the journal modes; a row's number is printed after its commit."""

    def __init__(self, directory, outside):
        self.path = directory / "db"

    def run(self, seed):
        db = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        db.execute("pragma journal_mode=" + ("wal", "delete", "truncate")[seed % 3])
        db.execute("pragma synchronous=FULL")
        db.execute("pragma mmap_size=67108864")
        db.execute("create table if not exists t (n integer primary key, data blob)")
        n = db.execute("select coalesce(max(n), 0) from t").fetchone()[0]
        while True:
            n += 1
            db.execute("begin")
            db.execute("insert into t values (?, randomblob(400))", (n,))
            db.execute("update t set data = randomblob(700) where n = ?", (n % 1000,))
            if n % 10 == 0:
                db.execute("update t set data = x'' where n = ?", (n - 5000,))
            db.execute("commit")
            print(n, flush=True)

    def check(self, acked):
        db = sqlite3.connect(self.path)
        if db.execute("pragma integrity_check").fetchone()[0] != "ok":
            fail("integrity_check")
        if acked is not None:
            there = db.execute("select count(*) from t where n <= ?", (int(acked),)).fetchone()[0]
            if there != int(acked):
                fail(f"{acked} commits acknowledged, {there} there")


class Git:
    """Commits small changes; prints the commit's hash."""

    def __init__(self, directory, outside):
        self.directory = directory

    def git(self, *args, check=True):
        # A user removes what a killed git left locked; so do we, when no git runs.
        for lock in (*self.directory.glob(".git/*.lock"), *self.directory.glob(".git/refs/heads/*.lock")):
            lock.unlink()
        return subprocess.run(["git", "-C", self.directory, "-c", "user.name=n", "-c", "user.email=e", "-c", "gc.auto=200",
                               "-c", "core.fsync=all", "-c", "gc.autoDetach=false", *args], check=check, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout.strip()

    def run(self, seed):
        rng = random.Random(seed)
        if not (self.directory / ".git/refs/heads/main").exists() and not (self.directory / ".git/packed-refs").exists():
            self.git("init", "-q", "-b", "main")
        while True:
            for _ in range(5):
                path = self.directory / f"d{rng.randrange(5)}" / f"f{rng.randrange(20)}"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(rng.randbytes(rng.randrange(1, 20000)))
            self.git("add", "-A")
            self.git("commit", "-q", "--allow-empty", "-m", str(seed))
            print(self.git("rev-parse", "HEAD"), flush=True)

    def check(self, acked):
        if acked is None:
            return
        self.git("fsck", "--full", "--strict")
        found = subprocess.run(["git", "-C", self.directory, "merge-base", "--is-ancestor", acked, "HEAD"], check=False)
        if found.returncode:
            fail(f"commit {acked} is not there")


class Exerciser:
    """One file, random calls against a model in memory; prints the number of each finished step."""

    LIMIT = 400_000

    def __init__(self, directory, outside):
        self.path = directory / "file"
        self.base = outside / "exerciser.base"
        self.seed = outside / "exerciser.seed"

    def steps(self, model, seed):
        """What step i does, and the model after it."""
        rng = random.Random(seed)
        while True:
            kind = rng.choice("wwwwmtpac")
            at, size = rng.randrange(self.LIMIT), rng.randrange(1, 60_000)
            data = rng.randbytes(size)
            if kind in "wm" or kind == "c":
                if kind == "m":
                    at -= at % 4096
                    data = data[:4096 - (at % 4096)]
                if kind == "c":  # copy a range of the file itself
                    source = rng.randrange(max(1, len(model)))
                    data = bytes(model[source:source + min(size, abs(source - at))])
                    if not data:
                        kind = "n"
                    action = ("c", at, (source, len(data)))
                else:
                    action = (kind, at, data)
                if kind != "n":
                    model.extend(bytes(max(0, at + len(data) - len(model))))
                    model[at:at + len(data)] = data
                else:
                    action = ("n", 0, b"")
            elif kind == "t":
                action = ("t", at, b"")
                model.extend(bytes(max(0, at - len(model))))
                del model[at:]
            elif kind == "p":
                action = ("p", at, size)
                end = min(len(model), at + size)
                if at < end:
                    model[at:end] = bytes(end - at)
            else:
                data = data[:2000]
                action = ("a", len(model), data)
                model.extend(data)
                if len(model) > 2 * self.LIMIT:
                    del model[2 * self.LIMIT:]
                    action = ("t+", 2 * self.LIMIT, data)
            yield action

    def apply(self, fd, action):
        kind, at, what = action
        if kind == "w" or kind == "a":
            self.write(fd, what, at)
        elif kind == "m":
            if os.fstat(fd).st_size < at + len(what):
                os.ftruncate(fd, at + len(what))
            with mmap.mmap(fd, len(what), offset=at) as area:
                area[:] = what
                area.flush()
        elif kind == "t":
            os.ftruncate(fd, at)
        elif kind == "t+":
            self.write(fd, what, os.fstat(fd).st_size)
            os.ftruncate(fd, at)
        elif kind == "p":
            if self.libc().fallocate(fd, 3, at, what):
                fail("fallocate")
        elif kind == "c":
            source, size = what
            done = 0
            while done < size:
                done += os.copy_file_range(fd, fd, size - done, source + done, at + done)

    @staticmethod
    def write(fd, data, at):
        if os.pwrite(fd, data, at) != len(data):
            fail("a short write")

    @staticmethod
    def libc():
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        return libc

    def run(self, seed):
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        content = os.pread(fd, 1 << 30, 0)
        self.base.write_bytes(content)
        self.seed.write_text(str(seed))
        model = bytearray(content)
        for i, action in enumerate(self.steps(model, seed)):
            self.apply(fd, action)
            if i % 20 == 0:
                self.compare(fd, bytes(model), f"step {i} of seed {seed}")
            print(i, flush=True)

    def compare(self, fd, model, when):
        found = os.pread(fd, 1 << 30, 0)
        if found == model:
            return
        wrong = [i for i in range(min(len(found), len(model))) if found[i] != model[i]]
        again = os.pread(fd, 1 << 30, 0)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        fail(f"{when}: {len(found)} bytes, expected {len(model)}; {len(wrong)} wrong in {wrong[:1]} to {wrong[-1:]}, of them "
             f"{sum(found[i] == 0 for i in wrong)} zero; read again: {again == model}, "
             f"without the cache: {os.pread(fd, 1 << 30, 0) == model}")

    def check(self, acked):
        if not self.seed.exists():
            return
        done = -1 if acked is None else int(acked)
        seed = int(self.seed.read_text())
        content = self.path.read_bytes()
        model = bytearray(self.base.read_bytes())
        if done < 0 and content == bytes(model):
            return
        for i, action in enumerate(self.steps(model, seed)):
            if i == done and content == bytes(model):
                return
            if i == done and done >= 0:
                before = bytes(model)
                continue
            if i > done:  # the step that was not answered: wholly there, or its first requests
                # A step of several calls may be there in part: lengths between the two states are its middle.
                if content == bytes(model) or (action[0] in ("w", "a", "m", "t+", "c") and self.between(content, before if done >= 0
                                                                                   else self.base.read_bytes(), bytes(model))):
                    return
                break
        fail(f"the file is neither the state after step {done} of seed {seed} nor after the next")

    @staticmethod
    def between(content, before, after):
        if len(content) not in range(min(len(before), len(after)), max(len(before), len(after)) + 1):
            return False

        def at(data, i):
            return data[i] if i < len(data) else None
        return all(at(content, i) in (at(before, i), at(after, i), 0) for i in range(len(content)))


class Rsync:
    """A changing source outside, copied over and over; prints each finished generation."""

    FILES = 60

    def __init__(self, directory, outside):
        self.directory = directory
        self.source = outside / "rsync.source"

    @staticmethod
    def content(name, generation):
        """Begins with the generation, so that each file says which one it is of."""
        return generation.to_bytes(8, "little") + random.Random(f"{name} {generation}").randbytes(
            3000 + generation * 37 % 50_000)

    @staticmethod
    def put(path, data):
        """At any kill there is the old file or the new one."""
        temporary = path.parent.parent / "rsync.new"
        temporary.write_bytes(data)
        temporary.rename(path)

    def run(self, seed):
        rng = random.Random(seed)
        self.source.mkdir(exist_ok=True)
        generation = max((int.from_bytes(path.read_bytes()[:8], "little") for path in self.source.iterdir()), default=0)
        while True:
            generation += 1
            for name in rng.sample(range(self.FILES), 10):
                self.put(self.source / str(name), self.content(name, generation))
            done = subprocess.run(["rsync", "-a", "--delete", f"{self.source}/", f"{self.directory}/"], check=False,
                                  stderr=subprocess.DEVNULL)
            if done.returncode:
                fail(f"rsync ended with {done.returncode}")
            print(generation, flush=True)

    def check(self, acked):
        """A finished run has copied what the source held, also what a killed one had left there."""
        if acked is None:
            return
        for source in self.source.iterdir():
            want = source.read_bytes()
            newest = int.from_bytes(want[:8], "little")
            path = self.directory / source.name
            if not path.exists():
                if newest <= int(acked):
                    fail(f"file {source.name} of generation {newest} is missing, {acked} was acknowledged")
                continue
            data = path.read_bytes()
            generation = int.from_bytes(data[:8], "little")
            if newest <= int(acked) and data != want:
                fail(f"file {source.name} is not of generation {newest}, {acked} was acknowledged")
            if not 1 <= generation <= newest or data != self.content(source.name, generation):
                fail(f"file {source.name} is of no generation up to {newest}")


def main():
    name, verb, word, directory, outside = sys.argv[1:]
    load = {"sqlite": Sqlite, "git": Git, "exerciser": Exerciser, "rsync": Rsync}[name](Path(directory), Path(outside))
    if verb == "check":
        load.check(None if word == "-" else word)
        return
    load.run(int(word))


if __name__ == "__main__":
    if shutil.which("git") is None or shutil.which("rsync") is None:
        fail("git and rsync are needed: ./dev deps")
    main()
