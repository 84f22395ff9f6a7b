"""FUSE over io_uring: --io-uring, the kernel's switch, and what happens to requests that are under way when dkfs ends."""

import concurrent.futures
import contextlib
import os
import pathlib
import subprocess
import threading
import time
import urllib.request

import pytest

from dkfs import BIN, PATIENCE, Dkfs, free_port, is_mounted, wait_until

SWITCH = pathlib.Path("/sys/module/fuse/parameters/enable_uring")
KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def ring(fs):
    """A mount whose requests come through io_uring."""
    if not SWITCH.exists():
        pytest.skip("the kernel has no FUSE over io_uring")
    fs.switch = SWITCH.read_text()
    done = fs.mount("--io-uring", "on", check=False)
    if done.returncode == 3 and "may not turn it" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return fs


def transport(fs):
    return fs.status()["transport"]


def test_requests_come_through_it_and_the_switch_is_put_back(ring):
    before = transport(ring)
    assert before["kind"] == "io_uring", before
    for i in range(100):
        (ring.dir / f"f{i}").write_bytes(b"x" * i)
    assert transport(ring)["ring_requests"] >= before["ring_requests"] + 200
    wait_until(lambda: SWITCH.read_text() == ring.switch, "the switch is not put back")  # others mount meanwhile
    text = ring.ctl("status", ring.dir).stdout
    assert "io_uring (" in text, text


def test_off_is_off(fs):
    fs.mount("--io-uring", "off")
    (fs.dir / "f").write_text("x")
    assert transport(fs) == {"kind": "dev_fuse", "reason": "--io-uring off", "ring_requests": 0}


def test_auto_always_mounts_and_says_what_it_chose(fs):
    fs.mount("--io-uring", "auto")
    chosen = transport(fs)
    assert chosen["kind"] in ("io_uring", "dev_fuse") and chosen["reason"], chosen


def test_on_is_refused_in_one_line_where_the_switch_may_not_be_turned(fs):
    if not SWITCH.exists() or SWITCH.read_text().strip() == "Y":
        pytest.skip("no switch that is off")
    script = 'mount --bind /sys /sys && mount -o remount,bind,ro /sys && exec "$@"'  # of this mount alone
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *map(str, fs.command("--io-uring", "on"))],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 3, done
    assert len(done.stderr.splitlines()) == 1 and "io_uring" in done.stderr, done.stderr
    assert not os.path.ismount(fs.dir)
    fs.mount("--io-uring", "off")
    (fs.dir / "f").write_text("x")


def test_content_of_every_size_goes_through_unharmed(ring):
    sizes = [0, 1, 4095, 4096, 4097, 128 * KIB, MIB - 1, MIB, MIB + 1, 5 * MIB + 7]
    contents = {f"s{size}": os.urandom(size) for size in sizes}
    for name, data in contents.items():
        (ring.dir / name).write_bytes(data)
    ring.unmount()
    ring.mount("--io-uring", "on")
    for name, data in contents.items():
        assert (ring.dir / name).read_bytes() == data, name
        fd = os.open(ring.dir / name, os.O_RDONLY | os.O_DIRECT)
        try:
            with open(fd, "rb", buffering=0, closefd=False) as f:
                assert len(f.readall()) == len(data)
        finally:
            os.close(fd)
    os.setxattr(ring.dir / "s1", "user.k", b"v" * 3000)
    assert os.getxattr(ring.dir / "s1", "user.k") == b"v" * 3000
    long = "n" * 255
    os.symlink("t" * 4000, ring.dir / long)
    assert os.readlink(ring.dir / long) == "t" * 4000


def test_more_fsyncs_at_once_than_places(ring):
    def client(i):
        path = ring.dir / f"c{i}"
        fd = os.open(path, os.O_CREAT | os.O_RDWR)
        try:
            for n in range(10):
                os.pwrite(fd, bytes([n]) * 4096, n * 4096)
                os.fsync(fd)
        finally:
            os.close(fd)
        return path.stat().st_size

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        assert list(pool.map(client, range(100))) == [40960] * 100


@contextlib.contextmanager
def writers(fs, count):
    """Threads that write and fsync until the mount ends; yields, for each, what was the last it was told is safe."""
    safe = [0] * count
    errors = []

    def write(i):
        fd = os.open(fs.dir / f"w{i}", os.O_CREAT | os.O_RDWR)
        try:
            for n in range(1, 1 << 30):
                os.pwrite(fd, n.to_bytes(8, "little"), 0)
                os.fsync(fd)
                safe[i] = n
        except OSError as error:
            errors.append(error.errno)
        finally:
            with contextlib.suppress(OSError):
                os.close(fd)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    wait_until(lambda: min(safe) > 3, "nobody writes")
    yield safe
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a request was never answered"
    assert len(errors) == count


@pytest.mark.parametrize("how", ["kill", "terminate", "detach"])
def test_nobody_is_left_waiting_and_nothing_safe_is_lost(ring, how):
    for _ in range(3):
        with writers(ring, 24) as safe:
            if how == "kill":
                ring.kill()
            elif how == "terminate":
                for pid in ring.pids():
                    os.kill(pid, 15)
                time.sleep(0.2)
                for pid in ring.pids():
                    os.kill(pid, 15)  # at once
            else:
                abort(ring)
        wait_until(ring.gone, "dkfs does not end")
        ring.detach()
        ring.mount("--io-uring", "on")
        for i, n in enumerate(safe):
            assert int.from_bytes((ring.dir / f"w{i}").read_bytes()[:8], "little") >= n, i


def test_who_still_uses_it_is_not_left_to_wait_while_dkfs_finishes(ring):
    ring.unmount()
    ring.env["DKFS_FAULTS"] = "daemon.unmount=pause@1"
    ring.mount("--io-uring", "on")
    with writers(ring, 24):
        for _ in range(2):
            for pid in ring.pids():
                os.kill(pid, 15)
            time.sleep(0.2)
    assert ring.pids(), "it has finished already"
    ring.kill()


def abort(fs):
    """Ends the connection from the kernel's side, as an administrator may."""
    minor = os.minor(os.lstat(fs.dir).st_dev)
    control = pathlib.Path("/sys/fs/fuse/connections")
    if not (control / str(minor)).exists():
        subprocess.run(["mount", "-t", "fusectl", "none", control], check=True)
    (control / str(minor) / "abort").write_text("1")


def test_mounts_made_at_once_all_get_it(base):
    if not SWITCH.exists():
        pytest.skip("the kernel has no FUSE over io_uring")
    was = SWITCH.read_text()
    all_of_them = [Dkfs(base / str(i)) for i in range(6)]
    try:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for done in pool.map(lambda fs: fs.mount("--io-uring", "on", check=False), all_of_them):
                if done.returncode == 3 and "may not turn it" in done.stderr:
                    pytest.skip(done.stderr.strip())
                assert done.returncode == 0, done.stderr
        assert [transport(fs)["kind"] for fs in all_of_them] == ["io_uring"] * 6
        wait_until(lambda: SWITCH.read_text() == was, "the switch is not put back")
    finally:
        for fs in all_of_them:
            fs.close()


def test_metric_says_the_same(base):
    made = Dkfs(base)
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(free_port())
        stack.callback(made.close)
        subprocess.run([BIN / "dkfs", "--store", made.store, "--metrics-addr", f"127.0.0.1:{port}", made.dir], check=True)
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).read().decode()
        assert f'dkfs_fuse_transport{{transport="{transport(made)["kind"]}"' in text
        assert "dkfs_fuse_ring_requests_total" in text


def test_where_no_more_threads_are_to_be_had_fewer_serve(fs):
    fs.env["DKFS_FAULTS"] = "session.thread=EAGAIN@*"
    fs.mount("--io-uring", "off")
    (fs.dir / "f").write_text("x")
    assert (fs.dir / "f").read_text() == "x"
    assert "few_threads" in (fs.store / "dkfs.log").read_text()
    fs.unmount()
    assert (fs.dir / "f").read_text() == "x"


def test_a_place_without_a_thread_ends_the_mount_in_order(ring):
    (ring.dir / "f").write_text("x")
    ring.unmount()
    ring.env["DKFS_FAULTS"] = "session.thread=EAGAIN@2"
    ring.mount("--io-uring", "on", check=False)
    wait_until(lambda: ring.gone() and not is_mounted(ring.dir), "it does not end", limit=30)
    log = (ring.store / "dkfs.log").read_text()
    assert log.count("ring_thread_refused") == 1 and "clean=yes" in log.rpartition("store_closed")[2], log
    ring.env.pop("DKFS_FAULTS")
    ring.mount("--io-uring", "on")
    assert (ring.dir / "f").read_text() == "x"
