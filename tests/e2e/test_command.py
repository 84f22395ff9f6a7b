"""dkfs DIR -- COMMAND: a container's entrypoint."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from dkfs import PATIENCE, SLACK, is_mounted

pytestmark = pytest.mark.short


def with_command(fs, *command, **kw):
    return subprocess.Popen([str(w) for w in [*fs.command(), "--", *command]], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **kw)


@pytest.mark.parametrize("script,code", [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)])
def test_status_of_the_command_is_ours(fs, script, code):
    process = with_command(fs, "sh", "-c", f"echo hello > {fs.dir}/f; {script}")
    process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert not is_mounted(fs.dir) and not fs.pids()
    assert (fs.dir / "f").read_text() == "hello\n" and (fs.store / "clean").exists()


def test_signals_are_passed_on(fs):
    process = with_command(fs, "sh", "-c", f"trap 'echo got > {fs.dir}/signal; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 3 and (fs.dir / "signal").read_text() == "got\n"


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGPIPE, signal.SIGUSR2, signal.SIGWINCH, signal.SIGRTMIN + 3])
def test_no_signal_ends_dkfs_alone(fs, number):
    program = (f"import signal, sys, time; signal.signal({int(number)}, lambda *_: sys.exit(9)); print('ready', flush=True); "
               "[time.sleep(0.05) for _ in range(6000)]")  # no pause(): the signal may come just before it
    process = with_command(fs, sys.executable, "-c", program)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 9 and not is_mounted(fs.dir) and not fs.pids()


def test_a_caller_that_ignores_the_end_of_children(fs):
    process = with_command(fs, "sh", "-c", "exit 3", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 3 and not is_mounted(fs.dir)


def test_what_the_caller_ignores_the_command_ignores(fs):
    process = with_command(fs, "sh", "-c", "kill -HUP $$; echo survived",
                           preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert process.communicate(timeout=PATIENCE)[0] == "survived\n" and process.returncode == 0


def test_a_terminal_that_goes_away_ends_the_command(fs):
    """dkfs leads the session, as in a container with a terminal: only it is told."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever the tests were started with
        words = [str(w) for w in [*fs.command(), "--", "sh", "-c", "echo ready; exec sleep 1000"]]
        os.execv(words[0], words)
    seen = b""
    while b"ready" not in seen:
        seen += os.read(terminal, 100)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGHUP
    assert not is_mounted(fs.dir)


def test_own_failure_is_125(fs):
    process = subprocess.run([str(w) for w in [*fs.command()[:-1], fs.base / "nothing", "--", "true"]], capture_output=True)
    assert process.returncode == 125


def test_command_not_found_is_127(fs):
    process = with_command(fs, "no-such-program-here")
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 127 and not is_mounted(fs.dir)


def test_daemon_death_ends_the_command_with_125(fs):
    process = with_command(fs, "sh", "-c", "echo ready; exec sleep 1000")
    assert process.stdout.readline() == "ready\n"
    daemons = [pid for pid in fs.pids() if pid != process.pid]
    assert daemons
    for pid in daemons:
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 125


def test_leftover_children_do_not_keep_it(fs):
    process = with_command(fs, "sh", "-c", f"cd {fs.dir}; sleep 1000 & echo $!; exit 5")
    child = int(process.stdout.readline())
    ended = time.monotonic()
    try:
        process.wait(timeout=PATIENCE)
        assert process.returncode == 5 and time.monotonic() - ended < 25 * SLACK
    finally:
        os.kill(child, signal.SIGKILL)
