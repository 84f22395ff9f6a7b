"""SQLite with synchronous=FULL: one small transaction after the other."""

import shutil
import sqlite3
import time

from figures import Row
from runner import Paired


class Sqlite(Paired):
    def __init__(self, name, rows, journal):
        super().__init__(name, rows)
        self.journal = journal

    def prepare(self, side, settings):
        folder = side.dir / "sqlite"
        folder.mkdir()
        db = sqlite3.connect(folder / "db", isolation_level=None)
        db.execute(f"pragma journal_mode={self.journal}")
        db.execute("pragma synchronous=full")
        db.execute("create table t (id integer primary key, n integer, text text)")
        db.execute("create index t_n on t (n)")
        db.execute("begin")
        db.executemany("insert into t values (?, ?, ?)", ((i, i * 7919 % 10007, "x" * 100) for i in range(10000)))
        db.execute("commit")
        return db

    def measure(self, side, db, settings):
        count, start = 0, time.monotonic()
        seconds = settings.short(self.seconds)
        while time.monotonic() - start < seconds:
            db.execute("begin")
            db.execute("update t set n = n + 1 where id = ?", (count * 7919 % 10000,))
            db.execute("insert into t (n, text) values (?, ?)", (count, "y" * 100))
            db.execute("commit")
            count += 1
        return count / (time.monotonic() - start)

    def finish(self, side, db):
        db.close()
        shutil.rmtree(side.dir / "sqlite", ignore_errors=True)


def bench(journal, must, aim):
    name = f"sqlite-{journal}"
    return Sqlite(name, [Row(name, f"SQLite {journal.upper()} journal, synchronous FULL", "tps", must=must, aim=aim)], journal)


BENCHES = [bench("wal", 0.8, 1.2), bench("delete", 1.0, 2.0), bench("truncate", None, None)]
