"""Random operations on one file against a model of bytes: buffered, direct and mapped access mixed.

By hand and for long: test_exerciser.py DIRECTORY [--seed N] [--operations N] [--direct]
"""

import argparse
import mmap
import os
import random
import sys
from pathlib import Path

if __name__ != "__main__":
    import pytest

    from places import assert_it_survives

from calls import KEEP_SIZE, O_DIRECT, PUNCH_HOLE, ZERO_RANGE, fallocate

LARGEST = 300_000
PAGE = mmap.PAGESIZE


class Exerciser:
    """One file and the bytes it must hold; every operation checks what it reads."""

    def __init__(self, path, seed, direct=False):
        self.path, self.random, self.direct = path, random.Random(seed), direct
        self.want = bytearray()
        self.fd = self.direct_fd = -1
        self.done = []
        self.open()

    def open(self):
        self.close()
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        if self.direct:
            self.direct_fd = os.open(self.path, os.O_RDWR | O_DIRECT)

    def close(self):
        for fd in (self.fd, self.direct_fd):
            if fd >= 0:
                os.close(fd)
        self.fd = self.direct_fd = -1

    def span(self, limit=LARGEST, align=1):
        start = self.random.randrange(0, limit // align) * align
        length = min(self.random.choice((1, 17, 4096, 5000, 65_536, 100_000)), limit - start)
        return start, max(length // align, 1) * align

    def data(self, length):
        return self.random.randbytes(length)

    def put(self, start, data):
        if start + len(data) > len(self.want):
            self.want.extend(bytes(start + len(data) - len(self.want)))
        self.want[start:start + len(data)] = data

    def write(self):
        start, length = self.span()
        data = self.data(length)
        assert os.pwrite(self.fd, data, start) == length
        self.put(start, data)
        return start, length

    def append(self):
        data = self.data(self.random.randrange(1, 5000)) if len(self.want) < LARGEST else b""
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, data)
        os.close(fd)
        self.want += data
        return len(data)

    def read(self):
        start, length = self.span()
        got = os.pread(self.fd, length, start)
        assert got == self.want[start:start + length], f"read of {length} bytes at {start} differs"
        return start, length

    def direct_write(self):
        start, length = self.span(align=PAGE)
        buffer = mmap.mmap(-1, length)
        data = self.data(length)
        buffer[:] = data
        assert os.pwritev(self.direct_fd, [buffer], start) == length
        self.put(start, data)
        return start, length

    def direct_read(self):
        start, length = self.span(align=PAGE)
        buffer = mmap.mmap(-1, length)
        n = os.preadv(self.direct_fd, [buffer], start)
        assert buffer[:n] == self.want[start:start + length], f"direct read of {length} bytes at {start} differs"
        return start, length

    def map_range(self):
        start, length = self.span(max(len(self.want), 1))
        page = start // PAGE * PAGE
        return start, length, page

    def mapped_write(self):
        if not self.want:
            return None
        start, length, page = self.map_range()
        data = self.data(length)
        with mmap.mmap(self.fd, start - page + length, offset=page) as m:
            m[start - page:] = data
            if self.random.random() < 0.5:
                m.flush()
        self.put(start, data)
        return start, length

    def mapped_read(self):
        if not self.want:
            return None
        start, length, page = self.map_range()
        with mmap.mmap(self.fd, start - page + length, offset=page, prot=mmap.PROT_READ) as m:
            assert m[start - page:] == self.want[start:start + length], f"mapped read of {length} at {start} differs"
        return start, length

    def truncate(self):
        size = self.random.randrange(0, LARGEST)
        os.ftruncate(self.fd, size)
        self.want = self.want[:size] + bytes(max(size - len(self.want), 0))
        return size

    def punch(self):
        start, length = self.span()
        fallocate(self.fd, PUNCH_HOLE | KEEP_SIZE, start, length)
        end = min(start + length, len(self.want))
        if start < end:
            self.want[start:end] = bytes(end - start)
        return start, length

    def zero(self):
        start, length = self.span()
        keep = self.random.random() < 0.5
        fallocate(self.fd, ZERO_RANGE | (KEEP_SIZE if keep else 0), start, length)
        end = min(start + length, len(self.want)) if keep else start + length
        if start < end:
            self.put(start, bytes(end - start))
        return start, length, keep

    def allocate(self):
        start, length = self.span()
        keep = self.random.random() < 0.5
        fallocate(self.fd, KEEP_SIZE if keep else 0, start, length)
        if not keep and start + length > len(self.want):
            self.want.extend(bytes(start + length - len(self.want)))
        return start, length, keep

    def copy(self):
        start, length = self.span()
        to = self.random.randrange(0, LARGEST)
        length = min(length, max(len(self.want) - start, 0), LARGEST - to)
        if length <= 0 or abs(to - start) < length:
            return None
        data = bytes(self.want[start:start + length])
        done = 0
        while done < length:
            done += os.copy_file_range(self.fd, self.fd, length - done, start + done, to + done)
        self.put(to, data)
        return start, length, to

    def reopen(self):
        self.open()

    def sync(self):
        os.fsync(self.fd)

    def check(self):
        st = os.fstat(self.fd)
        assert st.st_size == len(self.want), f"size {st.st_size}, not {len(self.want)}"
        at = 0
        while at < st.st_size:  # what is said to be a hole is zero
            try:
                data = os.lseek(self.fd, at, os.SEEK_DATA)
            except OSError:
                data = st.st_size
            assert not any(self.want[at:data]), f"{at}..{data} is no hole"
            at = data if data == st.st_size else os.lseek(self.fd, data, os.SEEK_HOLE)
        with open(self.path, "rb") as f:
            assert f.read() == self.want, "the whole file differs"

    def run(self, operations):
        choices = [self.write, self.append, self.read, self.mapped_write, self.mapped_read, self.truncate, self.punch,
                   self.zero, self.allocate, self.copy, self.reopen, self.sync]
        if self.direct:
            choices += [self.direct_write, self.direct_read] * 2
        for n in range(operations):
            call = self.random.choice(choices)
            self.done.append((call.__name__, call()))
            if n % 20 == 19:
                self.check()
        self.check()


def exercise(path, seed, operations, direct):
    it = Exerciser(path, seed, direct)
    try:
        it.run(operations)
    except AssertionError as e:
        last = "\n".join(f"{n}: {row}" for n, row in list(enumerate(it.done))[-15:])
        raise AssertionError(f"seed {seed}, direct {direct}, operation {len(it.done)}: {e}\n{last}") from e
    finally:
        it.close()


def seeds():
    given = os.environ.get("DKFS_POSIX_SEED")
    return [int(given)] if given else [1, 2, 3]


if __name__ != "__main__":
    @pytest.mark.parametrize("direct", [False, True], ids=["buffered", "direct"])
    @pytest.mark.parametrize("seed", seeds())
    def test_a_file_holds_what_was_put_there(d, seed, direct):
        exercise(d / "f", seed, 20_000 if os.environ.get("DKFS_TEST_ALL") == "1" else 300, direct)

    def test_all_of_it_survives_kill_and_loss(place):
        assert_it_survives(place)
else:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--direct", action="store_true")
    words = parser.parse_args()
    print(f"seed {words.seed}")
    exercise(words.directory / f"exerciser-{words.seed}", words.seed, words.operations, words.direct)
    sys.exit(0)
