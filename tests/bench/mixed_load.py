"""One mixed load, always of the same bytes: what a machine with a database, logs and files does to its disk.

Each part does a fixed amount of work in each round, from seeds, and says how much work that was and what time it took.
What is written is made before the clock starts. The parts take turns, so that each has a rate of its own."""

import os
import random
import re
import sqlite3
import subprocess
import time

from runner import say  # finds what the e2e tests share, too
from postgres import Postgres

WORDS = ("accepted request from client session cache miss while reading index page retry connection closed by peer user "
         "admin guest order invoice payment shipped pending failed timeout warning info debug error started stopped").split()
SENDS = 8192  # bytes that a program gathers before it calls write()


def text_lines(seed, size):
    """About `size` bytes of a service's log: times, addresses, numbers, words."""
    rng = random.Random(seed)
    lines, length = [], 0
    while length < size:
        line = (f"2026-03-{rng.randrange(1, 29):02}T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}.{rng.randrange(10**6):06}Z "
                f"10.0.{rng.randrange(256)}.{rng.randrange(256)} {rng.choice(WORDS)} {rng.choice(WORDS)} {rng.choice(WORDS)} "
                f"id={rng.getrandbits(48):012x} took={rng.randrange(5000)}us {rng.choice(WORDS)}\n")
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()


class Part:
    """`unit` names what `work` counts."""

    def __init__(self, base, settings):
        self.base, self.settings = base, settings
        base.mkdir()
        self.begin()

    def begin(self):
        pass

    def make(self, turn):
        """What this round writes."""

    def work(self, turn, made):
        """How much was done."""
        raise NotImplementedError

    def end(self):
        pass


class Heap(Part):
    """PostgreSQL: heap, indexes and WAL under pgbench -N, a fixed number of transactions, a checkpoint each round."""
    name, unit = "postgres", "tx/s"
    clients = 4

    def begin(self):
        self.base.rmdir()
        self.data = self.base
        self.data.mkdir()
        self.pg = Postgres(self.data, self.base.parents[1] / "run", 54341)
        self.pg.init()
        self.pg.start("-c", "autovacuum=off")
        subprocess.run(self.pg.client("pgbench", "-i", "-s", self.settings.size(10, 1), "-q", "postgres"), check=True,
                       capture_output=True)
        self.pg.sql("checkpoint")

    def work(self, turn, _):
        each = self.settings.size(500, 50)
        out = subprocess.run(self.pg.client("pgbench", "-N", "-c", self.clients, "-j", 2, "-t", each, "-n",
                                            f"--random-seed={turn + 1}", "postgres"), check=True, capture_output=True, text=True).stdout
        self.pg.sql("checkpoint")
        return int(re.search(r"transactions actually processed: (\d+)", out)[1])

    def end(self):
        self.pg.stop()


class Sqlite(Part):
    """SQLite with a WAL and synchronous=FULL: an update and an insert in each transaction."""
    name, unit = "sqlite", "tx/s"

    def begin(self):
        rng = random.Random(2)
        self.db = sqlite3.connect(self.base / "db", isolation_level=None)
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=full")
        self.db.execute("create table t (id integer primary key, n integer, text text)")
        self.db.execute("create index t_n on t (n)")
        self.db.execute("begin")
        self.db.executemany("insert into t values (?, ?, ?)",
                            ((i, i * 7919 % 10007, " ".join(rng.choices(WORDS, k=14))) for i in range(20000)))
        self.db.execute("commit")
        self.rng = rng

    def make(self, turn):
        return [(self.rng.randrange(20000), " ".join(self.rng.choices(WORDS, k=14))) for _ in range(self.settings.size(600, 50))]

    def work(self, turn, made):
        for row, text in made:
            self.db.execute("begin")
            self.db.execute("update t set n = n + 1 where id = ?", (row,))
            self.db.execute("insert into t (n, text) values (?, ?)", (row, text))
            self.db.execute("commit")
        return len(made)

    def end(self):
        self.db.close()


class Log(Part):
    """A log to which a program appends what it gathered, fsynced now and then; a new file each other round."""
    name, unit = "log", "MB/s"

    def make(self, turn):
        return text_lines(1000 + turn, self.settings.size(8 << 20, 1 << 20))

    def work(self, turn, made):
        with open(self.base / f"service-{turn // 2}.log", "ab", buffering=0) as file:
            for at in range(0, len(made), SENDS):
                file.write(made[at:at + SENDS])
                if at // SENDS % 64 == 63:
                    os.fsync(file.fileno())
            os.fsync(file.fileno())
        return len(made) / 1e6


class Streams(Part):
    """Large files written once from front to end: dumps of a database as text."""
    name, unit, files, step = "dumps", "MB/s", 2, 1 << 20

    def one(self, seed):
        """A row repeats words of the rows before, its numbers do not."""
        size = self.settings.size(16 << 20, 1 << 20)
        piece = text_lines(seed, size // 8)
        rng = random.Random(seed)
        pieces = []
        for _ in range(8):  # the same rows with other ids: cheap to make, not the same bytes
            ids = re.compile(rb"id=[0-9a-f]{12}")
            pieces.append(ids.sub(lambda _: b"id=%012x" % rng.getrandbits(48), piece))
        return b"".join(pieces)[:size]

    def make(self, turn):
        return [self.one(2000 + turn * self.files + i) for i in range(self.files)]

    def work(self, turn, made):
        for i, content in enumerate(made):
            with open(self.base / f"{self.name}-{turn}-{i}.{self.ending}", "wb", buffering=0) as file:
                for at in range(0, len(content), self.step):
                    file.write(content[at:at + self.step])
                os.fsync(file.fileno())
        return sum(map(len, made)) / 1e6

    ending = "sql"


class Media(Streams):
    """The same of bytes that nothing can make smaller."""
    name, files, step, ending = "media", 2, 256 << 10, "mp4"

    def one(self, seed):
        return random.Random(seed).randbytes(self.settings.size(8 << 20, 1 << 20))


class Documents(Part):
    """Many small files, rewritten: a new file with a few other words, fsynced, takes the name of the old one."""
    name, unit = "documents", "files/s"

    def begin(self):
        self.rng = random.Random(5)
        self.contents = []
        for i in range(self.settings.size(400, 20)):
            self.contents.append(text_lines(5000 + i, self.rng.randrange(2 << 10, 16 << 10)).split(b"\n"))
            (self.base / f"doc-{i}.json").write_bytes(b"\n".join(self.contents[i]))

    def make(self, turn):
        for lines in self.contents:
            for _ in range(3):
                lines[self.rng.randrange(len(lines))] = b"changed " + str(self.rng.getrandbits(60)).encode()
        return [b"\n".join(lines) for lines in self.contents]

    def work(self, turn, made):
        for i, content in enumerate(made):
            fresh = self.base / f"doc-{i}.json.tmp"
            with open(fresh, "wb", buffering=0) as file:
                file.write(content)
                os.fsync(file.fileno())
            os.rename(fresh, self.base / f"doc-{i}.json")
        return len(made)


PARTS = (Heap, Sqlite, Log, Streams, Media, Documents)


def run_mixed(where, settings, rounds, parts=PARTS):
    """part name -> (work done, seconds), summed over the rounds. Set-up is not in the seconds."""
    running, done = [], {}
    try:
        for kind in parts:
            running.append(kind(where / kind.name, settings))
            done[kind.name] = [0.0, 0.0]
        for turn in range(rounds):
            for part in running:
                made = part.make(turn)
                start = time.monotonic()
                amount = part.work(turn, made)
                took = time.monotonic() - start
                done[part.name][0] += amount
                done[part.name][1] += took
            say(f"    round {turn}: " + ", ".join(f"{p.name} {done[p.name][0] / done[p.name][1]:.0f} {p.unit}" for p in running))
    finally:
        for part in running:
            part.end()
    return done
