"""Long writes that reach the backing directory later: readable, recorded, and there after all, whatever comes between."""

import errno
import os
import random
import sys
from pathlib import Path

import pytest

from disks import dir_on_small_disk
from dkfs import assert_same, drop_caches, run, tree, wait_until

sys.path.insert(0, str(Path(__file__).parent / "posix"))
from test_exerciser import Exerciser  # noqa: E402

MIB = 1 << 20
ORDERS = pytest.mark.parametrize("order", ["calls", "fsync"])


def append(path, data, step=MIB):
    with open(path, "ab", buffering=0) as f:
        for at in range(0, len(data), step):
            f.write(data[at:at + step])
        os.fsync(f.fileno())


def deferred(fs):
    return fs.status()["hydration"]["deferred_bytes"]


def mount_patiently(fs, ms, *options):
    """As it comes, but what is deferred stays so for longer: here a slow machine has to see it."""
    fs.env["DKFS_TEST_DEFER"], fs.env["DKFS_TEST_DEFER_MS"] = "131072", str(ms)
    fs.mount(*options)
    fs.wait_hydrated()


def filled(fs):
    """Once nothing is deferred, and the files have their names again."""
    wait_until(lambda: deferred(fs) == 0, lambda: f"still deferred: {fs.status()['hydration']}")


@pytest.fixture
def raw(fs):
    """The backing directory beneath the mount that comes."""
    point = fs.base / "raw"
    point.mkdir()
    run("mount", "--bind", fs.dir, point)
    yield point
    run("umount", "-l", point, check=False)


@ORDERS
def test_a_long_append_reaches_the_directory_by_itself(fs, raw, order):
    mount_patiently(fs, 3000, "--order", order)
    data = os.urandom(8 * MIB + 12345)
    append(fs.dir / "f", data)
    assert deferred(fs) >= 6 * MIB
    assert not (raw / "f").exists()  # what has holes has no name that somebody could take for the file
    drop_caches()
    assert (fs.dir / "f").read_bytes() == data
    filled(fs)
    wait_until((raw / "f").exists, "the file did not come back to its name")
    assert (raw / "f").read_bytes() == data
    assert not list((raw / ".dkfs-partial").iterdir())


@ORDERS
def test_unmounting_at_once_leaves_the_directory_complete(fs, order):
    mount_patiently(fs, 20_000, "--order", order)
    data = os.urandom(5 * MIB + 1)
    append(fs.dir / "f", data)
    os.chmod(fs.dir / "f", 0o640)
    os.chown(fs.dir / "f", 1234, 4321)
    os.setxattr(fs.dir / "f", "user.k", b"v")
    os.utime(fs.dir / "f", ns=(1, 12345678901234567))
    want = tree(fs.dir)
    assert deferred(fs) > 0
    fs.unmount()
    assert (fs.dir / "f").read_bytes() == data
    assert_same(tree(fs.dir), want)
    assert not (fs.dir / ".dkfs-partial").exists()
    fs.mount()
    assert fs.wait_hydrated()["hydration"]["blocks_reconstructed"] == 0  # a clean end is believed


@pytest.mark.parametrize("lost", [False, True], ids=["killed", "killed-and-lost"])
def test_deferred_content_survives_a_kill(fs, lost):
    mount_patiently(fs, 3000)
    data = os.urandom(9 * MIB + 77)
    append(fs.dir / "f", data[:4 * MIB + 77])
    filled(fs)
    append(fs.dir / "f", data[4 * MIB + 77:])
    want = tree(fs.dir)
    assert deferred(fs) > 0
    fs.kill()
    fs.detach()
    if lost:
        fs.lose_dir()
    fs.mount()
    assert_same(tree(fs.dir), want)
    assert (fs.dir / "f").read_bytes() == data
    fs.wait_hydrated()
    assert fs.status()["hydration"]["aside_entries"] == 0
    fs.unmount()
    assert (fs.dir / "f").read_bytes() == data


def test_short_files_zeros_and_what_is_overwritten_are_written_directly(fs):
    fs.mount()
    fs.wait_hydrated()
    append(fs.dir / "short", os.urandom(600_000))
    append(fs.dir / "zeros", bytes(4 * MIB))
    append(fs.dir / "small-steps", os.urandom(2 * MIB), step=65536)
    assert deferred(fs) == 0
    append(fs.dir / "f", os.urandom(4 * MIB))
    filled(fs)
    with open(fs.dir / "f", "r+b", buffering=0) as f:
        f.write(os.urandom(2 * MIB))
    assert deferred(fs) == 0


def test_a_deferred_file_under_every_change_of_names(fs):
    """Renamed, linked, replaced, cut and removed while its content is not in the backing directory."""
    fs.env["DKFS_TEST_DEFER"] = "4096"
    fs.mount()
    fs.wait_hydrated()
    rnd = random.Random(5)
    names = [fs.dir / f"n{i}" for i in range(6)]
    (fs.dir / "d").mkdir()
    names += [fs.dir / "d" / f"n{i}" for i in range(3)]
    model = {}  # name -> [content], shared by hard links
    for turn in range(400):
        there = [n for n in names if n in model]
        name, other = rnd.choice(names), rnd.choice(names)
        what = rnd.randrange(7)
        if what <= 1 or not there:
            data = rnd.randbytes(rnd.randrange(1, 60_000))
            append(name, data, step=20_000)
            model.setdefault(name, [b""])[0] += data
        elif what == 2:
            name = rnd.choice(there)
            if name != other and model[name] is not model.get(other):
                os.rename(name, other)
                model[other] = model.pop(name)
        elif what == 3 and other not in model:
            name = rnd.choice(there)
            os.link(name, other)
            model[other] = model[name]
        elif what == 4:
            name = rnd.choice(there)
            os.unlink(name)
            del model[name]
        elif what == 5:
            name = rnd.choice(there)
            size = rnd.randrange(len(model[name][0]) + 5000)
            os.truncate(name, size)
            model[name][0] = model[name][0][:size].ljust(size, b"\0")
        else:
            name = rnd.choice(there)
            drop_caches()
            assert name.read_bytes() == model[name][0], f"turn {turn}: {name}"
        if turn == 250:
            fs.kill()
            fs.detach()
            fs.mount()
            fs.wait_hydrated()
    for name, content in model.items():
        assert name.read_bytes() == content[0], name
    fs.unmount()
    assert sorted(p for p in fs.dir.rglob("n*")) == sorted(model)
    for name, content in model.items():
        assert name.read_bytes() == content[0], name


@pytest.mark.parametrize("direct", [False, True], ids=["buffered", "direct"])
@pytest.mark.parametrize("seed", [11, 12])
def test_a_file_holds_what_was_put_there_with_every_append_deferred(fs, seed, direct):
    fs.env["DKFS_TEST_DEFER"] = "1"
    fs.mount()
    fs.wait_hydrated()
    it = Exerciser(fs.dir / "f", seed, direct)
    try:
        for _ in range(4):
            it.run(150)
            drop_caches()
    finally:
        it.close()
    fs.ctl("sync", fs.dir)
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert (fs.dir / "f").read_bytes() == it.want


def test_a_full_disk_is_told_by_the_write_not_later(base):
    with dir_on_small_disk(base) as made:
        mount_patiently(made, 3000)
        done = 0
        with open(made.dir / "f", "wb", buffering=0) as f:
            with pytest.raises(OSError) as full:
                while True:
                    done += f.write(os.urandom(MIB))
        assert full.value.errno == errno.ENOSPC
        assert done > 32 * MIB and deferred(made) > 0
        filled(made)
        assert made.status()["hydration"]["blocks_damaged"] == 0
        drop_caches()
        assert len((made.dir / "f").read_bytes()) == done
        made.unmount()
        assert (made.dir / "f").stat().st_size == done


def test_reads_and_writes_race_with_the_filling(fs):
    """What is written into a deferred file while the background brings it in is what stays."""
    fs.env["DKFS_TEST_DEFER"] = "65536"
    fs.mount()
    fs.wait_hydrated()
    rnd = random.Random(3)
    want = bytearray()
    fd = os.open(fs.dir / "f", os.O_RDWR | os.O_CREAT)
    for _ in range(40):
        data = rnd.randbytes(rnd.randrange(100_000, 1_500_000))
        os.pwrite(fd, data, len(want))
        want += data
        for _ in range(20):
            piece = rnd.randbytes(rnd.choice((10, 4096, 8192, 20_000)))
            at = rnd.randrange(len(want) - len(piece))
            at -= at % rnd.choice((1, 4096))
            os.pwrite(fd, piece, at)
            want[at:at + len(piece)] = piece
        at = rnd.randrange(len(want))
        assert os.pread(fd, 50_000, at) == want[at:at + 50_000]
    os.close(fd)
    drop_caches()
    assert (fs.dir / "f").read_bytes() == want
    fs.unmount()
    assert (fs.dir / "f").read_bytes() == want
