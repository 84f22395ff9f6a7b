#!/usr/bin/python3
"""What the probes cost: the kernel's run time statistics over a load of known size.

usage: hotness_cost.py [--writes N] [--rate N]   (as root, in namespaces of its own, DKFS_BIN set; see docs/ebpf-guide.md)

Prints for each kind of load the time that the programs ran for one write, and what share of one core that is at 20,000
writes a second. The kernel's switch for the statistics is put back as it was.
"""

import argparse
import json
import mmap
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from dkfs import Dkfs, run  # noqa: E402

SWITCH = Path("/proc/sys/kernel/bpf_stats_enabled")
WANTED = 20_000  # writes a second, which the aim is stated for
SIZE = 8192
SPAN = 256 << 20
PARTS = 20


def settled(fs):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = fs.status()["hotness"]
        if status["source"] == "bpf" or "no probes" in status["reason"]:
            return status
        time.sleep(0.05)
    raise SystemExit("the probes never settled")


def paced(writes, rate, one):
    """Calls one(i) for each write, `rate` a second; the rate that was reached."""
    begin = time.monotonic()
    for i in range(writes):
        one(i)
        if i % 256 == 0:
            ahead = i / rate - (time.monotonic() - begin)
            if ahead > 0:
                time.sleep(ahead)
    return writes / (time.monotonic() - begin)


def loads(fd, mapped):
    buffer = os.urandom(SIZE)
    places = random.Random(1)

    def anywhere(_):
        os.pwrite(fd, buffer, places.randrange(SPAN // SIZE) * SIZE)

    def forward(i):
        os.pwrite(fd, buffer, i * SIZE % SPAN)

    def through_mapping(i):
        mapped[places.randrange(SPAN // 4096) * 4096] = i & 255

    return {"random": anywhere, "sequential": forward, "mapped": through_mapping}


def windows(fs, one, writes, rate):
    """Medians over parts of a load, since a busy machine disturbs some of them; and the least disturbed."""
    costs, runs, rates = [], [], []
    part = writes // PARTS
    for n in range(PARTS):
        before = fs.status()["hotness"]
        rates.append(paced(part, rate, lambda i: one(n * part + i)))
        after = fs.status()["hotness"]
        costs.append((after["run_time_ns"] - before["run_time_ns"]) / part)
        runs.append((after["run_count"] - before["run_count"]) / part)
    ns = statistics.median(costs)
    return {"rate": round(statistics.median(rates)), "runs_a_write": round(statistics.median(runs), 2),
            "ns_a_write": round(ns), "least_ns": round(min(costs)), "percent_of_a_core_at_20k": round(ns * WANTED / 1e7, 2),
            "drops": after["drops"], "evicted": after["evicted"]}


def measure(order, writes, rate):
    rows = []
    with tempfile.TemporaryDirectory(prefix="dkfs-cost-", dir=os.environ.get("DKFS_TEST_DIR", "/var/tmp")) as base:
        fs = Dkfs(base, ["--order", order, "--hotness", "bpf"])
        try:
            fs.mount()
            status = settled(fs)
            if status["source"] != "bpf":
                raise SystemExit(status["reason"])
            with open(fs.dir / "f", "w+b", buffering=0) as f:
                f.truncate(SPAN)
                with mmap.mmap(f.fileno(), SPAN) as mapped:
                    for name, one in loads(f.fileno(), mapped).items():
                        rows.append({"order": order, "load": name, **windows(fs, one, writes, rate)})
        finally:
            fs.close()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--writes", type=int, default=60_000)
    parser.add_argument("--rate", type=int, default=WANTED)
    args = parser.parse_args()
    old = SWITCH.read_text()
    SWITCH.write_text("1\n")
    try:
        for order in ("calls", "fsync"):
            for row in measure(order, args.writes, args.rate):
                print(json.dumps(row), flush=True)
    finally:
        SWITCH.write_text(old)
    print(run("uname", "-r").stdout.strip())


if __name__ == "__main__":
    main()
