"""After losing DIR: how soon reads are as quick as before, with what was hot hydrated first and in file order."""

import re
import subprocess
import time

from figures import Row
from runner import need_space, opened, say, workplace
from dkfs import drop_caches
from sides import DkfsSide
from postgres import Postgres
from postgres_bench import fill

CLIENTS = 4
HOLDS = 3  # seconds in a row
# Rows that were inserted together are used together: the orders of today, the accounts of this month's customers. So one
# stretch of 2,000 neighbouring rows in twenty gets 99 % of the accesses.
PICK = """\\set cold random(1, 100)
\\if :cold > 99
\\set aid random(1, 100000 * :scale)
\\else
\\set aid random(0, 50 * :scale / 20 - 1) * 40000 + random(14001, 16000)
\\endif
"""
READ = PICK + "select abalance from pgbench_accounts where aid = :aid;\n"
WRITE = PICK + "update pgbench_accounts set abalance = abalance + 1 where aid = :aid;\n"


class HydrateOrder:
    """The same store is lost and mounted again with either order; reads go on from when PostgreSQL answers."""
    name = "hydrate-order"
    rows = [Row("hydrate-order", "95 % of read rate after a loss, hot first, to file order", "s", "time",
                2.0, 4.0, base="file order")]

    def estimate(self, settings):
        return settings.size(1200, 60)

    def pgbench(self, pg, script, scale, seconds):
        words = ("pgbench", "-f", script, "-D", f"scale={scale}", "-c", CLIENTS, "-j", 2, "-T", seconds, "-P", 1, "-n", "postgres")
        return subprocess.Popen(pg.client(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def rates(self, pg, script, scale, seconds):
        """Transactions in each second, as they pass."""
        with self.pgbench(pg, script, scale, seconds) as client:
            try:
                for line in client.stderr:
                    if found := re.search(r"progress: [\d.]+ s, ([\d.]+) tps", line):
                        yield float(found[1])
            finally:
                client.terminate()

    def steady(self, pg, script, scale, settings):
        """The median of the last seconds, once it grows no more."""
        last = []
        for rate in self.rates(pg, script, scale, settings.size(120, 10)):
            last.append(rate)
            if len(last) >= 20 and sum(last[-10:]) <= 1.02 * sum(last[-20:-10]):
                break
        return sorted(last[-10:])[len(last[-10:]) // 2]

    def until_steady(self, side, scripts, scale, wanted, order, settings):
        side.mounted.lose_dir()
        drop_caches()
        rate = settings.size("64M", "8M")
        side.mounted.options = ["--hotness", "off", "--hydrate-order", order, "--hydrate-rate", rate]
        start = time.monotonic()
        side.open()
        pg = self.cluster(side)
        pg.start()
        held, reached = 0, None
        try:
            for rate in self.rates(pg, scripts["read"], scale, settings.size(400, 60)):
                now = time.monotonic() - start
                held = held + 1 if rate >= 0.95 * wanted else 0
                if held >= HOLDS:
                    reached = now - HOLDS
                    break
        finally:
            pg.kill()
        hydration = side.mounted.status()["hydration"]
        side.mounted.kill()
        if reached is None:
            raise RuntimeError(f"{order}: 95 % of {wanted:.0f} tps were not reached; {hydration}")
        say(f"  {order}: {reached:.1f} s; {hydration['hot_extents_done']} of {hydration['hot_extents_total']} hot extents, "
            f"{hydration['bytes_done'] >> 20} MiB done in all")
        return reached

    def cluster(self, side):
        return Postgres(side.dir / "pg", side.base / "run", 54338)

    def run(self, settings):
        scale = settings.size(300, 40)
        times = {"dkfs": [], "file order": []}
        with workplace() as base:
            need_space(base, scale * 0.05)
            side = DkfsSide(base / "dkfs")
            scripts = {"read": base / "read.sql", "write": base / "write.sql"}
            scripts["read"].write_text(READ)
            scripts["write"].write_text(WRITE)
            with opened(settings, self.name, side):
                (side.dir / "pg").mkdir()
                pg = self.cluster(side)
                pg.init()
                pg.start()
                say(f"  filled in {fill(pg, scale):.0f} s")
                try:
                    for _ in range(3):
                        for _ in self.rates(pg, scripts["write"], scale, settings.size(40, 5)):
                            pass
                        pg.sql("checkpoint", timeout=600)
                    wanted = self.steady(pg, scripts["read"], scale, settings)
                    say(f"  steady: {wanted:.0f} tps")
                finally:
                    pg.stop()
                time.sleep(65)  # heat is recorded once in a minute
                side.mounted.ctl("sync", side.dir)
                side.mounted.kill()
                for i in range(settings.pairs):
                    for order, kind in (("hot", "dkfs"), ("file", "file order"))[::1 if i % 2 == 0 else -1]:
                        times[kind].append(self.until_steady(side, scripts, scale, wanted, order, settings))
                side.mounted.lose_dir()
                side.open()
        return {"samples": {"hydrate-order": times}, "fresh": {}}


BENCHES = [HydrateOrder()]
