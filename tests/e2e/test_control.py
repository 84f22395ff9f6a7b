"""dkfsctl and the daemon's end of it, when something is short."""

import resource
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dkfs import BIN, wait_until


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
