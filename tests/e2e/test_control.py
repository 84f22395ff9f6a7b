"""dkfsctl and the daemon's end of it, when something is short."""

import resource
import socket
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dkfs import BIN, is_mounted, wait_until
from test_ending import signal_daemon


@contextmanager
def limited(pid, what, soft):
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, before[1]))
    yield
    resource.prlimit(pid, what, before)


def address_space(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def refused(fs):
    return "event=control_refused" in (fs.store / "dkfs.log").read_text()


# Not short: to check an object's type, the undefined behaviour sanitizer opens a pipe, and ends the daemon without one.
def test_a_client_waits_while_there_are_no_descriptors(mounted):
    with limited(mounted.pids()[0], resource.RLIMIT_NOFILE, 1):
        asked = subprocess.Popen([BIN / "dkfsctl", "status", mounted.dir], stdout=subprocess.DEVNULL)
        wait_until(lambda: refused(mounted), "nobody is refused")
    assert asked.wait(timeout=30) == 0


def answers(client):
    try:
        client.sendall(b'{"command": "status"}\n')
        return client.recv(1) != b""
    except OSError:
        return False


def test_a_client_without_a_thread_is_hung_up_on(mounted):
    mounted.wait_hydrated()
    pid = mounted.pids()[0]
    with ExitStack() as clients, limited(pid, resource.RLIMIT_AS, address_space(pid) + (4 << 20)):  # no further stack
        for _ in range(30):  # the first ones get the stacks of threads that ended
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(mounted.store / "control.sock"))
            if not answers(client):
                break
    assert refused(mounted)
    mounted.ctl("status", mounted.dir)


# Not short either: when it ends, the leak sanitizer starts a thread.
def test_a_signal_is_obeyed_when_no_thread_is_to_be_had(fs):
    roots = [root for root in map(Path, ("/sys/fs/cgroup/pids", "/sys/fs/cgroup")) if (root / "cgroup.procs").exists()]
    if not roots:
        pytest.skip("there are no control groups")
    group = Path(tempfile.mkdtemp(prefix="dkfs-", dir=roots[0]))
    try:
        if not (group / "pids.max").exists():
            pytest.skip("threads cannot be limited here")
        fs.mount()
        (group / "pids.max").write_text("1")
        (group / "cgroup.procs").write_text(str(fs.pids()[0]))
        signal_daemon(fs)
        wait_until(lambda: fs.gone() and not is_mounted(fs.dir), "it does not end", limit=30)
    finally:
        fs.close()
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "it is not gone")
        group.rmdir()
    assert (fs.store / "clean").exists()
