"""Damage in the store: a clear error or EIO for the bytes it hit, and everything else as it was."""

import errno
import os
import random
import shutil

import pytest

from dkfs import assert_same, tree
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


def test_damaged_block_is_eio_for_its_bytes_only(fs):
    fs.mount()
    blocks = [os.urandom(8192) for _ in range(64)]
    (fs.dir / "f").write_bytes(b"".join(blocks))
    (fs.dir / "g").write_text("fine")
    fs.unmount()
    fs.lose_dir()
    hit = 0
    for segment in (fs.store / "journal").iterdir():
        data = bytearray(segment.read_bytes())
        at = data.find(blocks[20])
        if at >= 0:
            data[at + 100] ^= 1
            segment.write_bytes(data)
            hit += 1
    if hit == 0:
        pytest.skip("the block stands compressed")
    fs.mount()
    assert (fs.dir / "g").read_text() == "fine"
    fd = os.open(fs.dir / "f", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    for i, block in enumerate(blocks):
        try:
            assert os.pread(fd, 8192, i * 8192) == block
            assert i != 20
        except OSError as e:
            assert e.errno == errno.EIO and i == 20
    os.close(fd)
    assert fs.ctl("status", fs.dir, check=False).returncode == 1
