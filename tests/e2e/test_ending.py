"""How a mount ends: only what dkfs mounted is taken away, whatever else stands at DIR."""

import contextlib
import fcntl
import os
import signal
import subprocess
import time

import pytest

from dkfs import BIN, PATIENCE, is_mounted, run, wait_until
from test_command import with_command

pytestmark = pytest.mark.short


def types_at(path):
    """Of the mounts at exactly this path, the lowest first."""
    words = [line.split() for line in open("/proc/self/mountinfo")]
    return [w[w.index("-") + 1] for w in words if w[4] == str(path)]


def logged(fs, event):
    return (fs.store / "dkfs.log").read_text().count(f"event={event} ")


def signal_daemon(fs):
    """And waits until it says that it has it."""
    before = logged(fs, "signal")
    os.kill(fs.pids()[0], signal.SIGTERM)
    wait_until(lambda: logged(fs, "signal") > before, "the signal is not logged")


@pytest.fixture
def volume(fs):
    """DIR is a mount point of its own."""
    run("mount", "-t", "tmpfs", "none", fs.dir)
    yield fs.dir
    fs.close()


def test_a_signal_while_it_finishes_leaves_the_volume_below(fs, volume):
    fs.env["DKFS_FAULTS"] = "daemon.unmount=pause@1"
    fs.mount()
    run("umount", volume)
    wait_until(lambda: logged(fs, "unmounted"), "it does not finish")
    signal_daemon(fs)
    signal_daemon(fs)
    fs.kill()
    assert types_at(volume) == ["tmpfs"]


def test_a_signal_leaves_what_is_mounted_over_it(fs):
    fs.mount()
    run("mount", "-t", "tmpfs", "none", fs.dir)
    signal_daemon(fs)
    wait_until(lambda: logged(fs, "detach_failed"), "not told that something is mounted over it")
    assert types_at(fs.dir) == ["fuse.dkfs", "tmpfs"]
    run("umount", fs.dir)
    fs.unmount()
    assert (fs.store / "clean").exists()


def test_a_daemon_that_ends_before_the_command_leaves_the_volume_below(fs, volume):
    process = with_command(fs, "sh", "-c", "echo ready; exec sleep 1000", cwd="/")
    assert process.stdout.readline() == "ready\n"
    run("umount", volume)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 125 and types_at(volume) == ["tmpfs"]


@pytest.fixture
def starting(fs):
    """The daemon waits for DIR: for a second, if it has to."""
    held = os.open(fs.dir, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)

    def end_with(process, number):
        wait_until(fs.held, "it does not start")
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait()
        fcntl.flock(held, fcntl.LOCK_UN)
        said = process.communicate(timeout=PATIENCE)[1]
        wait_until(lambda: fs.gone() or is_mounted(fs.dir), "the daemon neither mounts nor ends")
        assert not is_mounted(fs.dir)
        return said
    yield end_with
    os.close(held)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_start(fs, starting, number):
    process = subprocess.Popen([str(w) for w in fs.command()], stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    assert "stopped by a signal" in starting(process, number)
    assert process.returncode == 1


def test_a_start_that_nobody_waits_for_ends(fs, starting):
    starting(subprocess.Popen([str(w) for w in fs.command()], stderr=subprocess.DEVNULL), signal.SIGKILL)
    assert logged(fs, "not_mounted") and not logged(fs, "mounted")


def test_a_signal_before_the_mount_is_ready_runs_no_command(fs, starting):
    process = with_command(fs, "touch", fs.base / "ran")
    assert "stopped by a signal" in starting(process, signal.SIGTERM)
    assert process.returncode == 125 and not (fs.base / "ran").exists()


def test_a_signal_that_comes_twice_is_one(fs):
    (fs.dir / "f").write_bytes(b"some content" * 1000)
    fs.mount()
    for _ in range(2):  # as timeout(1) sends it: to its child, and to the group of both
        os.kill(fs.pids()[0], signal.SIGTERM)
    wait_until(fs.gone, "it does not end")
    assert (fs.store / "clean").exists()


def test_an_end_that_was_hurried_is_a_failure(fs):
    process = subprocess.Popen([BIN / "dkfs", "-f", "--store", fs.store, fs.dir], stderr=subprocess.DEVNULL)
    wait_until(lambda: is_mounted(fs.dir), "it does not mount")
    with open(fs.dir / "f", "w") as f:  # in use: it is served until this is closed
        f.write("recorded")
        f.flush()
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)  # much shorter, and it is the same wish
        assert process.wait(timeout=PATIENCE) == 1
    fs.mount()
    assert (fs.dir / "f").read_text() == "recorded"


def test_a_mount_waits_for_one_that_finishes(fs):
    (fs.dir / "f").write_text("content")
    for _ in range(3):
        fs.mount()
        run("umount", fs.dir)  # does not wait for the daemon
    fs.mount()
    assert (fs.dir / "f").read_text() == "content"


def test_a_directory_of_another_store_is_refused(fs):
    other = fs.base / "other"
    other.mkdir()
    for store, directory in [(fs.store, fs.dir), (fs.base / "second", other)]:
        (directory / "mine").write_text(str(store))
        run(BIN / "dkfs", "--store", store, directory)
        run(BIN / "dkfsctl", "unmount", directory)
    swapped = subprocess.run([BIN / "dkfs", "--store", fs.store, other], capture_output=True, text=True)
    assert swapped.returncode == 3 and "belongs to another store" in swapped.stderr
    assert (other / "mine").read_text() == str(fs.base / "second")
    for name in ("trusted.dkfs.store", "user.dkfs.store"):
        with contextlib.suppress(OSError):
            os.removexattr(other, name)
    run(BIN / "dkfs", "--store", fs.store, other)
    assert (other / "mine").read_text() == str(fs.store)
    run(BIN / "dkfsctl", "unmount", other)
