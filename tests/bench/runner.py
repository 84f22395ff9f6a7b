"""Runs a bench: each load alternates between the sides, the first pair warms up and is told apart as fresh."""

import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cost import cpu_seconds, peak_memory
from sides import OTHERS, SIDES, run


@dataclass
class Settings:
    quick: bool = False
    pairs: int = 5
    seconds: float = 30
    others: bool = False  # also the file systems that no row asks for
    peaks: dict = field(default_factory=dict)  # bench -> highest memory of dkfs in MiB

    def short(self, seconds):
        """The length of one measurement that takes `seconds` in full form."""
        return min(2, seconds) if self.quick else min(seconds, self.seconds)

    def size(self, full, quick):
        return quick if self.quick else full


def say(text):
    print(text, file=sys.stderr, flush=True)


def need_space(path, gib):
    free = shutil.disk_usage(path).free / 2**30
    if free < gib + 4:
        raise RuntimeError(f"{gib + 4:.0f} GiB must be free, {free:.0f} are")


@contextmanager
def workplace():
    """A folder on the disk that is measured: DKFS_BENCH_DIR or /var/tmp."""
    base = Path(tempfile.mkdtemp(prefix="dkfs-bench-", dir=os.environ.get("DKFS_BENCH_DIR", "/var/tmp")))
    base.chmod(0o755)
    try:
        yield base
    finally:
        run("rm", "-rf", "--one-file-system", base, check=False, timeout=600)


@contextmanager
def opened(settings, bench, side):
    """The side is open inside, and whatever happens closed behind; dkfs's memory is remembered."""
    try:
        side.open()
        yield side
        if side.name == "dkfs":
            settings.peaks[bench] = max(settings.peaks.get(bench, 0), peak_memory(side.pids()))
    finally:
        side.close()


def settle(sides, longest=15):
    """What one side left to do in the background must not weigh on the next measurement."""
    for side in sides:
        side.flush()
    pids = [pid for side in sides for pid in side.pids()]
    deadline = time.monotonic() + longest
    while pids and time.monotonic() < deadline:
        before = cpu_seconds(pids)
        time.sleep(0.25)
        if cpu_seconds(pids) - before <= 0.01:
            return


class Paired:
    """A load measured on all its sides in turn. Subclasses give `rows`, and below: prepare, measure, finish.

    measure() returns {row id: value}, or one value when there is one row."""
    sides = ("native", "dkfs")
    order = "calls"
    compares = False  # worth measuring on the other file systems too
    gib = 2           # space that must be free
    seconds = 5       # of one measurement in full form

    def __init__(self, name, rows):
        self.name, self.rows = name, rows

    def prepare(self, side, settings):
        return None

    def measure(self, side, state, settings):
        raise NotImplementedError

    def finish(self, side, state):
        pass

    def estimate(self, settings):
        """Seconds of the whole bench, roughly."""
        once = settings.short(self.seconds) + 1
        return len(self.sides) * (settings.pairs * once + min(once, 11)) + 10

    def wanted(self, settings):
        names = list(self.sides)
        if settings.others and self.compares:
            names += [n for n in OTHERS if n not in names]
        for name in names:
            if not SIDES[name].available():
                say(f"  {self.name}: {name} is not here, left out")
        return [SIDES[n] for n in names if SIDES[n].available()]

    def run(self, settings):
        samples, fresh = {}, {}
        with workplace() as base:
            need_space(base, self.gib)
            sides = [kind(base / kind.name, self.order) for kind in self.wanted(settings)]
            self._nest(settings, sides, [], lambda states: self._rounds(settings, sides, states, samples, fresh))
        return {"samples": samples, "fresh": fresh}

    def _nest(self, settings, sides, states, inside):
        """Opens side after side, prepares each, calls `inside`, and takes all down again in the opposite order."""
        if len(states) == len(sides):
            inside(states)
            return
        side = sides[len(states)]
        with opened(settings, self.name, side):
            state = self.prepare(side, settings)
            try:
                self._nest(settings, sides, [*states, state], inside)
            finally:
                self.finish(side, state)

    def _rounds(self, settings, sides, states, samples, fresh):
        warm_up = replace(settings, seconds=min(settings.seconds, 10))
        for i in range(settings.pairs + 1):
            for side, state in zip(sides, states):
                settle(sides)
                values = self.measure(side, state, settings if i else warm_up)
                if not isinstance(values, dict):
                    values = {self.rows[0].id: values}
                for row, value in values.items():
                    if i == 0:
                        fresh.setdefault(row, {})[side.name] = value
                    else:
                        samples.setdefault(row, {}).setdefault(side.name, []).append(value)
                shown = ", ".join(f"{row} {value:.4g}" for row, value in values.items())
                say(f"  {side.name} {'fresh' if i == 0 else i}: {shown}")
