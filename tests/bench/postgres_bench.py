"""pgbench on PostgreSQL in its default configuration, scale 10."""

import re
import subprocess
import time

from figures import Row
from runner import Paired
from postgres import Postgres

PORTS = {"native": 54331, "dkfs": 54332, "passthrough_ll": 54333, "bindfs": 54334, "mergerfs": 54335, "gocryptfs": 54336,
         "btrfs": 54337}


def cluster(side):
    """A running cluster on the side."""
    data = side.dir / "pg"
    data.mkdir()
    pg = Postgres(data, side.base / "run", PORTS[side.name])
    pg.init()
    pg.start()
    return pg


def fill(pg, scale):
    """pgbench -i; its seconds."""
    start = time.monotonic()
    subprocess.run(pg.client("pgbench", "-i", "-s", scale, "-q", "postgres"), check=True, capture_output=True)
    return time.monotonic() - start


def pgbench(pg, words, seconds):
    """(transactions a second, transactions) of one run."""
    out = subprocess.run(pg.client("pgbench", *words, "-j", 2, "-T", int(seconds), "-n", "postgres"), check=True,
                         capture_output=True, text=True).stdout
    rate = re.search(r"tps = ([\d.]+)", out)  # missing when not one was made
    return float(rate[1]) if rate else 0.0, int(re.search(r"transactions actually processed: (\d+)", out)[1])


class Pgbench(Paired):
    seconds = 30

    def __init__(self, name, rows, words, sides=("native", "dkfs"), compares=False):
        super().__init__(name, rows)
        self.words, self.sides, self.compares = words, sides, compares

    def prepare(self, side, settings):
        pg = cluster(side)
        fill(pg, settings.size(10, 2))
        pg.sql("checkpoint")
        return pg

    def measure(self, side, pg, settings):
        tps, _ = pgbench(pg, self.words, settings.short(self.seconds))
        pg.sql("checkpoint")  # the pages it dirtied are not written in the next side's time
        return tps

    def finish(self, side, pg):
        pg.stop()

    def estimate(self, settings):
        return super().estimate(settings) + len(self.sides) * settings.size(15, 6)


class Fill(Paired):
    """pgbench -i, each time into a database that is made anew."""
    seconds = 6

    def __init__(self, name, rows, order):
        super().__init__(name, rows)
        self.order = order

    def prepare(self, side, settings):
        return cluster(side)

    def measure(self, side, pg, settings):
        pg.sql("drop table if exists pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history")
        pg.sql("checkpoint")
        return fill(pg, settings.size(10, 1))

    def finish(self, side, pg):
        pg.stop()


def rows_with_passthrough(name, title, must, aim):
    """A row against native and one against what records nothing."""
    return [Row(name, title, "tps", must=must[0], aim=aim[0]),
            Row(f"{name}/passthrough", f"{title}, against passthrough_ll", "tps", must=must[1], aim=aim[1],
                base="passthrough_ll", samples=name)]


THREE = ("native", "passthrough_ll", "dkfs")
BENCHES = [
    Pgbench("pgbench-n16", rows_with_passthrough("pgbench-n16", "pgbench -N, 16 clients", (0.75, 1.0), (0.97, 1.2)),
            ["-N", "-c", "16"], THREE, compares=True),
    Pgbench("pgbench-n4", rows_with_passthrough("pgbench-n4", "pgbench -N, 4 clients", (0.62, 1.0), (0.9, 1.4)),
            ["-N", "-c", "4"], THREE),
    Pgbench("pgbench-tpcb16", [Row("pgbench-tpcb16", "pgbench TPC-B, 16 clients", "tps", must=0.75, aim=0.97)], ["-c", "16"]),
    Pgbench("pgbench-tpcb4", [Row("pgbench-tpcb4", "pgbench TPC-B, 4 clients", "tps")], ["-c", "4"]),
    Pgbench("pgbench-s", [Row("pgbench-s", "pgbench -S, 16 clients, warm", "tps", must=0.95, aim=1.0)], ["-S", "-c", "16"]),
    Fill("pgbench-i", [Row("pgbench-i", "pgbench -i", "s", "time", 0.55, 0.8)], "calls"),
    Fill("pgbench-i-fsync", [Row("pgbench-i-fsync", "pgbench -i, order=fsync", "s", "time", 0.80, 1.0)], "fsync"),
]
