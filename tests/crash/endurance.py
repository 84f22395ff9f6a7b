#!/usr/bin/python3
"""Endurance: mixed load on one mount, killed every few seconds, for as long as asked.

usage: tests/crash/endurance.py [--minutes N] [--seed N] [--base DIR] [--budget-mib N] [--memory-mib N]

PostgreSQL, SQLite, git, a file exerciser and rsync work side by side below one mount point. At random times the daemon and
all of them are killed; the directory stays, is emptied or goes stale; it is mounted again, and everything that had been
acknowledged must be there. Every tenth round lasts two minutes without a kill, so that leaks have time to show. Ends with
exit code 1 and one line at the first violation, and leaves the store as evidence.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from dkfs import BIN, Dkfs, run  # noqa: E402
from postgres import Postgres, missing_acks, start_clients  # noqa: E402
from test_recovery import lose_all, lose_by_stale_files, lose_nothing  # noqa: E402

LOADS = Path(__file__).resolve().parent / "endurance_loads.py"


ASIDE_MIB = 1024  # its own budget: fs/hydrate/hydrator.h


class Violation(Exception):
    pass


def mebibytes(*words):
    total = run("du", "-sm", *words, check=False).stdout.split()
    return int(total[0]) if total else 0


class Load:
    """A program of endurance_loads.py; each line it prints acknowledges a step."""

    def __init__(self, name, directory, outside):
        self.name, self.directory, self.outside = name, directory, outside
        self.acked = None
        self.steps = 0
        self.process = None
        self.lines = None

    def command(self, *words):
        return [sys.executable, str(LOADS), self.name, *words, str(self.directory), str(self.outside)]

    def start(self, seed):
        self.lines = open(self.outside / f"{self.name}.acks", "w+")
        self.process = subprocess.Popen(self.command("run", str(seed)), stdout=self.lines, start_new_session=True,
                                        stderr=open(self.outside / f"{self.name}.err", "w"))

    def last_words(self):
        return "".join((self.outside / f"{self.name}.{kind}").read_text()[-500:] for kind in ("acks", "err"))

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.lines.seek(0)
        whole = [line for line in self.lines.read().split("\n")[:-1] if line]
        self.lines.close()
        self.steps += len(whole)
        if whole:
            self.acked = whole[-1]

    def check(self):
        result = run(*self.command("check", self.acked or "-"), check=False, timeout=600)
        if result.returncode:
            raise Violation(f"{self.name}: {result.stdout}{result.stderr}")


def process_figures(pid):
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return {"peak_mib": int(status["VmHWM"].split()[0]) / 1024, "rss_mib": int(status["VmRSS"].split()[0]) / 1024,
            "threads": int(status["Threads"]), "fds": len(os.listdir(f"/proc/{pid}/fd"))}


class Latency:
    """Adds up the daemon's request histograms over all its lives."""

    def __init__(self):
        self.buckets = {}

    def add(self, text):
        for line in text.splitlines():
            if not line.startswith("dkfs_fuse_request_duration_seconds_bucket{"):
                continue
            labels, value = line.rsplit(" ", 1)
            words = dict(w.split("=", 1) for w in labels[labels.index("{") + 1:labels.rindex("}")].split(","))
            op, le = words.get("op", '"?"').strip('"'), float(words["le"].strip('"').replace("+Inf", "inf"))
            row = self.buckets.setdefault(op, {})
            row[le] = row.get(le, 0) + float(value)

    def quantile(self, op, q):
        row = sorted(self.buckets.get(op, {}).items())
        total = row[-1][1] if row else 0
        return next((le for le, count in row if total and count >= q * total), None), total


class Endurance:
    def __init__(self, args):
        self.args = args
        self.rng = random.Random(args.seed)
        self.base = Path(args.base or tempfile.mkdtemp(prefix="dkfs-endurance-", dir="/var/tmp"))
        self.base.mkdir(exist_ok=True)
        self.base.chmod(0o755)
        self.fs = Dkfs(self.base, ["--budget", f"{args.budget_mib}M", "--retain", "10m"])
        self.metrics = f"127.0.0.1:{args.metrics_port}"
        self.pg = Postgres(self.fs.dir / "pg", self.base / "run")
        outside = self.base / "outside"
        outside.mkdir(exist_ok=True)
        self.loads = [Load(name, self.fs.dir / name, outside) for name in ("sqlite", "git", "exerciser", "rsync")]
        self.clients, self.pgbench = [], None
        self.latency = Latency()
        self.figures = []
        self.kills = {"intact": 0, "emptied": 0, "stale": 0}
        self.transactions = 0
        self.ready = []

    def mount(self):
        start = time.monotonic()
        run(BIN / "dkfs", "--store", self.fs.store, "--metrics-addr", self.metrics, *self.fs.options, self.fs.dir)
        self.ready.append(time.monotonic() - start)

    def prepare(self):
        self.mount()
        for load in self.loads:
            load.directory.mkdir()
        (self.fs.dir / "pg").mkdir()
        self.pg.init()
        self.pg.start()
        run(*self.pg.client("pgbench", "-i", "-q", "-s", 5, "postgres"), timeout=300)

    def start_load(self, round_number):
        self.clients = start_clients(self.pg, 2)
        self.pgbench = subprocess.Popen(self.pg.client("pgbench", "-c", 4, "-j", 1, "-T", 3600, "-n", "postgres"),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for load in self.loads:
            load.start(self.args.seed * 1000003 + round_number)

    def sample(self):
        pids = self.fs.pids()
        if not pids:
            raise Violation("the daemon died by itself")
        figures = [process_figures(pid) for pid in pids]
        row = {key: sum(f[key] for f in figures) for key in figures[0]}
        row["store_mib"] = mebibytes("--exclude=aside", self.fs.store)
        row["aside_mib"] = mebibytes(self.fs.store / "aside")
        row["at"] = round(time.monotonic() - self.begun)
        self.figures.append(row)
        if row["peak_mib"] > self.args.memory_mib:
            raise Violation(f"memory of the daemon: {row}")
        # The budget holds unless the live state alone needs more.
        live = mebibytes("--exclude=.dkfs-partial", self.fs.dir)
        if row["store_mib"] > max(self.args.budget_mib * 1.05, live * 1.1 + 256):
            raise Violation(f"space of the store: {row}, live {live} MiB")
        if row["aside_mib"] > ASIDE_MIB + 128:
            raise Violation(f"space of what was moved aside: {row}")
        return row

    def kill_all(self):
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=20) as answer:
            self.latency.add(answer.read().decode())
        for load in self.loads:
            if load.process.poll() is not None:
                raise Violation(f"{load.name} ended with {load.process.poll()} before the kill: {load.last_words()}")
        self.fs.kill()
        self.pgbench.kill()
        self.pgbench.wait()
        self.pg.kill()
        for client in self.clients:
            client.join(60)
        for load in self.loads:
            load.kill()

    def lose(self):
        kind = self.rng.choices(["intact", "emptied", "stale"], [6, 3, 1])[0]
        self.kills[kind] += 1
        {"intact": lose_nothing, "emptied": lose_all, "stale": lose_by_stale_files}[kind](self.fs)
        return kind

    def check(self):
        self.pg.start()
        missing = missing_acks(self.pg, self.clients)
        if missing:
            raise Violation(f"postgres: {missing}")
        self.transactions += sum(c.acked for c in self.clients)
        if self.rng.random() < 0.1:
            self.pg.check()
        for load in self.loads:
            load.check()

    def round(self, number):
        long = number % 10 == 9
        self.start_load(number)
        end = time.monotonic() + (120 if long else self.rng.uniform(2, 8))
        while time.monotonic() < end:
            time.sleep(min(10, max(0.1, end - time.monotonic())))
            row = self.sample()
        self.kill_all()
        kind = self.lose()
        self.mount()
        self.check()
        print(json.dumps({"round": number, "loss": kind, "ready_s": round(self.ready[-1], 3), **row}), flush=True)

    def run(self):
        self.begun = time.monotonic()
        print(json.dumps({"seed": self.args.seed, "base": str(self.base)}), flush=True)
        self.prepare()
        number = 0
        while time.monotonic() - self.begun < self.args.minutes * 60:
            self.round(number)
            number += 1
        self.pg.stop()
        self.fs.unmount()
        verify = run(BIN / "dkfs-replay", "verify", "--store", self.fs.store, check=False, timeout=600)
        if verify.returncode:
            raise Violation(f"verify: {verify.stdout[-500:]}{verify.stderr[-500:]}")
        return number

    def summary(self, rounds):
        peak = max(f["peak_mib"] for f in self.figures)
        for op in sorted(self.latency.buckets):
            p, count = self.latency.quantile(op, 0.999)
            if count >= 1000:
                print(json.dumps({"operation": op, "requests": int(count), "p99.9_at_most_s": p}))
        print(json.dumps({
            "minutes": round((time.monotonic() - self.begun) / 60, 1), "rounds": rounds, "kills": self.kills,
            "daemon_peak_mib": round(peak, 1), "threads": [min(f["threads"] for f in self.figures),
                                                           max(f["threads"] for f in self.figures)],
            "fds": [min(f["fds"] for f in self.figures), max(f["fds"] for f in self.figures)],
            "store_mib": max(f["store_mib"] for f in self.figures),
            "aside_mib": max(f["aside_mib"] for f in self.figures), "ready_s_max": round(max(self.ready), 3),
            "steps": {load.name: load.steps for load in self.loads}}), flush=True)


def main():
    parser = argparse.ArgumentParser(description="mixed load with kills")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--base")
    parser.add_argument("--budget-mib", type=int, default=1024)
    parser.add_argument("--memory-mib", type=int, default=256)
    parser.add_argument("--metrics-port", type=int, default=19911)
    args = parser.parse_args()
    work = Endurance(args)
    try:
        rounds = work.run()
        work.summary(rounds)
    except Violation as violation:
        print(f"VIOLATION seed {args.seed} store {work.fs.store}: {violation}", flush=True)
        return 1
    finally:
        work.pg.stop()
        work.fs.close()
    shutil.rmtree(work.base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
