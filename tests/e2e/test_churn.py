"""Directories in which files come and go: what ended long ago is passed over, and nothing that is there."""

import os
import threading

import pytest

KEPT_EVERY = 150  # longer runs of what ended than are walked one by one


class Churn:
    """Makes and removes files in `path`, and now and then one that stays."""

    def __init__(self, path):
        self.path, self.made, self.kept, self.ended = path, 0, [], threading.Event()
        path.mkdir()

    def turn(self, count):
        for _ in range(count):
            name = self.path / f"n{self.made}"
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self.made += 1
            if self.made % KEPT_EVERY == 0:
                self.kept.append(name.name)
            else:
                name.unlink()

    def run(self, count):
        try:
            self.turn(count)
        finally:
            self.ended.set()


@pytest.fixture
def churn(fs):
    fs.env["DKFS_TEST_HASTE"] = "100"  # the background looks for what ended each 100 ms
    fs.mount()
    return Churn(fs.dir / "d")


def test_listings_are_whole_while_files_come_and_go(fs, churn):
    writer = threading.Thread(target=churn.run, args=(12_000,))
    writer.start()
    listings = 0
    while not churn.ended.is_set():
        before = list(churn.kept)
        names = os.listdir(churn.path)
        assert len(names) == len(set(names))
        assert set(before) <= set(names)
        listings += 1
    writer.join()
    assert churn.made == 12_000 and listings > 10
    assert sorted(os.listdir(churn.path)) == sorted(churn.kept)
    for name in churn.kept[::2]:
        (churn.path / name).unlink()
    del churn.kept[::2]
    assert sorted(os.listdir(churn.path)) == sorted(churn.kept)
    fs.kill()
    fs.lose_dir()
    fs.mount()
    assert sorted(os.listdir(churn.path)) == sorted(churn.kept)
    churn.turn(KEPT_EVERY)
    assert sorted(os.listdir(churn.path)) == sorted(churn.kept)


def test_a_removal_that_failed_is_listed_again(fs, churn):
    """Its record is taken back, in the middle of what is passed over."""
    churn.turn(600)
    alone = churn.path / churn.kept[1]
    assert len(os.listdir(churn.path)) == 4  # and what ended around it is known from here on
    fs.unmount()
    fs.env["DKFS_FAULTS"] = "ops.recorded=EIO@1"
    fs.mount()
    assert len(os.listdir(churn.path)) == 4
    with pytest.raises(OSError):
        alone.unlink()
    assert sorted(os.listdir(churn.path)) == sorted(churn.kept)
    alone.unlink()
    churn.kept.remove(alone.name)
    assert sorted(os.listdir(churn.path)) == sorted(churn.kept)
    with pytest.raises(OSError):
        churn.path.rmdir()


def test_a_directory_of_ended_files_can_be_removed(fs, churn):
    churn.turn(KEPT_EVERY - 1)
    assert os.listdir(churn.path) == []
    churn.path.rmdir()
    assert not churn.path.exists()
