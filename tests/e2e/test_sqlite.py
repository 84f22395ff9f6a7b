"""SQLite on the mount, killed and lost: every acknowledged commit is there and the database is sound."""

import os
import signal
import subprocess
import sys
import time

import pytest

from test_recovery import lose_all, lose_nothing

CLIENT = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("pragma mmap_size=268435456")
db.execute(f"pragma journal_mode={sys.argv[2]}")
db.execute("pragma synchronous=FULL")
db.execute("create table if not exists t (n integer primary key, data blob)")
n = db.execute("select coalesce(max(n), 0) from t").fetchone()[0]
while True:
    n += 1
    db.execute("begin")
    db.execute("insert into t values (?, randomblob(300))", (n,))
    if n % 7 == 0:
        db.execute("update t set data = randomblob(900) where n % 50 = ?", (n % 50,))
    db.execute("commit")
    print(n, flush=True)
"""


@pytest.mark.parametrize("loss", [lose_all, lose_nothing])
@pytest.mark.parametrize("journal", ["wal", "delete", "truncate"])
def test_acknowledged_commits_survive(fs, journal, loss):
    import sqlite3
    acked = 0
    for _ in range(2):
        fs.mount()
        client = subprocess.Popen([sys.executable, "-c", CLIENT, str(fs.dir / "db"), journal], stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline or acked <= 20:
            acked = int(client.stdout.readline())
        fs.kill()
        client.send_signal(signal.SIGKILL)
        rest = client.stdout.read().split()
        client.wait()
        if rest:
            acked = max(acked, int(rest[-1]))
        loss(fs)
    assert acked > 20
    fs.mount()
    db = sqlite3.connect(fs.dir / "db")
    assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
    assert db.execute("select count(*), max(n) >= ? from t where n <= ?", (acked, acked)).fetchone() == (acked, 1)
    db.close()
    assert os.listdir(fs.dir)
