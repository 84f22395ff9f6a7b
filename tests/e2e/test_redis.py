"""Redis on the mount, killed and lost: AOF always loses nothing acknowledged, everysec at most what it says, RDB is whole."""

import socket
import subprocess
import time

import pytest

from dkfs import PATIENCE, run
from test_recovery import lose_all


class Redis:
    def __init__(self, fs, *options):
        self.socket = fs.base / "redis.sock"
        self.process = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--dir", str(fs.dir),
                                         *options], stdout=subprocess.DEVNULL, cwd="/")
        deadline = time.monotonic() + PATIENCE
        while run("redis-cli", "-s", self.socket, "ping", check=False).stdout.strip() != "PONG":
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.05)

    def cli(self, *words):
        return run("redis-cli", "-s", self.socket, *words).stdout.strip()

    def kill(self):
        self.process.kill()
        self.process.wait()


def write_keys(redis, seconds, at_least=0):
    """Sets numbered keys one after another, for longer where too few were answered in time; how many were answered."""
    acked = 0
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(redis.socket))
        s.settimeout(PATIENCE)
        start = time.monotonic()
        while time.monotonic() < start + seconds or (acked < at_least and time.monotonic() < start + PATIENCE):
            s.sendall(b"SET k%d v%d\r\n" % (acked, acked))
            if s.recv(100) != b"+OK\r\n":
                break
            acked += 1
    return acked


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_aof(fs, fsync):
    fs.mount()
    options = ["--appendonly", "yes", "--appendfsync", fsync, "--save", ""]
    redis = Redis(fs, *options)
    try:
        acked = write_keys(redis, 3, 51)
        fs.kill()
        redis.kill()
        assert acked > 50
        lose_all(fs)
        fs.mount()
        redis = Redis(fs, *options)
        # A killed daemon loses nothing that was written, whatever Redis syncs (G2).
        assert int(redis.cli("dbsize")) >= acked
        assert redis.cli("get", f"k{acked - 1}") == f"v{acked - 1}"
    finally:
        redis.kill()


def test_rdb(fs):
    fs.mount()
    redis = Redis(fs, "--save", "", "--appendonly", "no")
    try:
        acked = write_keys(redis, 1)
        assert redis.cli("save") == "OK"
        write_keys(redis, 0.5)
        redis.cli("bgsave")
        fs.kill()
        redis.kill()
        lose_all(fs)
        fs.mount()
        redis = Redis(fs, "--save", "", "--appendonly", "no")
        assert int(redis.cli("dbsize")) >= acked
    finally:
        redis.kill()
