"""Puts results between markers into docs/performance.md, so that what people wrote around them stays. Pure but for `write`."""

from pathlib import Path

from figures import Row, median, number, ratios, summary, verdict
from machine import ROOT
from plot import svg

DOC = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance.svg"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
MEMORY = Row("memory", "memory of dkfs, the highest of all loads above", "MiB", "limit", 256, 128)
WORDS = {"aim": "aim met", "met": "met", "missed": "**not met**", "": ""}


def replaced(text, block):
    """`text` with what stands between the markers replaced; ValueError unless there is one pair, in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the document needs one '{BEGIN}' and one '{END}' after it")
    return text[:text.index(BEGIN)] + BEGIN + "\n" + block.strip("\n") + "\n" + text[text.index(END):]


def measured(benches, results):
    """(row, result, samples, summary) of every row that has figures, in the order of the benches."""
    found = []
    for bench in benches:
        result = results.get(bench.name)
        if result is None:
            continue
        for row in bench.rows:
            samples = result["samples"].get(row.samples or row.id, {})
            figures = summary(row, samples)
            if figures:
                found.append((row, result, samples, figures))
    peaks = [r["peak_mib"] for r in results.values() if r.get("peak_mib")]
    if peaks:
        newest = max(results.values(), key=lambda r: r["date"])
        found.append((MEMORY, newest, {}, {"native": None, "dkfs": max(peaks), "ratio": None, "lowest": min(peaks),
                                           "highest": max(peaks), "pairs": len(peaks)}))
    return found


def fresh_ratio(row, result):
    pair = result.get("fresh", {}).get(row.samples or row.id, {})
    if row.sense == "limit" or row.base not in pair or "dkfs" not in pair:
        return ""
    return f"{ratios([pair[row.base]], [pair['dkfs']], row.sense)[0]:.2f}"


def bounds(row):
    sign = "at most " if row.sense == "limit" else ""
    return [f"{sign}{value:g}" if value is not None else "" for value in (row.must, row.aim)]


def line(row, result, figures):
    spread = f"{number(figures['lowest'])} to {number(figures['highest'])}"
    ratio = (f"{figures['ratio']:.2f} ({figures['lowest']:.2f} to {figures['highest']:.2f})" if figures["ratio"] is not None
             else f"({spread})" if figures["pairs"] > 1 else "")
    unit = {"B/B": "", "1/s": "/s"}.get(row.unit, " " + row.unit)
    native = number(figures["native"]) + unit if figures["native"] is not None else ""
    must, aim = bounds(row)
    return (f"| {row.title} | {native} | {number(figures['dkfs'])}{unit} | {ratio} | {fresh_ratio(row, result)} | {must} | {aim} | "
            f"{WORDS[verdict(row, figures)]} | {result['commit']} |")


def main_table(rows):
    yield "| load | native (or the one compared) | dkfs | ratio, median (lowest to highest) | fresh | must | aim | met | commit |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row, result, _, figures in rows:
        yield line(row, result, figures)


def others_table(rows):
    """The ratios to native of every other file system that took part."""
    lines = []
    for row, _, samples, _ in rows:
        if row.sense == "limit" or row.base != "native":
            continue
        for name, values in samples.items():
            if name not in ("native", "dkfs"):
                found = ratios(samples["native"], values, row.sense)
                lines.append(f"| {row.title} | {name} | {median(found):.2f} ({min(found):.2f} to {max(found):.2f}) |")
    if lines:
        yield from ("", "### Others in the same runs, ratio to native", "", "| load | file system | ratio |", "|---|---|---|")
        yield from lines


def costs_table(results):
    lines = []
    for name, cost in (results.get("costs", {}).get("costs") or {}).items():
        requests = ", ".join(f"{op} {number(n)}" for op, n in sorted(cost["requests"].items(), key=lambda x: -x[1]))
        calls = "" if cost["syscalls"] is None else number(cost["syscalls"])
        lines.append(f"| {name} | {requests} | {number(cost['wakeups'])} | {calls} | {number(cost['cpu_us'])} us |")
    if lines:
        yield from ("", "### What one operation costs the daemon", "",
                    "All its threads, background work included; system calls counted by perf.", "",
                    "| operation | FUSE requests | wakeups | system calls | CPU |", "|---|---|---|---|---|")
        yield from lines


def layouts_table(results):
    """What the mixed load came to under each layout."""
    found = results.get("adaptive", {}).get("layouts") or {}
    if not found:
        return
    parts = list(next(iter(found.values()))["rates"])
    yield from ("", "### The mixed load, by layout of all files", "", "Work of a part in a second, store bytes kept, CPU of dkfs. "
                "Medians of the rounds.", "", "| layout | " + " | ".join(parts) + " | all parts | store | CPU |",
                "|---" * (len(parts) + 4) + "|")
    for layout, one in found.items():
        rates = " | ".join(number(one["rates"][part]) for part in parts)
        yield f"| {layout} | {rates} | {one['seconds']:.1f} s | {one['store_mb']:.1f} MB | {one['cpu']:.1f} s |"


def block(benches, results):
    """The generated part of the document."""
    rows = measured(benches, results)
    machines = sorted({f"- {r['machine']}: {r['pairs']} pairs, at most {r['seconds']:g} s each, load average when begun up to "
                       f"{max(x['load'] for x in results.values() if x['machine'] == r['machine']):.1f}, {r['date']}"
                       for r in results.values()})
    return "\n".join([*machines, "", "![ratios to native](performance.svg)", "", *main_table(rows), *others_table(rows),
                      *costs_table(results), *layouts_table(results)])


def plotted(benches, results):
    return [(row, figures) for row, _, _, figures in measured(benches, results)
            if figures["ratio"] is not None and (row.must is not None or row.base == "native")]


def write(benches, results, doc=DOC, plot=PLOT):
    Path(doc).write_text(replaced(Path(doc).read_text(), block(benches, results)))
    Path(plot).write_text(svg(plotted(benches, results)))
