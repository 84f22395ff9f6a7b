"""The main promise: the directory is lost, stale or torn, and mounting shows the last acknowledged state."""

import mmap
import os
import random
import re
import shutil

import pytest

from dkfs import BIN, assert_same, run, tree, wait_until

pytestmark = pytest.mark.short


def populate(d, seed=1):
    """One of everything."""
    rng = random.Random(seed)
    os.makedirs(d / "base/1")
    os.mkdir(d / "empty")
    for i in range(20):
        (d / f"base/1/{i}").write_bytes(rng.randbytes(rng.randrange(0, 60000)))
    with open(d / "sparse", "wb") as f:
        f.seek(5_000_000)
        f.write(b"tail")
    with open(d / "rewritten", "w+b") as f:
        f.write(rng.randbytes(200_000))
        for _ in range(50):
            f.seek(rng.randrange(200_000))
            f.write(rng.randbytes(rng.randrange(1, 300)))
            f.flush()
    with open(d / "log", "ab") as f:
        for i in range(200):
            f.write(b"entry %d\n" % i)
            f.flush()
    os.truncate(d / "rewritten", 150_001)
    os.link(d / "base/1/3", d / "hard")
    os.symlink("base/1", d / "soft")
    os.mkfifo(d / "fifo")
    os.setxattr(d / "hard", "user.k", b"v")
    os.chmod(d / "base/1/4", 0o600)
    os.chown(d / "base/1/5", 12, 34)
    os.utime(d / "base/1/6", ns=(5, 7_000_000_009))
    (d / "tmp").write_bytes(b"new content")
    os.rename(d / "tmp", d / "base/1/7")
    os.unlink(d / "base/1/8")


def lose_nothing(fs):
    fs.detach()


def lose_all(fs):
    fs.lose_dir()


def lose_by_stale_files(fs):
    """Half of the files become older or torn copies, some names go, some come."""
    fs.detach()
    for i, path in enumerate(sorted(p for p in fs.dir.rglob("*") if p.is_file() and not p.is_symlink())):
        if i % 4 == 0:
            data = bytearray(path.read_bytes())
            for at in range(0, len(data), 9000):
                data[at:at + 4096] = b"\0" * len(data[at:at + 4096])
            path.write_bytes(data)
        elif i % 4 == 1:
            path.unlink()
    (fs.dir / "stranger").write_text("nobody recorded this")


@pytest.mark.parametrize("loss", [lose_nothing, lose_all, lose_by_stale_files])
def test_after_kill_the_last_state_is_there(fs, loss):
    fs.mount()
    populate(fs.dir)
    want = tree(fs.dir)
    fs.kill()
    loss(fs)
    fs.mount()
    assert_same(tree(fs.dir), want)


@pytest.mark.parametrize("loss", [lose_all, lose_by_stale_files])
def test_hydration_ends_with_a_complete_directory(fs, loss):
    fs.mount()
    populate(fs.dir)
    want = tree(fs.dir)
    fs.kill()
    loss(fs)
    fs.mount()
    fs.wait_hydrated()
    assert_same(tree(fs.dir), want)
    fs.unmount()
    assert not (fs.dir / ".dkfs-partial").exists()
    assert_same(tree(fs.dir), want)


def test_clean_unmount_leaves_an_ordinary_directory(fs):
    fs.mount()
    populate(fs.dir)
    want = tree(fs.dir)
    fs.unmount()
    assert_same(tree(fs.dir), want)


@pytest.mark.parametrize("served_before", [False, True])
def test_a_copy_of_the_directory_made_while_mounted_is_stale(fs, served_before):
    if served_before:
        fs.mount()
        fs.unmount()
    bare = os.open(fs.dir, os.O_RDONLY | os.O_DIRECTORY)
    fs.mount()
    populate(fs.dir)
    run("cp", "-a", f"/proc/{os.getpid()}/fd/{bare}/.", fs.base / "copy")
    os.close(bare)
    with open(fs.dir / "rewritten", "r+b") as f:
        f.write(b"newer")
    (fs.dir / "made").write_text("later")
    os.unlink(fs.dir / "base/1/9")
    want = tree(fs.dir)
    fs.unmount()
    fs.lose_dir()
    run("cp", "-a", f"{fs.base}/copy/.", fs.dir)  # into the same directory, with its attributes
    fs.mount()
    assert_same(tree(fs.dir), want)


def test_changes_on_absent_content(fs):
    """Partial writes, truncates and maps on files that are not hydrated yet behave as on hydrated ones."""
    fs.mount()
    rng = random.Random(7)
    content = rng.randbytes(300_000)
    names = ["write", "truncate", "extend", "map", "append", "punch", "direct"]
    for name in names:
        (fs.dir / name).write_bytes(content)
    fs.kill()
    fs.lose_dir()
    fs.mount()
    d = fs.dir
    with open(d / "write", "r+b") as f:
        f.seek(12345)
        f.write(b"patch")
    os.truncate(d / "truncate", 100_001)
    os.truncate(d / "truncate", 200_000)
    os.truncate(d / "extend", 400_000)
    with open(d / "map", "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
        m[70_000:70_004] = b"mmap"
        m.flush()
    with open(d / "append", "ab") as f:
        f.write(b"more")
    assert (d / "write").read_bytes() == content[:12345] + b"patch" + content[12350:]
    assert (d / "truncate").read_bytes() == content[:100_001] + b"\0" * 99_999
    assert (d / "extend").read_bytes() == content + b"\0" * 100_000
    assert (d / "map").read_bytes() == content[:70_000] + b"mmap" + content[70_004:]
    assert (d / "append").read_bytes() == content + b"more"
    want = tree(d)
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_same(tree(d), want)


def test_names_change_while_content_is_absent(fs):
    fs.mount()
    os.makedirs(fs.dir / "a/b")
    for i in range(10):
        (fs.dir / f"a/b/{i}").write_bytes(b"%d" % i * 30000)
    os.link(fs.dir / "a/b/1", fs.dir / "a/one")
    fs.kill()
    fs.lose_dir()
    fs.mount()
    d = fs.dir
    os.rename(d / "a/b", d / "c")
    os.rename(d / "c/0", d / "zero")
    os.unlink(d / "c/1")
    os.rename(d / "c/2", d / "c/3")
    os.link(d / "c/4", d / "four")
    shutil.rmtree(d / "a")
    os.mkdir(d / "a")
    want = tree(d)
    assert (d / "zero").read_bytes() == b"0" * 30000
    fs.wait_hydrated()
    assert_same(tree(d), want)
    fs.unmount()
    assert_same(tree(d), want)


def test_many_generations(fs):
    """Kill after kill, with more written each time and the directory lost every second time."""
    rng = random.Random(3)
    want = None
    for generation in range(6):
        fs.mount()
        if want is not None:
            assert_same(tree(fs.dir), want)
        for _ in range(30):
            path = fs.dir / f"f{rng.randrange(8)}"
            with open(path, "r+b" if path.exists() else "w+b") as f:
                f.seek(rng.randrange(100_000))
                f.write(rng.randbytes(rng.randrange(1, 20_000)))
        want = tree(fs.dir)
        fs.kill()
        (lose_all if generation % 2 else lose_nothing)(fs)


def test_stale_mount_point_is_replaced(fs):
    fs.mount()
    (fs.dir / "f").write_text("x")
    fs.kill()
    fs.mount()
    assert (fs.dir / "f").read_text() == "x"


def test_content_unexplained_is_moved_aside(fs):
    fs.mount()
    (fs.dir / "known").write_text("known")
    fs.kill()
    fs.detach()
    (fs.dir / "stranger").write_text("nobody recorded this")
    fs.mount()
    fs.wait_hydrated()
    assert os.listdir(fs.dir) == ["known"]
    listed = fs.ctl("aside", "list", fs.dir).stdout
    assert "stranger" in listed


def recorded_inodes(fs):
    said = run(BIN / "dkfs-replay", "verify", "--quick", "--store", fs.store).stdout
    return int(re.search(r"(\d+) inodes: no damage", said)[1])


def test_what_was_unlinked_and_open_at_a_crash_ends_in_the_next_mount(fs):
    fs.mount()
    held = [os.open(fs.dir / f"f{i}", os.O_CREAT | os.O_RDWR) for i in range(20)]
    for i, fd in enumerate(held):
        os.write(fd, b"orphan")
        if i > 0:
            os.unlink(fs.dir / f"f{i}")
    held.append(os.open(fs.dir, os.O_TMPFILE | os.O_RDWR))
    fs.kill()
    for fd in held:
        os.close(fd)
    assert recorded_inodes(fs) == 22  # with the root
    fs.mount()
    wait_until(lambda: "orphans_ended" in (fs.store / "dkfs.log").read_text(), "orphans are left")
    fs.unmount()
    assert recorded_inodes(fs) == 2
    assert os.listdir(fs.dir) == ["f0"]


def test_what_is_moved_aside_after_a_removal_is_kept(fs):
    fs.mount()
    known = os.urandom(16 << 20)
    (fs.dir / "f").write_bytes(known)
    fs.unmount()
    fs.mount()
    fs.kill()
    fs.detach()
    offsets = (8 << 20, 12 << 20)
    with open(fs.dir / "f", "r+b") as f:
        for offset in offsets:
            f.seek(offset)
            f.write(b"nobody recorded this")
    fs.mount("--hydrate-rate", "1K")
    for offset in offsets:
        fs.ctl("aside", "remove", fs.dir, "all")
        with open(fs.dir / "f", "rb") as f:
            assert os.pread(f.fileno(), 4096, offset) == known[offset:offset + 4096]
        assert "  f\n" in fs.ctl("aside", "list", fs.dir).stdout


def test_very_much_that_was_moved_aside_is_listed(fs):
    """More paths than an answer holds, of names that would steer a terminal."""
    fs.mount()
    fs.kill()
    fs.detach()
    deep = fs.dir / "/".join(["\x1b" * 250] * 3)
    deep.mkdir(parents=True)
    for i in range(1200):
        (deep / str(i)).touch()
    fs.mount()
    fs.wait_hydrated()
    listed = fs.ctl("aside", "list", fs.dir).stdout.splitlines()
    assert " 1203 entries " in listed[0] and 10 < len(listed) < 1000 and "\x1b" not in "".join(listed)
    assert listed[-1] == f"  and {1203 - (len(listed) - 2)} more"
