"""The time to be ready and to read does not depend on how much there is."""

import os
import time

from dkfs import SLACK, wait_until

ATTEMPTS = 10  # one quiet attempt shows what a busy machine hides


def attempt(fs, size):
    """Kill, lose, mount: seconds until ready, and of first reads of 8 KiB."""
    fs.kill()
    fs.lose_dir()
    start = time.monotonic()
    fs.mount()
    ready = time.monotonic() - start
    times = []
    for i in (size - 1, size // 2, 3, size // 3):
        start = time.monotonic()
        fd = os.open(fs.dir / "big", os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        assert int.from_bytes(os.pread(fd, 8192, i << 20)[:8], "big") == i
        os.close(fd)
        times.append(time.monotonic() - start)
    assert len(os.listdir(fs.dir)) == 2001
    print(f"ready {ready:.3f} s, first reads of 8 KiB {[f'{t * 1000:.1f} ms' for t in times]}")
    return ready < 1 * SLACK and max(times) < 0.05 * SLACK


def test_ready_and_first_read_are_quick(fs):
    fs.mount()
    block = os.urandom(1 << 20)
    size = int(os.environ.get("DKFS_TEST_LAZY_MIB", "512"))
    with open(fs.dir / "big", "wb") as f:
        for i in range(size):
            f.write(i.to_bytes(8, "big") + block[8:])
    for i in range(2000):
        (fs.dir / f"small{i}").write_bytes(b"x" * 100)
    fs.ctl("sync", fs.dir)
    assert any(attempt(fs, size) for _ in range(ATTEMPTS))


def test_files_nobody_has_open_cost_no_descriptor(fs):
    fs.mount()
    for i in range(400):
        (fs.dir / f"f{i}").write_bytes(b"x" * 100)
    fs.kill()
    fs.lose_dir()
    fs.mount()
    for i in range(400):  # beside the background, which meets some of them first and some later
        assert (fs.dir / f"f{i}").read_bytes() == b"x" * 100
    fs.wait_hydrated()
    wait_until(lambda: len(fs.descriptors()) < 100, lambda: sorted(fs.descriptors())[:5])  # a close is not waited for
