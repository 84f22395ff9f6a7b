"""A live PostgreSQL is lost, and comes back by mounting."""

import subprocess
import time

import pytest

from dkfs import PATIENCE, wait_until
from postgres import Postgres, missing_acks, start_clients
from test_recovery import lose_all, lose_by_stale_files, lose_nothing


@pytest.mark.parametrize("loss", [lose_all, lose_nothing, lose_by_stale_files])
def test_every_acknowledged_transaction_survives(fs, loss):
    fs.mount()
    pg = Postgres(fs.dir, fs.base / "run")
    try:
        pg.init()
        pg.start()
        subprocess.run(pg.client("pgbench", "-i", "-s", 2, "-q", "postgres"), check=True, capture_output=True)
        clients = start_clients(pg, 4)
        load = subprocess.Popen(pg.client("pgbench", "-c", 4, "-j", 2, "-T", 3600, "-n", "postgres"),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(5)
        wait_until(lambda: sum(client.acked for client in clients) > 50, "hardly anything is acknowledged")
        fs.kill()
        pg.kill()
        load.wait()
        for client in clients:
            client.join(PATIENCE)
        assert sum(client.acked for client in clients) > 50
        loss(fs)
        fs.mount()
        pg.start()
        assert missing_acks(pg, clients) == []
        assert pg.sql("show data_checksums").stdout.strip() == "on"
        pg.check()
    finally:
        pg.stop()
