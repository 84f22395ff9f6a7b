import os
import tempfile
from pathlib import Path

import pytest

import dkfs as support


def pytest_configure(config):
    config.addinivalue_line("markers", "short: the part that also runs under the sanitizers")


@pytest.fixture
def base():
    """A directory on the disk (not tmpfs), removed afterwards without leaving its file system."""
    parent = os.environ.get("DKFS_TEST_DIR", "/var/tmp")
    path = tempfile.mkdtemp(prefix="dkfs-e2e-", dir=parent)
    os.chmod(path, 0o755)  # other users take part
    yield Path(path)
    support.run("rm", "-rf", "--one-file-system", path, check=False)


@pytest.fixture
def fs(base):
    """A dkfs, not mounted yet."""
    made = support.Dkfs(base)
    yield made
    made.close()


@pytest.fixture
def mounted(fs):
    fs.mount()
    return fs
