"""The time to be ready and to read does not depend on how much there is."""

import ctypes
import mmap
import os
import time

import pytest

from dkfs import SLACK, command_lines, run, wait_until
from test_files import FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, fallocate

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


def test_a_file_of_which_every_page_was_punched_is_read_as_quickly(fs):
    """As a database with compressed pages does: 12,000 ranges, of which most answers need none."""
    fs.mount()
    pages, page, used = 12_000, 16384, 8192
    with open(fs.dir / "f", "wb", buffering=0) as f:
        for i in range(pages):
            f.write(i.to_bytes(8, "big") * (page // 8))
    with open(fs.dir / "f", "r+b", buffering=0) as f:
        for i in range(pages):
            page_no = i * 7919 % pages
            os.pwrite(f.fileno(), b"again" + page_no.to_bytes(3, "big"), page_no * page)
            fallocate(f.fileno(), FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE, page_no * page + used, page - used)
    fs.kill()
    fs.lose_dir()
    fs.mount()
    start = time.monotonic()
    with open(fs.dir / "f", "rb") as f:
        for i in range(pages):
            want = b"again" + i.to_bytes(3, "big") + i.to_bytes(8, "big") * (used // 8 - 1) + bytes(page - used)
            assert f.read(page) == want, i
    assert time.monotonic() - start < 15 * SLACK  # 45 s when each block asked for walked them all


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


def test_what_was_lost_stays_readable_when_it_is_unlinked_while_open(fs):
    """No block of it is in DIR when its last name goes: the content comes from the store as long as it is open."""
    fs.mount()
    content = os.urandom(300_000)
    for name in ("unlinked", "replaced"):
        (fs.dir / name).write_bytes(content)
    fs.kill()
    fs.lose_dir()
    fs.mount()
    with open(fs.dir / "unlinked", "r+b", buffering=0) as f, open(fs.dir / "replaced", "rb") as g:
        os.unlink(fs.dir / "unlinked")
        (fs.dir / "new").write_bytes(b"new")
        os.rename(fs.dir / "new", fs.dir / "replaced")
        assert os.pread(f.fileno(), 400_000, 0) == content
        os.pwrite(f.fileno(), b"changed", 100_000)
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(f.fileno(), 400_000, 0) == content[:100_000] + b"changed" + content[100_007:]
        assert g.read() == content
    fs.wait_hydrated()
    assert sorted(os.listdir(fs.dir)) == ["replaced"]
    fs.unmount()
    assert sorted(os.listdir(fs.dir)) == ["replaced"]  # and no .dkfs-partial


KIB, MIB = 1 << 10, 1 << 20
EXTENT = 256 << 10


def first_restored(fs, *options):
    """After the loss of DIR: begin and end of the data that the background restores first of the one file. Leaves dkfs killed."""
    fs.lose_dir()
    fs.options = [*options, "--hydrate-rate", "1"]  # a byte a second: nothing comes after the first piece
    fs.mount()
    wait_until(lambda: fs.status()["hydration"]["blocks_reconstructed"] > 0, "nothing is restored")
    fs.kill()
    fs.detach()
    partial, = (fs.dir / ".dkfs-partial").iterdir()
    fd = os.open(partial, os.O_RDONLY)
    first = os.lseek(fd, 0, os.SEEK_DATA)
    end = os.lseek(fd, first, os.SEEK_HOLE)
    os.close(fd)
    return first, end


WHERE, HOT = 33 * MIB + 64 * KIB, 128 * KIB  # the rest of the extent was written once


def recorded_heat(fs):
    """Hottest first: file, extent, heat."""
    lines = (fs.store / "hot").read_text().splitlines()[1:] if (fs.store / "hot").exists() else []
    return [tuple(map(int, line.split()[:3])) for line in lines]


def make_hot(fs):
    """A file of 64 MiB of which HOT bytes are recorded as hot. Leaves dkfs killed."""
    fs.env["DKFS_TEST_HASTE"] = "20"  # heat is recorded soon
    fs.mount()
    fd = os.open(fs.dir / "big", os.O_RDWR | os.O_CREAT)
    for i in range(64):
        os.pwrite(fd, os.urandom(MIB), i * MIB)

    def hot():
        """Goes on writing, so that there is something to record."""
        for at in range(WHERE, WHERE + HOT, 8192):
            os.pwrite(fd, os.urandom(8192), at)
        os.fsync(fd)
        return [extent for _, extent, _ in recorded_heat(fs)[:1]] == [WHERE // EXTENT]
    wait_until(hot, "the hot extent is not recorded")
    os.close(fd)
    fs.ctl("sync", fs.dir)
    fs.kill()


@pytest.mark.parametrize("hotness", ["auto", "fuse"])
def test_what_was_hot_is_restored_first(fs, hotness):
    fs.options = ["--hotness", hotness]
    make_hot(fs)
    assert first_restored(fs, "--hotness", "off") == (WHERE, WHERE + HOT)
    assert first_restored(fs, "--hotness", "off", "--hydrate-order", "file")[0] == 0
    fs.options = []
    fs.mount()
    assert fs.status()["hydration"]["hot_extents_total"] > 0
    fs.wait_hydrated()
    assert os.stat(fs.dir / "big").st_size == 64 * MIB


def cached(path, offset, size):
    """How many of these pages the kernel's page cache has."""
    with open(path, "rb") as f, mmap.mmap(f.fileno(), size, mmap.MAP_PRIVATE, offset=offset) as mapped:
        there = (ctypes.c_ubyte * (size // mmap.PAGESIZE))()
        first = ctypes.c_char.from_buffer(mapped)
        failed = ctypes.CDLL(None, use_errno=True).mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(size), there)
        del first
        assert failed == 0, os.strerror(ctypes.get_errno())
        return sum(page & 1 for page in there)


def warmers(fs):
    """Processes that read ahead for this mount."""
    return [pid for pid, words in command_lines() if words[1:3] == [b"--warm-mount", os.fsencode(fs.dir)]]


def test_what_was_hot_is_in_the_page_cache_before_it_is_read(fs):
    make_hot(fs)
    fs.lose_dir()
    fs.mount()
    wait_until(lambda: cached(fs.dir / "big", WHERE, HOT) == HOT // mmap.PAGESIZE, "nobody read it ahead")
    fs.wait_hydrated()
    assert cached(fs.dir / "big", 0, WHERE) == 0, "what was not hot is not read ahead"
    wait_until(lambda: not warmers(fs), "who reads ahead does not end")


def test_who_reads_ahead_keeps_no_mount_and_outlives_no_daemon(fs):
    make_hot(fs)
    fs.lose_dir()
    fs.options = ["--hydrate-rate", "1"]  # a byte a second: it waits for more
    fs.mount()
    wait_until(lambda: warmers(fs), "nobody reads ahead")
    fs.kill()
    wait_until(lambda: not warmers(fs), "it is there after the daemon was killed")
    fs.detach()
    fs.lose_dir()
    fs.mount()
    wait_until(lambda: warmers(fs), "nobody reads ahead")
    wait_until(lambda: cached(fs.dir / "big", WHERE, HOT) == HOT // mmap.PAGESIZE, "nobody read it ahead")
    run("umount", fs.dir)
    wait_until(fs.gone, "the daemon does not end")
    assert not warmers(fs)


@pytest.mark.parametrize("hotness", ["auto", "fuse"])
def test_a_log_is_not_hot_though_its_files_are_recycled(fs, hotness):
    fs.env["DKFS_TEST_HASTE"] = "20"
    fs.options = ["--hotness", hotness]
    fs.mount()
    log = os.open(fs.dir / "log", os.O_RDWR | os.O_CREAT)
    table = os.open(fs.dir / "table", os.O_RDWR | os.O_CREAT)
    os.pwrite(table, os.urandom(EXTENT), 0)

    def heats(fd):
        """Recorded, by extent."""
        return {extent: heat for file, extent, heat in recorded_heat(fs) if file == os.fstat(fd).st_ino}

    def table_is_hot():
        """Goes on writing, so that there is something to record."""
        for page in range(4 * MIB // 8192):
            for grown in (2048, 8192):  # the last page is filled in part, and written again
                os.pwrite(log, os.urandom(grown), page * 8192)
                os.fdatasync(log)
            os.pwrite(table, os.urandom(8192), page * 5 % 32 * 8192)
        return heats(table).get(0, 0) > 128
    wait_until(table_is_hot, "the table's heat is not recorded")
    assert heats(log) == {}
    os.close(log)
    os.close(table)


def test_a_damaged_list_of_what_was_hot_costs_nothing_but_order(fs):
    fs.mount()
    (fs.dir / "f").write_bytes(b"x" * 100_000)
    fs.kill()
    fs.lose_dir()
    (fs.store / "hot").write_bytes(b"dkfs hot 1\n7 \xff")
    fs.mount()
    fs.wait_hydrated()
    assert (fs.dir / "f").read_bytes() == b"x" * 100_000
    assert "event=hot_extents_unread" in (fs.store / "dkfs.log").read_text()


def memory_peak(pid):
    """MiB that it ever had in memory."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) >> 10 for line in f if line.startswith("VmHWM"))


def put_tmpfs(fs):
    """A new, empty file system at DIR, which takes files of any size."""
    run("mount", "-t", "tmpfs", "-o", "size=256m", "none", fs.dir)


def test_sparse_files_of_any_size_take_no_memory(fs):
    """Their holes are known as holes while they are written, after a loss, and until they are restored."""
    fs.options = ["--hydrate-rate", "1"]
    put_tmpfs(fs)
    fs.mount()
    places = {0: b"a", 15 << 40: b"b", (1 << 62) + 12345: b"c", (1 << 63) - (4 << 20): b"d"}
    fd = os.open(fs.dir / "sparse", os.O_RDWR | os.O_CREAT)
    for at, letter in places.items():
        assert os.pwrite(fd, letter * (1 << 20), at) == 1 << 20  # long enough to be deferred
        assert os.pwrite(fd, letter * 5000, at + (2 << 20)) == 5000
    assert os.pwrite(fd, b"z", (1 << 63) - 2) == 1  # the last byte that a file can have
    os.fsync(fd)
    os.close(fd)
    for lost in (False, True):
        if lost:
            fs.kill()
            fs.lose_dir()
            put_tmpfs(fs)
            fs.mount()
        fd = os.open(fs.dir / "sparse", os.O_RDONLY)
        for at, letter in places.items():
            assert os.pread(fd, 1 << 20, at) == letter * (1 << 20)
            assert os.pread(fd, 8192, at + (2 << 20)) == letter * 5000 + bytes(3192)
            assert os.pread(fd, 4096, at + (1 << 20)) == bytes(4096)
        assert os.pread(fd, 5, (1 << 63) - 6) == b"\0\0\0\0z"
        os.close(fd)
        assert all(memory_peak(pid) < 256 for pid in fs.pids())
    fs.options = []
    fs.kill()
    fs.lose_dir()
    put_tmpfs(fs)
    fs.mount()
    fs.wait_hydrated()
    fs.unmount()
    with open(fs.dir / "sparse", "rb") as f:
        for at, letter in places.items():
            assert os.pread(f.fileno(), 1 << 20, at) == letter * (1 << 20)
