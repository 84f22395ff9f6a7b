"""Small loop-mounted file systems, for disks that fill up or fail."""

from contextlib import contextmanager

from dkfs import run


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
