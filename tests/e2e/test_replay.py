"""dkfs-replay: restore a moment, verify a store."""

import contextlib
import os
import time

import pytest

from dkfs import BIN, assert_same, run, tree, wait_until
from test_recovery import populate

pytestmark = pytest.mark.short


def replay(*args, check=True):
    return run(BIN / "dkfs-replay", *args, check=check, timeout=300)


def test_restore_latest_and_earlier_moments(fs):
    fs.mount()
    moments = []
    for i in range(5):
        (fs.dir / "f").write_text(f"version {i}\n" * 1000)
        (fs.dir / f"only{i}").write_text(str(i))
        if i:
            os.unlink(fs.dir / f"only{i - 1}")
        fs.ctl("sync", fs.dir)
        moments.append((fs.status()["seq"]["appended"], time.time(), tree(fs.dir)))
        time.sleep(0.05)
    fs.unmount()
    for i, (seq, when, want) in enumerate(moments):
        replay("restore", "--store", fs.store, "--to", fs.base / f"seq{i}", "--at", f"seq:{seq}")
        assert_same(tree(fs.base / f"seq{i}"), want)
        replay("restore", "--store", fs.store, "--to", fs.base / f"time{i}", "--at", f"@{when:.6f}")
        assert_same(tree(fs.base / f"time{i}"), want)
    replay("restore", "--store", fs.store, "--to", fs.base / "latest")
    assert_same(tree(fs.base / "latest"), moments[-1][2])


def test_the_first_moment_is_told_and_can_be_restored(fs):
    (fs.dir / "f").write_text("adopted")
    fs.mount()
    (fs.dir / "g").write_text("later")
    fs.wait_adopted()
    first = fs.status()["retention"]["oldest_time"]
    fs.unmount()
    said = replay("restore", "--store", fs.store, "--to", fs.base / "no", "--at", "2020-01-01T00:00:00Z", check=False).stderr
    assert "is before the first moment kept (" + first[:-1] in said
    exact = said.split("kept (")[1].split(")")[0]
    replay("restore", "--store", fs.store, "--to", fs.base / "first", "--at", exact)
    assert not (fs.base / "first/g").exists()


def test_restore_everything_with_one_of_each_kind(fs):
    fs.mount()
    populate(fs.dir)
    want = tree(fs.dir)
    fs.kill()
    fs.lose_dir()
    replay("restore", "--store", fs.store, "--to", fs.base / "out")
    assert_same(tree(fs.base / "out"), want)
    replay("restore", "--store", fs.store, "--to", fs.base / "part", "base/1")
    assert (fs.base / "part/base/1/4").read_bytes() == (fs.base / "out/base/1/4").read_bytes()
    assert not (fs.base / "part/log").exists()


def test_errors(fs):
    fs.mount()
    (fs.dir / "f").write_text("x")
    assert replay("restore", "--store", fs.store, "--to", fs.base / "o", check=False).returncode == 4
    fs.unmount()
    (fs.base / "full").mkdir()
    (fs.base / "full/x").touch()
    assert replay("restore", "--store", fs.store, "--to", fs.base / "full", check=False).returncode != 0
    assert os.listdir(fs.base / "full") == ["x"]
    assert replay("restore", "--store", fs.base / "none", "--to", fs.base / "o", check=False).returncode in (3, 5)
    assert replay("restore", "--store", fs.store, "--to", fs.base / "o", "--at", "yesterdayish", check=False).returncode == 2
    for moment in ("2000-01-01T00:00:00Z", "seq:999999", "seq:0"):
        assert replay("restore", "--store", fs.store, "--to", fs.base / "o", "--at", moment, check=False).returncode == 3
    assert not (fs.base / "o").exists()
    assert replay("nonsense", check=False).returncode == 2


def test_a_path_that_is_not_there_is_named(fs):
    fs.mount()
    (fs.dir / "f").write_text("x")
    os.symlink("/etc", fs.dir / "link")
    fs.unmount()
    for i, path in enumerate(["missing", "f/below", "link/passwd"]):
        result = replay("restore", "--store", fs.store, "--to", fs.base / f"o{i}", path, check=False)
        assert result.returncode == 3 and path.split("/")[0] in result.stderr, (path, result.stderr)
        assert os.listdir(fs.base / f"o{i}") == []


def test_verify_sound_and_damaged(fs):
    fs.mount()
    populate(fs.dir)
    fs.unmount()
    before = tree(fs.store)
    assert replay("verify", "--store", fs.store).returncode == 0
    assert_same({k: v.get("sha") if isinstance(v, dict) else v for k, v in tree(fs.store).items() if k != "LOCK"},
                {k: v.get("sha") if isinstance(v, dict) else v for k, v in before.items() if k != "LOCK"})
    segments = [p for p in (fs.store / "journal").iterdir() if p.suffix in (".seg", ".pack")]
    segment = max(segments, key=lambda p: len(p.read_bytes().rstrip(b"\0")))
    data = bytearray(segment.read_bytes())
    data[len(data.rstrip(b"\0")) // 2] ^= 0x10
    segment.write_bytes(data)
    result = replay("verify", "--store", fs.store, check=False)
    assert result.returncode == 5 and segment.name in result.stdout + result.stderr


def test_a_file_replaced_by_rename_is_packed_as_a_difference_and_every_moment_comes_back(fs):
    fs.env.update(DKFS_TEST_SEGMENT_BYTES=str(1 << 20), DKFS_TEST_HASTE="20")
    fs.mount()
    size = 4 << 20
    # Incompressible and shifted: no block is equal to one before, only librsync against what was replaced makes less of it.
    old = os.urandom(size)
    new = b"a few new bytes" + old
    moments = []
    for content in (old, new):
        (fs.dir / "doc.tmp").write_bytes(content)
        os.rename(fs.dir / "doc.tmp", fs.dir / "doc")
        moments.append((fs.status()["seq"]["appended"], content))
    (fs.dir / "filler").write_bytes(bytes(3 << 20) + os.urandom(3 << 20))  # seals the segments before

    def size_of(kind):
        sizes = []
        for path in (fs.store / "journal").glob(f"*.{kind}"):
            with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                sizes.append(path.stat().st_size)
        return sum(sizes)

    def packed():
        return size_of("pack")

    def raw():
        return size_of("seg")

    def is_small():
        # Two segments of the journal may hold nothing: the active one and the spare. All else was written once.
        return packed() + raw() < 1.4 * size + (3 << 20) + (2 << 20)

    # A pack that takes the place of others stands beside them for a moment.
    wait_until(lambda: raw() <= 3 << 20 and packed() >= size and is_small(),
               lambda: f"{packed()} bytes in packs, {raw()} in the journal")
    fs.unmount()
    for i, (seq, want) in enumerate(moments):
        replay("restore", "--store", fs.store, "--to", fs.base / f"at{i}", "--at", f"seq:{seq}")
        assert (fs.base / f"at{i}/doc").read_bytes() == want
    assert replay("verify", "--store", fs.store).returncode == 0
