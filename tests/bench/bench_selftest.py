#!/usr/bin/python3
"""The reporter's promises: medians, ratios, spread, verdicts, the markers in the document, and that docs know every bench."""

import os
import re
import sys
import tempfile
import unittest
import xml.dom.minidom
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bench  # noqa: E402
import figures  # noqa: E402
import machine  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
from figures import Row  # noqa: E402
from runner import Settings  # noqa: E402

RATE = Row("r", "a rate", "tps", must=0.8, aim=1.0)
TIME = Row("t", "a time", "s", "time", 0.5, 0.8)
LIMIT = Row("l", "a limit", "us", "limit", 60, 25)


class FakeBench:
    def __init__(self, name, rows):
        self.name, self.rows = name, rows


def result(samples, **more):
    return {"samples": samples, "fresh": {}, "machine": "a machine", "commit": "abc", "date": "2026-01-01", "load": 0.5,
            "pairs": 3, "seconds": 30, "peak_mib": None, **more}


class FiguresTest(unittest.TestCase):
    def test_a_ratio_is_the_median_of_the_pairs_not_of_the_sums(self):
        found = figures.summary(RATE, {"native": [100, 200, 400], "dkfs": [90, 100, 400]})
        self.assertEqual((found["ratio"], found["lowest"], found["highest"], found["pairs"]), (0.9, 0.5, 1.0, 3))
        self.assertEqual((found["native"], found["dkfs"]), (200, 100))

    def test_of_times_less_is_better(self):
        found = figures.summary(TIME, {"native": [2.0], "dkfs": [4.0]})
        self.assertEqual(found["ratio"], 0.5)
        self.assertEqual(figures.verdict(TIME, found), "met")

    def test_a_row_may_be_compared_with_another_side(self):
        row = Row("x", "x", "tps", base="passthrough_ll")
        found = figures.summary(row, {"native": [100], "passthrough_ll": [50], "dkfs": [60]})
        self.assertEqual(found["ratio"], 1.2)

    def test_a_missing_side_gives_no_figure(self):
        self.assertIsNone(figures.summary(RATE, {"native": [1]}))
        self.assertIsNone(figures.summary(RATE, {"dkfs": [1]}))

    def test_verdicts_at_their_bounds(self):
        for ratio, wanted in ((0.79, "missed"), (0.8, "met"), (0.99, "met"), (1.0, "aim")):
            self.assertEqual(figures.verdict(RATE, {"ratio": ratio}), wanted, ratio)
        for value, wanted in ((61, "missed"), (60, "met"), (25, "aim")):
            self.assertEqual(figures.verdict(LIMIT, {"dkfs": value}), wanted, value)
        self.assertEqual(figures.verdict(Row("n", "n", "tps"), {"ratio": 0.1}), "")

    def test_numbers_show_what_matters(self):
        self.assertEqual([figures.number(v) for v in (None, 0, 0.00123, 0.5, 12.34, 5603.4)],
                         ["", "0.00", "0.0012", "0.50", "12.3", "5,603"])


class ReportTest(unittest.TestCase):
    benches = [FakeBench("r", [RATE]), FakeBench("l", [LIMIT])]
    measured = {"r": result({"r": {"native": [100, 100, 100], "dkfs": [70, 75, 110], "bindfs": [40, 50, 60]}},
                            fresh={"r": {"native": 10, "dkfs": 5}}, peak_mib=300.0),
                "l": result({"l": {"dkfs": [20, 30, 26]}})}

    def line(self, start):
        return next(x for x in report.block(self.benches, self.measured).splitlines() if x.startswith("| " + start))

    def test_what_stands_around_the_markers_stays(self):
        text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
        once = report.replaced(text, "new\n")
        self.assertEqual(once, f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n")
        self.assertEqual(report.replaced(once, "new"), once)

    def test_a_document_without_one_pair_of_markers_is_refused(self):
        for text in ("", report.BEGIN, f"{report.END} {report.BEGIN}", f"{report.BEGIN} {report.END} {report.BEGIN}"):
            with self.assertRaises(ValueError):
                report.replaced(text, "x")

    def test_a_row_shows_ratio_spread_fresh_and_verdict(self):
        self.assertEqual(self.line("a rate"), "| a rate | 100 tps | 75.0 tps | 0.75 (0.70 to 1.10) | 0.50 | 0.8 | 1 | **not met** | abc |")
        self.assertEqual(self.line("a limit"), "| a limit |  | 26.0 us | (20.0 to 30.0) |  | at most 60 | at most 25 | met | abc |")

    def test_the_highest_memory_of_all_loads_counts(self):
        self.assertIn("| 300 MiB |", self.line("memory of dkfs"))
        self.assertIn("**not met**", self.line("memory of dkfs"))

    def test_others_are_compared_with_native(self):
        self.assertIn("| a rate | bindfs | 0.50 (0.40 to 0.60) |", report.block(self.benches, self.measured))

    def test_measuring_one_bench_leaves_the_others(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "kept.json"
            results.save(path, self.measured)
            made = FakeBench("l", [LIMIT])
            made.run = lambda settings: {"samples": {"l": {"dkfs": [1 / 3]}}, "fresh": {}}
            made.estimate = lambda settings: 0
            with mock.patch.object(bench, "say"):
                self.assertEqual(bench.run_all([made], Settings(), path), [])
            kept = results.load(path)
            self.assertEqual(kept["r"], results.rounded(self.measured["r"]))
            self.assertEqual(kept["l"]["samples"], {"l": {"dkfs": [0.333333]}})

    def test_the_plot_is_sound_and_names_its_rows(self):
        text = plot.svg(report.plotted(self.benches, self.measured))
        xml.dom.minidom.parseString(text)
        self.assertIn("a rate", text)
        self.assertLess(plot.x_of(0.5), plot.x_of(1))
        self.assertEqual(plot.x_of(99), plot.x_of(plot.HIGHEST))


class CatalogueTest(unittest.TestCase):
    def test_names_are_unique(self):
        names = [b.name for b in bench.BENCHES]
        rows = [r.id for b in bench.BENCHES for r in b.rows]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(len(rows), len(set(rows)))

    def test_titles_fit_the_plot(self):
        self.assertEqual([r.title for b in bench.BENCHES for r in b.rows if len(r.title) > 58], [])

    def test_every_bench_is_named_in_the_documentation(self):
        words = set(re.findall(r"`([^`\n]+)`", (machine.ROOT / "docs" / "performance.md").read_text()))
        self.assertEqual([b.name for b in bench.BENCHES if b.name not in words], [])

    def test_the_document_is_what_its_json_says(self):
        text = report.DOC.read_text()
        kept = results.load(results.KEPT)
        if kept:
            self.assertEqual(report.replaced(text, report.block(bench.BENCHES, kept)), text, "./dev bench report")
            self.assertEqual(plot.svg(report.plotted(bench.BENCHES, kept)), report.PLOT.read_text())

    def test_patterns_choose(self):
        self.assertEqual([b.name for b in bench.chosen(["sqlite-wal"])], ["sqlite-wal"])
        self.assertEqual({b.name[:5] for b in bench.chosen(["redis-*"])}, {"redis"})
        self.assertEqual(bench.chosen([]), bench.BENCHES)
        with self.assertRaises(ValueError):
            bench.chosen(["nothing-like-it"])

    def test_aims_are_not_below_what_must_be(self):
        for row in (r for b in bench.BENCHES for r in b.rows if r.must is not None):
            self.assertTrue(row.aim <= row.must if row.sense == "limit" else row.aim >= row.must, row.id)


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    unittest.main()
