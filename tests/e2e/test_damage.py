"""Damage in the store: a clear error or EIO for the bytes it hit, and everything else as it was."""

import contextlib
import errno
import os
import random
import shutil
import time

import pytest

from dkfs import BIN, PATIENCE, Dkfs, assert_same, drop_caches, run, tree, wait_until
from test_files import FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, fallocate
from test_recovery import populate


def hurt(fs, path, rng):
    data = bytearray(path.read_bytes())
    kind = rng.choice(["flip", "cut", "missing"])
    if kind == "flip" and data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    elif kind == "cut":
        path.write_bytes(data[:rng.randrange(len(data) + 1)])
    else:
        path.unlink()
    return f"{kind} {path.name}"


@pytest.mark.parametrize("part", ["journal", "index"])
def test_random_damage_never_serves_wrong_bytes(fs, part):
    fs.mount()
    populate(fs.dir)
    want = tree(fs.dir, times=False)
    fs.unmount()
    fs.lose_dir()
    pristine = fs.base / "pristine"
    shutil.copytree(fs.store, pristine, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    served = 0
    for _ in range(12):
        victim = rng.choice(sorted(p for p in (fs.store / part).iterdir() if p.is_file() and p.stat().st_size))
        what = hurt(fs, victim, rng)
        result = fs.mount(check=False)
        assert result.returncode in (0, 5), (what, result.returncode, result.stderr)
        if result.returncode == 0:
            served += 1
            for name, row in want.items():
                if not isinstance(row, dict) or "sha" not in row:
                    continue
                try:
                    data = (fs.dir / name).read_bytes()
                except OSError as e:
                    assert e.errno in (errno.EIO, errno.ENOENT), (what, name, e)
                    continue
                import hashlib
                assert hashlib.sha256(data).hexdigest() == row["sha"], f"wrong bytes in {name} after {what}"
            fs.kill()
        else:
            assert result.stderr.startswith("dkfs: ") and len(result.stderr.strip().splitlines()) == 1
        fs.lose_dir()
        shutil.rmtree(fs.store)
        shutil.copytree(pristine, fs.store, symlinks=True)
    assert part == "journal" or served > 0


def test_lost_index_is_rebuilt(fs):
    fs.mount()
    populate(fs.dir)
    want = tree(fs.dir)
    fs.unmount()
    fs.lose_dir()
    shutil.rmtree(fs.store / "index")
    fs.mount()
    assert_same(tree(fs.dir), want)


def test_an_index_made_again_makes_no_drift_of_a_clean_directory(fs):
    fs.mount()
    populate(fs.dir)
    want = tree(fs.dir)
    fs.unmount()
    run(BIN / "dkfs-replay", "reindex", "--store", fs.store)  # segments give everything back but the fingerprints
    fs.env["DKFS_FAULTS"] = "adopt.capture=ENOSPC@1"  # drift would stay uncaptured
    fs.mount()
    assert_same(tree(fs.dir), want)
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_same(tree(fs.dir), want)
    assert "drift_captured" not in (fs.store / "dkfs.log").read_text()


BLOCK = 8192
VICTIM = 20  # whose place is damaged
PACKED_VICTIM = 40  # so far behind file g that they never share a frame of a pack


def fill(fs, packed=False):
    """Mounts; many blocks over several segments, each synced; with `packed` sealed segments are soon packed."""
    fs.env["DKFS_TEST_SEGMENT_BYTES"] = str(256 << 10)
    if packed:
        fs.env["DKFS_TEST_HASTE"] = "1000"
    fs.mount()
    blocks = [os.urandom(BLOCK) for _ in range(96 if packed else 64)]
    (fs.dir / "g").write_text("fine")
    fd = os.open(fs.dir / "f", os.O_RDWR | os.O_CREAT)
    for i, block in enumerate(blocks):
        os.pwrite(fd, block, i * BLOCK)
        os.fsync(fd)
    os.close(fd)
    return blocks


def holders(fs, block, suffix):
    found = []
    for p in sorted((fs.store / "journal").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
            if p.name.endswith(suffix) and block in p.read_bytes():
                found.append(p)
    return found


def only_segment(fs, block):
    found = holders(fs, block, ".seg")
    if not found:
        pytest.skip("slow: the segment was packed meanwhile")
    assert len(found) == 1
    return found[0]


def holds_whole(path, blocks):
    """The blocks that stand in this file and nowhere else."""
    here = path.read_bytes()
    elsewhere = [p.read_bytes() for p in path.parent.iterdir() if p != path and p.is_file()]
    return {i for i, block in enumerate(blocks) if block in here and not any(block in other for other in elsewhere)}


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def check_served(fs, blocks, lost, cause):
    """EIO for the lost blocks alone, told in the status and in the log."""
    assert (fs.dir / "g").read_text() == "fine"
    assert sorted(os.listdir(fs.dir)) == ["f", "g"]
    fd = os.open(fs.dir / "f", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    for i, block in enumerate(blocks):
        if i in lost:
            with pytest.raises(OSError) as refused:
                os.pread(fd, BLOCK, i * BLOCK)
            assert refused.value.errno == errno.EIO, i
        else:
            assert os.pread(fd, BLOCK, i * BLOCK) == block, i
    os.close(fd)
    assert fs.status()["state"] == "degraded"
    assert fs.ctl("status", fs.dir, check=False).returncode == 1

    def told():
        return [line for line in (fs.store / "dkfs.log").read_text().splitlines() if "event=block_damaged" in line]
    for i in lost:  # the background may have met it first, and be about to log it
        wait_until(lambda: any("path=f " in line and f"block={i} " in line for line in told()), lambda: (i, told()))
    assert any(cause in line for line in told()), (cause, told())


def verify_names(fs, name):
    said = run(BIN / "dkfs-replay", "verify", "--store", fs.store, check=False)
    assert said.returncode == 5 and name in said.stdout + said.stderr, said


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_damaged_sealed_segment_is_eio_for_its_bytes_only(fs, how):
    blocks = fill(fs)
    fs.unmount()
    fs.lose_dir()
    segment = only_segment(fs, blocks[VICTIM])
    lost = {VICTIM}
    if how == "flipped":
        flip(segment, segment.read_bytes().find(blocks[VICTIM]) + 100)
    else:
        lost = holds_whole(segment, blocks)
        segment.unlink()
    assert VICTIM in lost and len(lost) < len(blocks)
    verify_names(fs, segment.name)
    fs.mount()
    check_served(fs, blocks, lost, "checksum mismatch" if how == "flipped" else segment.name)


def test_damaged_pack_is_eio_for_its_bytes_only(fs):
    blocks = fill(fs, packed=True)
    deadline = time.monotonic() + PATIENCE
    while not holders(fs, blocks[PACKED_VICTIM], ".pack") or holders(fs, blocks[PACKED_VICTIM], ".seg"):
        assert time.monotonic() < deadline, list((fs.store / "journal").iterdir())
        time.sleep(0.05)
    fs.unmount()
    fs.lose_dir()
    del fs.env["DKFS_TEST_HASTE"]
    for pack in holders(fs, blocks[PACKED_VICTIM], ".pack"):  # two when one was just taking the place of the other
        # A frame has one checksum for all that stands in it.
        flip(pack, pack.read_bytes().find(blocks[PACKED_VICTIM]) + 100)
    verify_names(fs, ".pack")
    fs.mount()
    lost = set()
    with open(fs.dir / "f", "rb", buffering=0) as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for i in range(len(blocks)):
            try:
                os.pread(f.fileno(), BLOCK, i * BLOCK)
            except OSError:
                lost.add(i)
    assert PACKED_VICTIM in lost and len(lost) <= (256 << 10) // BLOCK + 1
    check_served(fs, blocks, lost, "damaged")


def test_damaged_tail_is_refused_or_eio(fs):
    """What was synced and is not yet indexed: later records prove that it was there."""
    blocks = fill(fs)
    fs.kill()
    fs.lose_dir()
    segment = only_segment(fs, blocks[-4])
    flip(segment, segment.read_bytes().find(blocks[-4]) + 100)
    result = fs.mount(check=False)
    assert result.returncode in (0, 5), result
    if result.returncode == 5:
        assert segment.name in result.stderr and len(result.stderr.strip().splitlines()) == 1, result
    else:
        check_served(fs, blocks, {len(blocks) - 4}, "damaged")


def test_damaged_table_of_the_index_is_eio_until_reindexed(fs):
    blocks = fill(fs)
    fs.unmount()
    fs.lose_dir()
    tables = [t for t in (fs.store / "index").glob("*.sst") if b"nameblock" in t.read_bytes()]
    assert tables
    for table in tables:
        flip(table, 3)  # in its first block: where the versions of the first file's blocks stand
    fs.mount()
    assert sorted(os.listdir(fs.dir)) == ["f", "g"]
    refused = 0
    for name, want in (("g", b"fine"), ("f", b"".join(blocks))):
        try:
            assert (fs.dir / name).read_bytes() == want
        except OSError as e:
            assert e.errno == errno.EIO, e
            refused += 1
    assert refused > 0
    assert fs.status()["state"] == "degraded"
    assert fs.ctl("status", fs.dir, check=False).returncode == 1
    fs.kill()
    fs.lose_dir()
    verify_names(fs, ".sst")
    run(BIN / "dkfs-replay", "reindex", "--store", fs.store)
    fs.mount()
    assert (fs.dir / "g").read_text() == "fine" and (fs.dir / "f").read_bytes() == b"".join(blocks)


def test_segment_of_another_store_is_refused_or_eio(fs, base):
    blocks = fill(fs)
    fs.unmount()
    other = Dkfs(base / "other")
    fill(other)
    other.unmount()
    fs.lose_dir()
    segment = only_segment(fs, blocks[VICTIM])
    lost = holds_whole(segment, blocks)
    shutil.copyfile(other.store / "journal" / segment.name, segment)
    verify_names(fs, segment.name)
    result = fs.mount(check=False)
    assert result.returncode in (0, 5), result
    if result.returncode == 5:
        assert segment.name in result.stderr and "another store" in result.stderr, result
        assert len(result.stderr.strip().splitlines()) == 1, result
    else:
        check_served(fs, blocks, lost, "damaged")


def test_newer_format_is_refused_and_nothing_is_changed(fs):
    fill(fs)
    fs.unmount()
    fs.lose_dir()
    mark = fs.store / "FORMAT"
    mark.write_text(mark.read_text().replace("version 1\n", "version 2\n"))
    before = {p: p.stat().st_mtime_ns for p in fs.store.rglob("*") if p.is_file() and p.name not in ("LOCK", "dkfs.log")}
    result = fs.mount(check=False)
    assert result.returncode == 5 and "newer" in result.stderr, result
    assert len(result.stderr.strip().splitlines()) == 1, result
    assert before == {p: p.stat().st_mtime_ns for p in before}


@pytest.mark.short
@pytest.mark.parametrize("change", ["write", "punch"])
def test_a_file_moved_aside_between_the_ends_of_a_change_keeps_both(fs, change):
    """What stands at its end cannot be kept alone: the whole file is made anew, also what was there for its beginning."""
    block, begin, length = 8192, 100, 8192
    fs.mount()
    (fs.dir / "a").write_bytes(os.urandom(1 << 20))  # with this the background is busy for days
    want = bytearray(os.urandom(3 * block))
    (fs.dir / "f").write_bytes(want)
    fs.ctl("sync", fs.dir)
    fs.kill()
    fs.detach()
    with open(fs.dir / "f", "r+b") as f:
        f.seek(block)
        f.write(b"?" * block)
    fs.env["DKFS_FAULTS"] = "aside.move=EXFULL@1"  # as beyond the budget
    fs.mount("--hydrate-rate", "1", "--hotness", "off")
    want[begin:begin + length] = bytes(length) if change == "punch" else b"w" * length
    with open(fs.dir / "f", "r+b", buffering=0) as f:
        if change == "punch":
            fallocate(f.fileno(), FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE, begin, length)
        else:
            os.pwrite(f.fileno(), want[begin:begin + length], begin)
    assert "f" in fs.ctl("aside", "list", fs.dir).stdout
    drop_caches()
    assert (fs.dir / "f").read_bytes() == want
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert (fs.dir / "f").read_bytes() == want


@pytest.mark.short
def test_reads_of_an_open_file_go_on_without_its_backing_file(fs):
    raw = fs.base / "raw"
    raw.mkdir()
    run("mount", "--bind", fs.dir, raw)
    try:
        fs.mount()
        content = os.urandom(100_000)
        with open(fs.dir / "f", "w+b", buffering=0) as f:
            f.write(content)
            drop_caches()
            os.truncate(raw / "f", 0)  # as a disk that reads no more
            assert os.pread(f.fileno(), 100_000, 0) == content
        assert fs.ctl("status", fs.dir, check=False).returncode == 1  # degraded
    finally:
        run("umount", "-l", raw, check=False)
