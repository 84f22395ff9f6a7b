"""Layouts follow hints and the profiler, hold over remounts, crashes and losses, and every moment reads as it was."""

import contextlib
import json
import os
import random
import urllib.request

import pytest

from dkfs import BIN, PATIENCE, free_port, run, wait_until

KIB, MIB = 1 << 10, 1 << 20


def replay(*args, check=True):
    return run(BIN / "dkfs-replay", *args, check=check)


def explain(fs, name):
    """None until the profiler has seen the file."""
    asked = fs.ctl("explain", fs.dir / name, "--json", check=False)
    return json.loads(asked.stdout) if asked.returncode == 0 else None


def seen(fs, name):
    """Writes to it until the profiler knows it: the daemon's own counters may drop a single write, and say so."""
    def looked():
        write_at(fs.dir / name, 0, b"x")
        return explain(fs, name)

    wait_until(looked, f"{name} was never explained")


def hints(fs, text):
    path = fs.base / "hints"
    path.write_text(text)
    return ["--hints", str(path)]


def hasty(fs):
    fs.env["DKFS_TEST_HASTE"] = "100"


def write_at(path, offset, data):
    with open(path, "r+b", buffering=0) as f:
        assert os.pwrite(f.fileno(), data, offset) == len(data)


def stored(fs):
    """Bytes of packs, and of segments, which hold zeros beyond their records."""
    sizes = {"pack": 0, "seg": 0}
    for path in (fs.store / "journal").iterdir():
        with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
            if path.suffix[1:] in sizes:
                sizes[path.suffix[1:]] += path.stat().st_size
    return sizes


def restore(fs, seq):
    to = fs.base / f"at-{seq}"
    replay("restore", "--store", fs.store, "--to", to, "--at", f"seq:{seq}")
    return to


@pytest.mark.short
def test_top_and_explain_show_what_is_written(fs):
    hasty(fs)
    fs.mount("--hotness", "fuse", "--layouts", "fixed")
    (fs.dir / "sub").mkdir()
    (fs.dir / "cold").touch()
    seen(fs, "cold")
    hot = fs.dir / "sub/hot"
    hot.touch()
    for i in range(64):
        write_at(hot, i * 8192, os.urandom(8192))
    seen(fs, "sub/hot")
    assert 32 * 8192 < explain(fs, "sub/hot")["bytes"] < 65 * 8192

    def hot_first():
        write_at(hot, 0, os.urandom(8192))
        first = json.loads(fs.ctl("top", fs.dir, "--json").stdout)[0]
        return first["path"] == str(hot) and first["bytes_per_second"] > 0

    wait_until(hot_first, "no rate")
    top = json.loads(fs.ctl("top", fs.dir).stdout)  # no terminal
    assert [row["path"] for row in top] == [str(hot), str(fs.dir / "cold")]
    rates = [row["bytes_per_second"] for row in top]
    assert rates == sorted(rates, reverse=True)
    one = explain(fs, "sub/hot")
    assert one["layout"] == "8K delta z3 fold24" and one["reason"] == "the default" and one["adapts"] is False
    assert len(one["layouts"]) >= 6 and sum(row["in_force"] for row in one["layouts"]) == 1
    text = fs.ctl("explain", hot).stdout
    assert "because" in text and "* 8K delta z3 fold24" in text


def test_explain_says_what_is_wrong(fs, base):
    fs.mount("--hotness", "fuse")
    (fs.dir / "never-seen").touch()
    (base / "elsewhere").touch()
    assert fs.ctl("explain", base / "elsewhere", check=False).returncode == 2
    assert fs.ctl("explain", fs.dir / "missing", check=False).returncode == 1
    assert "not written" in fs.ctl("explain", fs.dir / "never-seen", check=False).stderr
    assert fs.ctl("top", base, check=False).returncode == 2


@pytest.mark.parametrize("text", ["*.jpg 5K", "*.jpg"])
def test_wrong_hints_are_named(fs, text):
    refused = fs.mount(*hints(fs, text), check=False)
    assert refused.returncode == 3 and "line 1" in refused.stderr, refused


def test_a_new_file_has_its_hint_from_the_beginning(fs):
    hasty(fs)
    fs.mount("--hotness", "fuse", *hints(fs, "*.jpg 64K whole raw\n/wal/* 4K fold8\n"))
    (fs.dir / "wal").mkdir()
    content = os.urandom(8 * MIB)  # more than could be recorded anew
    (fs.dir / "a.jpg").write_bytes(content)
    (fs.dir / "wal/1").write_bytes(b"x" * 9000)
    seen(fs, "wal/1")
    wait_until(lambda: explain(fs, "a.jpg"), "never explained")
    wait_until(lambda: explain(fs, "wal/1")["reason"] == "a hint names it", "no hint")
    assert explain(fs, "a.jpg")["layout"] == "64K whole raw fold24"
    assert explain(fs, "wal/1")["layout"] == "4K delta z3 fold8"
    fs.kill()
    fs.lose_dir()
    fs.mount("--hotness", "fuse")  # without hints: what is recorded holds
    assert (fs.dir / "a.jpg").read_bytes() == content
    seen(fs, "a.jpg")
    wait_until(lambda: explain(fs, "a.jpg")["layout"] == "64K whole raw fold24", lambda: explain(fs, "a.jpg"))
    fs.unmount()
    assert replay("verify", "--store", fs.store).returncode == 0


@pytest.mark.parametrize("layout", ["4K delta", "1M whole z1", "8K whole raw", "64K delta z9 fold96", "8K whole z1 long"])
def test_a_change_in_the_middle_keeps_every_moment(fs, layout):
    """Chains before and after the change, a kill right behind it, the loss of DIR: all moments read as they were."""
    hasty(fs)
    fs.env["DKFS_TEST_HASTE"] = "10"  # not the history
    fs.mount("--hotness", "fuse")
    rnd = random.Random(layout)
    content = bytearray(rnd.randbytes(200_000))
    (fs.dir / "f").write_bytes(content)
    moments = []

    def write(rounds):
        for _ in range(rounds):
            at, data = rnd.randrange(len(content)), rnd.randbytes(rnd.choice((10, 300, 9000)))
            write_at(fs.dir / "f", at, data)
            content[at:at + len(data)] = data
            moments.append((fs.status()["seq"]["appended"], bytes(content)))

    write(6)
    fs.unmount()
    fs.mount("--hotness", "fuse", *hints(fs, f"f {layout}\n"))
    write(3)
    wait_until(lambda: write(1) or (e := explain(fs, "f")) and set(layout.split()) <= set(e["layout"].split()),
               lambda: f"kept {explain(fs, 'f')}")
    write(6)
    fs.kill()
    fs.lose_dir()
    fs.mount("--hotness", "fuse")
    assert (fs.dir / "f").read_bytes() == content
    write(3)
    fs.unmount()
    assert (fs.dir / "f").read_bytes() == content
    assert replay("verify", "--store", fs.store).returncode == 0
    for seq, want in moments[::3]:
        assert (restore(fs, seq) / "f").read_bytes() == want, f"as of {seq}"


def test_the_profiler_changes_what_does_not_pay(fs):
    """Random bytes over and over: whatever layouts it tries for them, all comes back."""
    hasty(fs)
    fs.mount("--hotness", "fuse")
    content = bytearray(4 * MIB)
    (fs.dir / "f").write_bytes(content)
    rnd = random.Random(7)

    def changed():
        for _ in range(64):
            at = rnd.randrange(512) * 8192
            content[at:at + 8192] = data = rnd.randbytes(8192)
            write_at(fs.dir / "f", at, data)
        return (e := explain(fs, "f")) and e["layout_changes"] > 0

    wait_until(changed, lambda: f"never changed: {explain(fs, 'f')}")
    assert explain(fs, "f")["adapts"] is True
    changed()
    fs.kill()
    fs.lose_dir()
    fs.mount("--hotness", "fuse")
    assert (fs.dir / "f").read_bytes() == content
    fs.unmount()
    assert replay("verify", "--store", fs.store).returncode == 0


def test_changes_are_counted_and_the_profilers_times_are_options(fs):
    fs.mount()
    (fs.dir / "f").write_bytes(b"x" * 20_000)
    fs.unmount()
    with free_port() as port:
        run(BIN / "dkfs", "--store", fs.store, "--metrics-addr", f"127.0.0.1:{port}", "--profiler-interval", "1s",
            "--profiler-alpha", "0.5", "-o", "profiler-dwell=10s", *hints(fs, "f 64K whole z1\n"), fs.dir)

        def counted():
            write_at(fs.dir / "f", 0, b"y")
            text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).read().decode()
            return 'dkfs_layout_changes_total{by="hint"} 1\n' in text

        wait_until(counted, "not counted")
        assert explain(fs, "f")["layout"] == "64K whole z1 fold24"
        fs.unmount()
    assert fs.mount("--profiler-alpha", "2", check=False).returncode == 2


@pytest.mark.short
def test_any_layout_at_any_time(fs):
    """All of them at once, with packing and folding under way, and kills in between."""
    fs.env.update(DKFS_TEST_SHAKE="20261123", DKFS_TEST_SEGMENT_BYTES=str(1 << 20))
    rnd = random.Random(5)
    contents = {f"f{i}": bytearray() for i in range(6)}
    moments = []
    for kill in (True, False, True, False):
        fs.mount("--hotness", "fuse")
        for step in range(150):
            name = rnd.choice(sorted(contents))
            now = contents[name]
            if rnd.random() < 0.08 and now:
                size = rnd.randrange(len(now))
                os.truncate(fs.dir / name, size)
                del now[size:]
                continue
            at, data = rnd.randrange(len(now) + 1), rnd.randbytes(rnd.choice((7, 500, 5000, 20_000, 300_000)))
            (fs.dir / name).touch()
            write_at(fs.dir / name, at, data)
            now[at:at + len(data)] = data
            if step % 50 == 0:
                moments.append((fs.status()["seq"]["appended"], {k: bytes(v) for k, v in contents.items() if v}))
        if kill:
            fs.kill()
            fs.lose_dir()
        else:
            fs.unmount()
    fs.mount("--hotness", "fuse")
    for name, want in contents.items():
        assert not want or (fs.dir / name).read_bytes() == want, name
    fs.unmount()
    assert replay("verify", "--store", fs.store).returncode == 0
    for seq, want in moments[::3]:
        to = restore(fs, seq)
        for name, bytes_then in want.items():
            assert (to / name).read_bytes() == bytes_then, f"{name} as of {seq}"


def test_packs_are_compressed_as_the_layout_says(fs):
    fs.env.update(DKFS_TEST_SEGMENT_BYTES=str(1 << 20), DKFS_TEST_HASTE="20")
    fs.mount("--hotness", "off", *hints(fs, "raw-* raw\n"))
    rnd = random.Random(3)
    words = [rnd.randbytes(6).hex().encode() for _ in range(1000)]
    text = b" ".join(rnd.choices(words, k=4 * MIB // 13))
    (fs.dir / "raw-1").write_bytes(text)
    wait_until(lambda: stored(fs)["seg"] <= 3 * MIB and stored(fs)["pack"] > 0.6 * len(text), lambda: stored(fs))
    raw = stored(fs)["pack"]
    (fs.dir / "usual").write_bytes(bytes(reversed(text)))
    (fs.dir / "filler").write_bytes(os.urandom(2 * MIB))  # seals the segments before
    wait_until(lambda: stored(fs)["seg"] <= 3 * MIB and stored(fs)["pack"] > raw + MIB // 2, lambda: stored(fs))
    assert stored(fs)["pack"] < raw + 2 * MIB + 0.9 * len(text), (raw, stored(fs))
    fs.unmount()
    assert replay("verify", "--store", fs.store).returncode == 0


def test_long_frames_keep_less_of_a_dump(fs):
    """Lines that come again 2 MiB later with other numbers; all of it, and a block out of the middle, after a loss."""
    fs.env.update(DKFS_TEST_SEGMENT_BYTES=str(4 * MIB), DKFS_TEST_HASTE="20")
    fs.mount("--hotness", "off", *hints(fs, "*.sql whole z1 long\n"))
    rnd = random.Random(4)
    lines = [rnd.randbytes(60).hex() for _ in range(2 * MIB // 125)]
    dump = "".join(f"{line}{rnd.randrange(10**4):04}\n" for _ in range(6) for line in lines).encode()
    (fs.dir / "1.sql").write_bytes(dump)
    (fs.dir / "filler").write_bytes(os.urandom(5 * MIB))  # seals the segments before
    wait_until(lambda: stored(fs)["seg"] <= 9 * MIB and stored(fs)["pack"] > MIB, lambda: stored(fs))
    assert stored(fs)["pack"] < 0.35 * len(dump) + 5 * MIB, stored(fs)
    fs.kill()
    fs.lose_dir()
    fs.mount("--hotness", "off")
    with open(fs.dir / "1.sql", "rb") as file:
        assert os.pread(file.fileno(), 5000, 7 * MIB) == dump[7 * MIB:7 * MIB + 5000]
    assert (fs.dir / "1.sql").read_bytes() == dump
    fs.unmount()
    assert replay("verify", "--store", fs.store).returncode == 0


def test_former_layouts_leave_with_the_window(fs):
    fs.env.update(DKFS_TEST_SHAKE="11", DKFS_TEST_SEGMENT_BYTES=str(1 << 20), DKFS_TEST_HASTE="1000")
    fs.mount("--hotness", "fuse", "--retain", "1s")
    content = bytearray(os.urandom(MIB))
    (fs.dir / "f").write_bytes(content)
    for i in range(100):
        at = i * 9973 % (MIB - 100)
        content[at:at + 100] = data = os.urandom(100)
        write_at(fs.dir / "f", at, data)
        fs.status()  # time for another layout
    (fs.dir / "filler").write_bytes(os.urandom(3 * MIB))
    wait_until(lambda: sum(stored(fs).values()) < 12 * MIB, lambda: stored(fs))
    assert (fs.dir / "f").read_bytes() == content
    fs.unmount()
    assert replay("verify", "--store", fs.store).returncode == 0
