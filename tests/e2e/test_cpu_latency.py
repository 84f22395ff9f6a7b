"""--cpu-latency: the kernel is asked to keep idle CPUs awake while requests come, and only then."""

import contextlib
import os
import pathlib
import subprocess
import threading

import pytest

from dkfs import PATIENCE, wait_until

DEVICE = pathlib.Path("/dev/cpu_dma_latency")
DRIVER = pathlib.Path("/sys/devices/system/cpu/cpuidle/current_driver")

needs_device = pytest.mark.skipif(not DEVICE.exists(), reason="no /dev/cpu_dma_latency")


def is_held(fs):
    """The daemon has the device open."""
    for fd in pathlib.Path(f"/proc/{fs.status()['pid']}/fd").iterdir():
        with contextlib.suppress(OSError):
            if fd.readlink() == DEVICE:
                return True
    return False


@contextlib.contextmanager
def busy(fs):
    """Requests all the time, until the mount is gone."""
    stop = threading.Event()

    def write():
        with contextlib.suppress(OSError), open(fs.dir / "busy", "wb", buffering=0) as file:
            while not stop.is_set():
                os.pwrite(file.fileno(), b"x", 0)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@needs_device
def test_it_is_asked_for_while_requests_come(fs):
    fs.mount("--cpu-latency", "3")
    assert not is_held(fs)
    status = fs.status()["cpu_latency"]
    assert (status["us"], status["held"], status["reason"]) == (3, False, "--cpu-latency"), status
    with busy(fs):
        wait_until(lambda: is_held(fs), "it is not asked for")
        assert fs.status()["cpu_latency"]["held"]
        assert "cpu latency 3 us now" in fs.ctl("status", fs.dir).stdout
    wait_until(lambda: not is_held(fs), "it is asked for without requests")
    status = fs.status()["cpu_latency"]
    assert not status["held"] and status["held_seconds"] > 0, status


@needs_device
def test_it_ends_with_a_killed_daemon_and_off_is_off(fs):
    fs.mount("--cpu-latency", "3")
    with busy(fs):
        wait_until(lambda: is_held(fs), "it is not asked for")
        fs.kill()
    fs.mount("--cpu-latency", "off")
    with busy(fs):
        before = fs.status()["transport"]
        wait_until(lambda: fs.status()["transport"] != before or before["kind"] == "dev_fuse", "no requests come")
        for _ in range(10):
            assert not is_held(fs)
    assert fs.status()["cpu_latency"] == {"us": None, "reason": "--cpu-latency off", "held": False, "held_seconds": 0}


def test_auto_is_for_guests_with_haltpoll(fs):
    fs.mount()
    status = fs.status()["cpu_latency"]
    driver = DRIVER.read_text().strip() if DRIVER.exists() else "none"
    if driver == "haltpoll" and DEVICE.exists():
        assert (status["us"], status["reason"]) == (0, "idle CPUs wait with haltpoll"), status
    else:
        assert status["us"] is None and status["reason"], status


def test_without_the_device_only_who_asks_for_it_is_refused(fs):
    # A /dev of this mount alone, with what dkfs needs.
    script = ('mkdir -p "$1" && touch "$1/fuse" "$1/null" && mount --bind /dev/fuse "$1/fuse" && '
              'mount --bind /dev/null "$1/null" && mount --rbind "$1" /dev && shift && exec "$@"')
    run = ["unshare", "-m", "sh", "-c", script, "sh", str(fs.base / "dev")]
    done = subprocess.run([*run, *map(str, fs.command("--cpu-latency", "0"))], capture_output=True, text=True,
                          timeout=PATIENCE)
    assert done.returncode == 3, done
    assert len(done.stderr.splitlines()) == 1 and str(DEVICE) in done.stderr, done.stderr
    assert not os.path.ismount(fs.dir)
    fs.mount()
