#!/usr/bin/env python3
"""Paired benchmarks: the same load on native ext4 and on dkfs, alternating, medians.

usage: ./dev bench [NAME...] [--pairs N] [--seconds N] [--json]

Native directory, DIR and store share one file system. Rates are medians over the pairs; the ratio is the median of the
pairs' ratios. A discarded warm-up pair comes first.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from dkfs import Dkfs, run  # noqa: E402
from postgres import Postgres  # noqa: E402


class Native:
    """A plain directory with the interface of Dkfs that benchmarks use."""

    def __init__(self, base):
        self.base = Path(base)
        self.dir = self.base / "data"
        self.dir.mkdir(parents=True)

    def mount(self):
        pass

    def close(self):
        pass


def cpu_seconds(pids):
    """User and system time of these processes so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Pgbench:
    """pgbench on one PostgreSQL cluster each; `words` are pgbench's."""

    def __init__(self, words, scale=10, seconds=30):
        self.words, self.scale, self.seconds = words, scale, seconds

    def prepare(self, side, port):
        pg = Postgres(side.dir, side.base / "run", port)
        pg.init()
        pg.start()
        subprocess.run(pg.client("pgbench", "-i", "-s", self.scale, "-q", "postgres"), check=True, capture_output=True)
        return pg

    def measure(self, pg):
        pg.sql("checkpoint")
        out = subprocess.run(pg.client("pgbench", *self.words, "-j", 2, "-T", self.seconds, "-n", "postgres"), check=True,
                             capture_output=True, text=True).stdout
        return float(re.search(r"tps = ([\d.]+)", out)[1])

    def finish(self, pg):
        pg.stop()


BENCHES = {
    "pgbench": Pgbench(["-N", "-c", "16"]),
    "pgbench-c4": Pgbench(["-N", "-c", "4"]),
    "pgbench-tpcb": Pgbench(["-c", "16"]),
    "pgbench-select": Pgbench(["-S", "-c", "16"]),
}


def pair(name, bench, pairs, options):
    base = Path(tempfile.mkdtemp(prefix="dkfs-bench-", dir="/var/tmp"))
    native, dkfs = Native(base / "native"), Dkfs(base / "dkfs", options)
    opened = []
    rates = {"native": [], "dkfs": []}
    try:
        dkfs.mount()
        for port, side in ((54331, native), (54332, dkfs)):
            opened.append(bench.prepare(side, port))
        cpu = 0.0
        for i in range(pairs + 1):  # the first pair warms up
            for kind, load in zip(("native", "dkfs"), opened):
                before = cpu_seconds(dkfs.pids())
                rate = bench.measure(load)
                if i > 0:
                    rates[kind].append(rate)
                    if kind == "dkfs":
                        cpu += cpu_seconds(dkfs.pids()) - before
                print(f"  {name} {kind} {'warm-up' if i == 0 else i}: {rate:.0f}", file=sys.stderr)
        ratios = [d / n for n, d in zip(rates["native"], rates["dkfs"])]
        return {"name": name, "native": statistics.median(rates["native"]), "dkfs": statistics.median(rates["dkfs"]),
                "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios), "pairs": pairs,
                "dkfs_cpu_share": cpu / (pairs * bench.seconds)}
    finally:
        for load in opened:
            bench.finish(load)
        dkfs.close()
        shutil.rmtree(base, ignore_errors=True)


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), "?")
    commit = run("git", "-C", Path(__file__).parent, "rev-parse", "--short", "HEAD", check=False).stdout.strip()
    return f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()}, commit {commit or '?'}, {time.strftime('%Y-%m-%d')}"


def main():
    parser = argparse.ArgumentParser(description="paired benchmarks against native ext4")
    parser.add_argument("names", nargs="*", help=f"from: {', '.join(BENCHES)} (default: pgbench)")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="3 pairs of 5 seconds")
    parser.add_argument("--order", choices=("calls", "fsync"), default="calls")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.pairs, args.seconds = 3, 5
    names = args.names or ["pgbench"]
    for name in names:
        if name not in BENCHES:
            parser.error(f"no benchmark called {name}")
    rows = []
    for name in names:
        BENCHES[name].seconds = args.seconds
        rows.append(pair(name, BENCHES[name], args.pairs, ["--order", args.order]))
    if args.json:
        print(json.dumps({"machine": machine(), "order": args.order, "rows": rows}, indent=1))
        return
    print(f"{machine()}, order={args.order}")
    print("| load | native | dkfs | ratio (lowest to highest) | dkfs CPU share of one core |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['name']} | {row['native']:.0f} | {row['dkfs']:.0f} | {row['ratio']:.2f} "
              f"({row['lowest']:.2f} to {row['highest']:.2f}), {row['pairs']} pairs | {row['dkfs_cpu_share']:.2f} |")


if __name__ == "__main__":
    main()
