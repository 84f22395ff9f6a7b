#!/usr/bin/python3
"""Crash points over real mounts: one is a workload, a crash, a loss, perhaps crashes on the way back, and the oracle's word.

Everything that is chosen about a point follows from its plan and its seed: `points.py PLAN SEED [COUNT]` repeats it, as
root, with DKFS_BIN naming the folder of the programs (`./dev build` first). DKFS_CRASH_KEEP=FOLDER keeps what a violation
left. Timing is not chosen: a point at a random time may need some repetitions.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from dkfs import BIN, Dkfs, is_mounted, run  # noqa: E402

ORACLE = BIN.parent / "tests" / "crash_oracle"
LOSSES = ("intact", "emptied", "stale", "damaged")
HANG = 300  # seconds that nothing here takes: a machine with ten times its work was once seen to need 100


SLOW = ("retain.", "index.repoint", "journal.delete", "journal.seal", "journal.roll")  # need sealed segments, and time


class Violation(Exception):
    """A promise was broken."""


class Point:
    """One store with its directory and its workload. `notes` say what happened, `fired` whether the fault was met."""

    def __init__(self, plan, seed):
        self.plan, self.seed = plan, seed
        self.random = random.Random(f"{plan} {seed}")
        self.base = Path(tempfile.mkdtemp(prefix="dkfs-crash-", dir=os.environ.get("DKFS_TEST_DIR", "/var/tmp")))
        self.raw = self.base / "raw"  # the directory beneath the mount
        self.raw.mkdir()
        self.threads = self.random.choice((1, 1, 2, 3))
        self.ops = self.random.randrange(40, 160) // self.threads + 20
        self.order = self.random.choice(("calls", "calls", "fsync"))
        self.fs = Dkfs(self.base, ["--order", self.order])
        run("mount", "--bind", self.fs.dir, self.raw)
        self.hasten(plan.partition(":")[2].startswith(SLOW))
        if self.random.random() < 0.5 or ":layout." in plan:  # layouts change while writing, in the middle of chains, and are recovered
            self.fs.env["DKFS_TEST_SHAKE"] = str(self.random.randrange(1, 1 << 32))
        if self.random.random() < 0.5:  # appends reach the directory later, and files have no name there meanwhile
            self.fs.env["DKFS_TEST_DEFER"] = str(self.random.choice((1, 4096, 16384)))
        self.notes, self.fired, self.kinds, self.points = [], False, {}, 1

    def hasten(self, surely):
        """Small segments and a fast clock: packing, folding and gc take part."""
        self.fs.env["DKFS_TEST_SEGMENT_BYTES"] = str(1 << 20 if surely else self.random.choice((1 << 20, 4 << 20)))
        haste = 5000 if surely else self.random.choice((0, 500, 5000))
        if surely:
            self.threads, self.ops, self.order = 1, 250, "calls"
            self.fs.options = ["--order", "calls"]
        if haste:
            self.fs.env["DKFS_TEST_HASTE"] = str(haste)
            self.fs.options += ["--retain", "1s" if surely else self.random.choice(("1s", "10m", "24h"))]

    # --- what is done to it ---

    @contextlib.contextmanager
    def limited(self, what):
        """A request that the daemon never answers holds its caller beyond kill -9, so a hang ends with the daemon."""
        hung = []

        def end():
            hung.append(what)
            self.kill()

        timer = threading.Timer(HANG, end)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
        if hung:
            raise Violation(f"{what} hangs: not done after {HANG} s")

    def oracle(self, command, *extra, check=True):
        with self.limited(f"crash_oracle {command}"):
            done = run(ORACLE, command, "--threads", self.threads, *extra, check=False, timeout=2 * HANG)
        if done.returncode > 1 and check:
            raise Violation(f"crash_oracle {command}: {done.stderr.strip()}")
        return done

    def workload(self):
        return ["--trace", self.base / "trace", "--seed", self.seed, "--ops", self.ops,
                "--stops-on-error", int(self.plan.endswith("+"))]

    def setup(self):
        self.oracle("setup", "--dir", self.fs.dir)

    def mount(self, faults="", **env):
        """True when it is mounted, False when the fault struck before."""
        self.fs.env.pop("DKFS_FAULTS", None)
        self.fs.env.update(env)
        if faults:
            self.fs.env["DKFS_FAULTS"] = faults
        with self.limited("mounting"):
            done = self.fs.mount(check=False, timeout=2 * HANG)
        if done.returncode and not faults:
            raise Violation(f"mount failed: {done.stderr.strip()}")
        return done.returncode == 0

    def load(self, *kill):
        done = self.oracle("run", "--dir", self.fs.dir, *self.workload(), *kill)
        for word in done.stdout.split():
            name, _, count = word.partition("=")
            self.kinds[name] = int(count)
        return done

    def alive(self):
        return self.fs.pids()

    def dies(self, patience=30):
        """Whether the daemon, which was killed or ended, is gone soon: neither a signal nor an exit is done at once."""
        deadline = time.monotonic() + patience
        while not self.fs.gone() and time.monotonic() < deadline:
            time.sleep(0.002)
        return self.fs.gone()

    def kill(self):
        """kill -9 of all that is left; what is mounted without its daemon goes."""
        for pid in self.alive():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not self.dies(HANG):
            raise Violation("dkfs survives kill -9")
        self.fs.detach()

    def status_says(self, name, value):
        """Whether the status has "name": value; None when nobody answers."""
        with self.limited("dkfsctl status"):
            answer = self.fs.ctl("status", self.fs.dir, "--json", check=False, timeout=2 * HANG).stdout
        return re.search(rf'"{name}":\s*{value}\b', answer) is not None if answer else None

    def unmount(self):
        """True when it ended cleanly, False when a fault struck on the way."""
        with self.limited("dkfsctl unmount"):
            done = self.fs.ctl("unmount", self.fs.dir, check=False, timeout=2 * HANG)
        return done.returncode == 0

    # --- losses ---

    def copy_meanwhile(self):
        """Copies the directory as it is at some time during the load: the stale one."""
        delay = self.random.random() * 0.05

        def copy():
            time.sleep(delay)
            subprocess.run(["cp", "-a", "--one-file-system", f"{self.raw}/.", f"{self.base}/stale"],
                           stderr=subprocess.DEVNULL, check=False)
        thread = threading.Thread(target=copy)
        thread.start()
        return thread

    def lose(self, loss):
        if loss in LOSSES[2:] and (self.fs.store / "clean").exists():
            loss = self.random.choice(LOSSES[:2])  # a clean directory that changes has not been lost, it has drifted
        self.notes.append(loss)
        self.fs.detach()
        if loss == "emptied":
            self.fs.lose_dir()
        if loss == "stale":
            self.fs.lose_dir()
            run("cp", "-a", f"{self.base}/stale/.", self.fs.dir, check=False)
        if loss == "damaged":
            self.damage()

    def damage(self):
        r = self.random
        for path in sorted(p for p in self.fs.dir.rglob("*") if not p.is_dir() or p.is_symlink()):
            what = r.randrange(6)
            if what == 0:
                path.unlink()
            elif path.is_symlink() or not path.is_file():
                continue
            elif what == 1:
                os.truncate(path, r.randrange(path.stat().st_size + 5000))
            elif what == 2:
                with open(path, "r+b") as f:
                    f.seek(r.randrange(path.stat().st_size + 1))
                    f.write(r.randbytes(r.randrange(9000)))
            elif what == 3:
                path.rename(path.with_name("moved"))
        (self.fs.dir / "stranger").write_text("nobody recorded this")

    # --- the judgement ---

    def promise(self):
        return "calls" if self.order == "calls" else "cached"

    def check(self, where):
        done = self.oracle("check", "--dir", self.fs.dir, *self.workload(), "--promise", self.promise())
        if done.returncode:
            raise Violation(f"{where}: {done.stdout.strip()}")
        return done.stdout.split()[1:]

    def sum(self):
        return self.oracle("sum", "--dir", self.fs.dir).stdout.strip()

    def conclude(self, judge=True):
        """The last mount: everything is read, lazily and once hydrated; then DIR alone; then the store."""
        self.mount()
        if judge:
            self.check("read lazily")
        lazily = self.sum()
        self.fs.wait_hydrated(HANG)
        if (got := self.sum()) != lazily:
            raise Violation(f"hydrated, the tree is another: {got} instead of {lazily}")
        if not self.unmount():
            raise Violation("a healthy mount cannot be unmounted")
        if judge:
            self.check("DIR alone")
        if (got := self.sum()) != lazily or (self.fs.dir / ".dkfs-partial").exists():
            raise Violation(f"after a clean unmount DIR is another: {got} instead of {lazily}")
        self.verify()

    def verify(self):
        done = run(BIN / "dkfs-replay", "verify", "--store", self.fs.store, check=False, timeout=HANG)
        if done.returncode:
            raise Violation(f"dkfs-replay verify: {done.stdout.strip()} {done.stderr.strip()}")

    def close(self):
        try:
            self.kill()
        finally:
            while is_mounted(self.raw):
                run("umount", "-l", self.raw)
            shutil.rmtree(self.base, ignore_errors=True)


# --- the plans: `name` or `name:FAULT` ---


def pass_number(point, most):
    """Small numbers are as likely as large ones."""
    return max(1, round(most ** point.random.random()))


def random_kill(point, _):
    """kill -9 at a random time of the load, and a loss."""
    loss = point.random.choice(LOSSES)
    point.mount()
    point.setup()
    copying = point.copy_meanwhile()
    after = point.random.randrange(point.ops * point.threads)
    point.load("--kill-pid", point.alive()[0], "--kill-after", after, "--kill-delay-ns", point.random.randrange(400_000))
    copying.join()
    point.fired = point.dies()
    point.kill()
    point.lose(loss)
    point.conclude()


def begin(point):
    """A store with the setup in it, mounted cleanly once."""
    point.mount()
    point.setup()
    if not point.unmount():
        raise Violation("a healthy mount cannot be unmounted")


# Most passes worth counting, where a load makes more than a few of them.
OFTEN = {"file.open": 60, "file.read": 100, "file.write": 150, "file.datasync": 25, "file.stat": 40, "file.unlink": 8,
         "file.sync": 8, "file.syncdir": 12, "file.rename": 8, "file.allocate": 5, "file.truncate": 4, "store.append": 80,
         "store.barrier": 20, "journal.append": 80, "journal.sync": 20, "index.apply": 30, "kv.write": 30, "kv.sync": 8,
         "backing.open": 40, "backing.write": 50, "capture.append": 60, "ops.recorded": 80, "ops.applied": 80,
         "ops.reply": 100, "hydrate.block": 100, "hydrate.publish": 12, "aside.move": 6, "backing.rename": 10,
         "adopt.record": 6, "adopt.capture": 6}


def kill_in_load(point, fault):
    """The daemon kills itself at a fault point of a load, or of the unmount behind it."""
    begin(point)
    loss = point.random.choice(LOSSES)
    number = 1 if fault.endswith("!") else pass_number(point, OFTEN.get(fault, 3))
    clean = False
    if point.mount(f"{fault.rstrip('!')}=kill@{number}"):
        copying = point.copy_meanwhile()
        point.load()
        copying.join()
        if point.alive():
            # Its first pass comes, on a slow machine late; a later one perhaps never.
            deadline = time.monotonic() + ((60 if fault.endswith("!") else 5) if fault.startswith(SLOW) else 0)
            while point.alive() and time.monotonic() < deadline:
                time.sleep(0.02)
            clean = bool(point.alive()) and point.unmount()
    else:
        unload(point)
        loss = "emptied"
    point.fired = not clean and point.dies()
    point.kill()
    point.lose(loss)
    point.conclude()


def unload(point):
    """A trace with nothing in it but its beginning."""
    run(ORACLE, "run", "--dir", point.fs.dir, "--threads", 1, "--trace", point.base / "trace", "--seed", point.seed,
        "--ops", 0)


def kill_in_recovery(point, fault):
    """A killed load, a loss, and the daemon kills itself on the way back; twice."""
    point.mount()
    point.setup()
    copying = point.copy_meanwhile()
    point.load("--kill-pid", point.alive()[0], "--kill-after", point.random.randrange(point.ops * point.threads))
    copying.join()
    point.kill()
    loss = point.random.choice(LOSSES[1:] if fault.startswith(("hydrate", "aside")) else LOSSES)
    if fault.startswith("aside"):
        loss = "damaged"
    point.lose(loss)
    for _ in range(2):
        number = 1 if fault.endswith("!") else pass_number(point, OFTEN.get(fault, 3))
        if point.mount(f"{fault.rstrip('!')}=kill@{number}"):
            done = point.oracle("check", "--dir", point.fs.dir, *point.workload(), "--promise", point.promise())
            if done.returncode and not point.dies():
                raise Violation(f"before the crash: {done.stdout.strip()}")
            while point.alive() and is_mounted(point.fs.dir):
                if point.status_says("done", "true"):
                    break
                time.sleep(0.005)
        if point.alive() and point.unmount():
            break  # never met: the store and the directory are clean now
        point.fired = True
        point.points += 1
        point.kill()
    point.conclude()


def kill_in_adoption(point, fault):
    """The daemon kills itself while it records what was there before the first mount, and again; then a load."""
    point.setup()
    for _ in range(2):
        number = 1 if fault.endswith("!") else pass_number(point, OFTEN.get(fault, 3))
        adopted = False
        if point.mount(f"{fault.rstrip('!')}=kill@{number}"):
            while (adopted := point.status_says("share", 1)) is False:
                time.sleep(0.005)
        if adopted:
            break
        if not point.dies():
            raise Violation("neither adopted nor dead")
        point.fired = True
        point.points += 1
        point.kill()
    point.kill()
    point.mount()
    copying = point.copy_meanwhile()
    point.fs.wait_adopted(HANG)
    point.load("--kill-pid", point.alive()[0], "--kill-after", point.random.randrange(point.ops * point.threads))
    copying.join()
    point.kill()
    point.lose(point.random.choice(LOSSES))
    point.conclude()


def kill_in_drift(point, fault):
    """A clean directory is changed without dkfs, and the daemon kills itself while it takes the changes in. What it has
    not taken then lies aside: the tree is some mixture, but whole, readable and the same however it is read."""
    begin(point)
    point.load()
    number = 1 if fault.endswith("!") else pass_number(point, OFTEN.get(fault, 5))
    if point.mount(f"{fault.rstrip('!')}=kill@{number}"):
        point.oracle("sum", "--dir", point.fs.dir, check=False)
        if point.alive() and point.unmount():
            point.kill()
            point.conclude(judge=False)
            return
    point.fired = point.dies()
    point.kill()
    point.conclude(judge=False)


def fail(point, fault):
    """`NAME=ERRNO@N`: calls may fail; what was acknowledged stays, nobody dies, and the next mount is sound."""
    begin(point)
    if point.mount(fault):
        point.load()
        if not point.alive():
            raise Violation("the daemon died of an error")
    if point.random.randrange(2) == 0 and point.alive():
        point.unmount()
    point.kill()
    point.lose(point.random.choice(("intact", "emptied", "damaged")))
    if not (point.base / "trace").exists():
        unload(point)
    point.fired = True
    point.conclude()


def seeded_bug(point, fault):
    """A fault of the index on purpose: the oracle has to see it once the directory is lost."""
    begin(point)
    point.mount(f"{fault}=skip@{point.random.randrange(1, 15)}")
    point.load()
    point.kill()
    point.lose("emptied")
    point.conclude()


def scenario_of_failures(point):
    """The one that `fail` runs: a fixed load of one thread."""
    point.threads, point.ops, point.order = 1, 100, "calls"
    point.fs.options = ["--order", "calls"]
    point.fs.env["DKFS_TEST_SEGMENT_BYTES"] = str(1 << 20)
    point.fs.env.pop("DKFS_TEST_HASTE", None)


def count_passes(seed):
    """How often the scenario of failures passes each fault point."""
    point = Point("fail:", seed)
    try:
        scenario_of_failures(point)
        begin(point)
        out = point.base / "passes"
        point.mount("daemon.ready=short@999999999", DKFS_TEST_PASSES=str(out))
        point.load()
        if not point.unmount():
            raise Violation("a healthy mount cannot be unmounted")
        deadline = time.monotonic() + HANG
        while point.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        return {name: int(count) for name, count in (line.split() for line in out.read_text().splitlines())}
    finally:
        point.close()


def failures(counts):
    """Every failure of the scenario, as specifications of DKFS_FAULTS."""
    specs = []
    for name, count in counts.items():
        if not name.startswith(("file.", "kv.", "journal.", "backing.", "index.", "store.")):
            continue
        for number in range(1, count + 1):
            specs += [f"{name}=EIO@{number}", f"{name}=ENOSPC@{number}", f"{name}=EIO@{number}+", f"{name}=ENOSPC@{number}+"]
            if name in ("file.read", "file.write"):
                specs.append(f"{name}=short@{number}")
    return specs


PLANS = {"random": random_kill, "load": kill_in_load, "recovery": kill_in_recovery, "adopt": kill_in_adoption,
         "drift": kill_in_drift, "fail": fail, "bug": seeded_bug}

# Which plan reaches a fault point; a point that is in none of them must have its reason here.
REACH = {
    "load": "file.open file.read file.write file.datasync file.sync file.syncdir file.allocate file.rename "
            "file.unlink file.mkdir file.stat file.list store.open store.append store.barrier store.sync store.close "
            "store.mark_clean store.remove_clean journal.append journal.sync journal.roll journal.seal journal.delete "
            "index.apply index.flush index.repoint kv.write kv.sync kv.rename kv.flush retain.pack retain.publish "
            "retain.repoint retain.fold retain.drop retain.delete retain.flush backing.open backing.write backing.rename "
            "backing.sync capture.append layout.change ops.recorded ops.applied ops.reply session.thread daemon.ready "
            "daemon.unmount".split(),
    "recovery": "journal.recover hydrate.block hydrate.publish aside.move".split(),
    "adopt": "adopt.record adopt.capture".split(),
    "drift": "drift.capture".split(),
}
UNREACHED = {
    "file.truncate": "only a rebuilt or a repaired store cuts files; tests/unit/store",
    "file.syncfs": "file::SyncFs has no caller; backing.sync stands for the backing file system's",
}


def run_point(plan, seed):
    """The point, closed; raises Violation with the line that repeats it."""
    name, _, fault = plan.partition(":")
    point = Point(plan, seed)
    try:
        if name == "fail":
            scenario_of_failures(point)
        PLANS[name](point, fault)
    except (Violation, subprocess.SubprocessError, AssertionError, OSError) as wrong:
        keep = os.environ.get("DKFS_CRASH_KEEP")
        if keep:
            point.kill()
            run("cp", "-a", "--one-file-system", point.base, tempfile.mkdtemp(prefix=f"{plan}-{seed}-", dir=keep), check=False)
        raise Violation(f"{wrong}\n  {point.threads} threads, order={point.order}, {point.notes}\n"
                        f"  repeat: tests/crash/points.py '{plan}' {seed}") from wrong
    finally:
        point.close()
    return point


if __name__ == "__main__":
    try:
        for each in range(int(sys.argv[3]) if len(sys.argv) > 3 else 1):
            began = time.monotonic()
            made = run_point(sys.argv[1], int(sys.argv[2]) + each)
            print(f"ok {sys.argv[1]} {int(sys.argv[2]) + each} fired={made.fired} {made.notes} "
                  f"{made.order} {time.monotonic() - began:.1f} s", flush=True)
    except Violation as found:
        print(f"violation: {found}")
        sys.exit(1)
