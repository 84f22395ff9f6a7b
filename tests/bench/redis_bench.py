"""redis-benchmark SET against a server with an append-only file."""

import subprocess
import time

from figures import Row
from runner import Paired


class Redis(Paired):
    def __init__(self, name, rows, policy, requests):
        super().__init__(name, rows)
        self.policy, self.requests = policy, requests

    def prepare(self, side, settings):
        folder = side.dir / "redis"
        folder.mkdir()
        socket = side.base / "redis.sock"
        server = subprocess.Popen(["redis-server", "--dir", str(folder), "--appendonly", "yes", "--appendfsync", self.policy,
                                   "--save", "", "--port", "0", "--unixsocket", str(socket)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not socket.exists():
            assert server.poll() is None and time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.02)
        return server, socket

    def measure(self, side, state, settings):
        count = settings.size(self.requests, self.requests // 20)
        out = subprocess.run(["redis-benchmark", "-s", str(state[1]), "-t", "set", "-n", str(count), "-c", "50", "-d", "100",
                              "-r", "100000", "--csv"], check=True, capture_output=True, text=True).stdout
        row = next(line for line in out.splitlines() if line.startswith('"SET'))
        return float(row.split(",")[1].strip('"'))

    def finish(self, side, state):
        state[0].terminate()
        state[0].wait(timeout=60)


BENCHES = [
    Redis("redis-always", [Row("redis-always", "Redis SET, append-only file synced always", "1/s", must=0.8, aim=1.2)],
          "always", 100_000),
    Redis("redis-everysec", [Row("redis-everysec", "Redis SET, append-only file synced every second", "1/s")],
          "everysec", 400_000),
]
