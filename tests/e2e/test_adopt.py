"""First mount over a directory with data, and changes made while it was not mounted."""

import concurrent.futures
import contextlib
import errno
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from dkfs import BIN, PATIENCE, SLACK, Dkfs, assert_same, is_mounted, run, tree, wait_until
from disks import tmpfs
from test_files import FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, RENAME_EXCHANGE, fails_with, fallocate, renameat2
from test_recovery import populate

pytestmark = pytest.mark.short


def test_adopted_content_survives(fs):
    populate(fs.dir)
    want = tree(fs.dir)
    fs.mount()
    assert_same(tree(fs.dir), want)
    fs.wait_adopted()
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_same(tree(fs.dir), want)


def test_changes_while_content_is_not_captured_yet(fs):
    for i in range(10):
        (fs.dir / f"f{i}").write_bytes(os.urandom(3_000_000))
    fs.mount()
    d = fs.dir
    with open(d / "f0", "r+b") as f:
        f.seek(100_000)
        f.write(b"changed")
    os.truncate(d / "f1", 1_000_001)
    os.unlink(d / "f2")
    os.rename(d / "f3", d / "f4")
    os.rename(d / "f5", d / "moved")
    want = tree(d)
    fs.wait_adopted()
    assert_same(tree(d), want)
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_same(tree(d), want)


def test_an_append_before_it_is_captured_keeps_what_was_adopted(fs):
    (fs.dir / "first").write_text("captured first")
    (fs.dir / "d").mkdir()
    (fs.dir / "d/log").write_text("adopted\n")
    fs.env["DKFS_FAULTS"] = "adopt.capture=ENOSPC@1"  # with this the background gives up
    fs.mount()
    wait_until(lambda: "adopt_contents_failed" in (fs.store / "dkfs.log").read_text(), "the background goes on")
    before = fs.status()["seq"]["appended"]
    with open(fs.dir / "d/log", "a") as f:
        f.write("appended\n")
    fs.env.pop("DKFS_FAULTS")
    fs.unmount()
    fs.mount()
    fs.wait_adopted()
    fs.unmount()
    for at, want in [(f"seq:{before}", "adopted\n"), ("latest", "adopted\nappended\n")]:
        out = fs.base / at
        moment = ["--at", at] if at != "latest" else []
        run(BIN / "dkfs-replay", "restore", "--store", fs.store, "--to", out, *moment)
        assert (out / "d/log").read_text() == want


def test_killed_during_adoption(fs):
    for i in range(20):
        (fs.dir / f"f{i}").write_bytes(os.urandom(2_000_000))
    want = tree(fs.dir)
    fs.mount()
    fs.kill()
    fs.mount()
    assert_same(tree(fs.dir), want)
    fs.wait_adopted()
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_same(tree(fs.dir), want)


@pytest.mark.parametrize("killed", [True, False])
def test_renames_of_what_is_not_captured_that_reach_only_the_record(fs, killed):
    d = fs.dir
    for name in ("a", "b", "below/f"):
        (d / name).parent.mkdir(exist_ok=True)
        (d / name).write_bytes(name.encode() * 10_000)
    fs.env["DKFS_FAULTS"] = "adopt.capture=ENOSPC@1"  # with this the background gives up
    if killed:
        fs.env["DKFS_FAULTS"] += ",ops.recorded=kill@2"
    want = {"a": "b", "b": "a", "moved/f": "below/f"}
    fs.mount()
    renameat2(d / "a", d / "b", RENAME_EXCHANGE)
    with contextlib.suppress(OSError):
        os.rename(d / "below", d / "moved")
    if killed:
        wait_until(fs.gone, "nothing killed it")
    else:  # as if the directory's file system had kept nothing of it
        fs.kill()
        fs.detach()
        renameat2(d / "a", d / "b", RENAME_EXCHANGE)
        os.rename(d / "moved", d / "below")
    fs.detach()
    fs.env.pop("DKFS_FAULTS")
    fs.mount()
    (d / "new").touch()
    assert {name: (d / name).read_bytes() for name in want} == {name: of.encode() * 10_000 for name, of in want.items()}
    fs.wait_adopted()
    wait_until(lambda: (fs.store / "captured").exists(), "that all is captured is not noted")
    fs.unmount()
    (d / "drift").write_text("more to capture")
    fs.env["DKFS_FAULTS"] = "adopt.capture=ENOSPC@1"
    fs.mount()
    assert (d / "drift").read_text() == "more to capture"
    assert not (fs.store / "captured").exists()


def test_a_file_that_was_renamed_and_written_before_it_was_captured_is_found_under_its_former_name(fs):
    d, content = fs.dir, bytearray(os.urandom(100_000))
    (d / "log").write_bytes(content)
    before = (d / "log").stat()
    fs.env["DKFS_FAULTS"] = "adopt.capture=ENOSPC@1"  # with this the background gives up
    fs.mount()
    os.rename(d / "log", d / "log.1")
    with open(d / "log.1", "r+b") as f:
        f.seek(100_000)
        f.write(b"the last line")
        f.flush()
        os.fsync(f.fileno())
    content += b"the last line"
    fs.kill()
    fs.detach()
    os.rename(d / "log.1", d / "log")  # as if the directory's file system had kept nothing since
    os.truncate(d / "log", before.st_size)
    os.utime(d / "log", ns=(before.st_atime_ns, before.st_mtime_ns))
    fs.env.pop("DKFS_FAULTS")
    fs.mount()
    assert (d / "log.1").read_bytes() == content
    assert not (d / "log").exists()
    fs.wait_adopted()
    assert (d / "log.1").read_bytes() == content


def test_a_copy_of_what_was_not_captured_is_known_again(fs, tmp_path):
    d, content = fs.dir, bytearray(os.urandom(100_000))
    outside = d.parent / "outside"
    (d / "f").write_bytes(content)
    os.link(d / "f", outside)  # so the mount works on a copy
    fs.env["DKFS_FAULTS"] = "adopt.capture=ENOSPC@1"  # with this the background gives up
    fs.mount()
    fs.kill()
    fs.detach()
    fs.mount()
    fs.wait_hydrated()
    with open(d / "f", "r+b") as f:
        f.write(b"changed")
    content[:7] = b"changed"
    fs.kill()
    fs.detach()
    assert (d / "f").stat().st_ino != outside.stat().st_ino
    fs.env.pop("DKFS_FAULTS")
    fs.mount()
    assert (d / "f").read_bytes() == content
    fs.wait_adopted()
    assert (d / "f").read_bytes() == content
    assert outside.read_bytes()[:7] != b"changed"


def test_what_a_loss_of_power_cut_off_before_it_was_captured_is_an_error_for_ever(fs):
    content = os.urandom(30_000)
    (fs.dir / "f").write_bytes(content)
    fs.env["DKFS_FAULTS"] = "adopt.capture=ENOSPC@1"  # with this the background gives up
    for kept in (30_000, 20_000):  # the second mount makes it as long as it was
        os.truncate(fs.dir / "f", kept)
        fs.mount()
        assert (fs.dir / "f").stat().st_size == 30_000
        with open(fs.dir / "f", "rb") as f:
            assert os.pread(f.fileno(), 10, 0) == content[:10]
        fs.kill()
        fs.detach()
    fs.env.pop("DKFS_FAULTS")
    fs.mount()
    wait_until(lambda: "adopt_file_failed" in (fs.store / "dkfs.log").read_text(), "the loss is not told")
    wait_until(lambda: (fs.store / "captured").exists(), "each mount would look for what is lost")
    for lost_dir in (False, True):
        with open(fs.dir / "f", "rb", buffering=0) as f:
            assert os.pread(f.fileno(), 16_384, 0) == content[:16_384]
            for at in (16_384, 20_000, 24_576, 29_999):
                fails_with(errno.EIO, os.pread, f.fileno(), 1, at)
        if not lost_dir:
            fs.kill()
            fs.lose_dir()
            fs.mount()


def test_what_cannot_be_captured_is_never_called_protected(fs):
    (fs.dir / "f").write_bytes(os.urandom(1_000_000))
    fs.env["DKFS_FAULTS"] = "adopt.capture=EIO@*"
    fs.mount()
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        assert fs.status()["protected"]["share"] < 1
    assert fs.status()["protected"]["bytes_waiting"] == 1_000_000
    assert not (fs.store / "captured").exists()
    fs.env.pop("DKFS_FAULTS")
    fs.kill()
    fs.mount()
    fs.wait_adopted()


def test_the_share_that_is_protected_counts_only_what_is_captured(fs):
    size = (1 << 20) + 1  # captured in two steps
    for i in range(10):
        (fs.dir / f"f{i}").write_bytes(os.urandom(size))
    fs.env["DKFS_FAULTS"] = "adopt.capture=pause@15"  # seven files are captured
    fs.mount()
    deadline = time.monotonic() + PATIENCE
    while fs.status()["protected"]["share"] < 0.7 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert fs.status()["protected"] == {"share": 0.7, "bytes_waiting": 3 * size}
    fs.kill()


@pytest.mark.parametrize("mounted_before", [False, True])
def test_changes_after_a_mount_that_failed_are_kept(fs, mounted_before):
    (fs.dir / "f").write_text("old")
    if mounted_before:
        fs.mount()
        fs.unmount()
    failed = run("setpriv", "--bounding-set", "-sys_admin", *fs.command(), check=False)
    assert failed.returncode == 3 and "CAP_SYS_ADMIN" in failed.stderr, failed.stderr
    (fs.dir / "f").write_text("changed without dkfs")
    (fs.dir / "new").write_text("made without dkfs")
    fs.mount()
    assert (fs.dir / "f").read_text() == "changed without dkfs"
    assert (fs.dir / "new").read_text() == "made without dkfs"
    assert fs.ctl("aside", "list", fs.dir).stdout == ""
    fs.wait_adopted()
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert (fs.dir / "f").read_text() == "changed without dkfs"


def test_refuses_while_somebody_writes(fs):
    with open(fs.dir / "log", "w") as held:
        holder = subprocess.Popen(["sleep", "1000"], stdout=held)
    try:
        result = fs.mount(check=False)
        assert result.returncode == 3 and str(holder.pid) in result.stderr
    finally:
        holder.kill()
        holder.wait()
    fs.mount()


def test_refuses_while_a_loop_device_writes(fs):
    (fs.dir / "image.img").write_bytes(bytes(1 << 20))
    device = run("losetup", "--find", "--show", fs.dir / "image.img").stdout.strip()
    try:
        result = fs.mount(check=False)
        assert result.returncode == 3 and Path(device).name in result.stderr and "image.img" in result.stderr
    finally:
        run("losetup", "--detach", device)
    fs.mount()


def test_refuses_what_another_store_left_unfinished(fs):
    fs.mount()
    content = os.urandom(1_000_000)
    (fs.dir / "f").write_bytes(content)
    fs.ctl("sync", fs.dir)
    fs.kill()
    fs.lose_dir()
    fs.mount("--hydrate-rate", "1")
    assert (fs.dir / "f").read_bytes()[:1000] == content[:1000]
    fs.kill()
    fs.detach()
    unfinished = sorted((fs.dir / ".dkfs-partial").iterdir())
    assert unfinished
    first, fs.store = fs.store, fs.base / "another"
    result = fs.mount(check=False)
    assert result.returncode == 3 and ".dkfs-partial holds files" in result.stderr, result.stderr
    assert sorted((fs.dir / ".dkfs-partial").iterdir()) == unfinished
    fs.store = first  # as it says
    fs.mount()
    assert (fs.dir / "f").read_bytes() == content


def test_many_files_are_adopted_in_seconds(fs):
    for i in range(200):
        os.mkdir(fs.dir / f"d{i}")
        for j in range(50):
            (fs.dir / f"d{i}/f{j}").write_text("x")
    start = time.monotonic()
    fs.mount()
    assert time.monotonic() - start < 20 * SLACK
    assert len(os.listdir(fs.dir / "d199")) == 50


def test_drift_is_captured(fs):
    """Changed, new and missing files after a clean unmount are new changes."""
    fs.mount()
    populate(fs.dir)
    fs.unmount()
    d = fs.dir
    with open(d / "rewritten", "r+b") as f:
        f.seek(50_000)
        f.write(b"drift")
    (d / "base/new").write_text("new")
    os.makedirs(d / "newdir/sub")
    (d / "newdir/sub/f").write_bytes(b"deep" * 5000)
    os.unlink(d / "base/1/2")
    os.rename(d / "empty", d / "renamed")
    want = tree(d)
    fs.mount()
    assert_same(tree(d), want)
    fs.wait_adopted()
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_same(tree(d), want)


def test_drift_of_more_attributes_than_a_record_holds(base):
    with tmpfs(base, "disk") as disk:
        fs = Dkfs(base)
        fs.dir = disk / "data"
        fs.dir.mkdir()
        file = fs.dir / "file"

        def attributes():
            return {name: hash(os.getxattr(file, name)) for name in os.listxattr(file)}

        try:
            fs.mount()
            file.write_bytes(b"content")
            os.setxattr(file, "user.gone", b"soon")
            fs.unmount()
            for i in range(140):
                os.setxattr(file, f"user.{i}", bytes([i]) * 65536)
            os.removexattr(file, "user.gone")
            want = attributes()
            fs.mount()
            fs.wait_adopted()
            fs.kill()
            fs.lose_dir()
            fs.mount()
            assert attributes() == want
        finally:
            fs.close()


def test_drift_is_captured_while_all_is_in_use(fs):
    """Files are read and written, by several at once, before and after each was compared in the background."""
    fs.mount()
    names = [fs.dir / f"d{i % 10}" / f"f{i}" for i in range(1000)]
    for name in names:
        name.parent.mkdir(exist_ok=True)
        name.write_bytes(b"before" * 100)
    fs.unmount()
    rnd = random.Random(3)
    for name in rnd.sample(names, 200):
        name.write_bytes(name.name.encode() * 300)
    want = {name: name.read_bytes() for name in names}
    fs.mount()

    def use(part):
        for name in part:
            assert name.read_bytes() == want[name]
            with open(name, "r+b") as f:
                f.seek(10)
                f.write(b"mounted")
            want[name] = want[name][:10] + b"mounted" + want[name][17:]

    parts = [names[i::4] for i in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(use, parts))
    assert {name: name.read_bytes() for name in names} == want
    fs.wait_adopted()
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert {name: name.read_bytes() for name in names} == want


@pytest.mark.parametrize("first", ["a/x", "b/x", "c/x", "d/x", "z/x", "a", "c"])
def test_drift_of_one_of_several_names(fs, first):
    """Removed, replaced, and by another name than the first one changed; whatever is looked at first."""
    fs.mount()
    for folder in "az":
        (fs.dir / folder).mkdir()
    (fs.dir / "z/x").write_text("as it was")  # has a lower number than the folders it comes to be in
    for folder in "bcd":
        (fs.dir / folder).mkdir()
    for folder in "abcd":
        os.link(fs.dir / "z/x", fs.dir / folder / "x")
    fs.unmount()
    (fs.dir / "b/x").unlink()
    (fs.dir / "c/new").write_text("another file")
    os.rename(fs.dir / "c/new", fs.dir / "c/x")
    (fs.dir / "z/x").unlink()
    (fs.dir / "d/x").unlink()
    (fs.dir / "d/x").mkdir()
    with open(fs.dir / "a/x", "a") as f:
        f.write(", and more")
    want = tree(fs.dir, times=False)
    fs.mount()
    if fs.dir.joinpath(first).is_dir():
        os.listdir(fs.dir / first)
        with os.scandir(fs.dir / first) as listed:
            for entry in listed:
                entry.stat()
    assert_same(tree(fs.dir, times=False), want)
    with open(fs.dir / "a/x") as f:
        (fs.dir / "a/x").unlink()
        assert f.read() == "as it was, and more"
    want = tree(fs.dir, times=False)
    fs.wait_adopted()
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_same(tree(fs.dir, times=False), want)
    fs.unmount()
    assert run(BIN / "dkfs-replay", "verify", "--store", fs.store).returncode == 0


def test_a_file_that_got_several_names_of_another_is_one_file(fs):
    fs.mount()
    (fs.dir / "a").write_text("as it was")
    for name in "bcde":
        os.link(fs.dir / "a", fs.dir / name)
    fs.unmount()
    for name in "bcde":
        (fs.dir / name).unlink()
    (fs.dir / "b").write_text("new")
    os.link(fs.dir / "b", fs.dir / "c")
    (fs.dir / "d").mkdir()
    (fs.dir / "e").mkdir()
    fs.mount()
    assert os.path.samefile(fs.dir / "b", fs.dir / "c")
    with open(fs.dir / "b", "a") as f:
        f.write(" and more")
    want = tree(fs.dir, times=False)
    fs.wait_adopted()
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_same(tree(fs.dir, times=False), want)
    assert (fs.dir / "c").read_text() == "new and more"
    assert fs.dir.stat().st_nlink == 4
    fs.unmount()
    assert run(BIN / "dkfs-replay", "verify", "--store", fs.store).returncode == 0


def test_what_is_of_another_type_is_captured_once(fs):
    """Each has a lower number than the directory it came to be in."""
    fs.mount()
    (fs.dir / "file").write_text("of old")
    (fs.dir / "folder").mkdir()
    (fs.dir / "folder/in it").write_text("of old")
    (fs.dir / "behind").write_text("of old")
    for folder in "pq":
        (fs.dir / folder).mkdir()
    for name in ("file", "folder"):
        os.rename(fs.dir / name, fs.dir / "p" / name)
    os.rename(fs.dir / "behind", fs.dir / "q/behind")
    fs.unmount()
    (fs.dir / "p/file").unlink()
    shutil.rmtree(fs.dir / "p/folder")
    shutil.rmtree(fs.dir / "q")
    (fs.dir / "p/file/below").mkdir(parents=True)
    (fs.dir / "p/file/below/it").write_text("new")
    (fs.dir / "p/folder").write_text("new")
    os.symlink("p", fs.dir / "q")
    want = tree(fs.dir)
    fs.mount()
    fs.wait_adopted()  # and so all is compared, by number
    assert_same(tree(fs.dir), want)
    assert (fs.store / "dkfs.log").read_text().count("drift_incomplete") == 0
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_same(tree(fs.dir), want)
    assert fs.status()["protected"]["share"] == 1
    fs.unmount()
    assert run(BIN / "dkfs-replay", "verify", "--store", fs.store).returncode == 0


def test_drift_of_a_directory_that_a_former_dkfs_left_is_captured(fs):
    fs.mount()
    (fs.dir / "f").write_text("old")
    fs.unmount()
    identity = os.getxattr(fs.dir, "trusted.dkfs.store").rpartition(b":")[0]  # without Seq
    os.setxattr(fs.dir, "trusted.dkfs.store", identity)
    seq = (fs.store / "clean").read_text().splitlines()[0]
    (fs.store / "clean").write_text(f"{seq}\nidentity {identity.decode()}\n")
    (fs.dir / "f").write_text("changed without dkfs")
    fs.mount()
    assert (fs.dir / "f").read_text() == "changed without dkfs"


def test_nothing_changed_is_no_drift(fs):
    fs.mount()
    populate(fs.dir)
    want = tree(fs.dir)
    fs.unmount()
    fs.mount()
    before = fs.status()["seq"]["appended"]
    assert_same(tree(fs.dir), want)
    assert fs.status()["seq"]["appended"] == before


TIB = 1 << 40
SPARSE = {0: b"front", 3 * TIB + 4097: b"middle", 15 * TIB: b"back"}  # ext4 takes 16 TiB


def make_sparse(path):
    with open(path, "wb") as f:
        for at, text in SPARSE.items():
            os.pwrite(f.fileno(), text * 100_000, at)
        f.truncate(15 * TIB + (3 << 20))


def assert_sparse(path, without=()):
    with open(path, "rb") as f:
        assert os.fstat(f.fileno()).st_size == 15 * TIB + (3 << 20)
        for at, text in SPARSE.items():
            want = bytes(len(text) * 100_000) if at in without else text * 100_000
            assert os.pread(f.fileno(), len(want), at) == want, at
            assert os.pread(f.fileno(), 100_000, at + len(want)) == bytes(100_000)
        assert os.pread(f.fileno(), 100_000, TIB) == bytes(100_000)


def test_holes_of_adopted_files_take_no_time_and_nothing_in_the_store(fs):
    make_sparse(fs.dir / "sparse")
    (fs.dir / "empty").touch()
    os.truncate(fs.dir / "empty", 7 * TIB + 1)
    with open(fs.dir / "short", "wb") as f:  # many holes, none of them long
        for i in range(300):
            os.pwrite(f.fileno(), b"data" * 2048, i * 131072)
        f.truncate(300 * 131072)
    fs.mount()
    fs.wait_adopted()
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_sparse(fs.dir / "sparse")
    assert os.stat(fs.dir / "empty").st_size == 7 * TIB + 1
    with open(fs.dir / "empty", "rb") as f:
        assert os.pread(f.fileno(), 5000, 7 * TIB) == b"\0"
        with pytest.raises(OSError):
            os.lseek(f.fileno(), 0, os.SEEK_DATA)
    fs.wait_hydrated()
    fs.unmount()
    assert_sparse(fs.dir / "sparse")
    assert os.stat(fs.dir / "sparse").st_blocks < 8 << 11
    assert os.stat(fs.dir / "short").st_blocks < 8 << 11
    assert (fs.dir / "short").read_bytes() == (b"data" * 2048 + bytes(131072 - 8192)) * 300
    make_sparse(fs.dir / "drifted")
    os.unlink(fs.dir / "empty")
    make_sparse(fs.dir / "empty")
    fs.mount()
    fs.wait_adopted()
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_sparse(fs.dir / "drifted")
    assert_sparse(fs.dir / "empty")


def test_a_sparse_file_is_changed_before_it_is_captured(fs):
    for name in "written", "punched", "cut", "gone", "replaced":
        make_sparse(fs.dir / name)
    fs.mount()
    before = fs.status()["seq"]["appended"]
    d = fs.dir
    with open(d / "written", "r+b") as f:
        os.pwrite(f.fileno(), b"in a hole", TIB + 5)
    with open(d / "punched", "r+b") as f:
        fallocate(f.fileno(), FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 1 << 20, 14 * TIB)
    os.truncate(d / "cut", 4 * TIB)
    os.unlink(d / "gone")
    (d / "new").write_text("new")
    os.rename(d / "new", d / "replaced")

    def judge():
        with open(d / "written", "rb") as f:
            assert os.pread(f.fileno(), 100, TIB) == bytes(5) + b"in a hole" + bytes(86)
            for at, text in SPARSE.items():
                assert os.pread(f.fileno(), len(text) * 100_000, at) == text * 100_000
        assert_sparse(d / "punched", without=[3 * TIB + 4097])
        with open(d / "cut", "rb") as f:
            assert os.fstat(f.fileno()).st_size == 4 * TIB
            assert os.pread(f.fileno(), 600_000, 3 * TIB + 4097) == b"middle" * 100_000
        assert sorted(os.listdir(d)) == ["cut", "punched", "replaced", "written"]
        assert (d / "replaced").read_text() == "new"
    judge()
    fs.wait_adopted()
    judge()
    fs.kill()
    fs.lose_dir()
    fs.mount()
    judge()
    fs.kill()
    out = fs.base / "out"
    run(BIN / "dkfs-replay", "restore", "--store", fs.store, "--at", f"seq:{before}", "--to", out)
    for name in "written", "punched", "cut", "gone", "replaced":
        assert_sparse(out / name)


def set_attribute(flag, path):
    """Not every file system has these."""
    done = run("chattr", flag, path, check=False)
    if done.returncode != 0:
        pytest.skip(f"chattr: {done.stderr}")


@pytest.fixture
def fixed(fs):
    """Gives files attributes that nothing can remove them with, and takes them away in the end."""
    touched = []

    def fix(flag, name):
        set_attribute(flag, fs.dir / name)
        touched.append(name)
    yield fix
    fs.close()
    for name in touched:
        run("chattr", "-i", "-a", fs.dir / name, check=False)


@pytest.mark.parametrize("flag", ["+i", "+a"])
def test_what_cannot_be_replaced_is_not_adopted(fs, fixed, flag):
    (fs.dir / "sub").mkdir()
    (fs.dir / "sub/file").write_text("text")
    fixed(flag, "sub/file")
    done = fs.mount(check=False)
    assert done.returncode == 3 and '"sub/file" is immutable' in done.stderr and done.stderr.count("\n") == 1
    assert not is_mounted(fs.dir)
    run("chattr", "-i", "-a", fs.dir / "sub/file")
    fs.mount()  # at once: whoever refused has let go of the store
    assert (fs.dir / "sub/file").read_text() == "text"


def test_what_became_immutable_is_read_and_told(fs, fixed):
    fs.mount()
    (fs.dir / "other").write_text("other")
    (fs.dir / "file").write_text("text")
    fs.unmount()
    fixed("+i", "file")
    fs.mount()
    fs.wait_adopted()
    assert (fs.dir / "file").read_text() == "text"
    with pytest.raises(PermissionError):
        with open(fs.dir / "file", "r+b", buffering=0) as f:
            f.write(b"x")
    fs.kill()
    fs.detach()
    fs.mount()
    assert (fs.dir / "file").read_text() == "text"
    assert (fs.dir / "other").read_text() == "other"
    done = fs.ctl("unmount", fs.dir, check=False)
    assert done.returncode == 1 and "not complete" in done.stderr
    run("chattr", "-i", fs.dir / "file")
    fs.mount()
    fs.unmount()
    assert (fs.dir / "file").read_text() == "text"


def test_a_running_program_is_adopted(fs):
    shutil.copy("/bin/sleep", fs.dir / "program")
    with subprocess.Popen([fs.dir / "program", "600"]) as running:
        try:
            fs.mount()
            fs.wait_adopted()
            with pytest.raises(OSError) as refused, open(fs.dir / "program", "ab", buffering=0) as f:
                f.write(b"x")
            assert refused.value.errno == errno.ETXTBSY
            fs.kill()
            fs.detach()
            fs.mount()
            assert (fs.dir / "program").read_bytes() == Path("/bin/sleep").read_bytes()
            fs.unmount()
        finally:
            running.kill()
    fs.mount()
    with open(fs.dir / "program", "ab", buffering=0) as f:
        f.write(b"x")
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert (fs.dir / "program").read_bytes() == Path("/bin/sleep").read_bytes() + b"x"


def test_an_attribute_too_large_for_the_disk_is_refused_at_once(fs):
    """Though nothing was prepared yet: later it would stand in the way of all use of the file."""
    paths = [fs.dir / f"f{i:04}" for i in range(2000)]
    for path in paths:
        path.write_bytes(b"content")
    (fs.dir / "native").write_bytes(b"")
    try:
        os.setxattr(fs.dir / "native", "user.large", bytes(5000))
        pytest.skip("the disk takes it")
    except OSError as e:
        code = e.errno
    fs.mount()
    for path in paths[-20:]:
        with pytest.raises(OSError) as refused:
            os.setxattr(path, "user.large", bytes(5000))
        assert refused.value.errno == code
        path.write_bytes(b"new content")
    fs.wait_adopted()
