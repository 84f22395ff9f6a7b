"""What operations cost: CPU, wakeups and system calls of the serving processes, requests, bytes that reach a disk."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path


def cpu_seconds(pids):
    """User and system time of these processes so far, all threads, dead ones too."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def status_number(path, name):
    for line in Path(path).read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def wakeups(pids):
    """How often a thread of these processes went to sleep and was woken."""
    return sum(status_number(task / "status", "voluntary_ctxt_switches")
               for pid in pids for task in Path(f"/proc/{pid}/task").iterdir())


def peak_memory(pids):
    """The highest resident memory of any of them, in MiB."""
    return max((status_number(f"/proc/{pid}/status", "VmHWM") for pid in pids), default=0) / 1024


def disk_bytes(path):
    """What was written to the block device under `path` so far. Everything on that device counts."""
    dev = os.stat(path).st_dev
    stat = Path(f"/sys/dev/block/{os.major(dev)}:{os.minor(dev)}/stat").read_text().split()
    return int(stat[6]) * 512


class Syscalls:
    """Counts system calls of processes with perf; `count` stays None where perf or its right is missing."""

    def __init__(self, pids):
        self.pids, self.count, self.perf = pids, None, None

    def __enter__(self):
        if shutil.which("perf") and self.pids:
            self.perf = subprocess.Popen(["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p",
                                          ",".join(map(str, self.pids))], stderr=subprocess.PIPE, text=True)
            time.sleep(0.5)  # it says nothing when it has attached
        return self

    def __exit__(self, *_):
        if self.perf is None:
            return
        self.perf.send_signal(signal.SIGINT)
        for line in self.perf.communicate()[1].splitlines():
            if "sys_enter" in line and line.split(",")[0].isdigit():
                self.count = int(line.split(",")[0])


def costs(side, work):
    """Runs `work`, which returns how many operations it did; what the serving processes spent on each."""
    pids = side.pids()
    with Syscalls(pids) as calls:
        before = side.requests(), wakeups(pids), cpu_seconds(pids)
        count = work()
        after = side.requests(), wakeups(pids), cpu_seconds(pids)
    requests = {op: (n - before[0][op]) / count for op, n in after[0].items() if n - before[0][op] >= count / 100}
    return {"operations": count, "requests": requests, "wakeups": (after[1] - before[1]) / count,
            "syscalls": None if calls.count is None else calls.count / count,
            "cpu_us": (after[2] - before[2]) * 1e6 / count}
