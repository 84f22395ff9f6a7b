"""Prometheus metrics at --metrics-addr."""

import contextlib
import os
import urllib.request

import pytest

from dkfs import BIN, PATIENCE, Dkfs, free_port, run

pytestmark = pytest.mark.short


def scrape(port):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).read().decode()
    rows = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            rows[name] = float(value)
    return text, rows


def test_metrics_count_what_happens(base):
    made = Dkfs(base)
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(free_port())
        stack.callback(made.close)
        run(BIN / "dkfs", "--store", made.store, "--metrics-addr", f"127.0.0.1:{port}", made.dir)
        _, before = scrape(port)
        with open(made.dir / "f", "wb") as f:
            for _ in range(10):
                f.write(b"x" * 8192)
                f.flush()
            os.fsync(f.fileno())
        made.ctl("sync", made.dir)
        text, after = scrape(port)

        def grew(prefix):
            return sum(v for k, v in after.items() if k.startswith(prefix)) - sum(v for k, v in before.items() if k.startswith(prefix))

        assert grew('dkfs_fuse_requests_total{op="write"') >= 10
        assert grew("dkfs_blueshift_records_total") >= 11
        assert grew("dkfs_blueshift_expanded_bytes_total") >= 10 * 8192
        assert 10 * 200 < grew("dkfs_blueshift_appended_bytes_total") < 8192  # ten pages of one letter
        for family in ("dkfs_fuse_request_duration_seconds", "dkfs_journal_sync_duration_seconds",
                       "dkfs_journal_group_commit_size", "dkfs_index_lag", "dkfs_redshift_", "dkfs_store_bytes", "dkfs_degraded"):
            assert f"# TYPE {family}" in text or any(line.startswith(f"# TYPE {family}") for line in text.splitlines()), family
        for family in ("dkfs_journal_sync_duration_seconds", "dkfs_journal_group_commit_size"):
            assert f"# TYPE {family} histogram" in text
            assert after[f"{family}_count"] == after[f'{family}_bucket{{le="+Inf"}}'] >= 1
            assert after[f"{family}_sum"] > 0
            counts = [v for k, v in after.items() if k.startswith(f"{family}_bucket")]
            assert counts == sorted(counts) and len(counts) > 5, "cumulative"
        assert 0 < after["dkfs_journal_sync_duration_seconds_sum"] < 60, "seconds"
        assert next(v for k, v in after.items() if k.startswith("dkfs_degraded")) == 0
