"""Whether choosing layouts pays: one mixed load, the profiler against the same layout for all files, paired.

Each round runs `--layouts adaptive` and every fixed layout (`--hints` with one pattern for all) in changing order, each with a
fresh store and DIR, and the same bytes are written. Store bytes are packs and index when packing has come to rest (as in
cost_bench.py), CPU is that of all dkfs processes, packing included."""

from cost import cpu_seconds
from figures import Row, median
from mixed_load import PARTS, run_mixed
from runner import need_space, opened, say, settle, workplace
from sides import DkfsSide

ADAPTIVE = "adaptive"
DEFAULT = "8K delta z3 fold24"
FIXED = (DEFAULT, "8K delta z9 fold96", "8K delta z1 fold8", "4K delta z3 fold48", "64K delta z3 fold24", "8K whole z3", "8K whole raw")
LEARNING = ("--layouts", "adaptive")
INTERVAL, DWELL = "1s", "5s"  # as a load of a minute has to be learned from


def words_for(layout, base):
    """The options of a mount in which all files have `layout`."""
    if layout == ADAPTIVE:
        return [*LEARNING, "--profiler-interval", INTERVAL, "--profiler-dwell", DWELL]
    if layout == DEFAULT:
        return ["--layouts", "fixed"]
    hints = base / "hints"
    hints.write_text(f"* {layout}\n")
    return ["--layouts", "fixed", "--hints", hints]


def one(base, layout, settings, rounds, parts=PARTS, look=None):
    """What one configuration made of the load: rates of its parts, seconds, CPU, store bytes. `look`: called with the side
    when the load is done."""
    base.mkdir()
    side = DkfsSide(base, options=words_for(layout, base))
    cpu = 0.0
    with opened(settings, "adaptive", side):
        done = run_mixed(side.dir, settings, rounds, parts)
        if look:
            look(side)
        settle([side], 60)
        cpu += cpu_seconds(side.pids())
        side.reopen()  # ends the segment that was written, so that it is packed too
        status = side.wait_packed()
        cpu += cpu_seconds(side.pids())
        kept = status["store"]["pack_bytes"] + status["store"]["index_bytes"]
    return {"rates": {name: amount / took for name, (amount, took) in done.items()},
            "seconds": sum(took for _, took in done.values()), "cpu": cpu, "store": kept}


def orders(names, count):
    """The order of each round: each begins with another."""
    for i in range(count):
        at = i * 3 % len(names)
        yield [*names[at:], *names[:at]]


def ratios_to_best(found, better):
    """Round by round: adaptive over the best of the fixed ones."""
    return [ours / better(found[layout][i] for layout in FIXED) for i, ours in enumerate(found[ADAPTIVE])]


class Adaptive:
    name = "adaptive"
    rows = [Row("adaptive.store", "mixed load, store bytes: adaptive over best fixed", "B/B", "limit", 1.0, 0.8),
            Row("adaptive.rate", "mixed load, work per second: adaptive, best fixed", "1/s", "rate", 0.95, 1.0,
                base="fixed"),
            Row("adaptive.cpu", "mixed load, CPU of dkfs: adaptive over best fixed", "B/B", "limit", 1.1, 1.0)]

    def estimate(self, settings):
        return settings.pairs * (1 + len(FIXED)) * settings.size(110, 40)

    def run(self, settings):
        rounds = settings.size(6, 2)
        found = {key: {name: [] for name in (ADAPTIVE, *FIXED)} for key in ("store", "cpu", "work")}
        parts = {name: {} for name in (ADAPTIVE, *FIXED)}
        with workplace() as base:
            need_space(base, 6)
            for i, order in enumerate(orders((ADAPTIVE, *FIXED), settings.pairs)):
                for layout in order:
                    result = one(base / f"{i}-{layout.replace(' ', '-')}", layout, settings, rounds)
                    for key, value in (("store", result["store"]), ("cpu", result["cpu"]), ("work", 1 / result["seconds"])):
                        found[key][layout].append(value)
                    for part, rate in result["rates"].items():
                        parts[layout].setdefault(part, []).append(rate)
                    say(f"  {layout} {i}: {result['store'] / 1e6:.1f} MB kept, {result['seconds']:.1f} s, CPU {result['cpu']:.1f} s, "
                        + ", ".join(f"{part} {rate:.0f}" for part, rate in result["rates"].items()))
        best = [max(found["work"][layout][i] for layout in FIXED) for i in range(settings.pairs)]
        samples = {"adaptive.store": {"dkfs": ratios_to_best(found["store"], min)},
                   "adaptive.cpu": {"dkfs": ratios_to_best(found["cpu"], min)},
                   "adaptive.rate": {"fixed": best, "dkfs": found["work"][ADAPTIVE]}}
        return {"samples": samples, "fresh": {}, "layouts": self.summary(found, parts)}

    def summary(self, found, parts):
        """layout -> medians of what its rounds gave."""
        return {layout: {"store_mb": median(found["store"][layout]) / 1e6, "cpu": median(found["cpu"][layout]),
                         "seconds": median([1 / work for work in found["work"][layout]]),
                         "rates": {part: median(rates) for part, rates in parts[layout].items()}}
                for layout in (ADAPTIVE, *FIXED)}


BENCHES = [Adaptive()]
