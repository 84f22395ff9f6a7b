"""A real PostgreSQL on a mount, with clients that remember what was acknowledged to them."""

import glob
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from dkfs import PATIENCE, run, wait_until


def programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    assert found, "PostgreSQL is not installed (./dev deps)"
    return Path(found[-1])


class Postgres:
    def __init__(self, data, run_dir, port=54321):
        self.data = Path(data)
        self.where = os.path.realpath(data)
        self.run_dir = Path(run_dir)
        self.port = port
        self.bin = programs()
        self.server = None
        self.run_dir.mkdir(exist_ok=True)
        shutil.chown(self.run_dir, "postgres", "postgres")
        for parent in (self.run_dir.parent, *self.run_dir.parent.parents):
            if parent.stat().st_mode & 0o005 != 0o005 and str(parent).startswith("/var/tmp/"):
                parent.chmod(0o755)

    def as_postgres(self, *args, **kw):
        return run("runuser", "-u", "postgres", "--", *args, cwd="/", **kw)

    def init(self):
        shutil.chown(self.data, "postgres", "postgres")
        os.chmod(self.data, 0o700)
        self.as_postgres(self.bin / "initdb", "-D", self.data, "-k", "-A", "trust", "-U", "postgres", "--no-instructions",
                         timeout=300)

    def start(self, *options):
        log = open(self.run_dir / "server.log", "ab")
        words = ["-c", "fsync=on", "-c", "full_page_writes=on", "-c", "listen_addresses=", "-c", f"port={self.port}",
                 "-c", f"unix_socket_directories={self.run_dir}", *options]
        self.server = subprocess.Popen(
            ["runuser", "-u", "postgres", "--", str(self.bin / "postgres"), "-D", str(self.data), *words],
            stdout=log, stderr=log, cwd="/", start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.sql("select 1", check=False).returncode == 0:
                return
            assert self.server.poll() is None, "PostgreSQL ended:\n" + (self.run_dir / "server.log").read_text()[-3000:]
            time.sleep(0.05)
        raise AssertionError("PostgreSQL does not answer:\n" + (self.run_dir / "server.log").read_text()[-3000:])

    def client(self, program, *args):
        return [str(self.bin / program), "-h", str(self.run_dir), "-p", str(self.port), "-U", "postgres", *map(str, args)]

    def sql(self, text, check=True, database="postgres", timeout=120):
        return run(*self.client("psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text),
                   check=check, timeout=timeout)

    def pids(self):
        """The postmaster and all its children, also those that outlive it: they work in the data directory."""
        found = []
        for link in glob.glob("/proc/[0-9]*/cwd"):
            try:
                if os.readlink(link) == self.where:
                    found.append(int(link.split("/")[2]))
            except OSError:
                continue
        return found

    def kill(self):
        """kill -9 of the postmaster and its children; runuser stays to reap it, or the next one would think it alive."""
        def none_left():
            pids = self.pids()
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not pids
        wait_until(none_left, "PostgreSQL survives kill -9")  # one that is left keeps the next from starting
        self.server.wait(timeout=PATIENCE)

    def stop(self):
        if self.server is None or self.server.poll() is not None:
            return
        self.as_postgres(self.bin / "pg_ctl", "-D", self.data, "stop", "-m", "fast", "-w", check=False)
        try:
            self.server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()

    def check(self):
        """Every table and index is sound, page checksums included (reading a page checks its checksum)."""
        self.sql("create extension if not exists amcheck")
        run(*self.client("pg_amcheck", "--heapallindexed", "--parent-check", "-d", "postgres"), timeout=600)


class Acks(threading.Thread):
    """One client: inserts numbered rows and remembers which commits were acknowledged."""

    def __init__(self, postgres, number):
        super().__init__(daemon=True)
        self.number = number
        self.acked = int(postgres.sql(f"select coalesce(max(n), 0) from acks where client = {number}").stdout)
        self.psql = subprocess.Popen(postgres.client("psql", "-X", "-q", "-A", "-t", "-d", "postgres"), text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def run(self):
        try:
            while True:
                n = self.acked + 1
                self.psql.stdin.write(f"insert into acks values ({self.number}, {n}) returning n;\n")
                self.psql.stdin.flush()
                line = self.psql.stdout.readline().strip()
                if line != str(n):
                    return
                self.acked = n
        except (BrokenPipeError, ValueError):
            return
        finally:
            self.psql.kill()
            self.psql.wait()


def start_clients(postgres, count):
    postgres.sql("create table if not exists acks (client int, n int, primary key (client, n))")
    clients = [Acks(postgres, i) for i in range(count)]
    for client in clients:
        client.start()
    return clients


def missing_acks(postgres, clients):
    """Acknowledged rows that are not there."""
    missing = []
    for client in clients:
        there = int(postgres.sql(f"select count(*) from acks where client = {client.number} and n <= {client.acked}")
                    .stdout.strip())
        if there != client.acked:
            missing.append(f"client {client.number}: {client.acked} acknowledged, {there} there")
    return missing
