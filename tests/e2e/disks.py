"""Small loop-mounted file systems, for disks that fill up or fail."""

from contextlib import contextmanager

from dkfs import Dkfs, run


@contextmanager
def small_disk(base, name, mib):
    """An ext4 of `mib` MiB mounted at base/name; unmounted and removed in the end."""
    image, point = base / f"{name}.img", base / name
    run("truncate", "-s", f"{mib}M", image)
    run("mkfs.ext4", "-q", "-m", "0", image)
    point.mkdir()
    run("mount", "-o", "loop", image, point)
    try:
        yield point
    finally:
        run("umount", "-l", point, check=False)


@contextmanager
def tmpfs(base, name, options="rw"):
    """A file system in memory, which takes what ext4 has no place for."""
    point = base / name
    point.mkdir()
    run("mount", "-t", "tmpfs", "-o", options, "tmpfs", point)
    try:
        yield point
    finally:
        run("umount", "-l", point, check=False)


@contextmanager
def dir_on_small_disk(base, mib=64):
    """A dkfs, not mounted yet, whose DIR is on a disk of its own; its store is beside it in `base`."""
    with small_disk(base, "disk", mib) as disk:
        made = Dkfs(base)
        made.dir = disk / "data"
        made.dir.mkdir()
        try:
            yield made
        finally:
            made.close()
