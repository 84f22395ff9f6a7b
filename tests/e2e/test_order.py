"""--order fsync: the kernel's writeback cache is on; what was synced survives, and files behave as files."""

import mmap
import os
import random

import pytest

from dkfs import Dkfs, assert_same, tree
from test_recovery import lose_all, populate

pytestmark = pytest.mark.short


@pytest.fixture
def fsync(base):
    made = Dkfs(base, ["--order", "fsync"])
    yield made
    made.close()


def test_status_says_so(fsync):
    fsync.mount()
    assert fsync.status()["order"] == "fsync"


def test_synced_content_survives(fsync):
    rng = random.Random(5)
    fsync.mount()
    want = {}
    for i in range(20):
        path = fsync.dir / f"f{i}"
        data = bytearray(rng.randbytes(rng.randrange(1, 100_000)))
        fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        os.write(fd, data)
        for _ in range(5):
            at = rng.randrange(len(data))
            patch = rng.randbytes(rng.randrange(1, 3000))
            os.pwrite(fd, patch, at)
            data[at:at + len(patch)] = patch
        os.fsync(fd)
        os.close(fd)
        want[path] = bytes(data)
    fsync.kill()
    lose_all(fsync)
    fsync.mount()
    for path, data in want.items():
        assert path.read_bytes() == data


def test_everything_survives_after_sync(fsync):
    fsync.mount()
    populate(fsync.dir)
    with open(fsync.dir / "mapped", "w+b") as f:
        f.truncate(50_000)
        with mmap.mmap(f.fileno(), 0) as m:
            m[30_000:30_005] = b"pages"
    fsync.ctl("sync", fsync.dir)
    want = tree(fsync.dir)
    fsync.kill()
    lose_all(fsync)
    fsync.mount()
    got = tree(fsync.dir)
    for row in [*got.values(), *want.values()]:
        if isinstance(row, dict):
            row.pop("mtime")  # times of cached writes are the kernel's until it hands them over
    assert_same(got, want)


def test_clean_unmount_is_complete(fsync):
    fsync.mount()
    populate(fsync.dir)
    want = tree(fsync.dir)
    fsync.unmount()
    assert_same(tree(fsync.dir), want)
