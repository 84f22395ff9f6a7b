"""Disks that fill up or fail while dkfs runs: the call that failed gets the errno, nothing else is lost."""

import contextlib
import errno
import os
import shutil
import struct

import pytest

from disks import dir_on_small_disk, small_disk
from dkfs import Dkfs, assert_same, drop_caches, run, tree, wait_until
from test_files import fails_with


def write_until_error(path, block=1 << 16, limit=1 << 31):
    """Writes and fsyncs until something fails; the errno and how much was acknowledged as synced."""
    synced = 0
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        while synced < limit:
            os.pwrite(fd, os.urandom(block), synced)
            os.fsync(fd)
            synced += block
    except OSError as e:
        return e.errno, synced
    finally:
        os.close(fd)
    raise AssertionError("no error came")


def test_store_disk_full_and_space_returns(base):
    with small_disk(base, "disk", 192) as disk:
        made = Dkfs(base, ["--budget", "1G"])
        made.store = disk / "store"
        try:
            made.mount()
            (made.dir / "keep").write_bytes(b"k" * 100_000)
            code, synced = write_until_error(made.dir / "fill")
            assert code == errno.ENOSPC and synced > 1 << 20
            assert (made.dir / "keep").read_bytes() == b"k" * 100_000

            def told():
                if made.ctl("status", made.dir, check=False).returncode == 1:
                    return True
                with contextlib.suppress(OSError):  # what is packed meanwhile makes room for a moment: it is filled again
                    write_until_error(made.dir / "more")
            wait_until(told, "the status does not tell that the disk is full")
            os.unlink(made.dir / "keep")  # the reserve admits what frees space
            with open(made.dir / "fill", "rb") as f:
                assert len(f.read(synced)) == synced
            want = tree(made.dir)
            made.kill()
            made.lose_dir()
            made.mount()
            assert_same(tree(made.dir), want)
        finally:
            made.close()


@pytest.mark.parametrize("index", ["there", "lost"])
def test_what_the_disk_lost_is_not_taken_from_memory(base, index):
    """After a failed sync the kernel holds pages as if they had been written."""
    with small_disk(base, "disk", 192) as disk:
        made = Dkfs(base)
        made.store = disk / "store"
        lost = os.urandom(100_000)
        try:
            made.mount()
            with open(made.dir / "synced", "wb") as f:
                f.write(b"s" * 100_000)
                f.flush()
                os.fsync(f.fileno())
            (made.dir / "file").write_bytes(lost)
            made.kill()
            run("sync", "-f", disk)
            with open(base / "disk.img", "r+b") as image:
                at = image.read().find(lost[:4096])
                assert at > 0
                os.pwrite(image.fileno(), bytes(4096), at)
            made.detach()
            if index == "lost":
                shutil.rmtree(made.store / "index")
            made.mount()
            assert (made.dir / "synced").read_bytes() == b"s" * 100_000
            assert (made.dir / "file").read_bytes() == b""
            made.kill()
            made.lose_dir()
            drop_caches()
            made.mount()
            assert (made.dir / "synced").read_bytes() == b"s" * 100_000
            assert (made.dir / "file").read_bytes() == b""
        finally:
            made.close()


def test_backing_disk_full(base):
    with dir_on_small_disk(base) as made:
        made.mount()
        (made.dir / "keep").write_bytes(b"k" * 100_000)
        code, synced = write_until_error(made.dir / "fill")
        assert code == errno.ENOSPC
        with open(made.dir / "fill", "rb") as f:
            assert len(f.read()) >= synced
        os.unlink(made.dir / "fill")
        made.wait_released()
        (made.dir / "again").write_bytes(b"a" * 200_000)
        assert (made.dir / "again").read_bytes() == b"a" * 200_000
        want = tree(made.dir)
        made.kill()
        made.lose_dir()
        made.mount()
        assert_same(tree(made.dir), want)


def test_backing_read_only(base):
    with dir_on_small_disk(base) as made:
        made.mount()
        (made.dir / "f").write_text("before")
        run("sync")
        # Refused while a file is open for writing, and dkfs may just be closing one.
        wait_until(lambda: run("mount", "-o", "remount,ro", made.dir.parent, check=False).returncode == 0, "still in use")
        for attempt in (lambda: (made.dir / "g").write_text("x"), lambda: (made.dir / "f").write_text("after"),
                        lambda: os.unlink(made.dir / "f")):
            with pytest.raises(OSError) as e:
                attempt()
            assert e.value.errno in (errno.EROFS, errno.EIO)
        assert (made.dir / "f").read_text() == "before"
        run("mount", "-o", "remount,rw", made.dir.parent)
        (made.dir / "f").write_text("after")
        assert (made.dir / "f").read_text() == "after"


@pytest.mark.parametrize("point", ["journal.append=EIO@20+", "journal.sync=EIO@5+"])
def test_store_error_is_sticky_and_honest(fs, point):
    fs.env["DKFS_FAULTS"] = point
    fs.mount()
    acknowledged = {}
    failed = None
    for i in range(100):
        try:
            fd = os.open(fs.dir / f"f{i}", os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.write(fd, b"%d" % i)
                os.fsync(fd)
                acknowledged[f"f{i}"] = b"%d" % i
            finally:
                os.close(fd)
        except OSError as e:
            failed = failed or e.errno
    assert failed == errno.EIO and acknowledged and len(acknowledged) < 50
    for name, data in acknowledged.items():
        assert (fs.dir / name).read_bytes() == data
    assert fs.ctl("status", fs.dir, check=False).returncode == 1
    fs.kill()
    fs.lose_dir()
    fs.env.pop("DKFS_FAULTS")
    fs.mount()
    for name, data in acknowledged.items():
        assert (fs.dir / name).read_bytes() == data


def test_backing_write_error_leaves_the_old_content(fs):
    fs.env["DKFS_FAULTS"] = "backing.write=EIO@11"
    fs.mount()
    path = fs.dir / "f"
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    want = bytearray()
    errors = 0
    for i in range(20):
        try:
            os.pwrite(fd, bytes([65 + i]) * 8192, i * 8192)
            want[i * 8192:] = bytes([65 + i]) * 8192
        except OSError as e:
            assert e.errno == errno.EIO
            errors += 1
            want[i * 8192:] = b"\0" * 8192
    assert errors == 1
    os.close(fd)
    assert path.read_bytes() == bytes(want)
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert path.read_bytes() == bytes(want)


def allocate(path, size):
    with open(path, "r+b") as f:
        os.posix_fallocate(f.fileno(), 0, size)


@pytest.mark.parametrize("change", [
    lambda d: os.close(os.open(d / "new", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)),
    lambda d: os.mkdir(d / "new"),
    lambda d: os.symlink("target", d / "new"),
    lambda d: os.link(d / "f", d / "new"),
    lambda d: os.rename(d / "f", d / "g"),
    lambda d: os.unlink(d / "f"),
    lambda d: os.rmdir(d / "empty"),
    lambda d: os.truncate(d / "f", 5000),
    lambda d: os.truncate(d / "f", 50_000),
    lambda d: os.setxattr(d / "f", "user.x", b"1"),
    lambda d: allocate(d / "f", 90_000),
], ids="create mkdir symlink link rename unlink rmdir shrink grow setxattr allocate".split())
def test_a_change_the_directory_refuses_is_undone(fs, change):
    fs.env["DKFS_FAULTS"] = "ops.recorded=EDQUOT@4"  # after mkdir, create and write
    fs.mount()
    (fs.dir / "empty").mkdir()
    (fs.dir / "f").write_bytes(b"f" * 20_000)
    before = tree(fs.dir)
    with pytest.raises(OSError) as e:
        change(fs.dir)
    assert e.value.errno == errno.EDQUOT
    assert_same(tree(fs.dir), before)
    fs.kill()
    fs.lose_dir()
    fs.env.pop("DKFS_FAULTS")
    fs.mount()
    assert_same(tree(fs.dir), before)
    change(fs.dir)


def assert_left_as_recorded(fs, want):
    """DIR alone shows it after unmounting, and the next mount, without faults, finds nothing to record."""
    fs.unmount()
    assert_same(tree(fs.dir), want)
    fs.env.pop("DKFS_FAULTS")
    fs.mount()
    assert_same(tree(fs.dir), want)
    assert "drift_captured" not in (fs.store / "dkfs.log").read_text()


def test_a_change_that_was_undone_leaves_no_drift(fs):
    fs.mount()
    (fs.dir / "f").write_bytes(b"f" * 20_000)
    want = tree(fs.dir)
    fs.unmount()
    fs.env["DKFS_FAULTS"] = "ops.recorded=EIO@1"
    fs.mount()
    fails_with(errno.EIO, os.truncate, fs.dir / "f", 5000)
    assert_left_as_recorded(fs, want)


NOBODY = 0xFFFFFFFF


def acl(*entries):
    """The attribute of a POSIX ACL; entries are (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def test_attributes_the_directory_did_not_take_are_there_after_unmounting(fs):
    fs.mount()
    f = fs.dir / "f"
    f.write_bytes(b"f")
    os.setxattr(f, "user.gone", b"1")
    os.setxattr(f, "system.posix_acl_access",
                acl((1, 6, NOBODY), (2, 6, 12), (4, 4, NOBODY), (16, 6, NOBODY), (32, 4, NOBODY)))
    fs.unmount()
    fs.env["DKFS_FAULTS"] = "ops.recorded=EIO@1+"
    fs.mount()
    assert f.read_bytes() == b"f"
    os.removexattr(f, "user.gone")
    os.chmod(f, 0o600)
    want = tree(fs.dir)
    assert "user.gone" not in want["f"]["xattrs"]
    assert_left_as_recorded(fs, want)
