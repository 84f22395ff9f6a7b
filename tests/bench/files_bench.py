"""Many small files: create, stat, open and read twice, unlink, 10,000 of them in 100 directories."""

import os
import shutil
import time

from figures import Row
from runner import Paired


def timed(count, work):
    start = time.monotonic()
    work()
    return count / (time.monotonic() - start)


def create(paths):
    for path in paths:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def fill(paths):
    for path in paths:
        with open(path, "wb", buffering=0) as file:
            file.write(b"small file\n" * 90)


def stat(paths):
    for path in paths:
        os.stat(path)


def read(paths):
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.read(fd, 4096)
        os.close(fd)


def unlink(paths):
    for path in paths:
        os.unlink(path)


class Files(Paired):
    seconds = 4
    compares = True

    def measure(self, side, state, settings):
        count = settings.size(10_000, 1_000)
        top = side.dir / "files"
        for d in range(100):
            (top / str(d)).mkdir(parents=True)
        paths = [f"{top}/{i % 100}/{i}" for i in range(count)]
        found = {"files.create": timed(count, lambda: create(paths))}
        fill(paths)
        stat(paths)
        found["files.stat"] = timed(count * 5, lambda: [stat(paths) for _ in range(5)])
        found["files.read"] = timed(count, lambda: read(paths))
        found["files.read_warm"] = timed(count, lambda: read(paths))
        found["files.unlink"] = timed(count, lambda: unlink(paths))
        shutil.rmtree(top)
        return found


BENCHES = [Files("files", [
    Row("files.create", "create 10,000 files", "1/s", must=0.4, aim=0.7),
    Row("files.stat", "stat 10,000 files, warm", "1/s", must=0.9, aim=1.0),
    Row("files.read", "open, read and close 10,000 small new files", "1/s", must=0.4, aim=0.7),
    Row("files.read_warm", "the same again", "1/s", must=0.4, aim=0.7),
    Row("files.unlink", "unlink 10,000 files", "1/s", must=0.4, aim=0.7)])]
