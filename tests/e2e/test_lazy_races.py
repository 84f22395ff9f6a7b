"""After a loss: readers, whose blocks are made before the inode's lock is taken, beside writers of the same file."""

import contextlib
import mmap
import os
import random
import threading


class Units:
    """A file of units of 4 KiB, each filled with its own number and version; several threads write and read them."""
    SIZE = 4096

    def __init__(self, path, count):
        self.path, self.begun, self.done = path, [0] * count, [0] * count
        self.locks = [threading.Lock() for _ in range(count)]
        self.wrong = []

    def bytes(self, unit, version):
        return f"{unit:08} {version:06}\n".encode() * (self.SIZE // 16)

    def write(self, fd, first, count):
        with contextlib.ExitStack() as held:
            for unit in range(first, first + count):
                held.enter_context(self.locks[unit])
                self.begun[unit] += 1
            units = range(first, first + count)
            data = b"".join(self.bytes(unit, self.begun[unit]) for unit in units)
            assert os.pwrite(fd, data, first * self.SIZE) == len(data)
            for unit in units:
                self.done[unit] = self.begun[unit]

    def read(self, fd, buffer, first, count):
        """Whatever is read of a unit is one version, not older than what was written before, nor newer than what was begun."""
        least = self.done[first:first + count]
        view = memoryview(buffer)[:count * self.SIZE]
        assert os.preadv(fd, [view], first * self.SIZE) == len(view)
        most = self.begun[first:first + count]
        for i in range(count):
            got = bytes(view[i * self.SIZE:(i + 1) * self.SIZE])
            if not any(got == self.bytes(first + i, version) for version in range(least[i], most[i] + 1)):
                self.wrong.append((first + i, got[:16], least[i], most[i]))


def test_reads_after_a_loss_race_with_writes(fs):
    """Blocks that a reader has made beforehand never cover what was written meanwhile."""
    count, turns = 1024, 600
    fs.mount("--hotness", "off")
    units = Units(fs.dir / "f", count)
    fd = os.open(units.path, os.O_RDWR | os.O_CREAT)
    units.write(fd, 0, count)
    for first in range(0, count, 2):  # deltas
        units.write(fd, first, 1)
    os.close(fd)
    fs.kill()
    fs.lose_dir()
    fs.mount("--hotness", "off", "--hydrate-rate", "1")

    def play(seed, flags, work):
        rnd = random.Random(seed)
        fd = os.open(units.path, os.O_RDWR | flags)
        buffer = mmap.mmap(-1, 16 * units.SIZE)
        try:
            for _ in range(turns):
                size = rnd.choice((1, 1, 2, 3, 8))
                work(fd, buffer, rnd.randrange(count - size), size)
        except Exception as error:
            units.wrong.append(error)
        finally:
            os.close(fd)

    players = [threading.Thread(target=play, args=(seed, flags, work)) for seed, (flags, work) in enumerate(
        [(os.O_DIRECT, units.read)] * 4 + [(0, lambda fd, _, first, size: units.write(fd, first, size))] * 2)]
    for player in players:
        player.start()
    for player in players:
        player.join()
    assert units.wrong == []
    content = b"".join(units.bytes(unit, units.done[unit]) for unit in range(count))
    assert units.path.read_bytes() == content
    fs.kill()
    fs.lose_dir()
    fs.mount("--hotness", "off")
    assert units.path.read_bytes() == content
