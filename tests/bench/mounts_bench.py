"""Figures of the mount itself: full replay, the first bytes after a loss, a million files."""

import os
import time

from cost import peak_memory
from figures import Row
from runner import need_space, opened, say, workplace
from dkfs import drop_caches
from sides import BIN, DkfsSide, run

MIB = 1 << 20


def compressible(path, mib, seed):
    """A file that zstd makes about half as large, its bytes different everywhere."""
    random = os.urandom(MIB // 2)
    words = (f"{seed:08d} line of a log, as compressible as such lines are\n".encode() * 32768)[:MIB // 2]
    with open(path, "wb", buffering=0) as file:
        for i in range(mib):
            shift = i * 4099 % len(random)
            file.write(random[shift:] + random[:shift] + words)


def seconds(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


class Replay:
    """dkfs-replay restore against cp -a of the same tree, alternating, caches dropped, the sync of the result included."""
    name = "replay"
    rows = [Row("replay", "full restore against cp -a", "s", "time", 0.7, 1.0)]

    def estimate(self, settings):
        return (settings.pairs + 1) * 14 + 60

    def fill(self, folder, settings):
        large, small = settings.size((8, 8192), (2, 200))
        for i in range(large):
            compressible(folder / f"large-{i}", settings.size(128, 8), i)
        body = os.urandom(20000) + b"x" * 45536
        for i in range(small):
            where = folder / str(i % 64)
            where.mkdir(exist_ok=True)
            (where / str(i)).write_bytes(body[i % 1000:] + i.to_bytes(8, "big"))

    def run(self, settings):
        samples, fresh = {"native": [], "dkfs": []}, {}
        with workplace() as base:
            need_space(base, 8)
            side = DkfsSide(base / "dkfs")
            with opened(settings, self.name, side):
                self.fill(side.dir, settings)
                side.mounted.unmount()
            out = base / "out"
            commands = {"native": ["cp", "-a", side.dir, out],
                        "dkfs": [BIN / "dkfs-replay", "restore", "--store", side.store, "--to", out]}
            for i in range(settings.pairs + 1):
                for kind, words in commands.items():
                    drop_caches()
                    took = seconds(lambda: (run(*words, timeout=900), run("sync", "-f", out, timeout=600)))
                    if i:
                        samples[kind].append(took)
                    else:
                        fresh[kind] = took
                    say(f"  {kind} {i or 'fresh'}: {took:.2f} s")
                    run("rm", "-rf", "--one-file-system", out, timeout=300)
        return {"samples": {"replay": samples}, "fresh": {"replay": fresh}}


class Loss:
    """DIR is lost after 20 GB; how long until the mount is ready, and until the first 8 KiB of each of some files."""
    name = "loss"
    rows = [Row("loss.ready", "ready after losing DIR of 20 GB", "ms", "limit", 300, 100),
            Row("loss.first", "first 8 KiB after that", "ms", "limit", 20, 5)]

    def estimate(self, settings):
        return settings.size(480, 40)

    def run(self, settings):
        mib, files = settings.size(20_000, 128), 20
        with workplace() as base:
            need_space(base, mib * 2.3 / 1024)
            side = DkfsSide(base / "dkfs")
            with opened(settings, self.name, side):
                for i in range(files):
                    compressible(side.dir / f"f{i}", mib // files, i)
                side.mounted.ctl("sync", side.dir)
                side.mounted.kill()
                ready, first = [], []
                for i in range(settings.pairs):
                    side.mounted.lose_dir()
                    drop_caches()
                    ready.append(seconds(side.open) * 1000)
                    with open(side.dir / f"f{i % files}", "rb", buffering=0) as file:
                        file.seek(mib // files // 2 * MIB)
                        first.append(seconds(lambda: file.read(8192)) * 1000)
                    say(f"  ready {ready[-1]:.0f} ms, first 8 KiB {first[-1]:.1f} ms")
                    if i + 1 < settings.pairs:
                        side.mounted.kill()
        return {"samples": {"loss.ready": {"dkfs": ready}, "loss.first": {"dkfs": first}}, "fresh": {}}


class Million:
    """A tree of 1,000,000 files is taken in by a first mount, lost, and mounted again."""
    name = "million"
    rows = [Row("million.mount", "mount over 1,000,000 lost files", "s", "limit", 1.0, 0.2),
            Row("million.memory", "memory after find in 1,000,000 files", "MiB", "limit", 256, 128),
            Row("million.find", "find in 1,000,000 files, cold", "s", "time", 0.3, 0.6),
            Row("million.find-warm", "find in 1,000,000 files, warm", "s", "time"),
            Row("million.adopt", "first mount over 1,000,000 files, until ready", "s", "limit")]

    def estimate(self, settings):
        return settings.size(600, 40)

    def make(self, top, count):
        for d in range(count // 1000):
            folder = top / str(d // 100) / str(d)
            folder.mkdir(parents=True)
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            for i in range(1000):
                os.close(os.open(f"file-{i}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))
            os.close(fd)

    def find(self, top):
        return seconds(lambda: run("find", top, "-printf", "", timeout=900))

    def run(self, settings):
        samples = {row.id: {"native": [], "dkfs": []} for row in self.rows}

        def add(row, side, value):
            samples[row][side].append(value)
            say(f"  {row} {side}: {value:.3g}")

        with workplace() as base:
            need_space(base, 6)
            side = DkfsSide(base / "dkfs")
            self.make(side.dir, settings.size(1_000_000, 20_000))
            drop_caches()
            add("million.find", "native", self.find(side.dir))
            add("million.find-warm", "native", self.find(side.dir))
            drop_caches()
            start = time.monotonic()
            with opened(settings, self.name, side):
                add("million.adopt", "dkfs", time.monotonic() - start)
                side.mounted.wait_adopted(timeout=900)
                side.mounted.ctl("sync", side.dir)
                side.mounted.kill()
                side.mounted.lose_dir()
                drop_caches()
                add("million.mount", "dkfs", seconds(side.open))
                add("million.find", "dkfs", self.find(side.dir))
                add("million.find-warm", "dkfs", self.find(side.dir))
                add("million.memory", "dkfs", peak_memory(side.pids()))
        return {"samples": samples, "fresh": {}}


BENCHES = [Replay(), Loss(), Million()]
