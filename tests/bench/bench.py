#!/usr/bin/env python3
"""Paired benchmarks: the same loads on native ext4 and on dkfs in turn.

  ./dev bench                 everything, into docs/performance.md, docs/performance.svg and docs/performance.json
  ./dev bench NAME...         only these; their rows are replaced, the others stay (pgbench-* and the like work too)
  ./dev bench --quick [NAME...]  a few seconds each, to see that they work; nothing under docs/ changes
  ./dev bench list            the names, their rows, and how long each takes
  ./dev bench report          the document again from what was kept
  ./dev bench micro [ARG...]  the micro-benchmarks (Google Benchmark), ARGs are theirs

Native directory, DIR and store share one file system: DKFS_BENCH_DIR, else /var/tmp. Nothing else should run. Figures are
medians over the pairs, ratios the medians of the pairs' ratios; the first pair is told apart as fresh. Each result is kept
as soon as it is there, so a run that was cut goes on with the names that are left.
"""

import argparse
import fnmatch
import json
import sys
import time
import traceback

import adaptive_bench
import cost_bench
import files_bench
import fio_bench
import hydrate_bench
import machine
import mounts_bench
import postgres_bench
import redis_bench
import report
import results
import sqlite_bench
import trees_bench
from runner import Settings, say

FAMILIES = (postgres_bench, sqlite_bench, redis_bench, fio_bench, files_bench, trees_bench, mounts_bench, cost_bench,
            adaptive_bench, hydrate_bench)
BENCHES = [bench for family in FAMILIES for bench in family.BENCHES]


def chosen(patterns):
    """The benches that the patterns name, in the order of the table; ValueError for one that names none."""
    for pattern in patterns:
        if not any(fnmatch.fnmatch(b.name, pattern) for b in BENCHES):
            raise ValueError(f"no benchmark called {pattern}; ./dev bench list")
    return [b for b in BENCHES if not patterns or any(fnmatch.fnmatch(b.name, p) for p in patterns)]


def measure(bench, settings):
    """What is kept of one run of a bench."""
    load = machine.load_average()
    start = time.monotonic()
    found = bench.run(settings)
    return {**found, "machine": machine.machine(), "commit": machine.commit(), "date": machine.today(), "load": load,
            "pairs": settings.pairs, "seconds": settings.seconds, "took": time.monotonic() - start,
            "peak_mib": settings.peaks.get(bench.name)}


def listing(settings):
    for bench in BENCHES:
        print(f"{bench.name:20} {bench.estimate(settings):5.0f} s  " + "; ".join(row.title for row in bench.rows))
    print(f"{'all':20} {sum(b.estimate(settings) for b in BENCHES):5.0f} s")


def run_all(benches, settings, path):
    """Measures and keeps; names of those that failed."""
    failed = []
    for bench in benches:
        say(f"{bench.name}: about {bench.estimate(settings):.0f} s")
        try:
            found = measure(bench, settings)
        except Exception:  # the others are still worth measuring
            traceback.print_exc()
            failed.append(bench.name)
            continue
        kept = results.load(path)
        kept[bench.name] = found
        results.save(path, kept)
        say(f"{bench.name}: took {found['took']:.0f} s")
    return failed


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks; or list, report")
    parser.add_argument("--quick", action="store_true", help="2 pairs of 2 s with little data, printed only")
    parser.add_argument("--json", action="store_true", help="print the results as JSON instead of tables")
    parser.add_argument("--pairs", type=int, default=0, help="pairs that count (default 5)")
    parser.add_argument("--seconds", type=float, default=30, help="most that one measurement lasts (default 30)")
    parser.add_argument("--others", action="store_true", help="also passthrough_ll, bindfs, mergerfs, gocryptfs and btrfs "
                        "where they are installed, in the benchmarks that compare them")
    return parser


def main():
    parser = arguments()
    args = parser.parse_args()
    settings = Settings(args.quick, args.pairs or (2 if args.quick else 5), args.seconds, args.others)
    path = results.QUICK if args.quick else results.KEPT
    if args.names == ["list"]:
        listing(settings)
        return 0
    try:
        benches = chosen([] if args.names == ["report"] else args.names)
    except ValueError as error:
        parser.error(str(error))
    failed = [] if args.names == ["report"] else run_all(benches, settings, path)
    kept = results.load(path)
    if not args.quick:
        report.write(BENCHES, kept)
    kept = {b.name: kept[b.name] for b in benches if b.name in kept}
    print(json.dumps(results.rounded(kept), indent=1) if args.json else report.block(BENCHES, kept))
    if failed:
        say("failed: " + ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
