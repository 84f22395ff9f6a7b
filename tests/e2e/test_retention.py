"""Space for history is bounded under endless load, and a kill at any moment harms nothing."""

import os
import random
import threading
import time

from dkfs import BIN, assert_same, run, tree, wait_until
from disks import tmpfs


def store_bytes(fs):
    total = 0
    for folder, _, names in os.walk(fs.store):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def overwrite(fs, rng, mib):
    with open(fs.dir / "hot", "r+b" if (fs.dir / "hot").exists() else "w+b", buffering=0) as f:
        for _ in range(mib * 8):
            f.seek(rng.randrange(64) * 131072)
            f.write(rng.randbytes(131072))


def test_budget_holds_under_endless_overwrites(fs):
    fs.options += ["--budget", "200M", "--retain", "24h"]
    rng = random.Random(1)
    fs.mount()
    highest = 0
    for _ in range(12):
        for _ in range(8):
            overwrite(fs, rng, 8)
            highest = max(highest, store_bytes(fs))
    print(f"768 MiB written over 8 MiB; store at most {highest >> 20} MiB")
    assert highest <= 200 << 20
    want = tree(fs.dir)
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert_same(tree(fs.dir), want)
    fs.unmount()
    assert run(BIN / "dkfs-replay", "verify", "--store", fs.store, timeout=300).returncode == 0


def test_live_data_of_nearly_the_budget_is_overwritten_without_an_end(fs):
    mib = 70  # of 100, so that history is all spent again and again
    with tmpfs(fs.base, "disk", "size=200m") as disk:
        fs.store = disk / "store"
        fs.options += ["--budget", "100M"]
        fs.mount()
        (fs.dir / "hot").touch()
        for _ in range(4):
            content = os.urandom(mib << 20)
            with open(fs.dir / "hot", "r+b") as f:
                f.write(content)
                f.flush()
                os.fsync(f.fileno())
        assert fs.status()["state"] != "degraded"
        fs.kill()
        fs.lose_dir()
        fs.mount()
        assert (fs.dir / "hot").read_bytes() == content
        fs.unmount()


def test_kills_while_packing_harm_nothing(fs):
    fs.options += ["--budget", "150M", "--retain", "1s"]
    rng = random.Random(2)
    for _ in range(6):
        fs.mount()
        overwrite(fs, rng, 40 + rng.randrange(40))
        with open(fs.dir / f"n{rng.randrange(5)}", "ab") as f:
            f.write(rng.randbytes(50_000))
        time.sleep(rng.random() * 2)
        want = tree(fs.dir)
        fs.kill()
        fs.lose_dir()
        fs.mount()
        assert_same(tree(fs.dir), want)
        fs.kill()


def test_who_is_held_back_holds_back_nobody_else(fs):
    fs.options += ["--budget", "150M"]
    fs.env["DKFS_FAULTS"] = "retain.publish=pause@1"  # retention gets nowhere
    fs.mount()
    for name in "abc":
        (fs.dir / name).mkdir()
    (fs.dir / "b" / "old").touch()
    counts = [0, 0]

    def write():
        with open(fs.dir / "c" / "big", "wb", buffering=0) as f:
            while True:
                f.write(random.randbytes(1 << 20))
                counts[0] += 1

    def make():
        while True:
            (fs.dir / "a" / str(counts[1])).touch()
            counts[1] += 1

    def until_it_fails(work):
        try:
            work()
        except OSError:
            pass

    threads = [threading.Thread(target=until_it_fails, args=[work]) for work in (write, make)]
    for thread in threads:
        thread.start()

    def held():
        before = list(counts)
        time.sleep(2)
        return counts == before

    wait_until(held, "nobody is held back")
    begun = time.monotonic()
    assert not (fs.dir / "b" / "new").exists()
    (fs.dir / "b" / "old").unlink()
    took = time.monotonic() - begun
    fs.kill()
    for thread in threads:
        thread.join()
    assert took < 5, f"{took:.1f} s"
