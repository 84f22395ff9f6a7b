"""What a figure must be read with: the machine, its kernel, the commit."""

import os
import platform
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def commit():
    """The commit, with a + when the sources differ from it."""
    def git(*words):
        return subprocess.run(["git", "-c", "safe.directory=*", "-C", str(ROOT), *words], capture_output=True,
                              text=True).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "store", "fs", "tools", "packaging/deps")
    return (git("rev-parse", "--short", "HEAD") or "?") + ("+" if changed else "")


def machine():
    info = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"


def today():
    return time.strftime("%Y-%m-%d", time.gmtime())


def load_average():
    return os.getloadavg()[0]
