"""Each test of this folder runs twice: on a plain ext4 directory and on a dkfs mount.

A test that asserts what ext4 itself does not do fails on `native`, and is thereby seen to be wrong. One place of each kind
serves a module; DKFS_POSIX_OPTIONS adds options to the mount, such as "--order fsync".
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import dkfs as support  # noqa: E402
from disks import small_disk  # noqa: E402
from places import Mounted, Native  # noqa: E402


def file_system_of(path):
    return subprocess.run(["stat", "-f", "-c", "%T", path], check=True, text=True, capture_output=True).stdout.strip()


@pytest.fixture(scope="module")
def ext4():
    """A directory on ext4, a small one of our own where the disk is something else."""
    base = Path(tempfile.mkdtemp(prefix="dkfs-posix-", dir=os.environ.get("DKFS_TEST_DIR", "/var/tmp")))
    os.chmod(base, 0o755)
    os.umask(0o022)
    try:
        if file_system_of(base) == "ext2/ext3":
            yield base
        else:
            with small_disk(base, "disk", 4096) as disk:
                yield disk
    finally:
        support.run("rm", "-rf", "--one-file-system", base, check=False)


@pytest.fixture(scope="module")
def native_place(ext4):
    root = ext4 / "native"
    root.mkdir()
    return Native(root)


@pytest.fixture(scope="module")
def dkfs_place(ext4):
    made = Mounted(ext4)
    try:
        yield made
    finally:
        made.fs.close()


@pytest.fixture(scope="module", params=["native", "dkfs"])
def place(request):
    return request.getfixturevalue(f"{request.param}_place")


def room(place, request):
    """A fresh directory in `place`, named after the test."""
    made = place.dir / request.node.name.split("[")[0][:60]
    made = made if not made.exists() else Path(tempfile.mkdtemp(prefix=made.name, dir=place.dir))
    made.mkdir(exist_ok=True)
    os.chmod(made, 0o755)
    return made


@pytest.fixture
def d(place, request):
    return room(place, request)


@pytest.fixture
def rooms(native_place, dkfs_place, request):
    """One fresh directory on each, for tests that compare what both answer. Only a test's first ones stay."""
    made = room(native_place, request), room(dkfs_place, request)
    yield made
    for path in made:
        if path.name != request.node.name.split("[")[0][:60]:
            shutil.rmtree(path)
