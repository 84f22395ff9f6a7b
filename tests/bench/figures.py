"""The arithmetic of the benchmark: medians, ratios of pairs, their spread, and whether a figure is met. Pure."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table. `sense`: what is measured is a `rate` (more is better) or a `time` (less is better), both
    compared with `base` pair by pair; or a `limit`, a figure of dkfs alone that must stay at or below `must`."""
    id: str
    title: str
    unit: str
    sense: str = "rate"
    must: float | None = None
    aim: float | None = None
    base: str = "native"
    samples: str = ""  # the row that holds the samples, when it is another one


def median(values):
    return statistics.median(values)


def ratios(base, other, sense):
    """Pair by pair, above 1 when `other` is better than `base`."""
    if sense == "time":
        base, other = other, base
    return [o / b if b else float("inf") for b, o in zip(base, other)]


def summary(row, samples):
    """What the table says of a row, or None when a side was not measured."""
    ours = samples.get("dkfs")
    if not ours:
        return None
    if row.sense == "limit":
        return {"native": median(samples["native"]) if samples.get("native") else None, "dkfs": median(ours),
                "ratio": None, "lowest": min(ours), "highest": max(ours), "pairs": len(ours)}
    theirs = samples.get(row.base)
    if not theirs:
        return None
    found = ratios(theirs, ours, row.sense)
    return {"native": median(theirs), "dkfs": median(ours), "ratio": median(found), "lowest": min(found),
            "highest": max(found), "pairs": len(found)}


def verdict(row, found):
    """'aim', 'met', 'missed', or '' for a row without a figure to meet."""
    if row.must is None:
        return ""
    if row.sense == "limit":
        value = found["dkfs"]
        return "aim" if row.aim is not None and value <= row.aim else "met" if value <= row.must else "missed"
    value = found["ratio"]
    return "aim" if row.aim is not None and value >= row.aim else "met" if value >= row.must else "missed"


def number(value):
    """Three digits that matter, thousands with a comma."""
    if value is None:
        return ""
    if value != 0 and abs(value) < 0.01:
        return f"{value:.4f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"
