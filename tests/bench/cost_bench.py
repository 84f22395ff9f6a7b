"""What one operation costs the daemon, and what one byte costs the disk."""

import os
import time

from cost import costs, disk_bytes
from figures import Row
from postgres_bench import cluster, fill, pgbench
from runner import need_space, opened, say, settle, workplace
from sides import DkfsSide, LoopDisk, Side


class Operations:
    """Requests, wakeups, system calls and CPU of the daemon for one operation of each kind."""
    name = "costs"
    rows = [Row("costs.write-sync", "daemon CPU for one 8 KiB write and fsync", "us", "limit", 60, 25),
            Row("costs.write", "daemon CPU for one 8 KiB write", "us", "limit")]

    def estimate(self, settings):
        return 60 + settings.pairs * 5 + settings.short(30)

    def writes(self, side, count, sync):
        """Blocks of a laid out file, each other bytes, in an order that is not the file's."""
        blocks = 4096
        body = os.urandom(8192 + 256)
        with open(side.dir / "blocks", "r+b", buffering=0) as file:
            for i in range(count):
                os.pwrite(file.fileno(), body[i % 256:i % 256 + 8192], i * 2741 % blocks * 8192)
                if sync:
                    os.fsync(file.fileno())
        return count

    def files(self, side, count, work):
        for i in range(count):
            work(f"{side.dir}/many-{i}")
        return count

    def run(self, settings):
        extra, samples = {}, {"costs.write-sync": {"dkfs": []}, "costs.write": {"dkfs": []}}
        count = settings.size(10_000, 1000)
        with workplace() as base:
            side = DkfsSide(base / "dkfs")

            def add(title, work):
                settle([side])
                extra[title] = costs(side, work)
                say(f"  {title}: {extra[title]}")
                return extra[title]["cpu_us"]

            with opened(settings, self.name, side):
                (side.dir / "blocks").write_bytes(os.urandom(4096 * 8192))
                for _ in range(settings.pairs):
                    samples["costs.write-sync"]["dkfs"].append(
                        add("8 KiB write and fsync", lambda: self.writes(side, count, True)))
                    samples["costs.write"]["dkfs"].append(add("8 KiB write", lambda: self.writes(side, count, False)))
                add("create", lambda: self.files(side, count, lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY))))
                add("stat, warm", lambda: self.files(side, count, os.stat))
                add("open and close", lambda: self.files(side, count, lambda p: os.close(os.open(p, os.O_RDONLY))))
                add("unlink", lambda: self.files(side, count, os.unlink))
                pg = cluster(side)
                try:
                    fill(pg, settings.size(10, 1))
                    pg.sql("checkpoint")
                    for clients in (4, 16):
                        add(f"commit, pgbench -N, {clients} clients",
                            lambda: pgbench(pg, ["-N", "-c", clients], settings.short(10))[1])
                finally:
                    pg.stop()
        return {"samples": samples, "fresh": {}, "costs": extra}


def written_by(pids):
    """Bytes that these processes, their dead children included, gave to write() and its kin."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/io") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith("wchar"))
        except OSError:
            pass
    return total


class DiskBytes:
    """Bytes that reach the disk, and that the store keeps, for each byte that PostgreSQL writes under pgbench -N. On a
    file system of its own in a loop device, counted until everything has come to rest."""
    name = "bytes"
    rows = [Row("bytes.disk", "bytes to disk for one byte of pgbench", "B/B", "limit", 1.6, 1.2),
            Row("bytes.kept", "store bytes kept for one byte of pgbench", "B/B", "limit", 0.25, 0.1)]

    def estimate(self, settings):
        return 2 * settings.short(60) + 200

    def load(self, side, disk, settings):
        """(bytes PostgreSQL wrote, bytes that reached the disk) of one run."""
        pg = cluster(side)
        try:
            fill(pg, settings.size(10, 2))
            pg.stop()
            before_store = self.rest(side)
            reached = disk_bytes(disk.dir)
            pg.start()
            wrote = written_by(pg.pids())
            pgbench(pg, ["-N", "-c", "16"], settings.short(60))
            pg.sql("checkpoint")
            wrote = written_by(pg.pids()) - wrote
        finally:
            pg.stop()
        self.rest(side, new_mount=False)
        reached = disk_bytes(disk.dir) - reached
        return wrote, reached, self.rest(side) - before_store

    def rest(self, side, new_mount=True):
        """Nothing is left to write, pack or compact; the bytes of what the store keeps: packs and index. A new mount ends
        the segment that was written, so that it is packed too. What the journal holds ready for the next writes is no
        content: spare, reserve and the files of deleted segments, whose number varies."""
        side.flush()
        if side.name != "dkfs":
            return 0
        if new_mount:
            side.reopen()
        status = side.wait_packed()
        side.flush()
        return status["store"]["pack_bytes"] + status["store"]["index_bytes"]

    def run(self, settings):
        samples = {"bytes.disk": {}, "bytes.kept": {}}
        with workplace() as base:
            need_space(base, 12)
            disk = LoopDisk(base / "disk")
            with opened(settings, self.name, disk):
                for kind in (Side, DkfsSide):
                    side = kind(disk.dir / kind.name)
                    with opened(settings, self.name, side):
                        start = time.monotonic()
                        wrote, reached, kept = self.load(side, disk, settings)
                        say(f"  {side.name}: {wrote >> 20} MiB written, {reached >> 20} MiB reached the disk, "
                            f"the store grew by {kept >> 20} MiB, {time.monotonic() - start:.0f} s")
                        samples["bytes.disk"][side.name] = [reached / wrote]
                        if side.name == "dkfs":
                            samples["bytes.kept"][side.name] = [kept / wrote]
        return {"samples": samples, "fresh": {}}


BENCHES = [Operations(), DiskBytes()]
