"""fio: single patterns, one job."""

import json

from figures import Row
from runner import Paired
from dkfs import drop_caches
from sides import run

MIB = 1 << 20
# Other bytes in each write, half of which compress away.
NEW_BYTES = ["--refill_buffers", "--buffer_compress_percentage=50"]


def fio(folder, *words, timeout=900):
    """The only job's results."""
    out = run("fio", "--name=j", f"--directory={folder}", "--filename=f", "--ioengine=psync", "--output-format=json",
              "--fallocate=none", "--randseed=1", *words, timeout=timeout).stdout
    return json.loads(out[out.index("{"):])["jobs"][0]


def lay_out(folder, mib):
    fio(folder, "--rw=write", "--bs=1M", f"--size={mib}M", "--end_fsync=1", *NEW_BYTES)


class Writes(Paired):
    """`fresh_file`: each measurement begins without the file; otherwise it is laid out once."""

    def __init__(self, name, rows, words, order="calls", fresh_file=False, timed=True):
        super().__init__(name, rows)
        # Making new bytes takes longer than a write that is not synced; where writes are synced it is nothing.
        self.words = [*words, *NEW_BYTES] if "sync=1" in " ".join(words) else words
        self.order, self.fresh_file, self.timed = order, fresh_file, timed

    def prepare(self, side, settings):
        if not self.fresh_file:
            lay_out(side.dir, settings.size(512, 64))

    def measure(self, side, state, settings):
        words = list(self.words)
        if self.fresh_file:
            (side.dir / "f").unlink(missing_ok=True)
            side.flush()
        size = settings.size(1024, 128) if self.fresh_file else settings.size(512, 64)
        words.append(f"--size={size}M")
        if self.timed:
            words += ["--time_based", f"--runtime={settings.short(self.seconds):.0f}"]
        job = fio(side.dir, *words)
        done = job["write"]["io_bytes"]
        seconds = job["job_runtime"] / 1000
        return done / seconds / MIB if self.rows[0].unit == "MiB/s" else job["write"]["iops"]


class Reads(Paired):
    """`cold`: nothing of the file is in memory; otherwise all of it."""
    seconds = 4

    def __init__(self, name, rows, cold, patterns):
        super().__init__(name, rows)
        self.cold, self.patterns = cold, patterns

    def prepare(self, side, settings):
        lay_out(side.dir, settings.size(1024, 64))

    def measure(self, side, state, settings):
        found = {}
        for row, words in zip(self.rows, self.patterns):
            if self.cold:
                drop_caches()
            else:
                warm(side.dir / "f")
            words = [*words, f"--size={settings.size(1024, 64)}M", f"--invalidate={int(self.cold)}"]
            if "--rw=read" not in words or not self.cold:
                words += ["--time_based", f"--runtime={settings.short(self.seconds):.0f}"]
            found[row.id] = fio(side.dir, *words)["read"]["bw_bytes"] / MIB
        return found

    def estimate(self, settings):
        return super().estimate(settings) * len(self.rows)


def warm(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(MIB):
            pass


def write_row(name, title, unit, must=None, aim=None):
    return [Row(name, "fio " + title, unit, must=must, aim=aim)]


def read_row(name, title, must, aim):
    return Row(name, "fio " + title, "MiB/s", must=must, aim=aim)


SEQUENTIAL = ["--rw=write", "--bs=1M"]
RANDOM = ["--rw=randwrite", "--bs=8k"]
BENCHES = [
    Writes("fio-sync", write_row("fio-sync", "8 KiB random write, fdatasync each", "1/s", 0.6, 1.0),
           [*RANDOM, "--fdatasync=1"]),
    Writes("fio-append", write_row("fio-append", "4 KiB append, fsync each", "1/s", 1.0, 2.0),
           ["--rw=write", "--bs=4k", "--fsync=1"], fresh_file=True),
    Writes("fio-seq", write_row("fio-seq", "sequential 1 MiB write, fsync at the end", "MiB/s", 0.5, 0.8),
           [*SEQUENTIAL, "--end_fsync=1"], fresh_file=True, timed=False),
    Writes("fio-seq-fsync",
           write_row("fio-seq-fsync", "sequential 1 MiB write, fsync at the end, order=fsync", "MiB/s", 0.75, 0.95),
           [*SEQUENTIAL, "--end_fsync=1"], "fsync", fresh_file=True, timed=False),
    Writes("fio-buffered", write_row("fio-buffered", "8 KiB random write, no fsync", "1/s", 0.2, 0.4), RANDOM),
    Writes("fio-buffered-fsync", write_row("fio-buffered-fsync", "8 KiB random write, no fsync, order=fsync", "1/s", 0.8, 1.0),
           RANDOM, "fsync"),
    Reads("fio-warm", [read_row("fio-warm.4k", "warm random read, 4 KiB", 0.97, 1.0),
                       read_row("fio-warm.8k", "warm random read, 8 KiB", 0.97, 1.0),
                       read_row("fio-warm.1m", "warm sequential read, 1 MiB", 0.97, 1.0)], False,
          [["--rw=randread", "--bs=4k"], ["--rw=randread", "--bs=8k"], ["--rw=read", "--bs=1M"]]),
    Reads("fio-cold", [read_row("fio-cold.seq", "cold sequential read, 1 MiB", 0.85, 0.95),
                       read_row("fio-cold.8k", "cold random read, 8 KiB", 0.7, 0.9)], True,
          [["--rw=read", "--bs=1M"], ["--rw=randread", "--bs=8k"]]),
]
