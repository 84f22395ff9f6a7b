"""What the disk below says reaches the caller; unmounting; what the kernel's cache spares the daemon."""

import errno
import os
import shutil
import stat
import subprocess
import urllib.request
from contextlib import ExitStack, contextmanager

import pytest

import dkfs as support
from calls import USER, as_user, code_of, creat, fallocate
from disks import small_disk
from places import Mounted


@pytest.fixture
def disk(ext4):
    with small_disk(ext4, "small", 64) as point:
        yield point
    shutil.rmtree(point)
    os.unlink(f"{point}.img")


@pytest.fixture
def small(disk, ext4):
    """A dkfs whose DIR is on a small disk and whose store is not."""
    made = Mounted.__new__(Mounted)
    made.fs = support.Dkfs(ext4 / "on_small")
    shutil.rmtree(made.fs.dir)
    made.fs.dir = disk / "data"
    made.fs.dir.mkdir()
    made.dir = made.fs.dir
    made.fs.mount()
    yield made
    made.fs.close()
    shutil.rmtree(ext4 / "on_small")


def fill(path):
    size = 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            try:
                size += os.write(fd, b"f" * (1 << 20))
            except OSError as e:
                return size, e.errno
    finally:
        os.close(fd)


def test_a_full_disk_is_enospc_until_space_returns(small):
    keep = creat(small.dir / "keep", data=b"kept")
    size, code = fill(small.dir / "big")
    assert code == 28 and 0 < size < 64 << 20
    assert os.stat(small.dir / "big").st_size == size
    assert code_of(creat, small.dir / "more", 0o644, b"x" * (1 << 20)) == "ENOSPC"
    assert keep.read_bytes() == b"kept"
    with open(small.dir / "big", "rb") as f:
        while data := f.read(1 << 20):
            assert data == b"f" * len(data)
    os.unlink(small.dir / "big")
    small.fs.wait_released()
    assert code_of(creat, small.dir / "again", 0o644, b"x" * 100_000) == "ok"


def test_allocation_beyond_the_disk_is_enospc_and_changes_nothing(small):
    fd = os.open(small.dir / "f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"content")
    assert code_of(fallocate, fd, 0, 0, 1 << 30) == "ENOSPC"
    assert os.fstat(fd).st_size == 7 and os.pread(fd, 10, 0) == b"content"
    os.close(fd)


def test_a_user_over_quota_gets_edquot(ext4):
    """Through a mount as on the disk itself, for a daemon that may not overrule quota."""
    image, point = ext4 / "quota.img", ext4 / "quota"
    support.run("truncate", "-s", "64M", image)
    point.mkdir()
    if support.run("mkfs.ext4", "-q", "-O", "quota", "-E", "quotatype=usrquota", image, check=False).returncode != 0:
        pytest.skip("mkfs.ext4 makes no quota files")
    if support.run("mount", "-o", "loop,usrquota", image, point, check=False).returncode != 0:
        pytest.skip("the kernel has no quota")
    fs = support.Dkfs(ext4 / "with_quota")
    try:
        if subprocess.run(["setquota", "-u", str(USER), "1000", "1000", "0", "0", point], capture_output=True).returncode:
            pytest.skip("setquota does not work here")
        native = point / "native"
        native.mkdir()
        os.chmod(native, 0o777)
        if as_user(USER, lambda: fill(native / "f"))[1] != 122:
            pytest.skip("quota is not enforced here")
        os.unlink(native / "f")
        shutil.rmtree(fs.dir)
        fs.dir = point / "data"
        fs.dir.mkdir()
        fs.mount()
        os.chmod(fs.dir, 0o777)
        creat(fs.dir / "f", 0o666)
        os.chown(fs.dir / "f", USER, USER)
        size, code = as_user(USER, lambda: fill(fs.dir / "f"))
        if "cap_sys_resource" in support.run("/sbin/capsh", "--print", check=False).stdout.split("Bounding")[0]:
            pytest.skip("root may overrule quota, and so may dkfs")
        assert code == 122 and size <= 1000 << 10
    finally:
        fs.close()
        support.run("umount", "-l", point, check=False)


def test_unmounting_waits_for_nobody_but_those_who_use_it(ext4):
    fs = support.Dkfs(ext4 / "used")
    try:
        fs.mount()
        with open(fs.dir / "f", "w+b") as f:
            f.write(b"open")
            f.flush()
            assert b"busy" in subprocess.run(["umount", fs.dir], capture_output=True).stderr
            subprocess.run(["umount", "-l", fs.dir], check=True)
            assert not support.is_mounted(fs.dir)
            f.write(b" and written")
            f.flush()
            f.seek(0)
            assert f.read() == b"open and written"
    finally:
        fs.close()
    assert (fs.dir / "f").read_bytes() == b"open and written"


@contextmanager
def btrfs_with_limits(base):
    """A btrfs whose subvolume `a` takes 4 MiB: a quota that binds every writer, also root."""
    image, point = base / "limits.img", base / "limits"
    support.run("truncate", "-s", "256M", image)
    point.mkdir()
    try:
        if not shutil.which("mkfs.btrfs") or support.run("mkfs.btrfs", "-q", image, check=False).returncode:
            pytest.skip("no mkfs.btrfs")
        if support.run("mount", "-o", "loop", image, point, check=False).returncode:
            pytest.skip("the kernel has no btrfs")
        support.run("btrfs", "quota", "enable", point)
        support.run("btrfs", "subvolume", "create", point / "a")
        support.run("btrfs", "qgroup", "limit", "4M", point / "a")
        yield point / "a"
    finally:
        support.run("umount", "-l", point, check=False)
        os.unlink(image)
        point.rmdir()


def test_a_quota_below_that_binds_root_is_edquot_until_space_returns(ext4):
    with btrfs_with_limits(ext4) as limited:
        fs = support.Dkfs(ext4 / "on_limited")
        shutil.rmtree(fs.dir)
        fs.dir = limited / "data"
        fs.dir.mkdir()
        try:
            fs.mount()
            keep = creat(fs.dir / "keep", data=b"kept")
            size, code = fill(fs.dir / "big")
            assert code == errno.EDQUOT and 0 < size <= 4 << 20
            assert os.stat(fs.dir / "big").st_size == size and keep.read_bytes() == b"kept"
            assert (fs.dir / "big").read_bytes() == b"f" * size
            os.unlink(fs.dir / "big")
            fs.wait_released()
            support.run("sync", "-f", limited)
            assert code_of(creat, fs.dir / "again", 0o644, b"x" * 100_000) == "ok"
        finally:
            fs.close()


def test_data_in_the_writeback_cache_is_no_hole(ext4):
    fs = support.Dkfs(ext4 / "writeback", ["--order", "fsync"])
    try:
        fs.mount()
        with open(fs.dir / "f", "wb", buffering=0) as f:
            os.ftruncate(f.fileno(), 1 << 20)
            os.pwrite(f.fileno(), b"not handed over yet", 500_000)
            assert os.lseek(f.fileno(), 0, os.SEEK_DATA) <= 500_000
        subprocess.run(["cp", "--sparse=always", fs.dir / "f", fs.dir / "copy"], check=True)
        assert (fs.dir / "copy").read_bytes() == (fs.dir / "f").read_bytes()
    finally:
        fs.close()


def test_a_chown_that_names_nobody_takes_set_id_bits_with_the_writeback_cache_too(ext4):
    """There the kernel sends the ctime along."""
    fs = support.Dkfs(ext4 / "set_id", ["--order", "fsync"])
    try:
        fs.mount()
        for uid, bits in ((0, 0o6755), (USER, 0o6755), (USER, 0o4644)):
            p = creat(fs.dir / f"{uid}.{bits:o}")
            os.chown(p, uid, uid)
            os.chmod(p, bits)
            as_user(uid, lambda: os.chown(p, -1, -1))
            assert stat.S_IMODE(os.stat(p).st_mode) == bits & 0o777
    finally:
        fs.close()


def test_what_was_written_is_read_from_the_cache(ext4):
    """write, stat, read: no READ reaches the daemon, nor after the file is opened again."""
    fs = support.Dkfs(ext4 / "cached")

    def reads():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=support.PATIENCE) as answer:
            rows = [line for line in answer.read().decode().splitlines() if line.startswith("dkfs_fuse_requests_total")]
        assert any("write" in row for row in rows)
        return sum(float(row.rsplit(" ", 1)[1]) for row in rows if 'op="read"' in row)
    with ExitStack() as stack:
        address = f"127.0.0.1:{stack.enter_context(support.free_port())}"
        stack.callback(fs.close)
        command = [w if w != "off" else address for w in fs.command()]
        support.run(*command)
        data = os.urandom(64 << 10)
        (fs.dir / "f").write_bytes(data)
        before = reads()
        with open(fs.dir / "f", "r+b", buffering=0) as f:
            for at in range(0, 65_536, 8192):
                os.pwrite(f.fileno(), b"0123456789", at)
                os.stat(fs.dir / "f")
                assert os.pread(f.fileno(), 8192, at) == b"0123456789" + data[at + 10:at + 8192]
        assert len((fs.dir / "f").read_bytes()) == 65_536
        assert reads() == before
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("1")
        (fs.dir / "f").read_bytes()
        assert reads() > before
