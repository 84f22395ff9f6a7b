"""Holes are told of files that are being dirtied through a mapping: it takes the kernel's answer, and nobody hangs on it."""

import faulthandler
import mmap
import os
import signal
import time

import pytest

from dkfs import command_lines, is_mounted, run, wait_until

pytestmark = pytest.mark.short
MIB = 1 << 20
SIZE = 64 * MIB


def helpers(fs):
    return [pid for pid, words in command_lines() if b"--flush-mount" in words and str(fs.dir).encode() in words]


def seek_until_it_ends(fd):
    try:
        while True:
            for at in range(0, SIZE, MIB):
                os.lseek(fd, at, os.SEEK_HOLE)
                os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        pass


def dirty_until_it_ends(fd):
    with mmap.mmap(fd, SIZE) as m:
        while True:
            for at in range(4096, SIZE, 16 * 4096):
                m[at] = 1
            os.ftruncate(fd, 0)
            os.ftruncate(fd, SIZE)


def started(work, fd):
    pid = os.fork()
    if pid == 0:
        faulthandler.disable()  # the end of the mount is SIGBUS to who has it mapped
        try:
            work(fd)
        finally:
            os._exit(0)
    return pid


@pytest.mark.parametrize("transport", ["on", "off"])
def test_a_kill_while_holes_are_sought_leaves_nothing(fs, transport):
    for i in range(4):
        done = fs.mount("--io-uring", transport, check=False)
        if transport == "on" and done.returncode == 3:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        fd = os.open(fs.dir / "f", os.O_RDWR | os.O_CREAT)
        os.ftruncate(fd, SIZE)
        users = [started(work, fd) for work in (dirty_until_it_ends, seek_until_it_ends, seek_until_it_ends)]
        os.close(fd)
        wait_until(lambda: helpers(fs), "no hole was asked for")
        time.sleep(0.05 * i)  # any moment will do
        for pid in fs.pids():
            os.kill(pid, signal.SIGKILL)
        try:
            wait_until(lambda: fs.gone() and not helpers(fs), "what was killed does not end", limit=20)
        finally:
            for pid in users:
                os.kill(pid, signal.SIGKILL)
        for pid in users:
            os.waitpid(pid, 0)
        fs.detach()
    fs.mount()
    assert (fs.dir / "f").exists()


def test_who_asks_for_holes_does_not_keep_the_mount_busy(fs):
    fs.mount()
    with open(fs.dir / "f", "wb") as f:
        os.ftruncate(f.fileno(), SIZE)
        assert os.lseek(f.fileno(), 0, os.SEEK_HOLE) == 0
    assert helpers(fs)
    run("umount", fs.dir)
    assert not is_mounted(fs.dir)
    wait_until(lambda: fs.gone() and not helpers(fs), "it does not end")
