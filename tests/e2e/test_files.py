"""The mount behaves as a file system: one test for each kind of change."""

import ctypes
import errno
import mmap
import os
import resource
import socket
import stat
import time

import pytest

from disks import tmpfs
from dkfs import Dkfs, next_tick, run, wait_until

pytestmark = pytest.mark.short
libc = ctypes.CDLL(None, use_errno=True)
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE = 1, 2, 16


def renameat2(a, b, flags):
    if libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), flags) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def fallocate(fd, mode, offset, length):
    if libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def fails_with(code, call, *args):
    with pytest.raises(OSError) as e:
        call(*args)
    assert e.value.errno == code


def test_write_and_read_at_any_offset(mounted):
    path = mounted.dir / "f"
    with open(path, "w+b") as f:
        f.write(b"a" * 10000)
        f.seek(8190)
        f.write(b"bcd")
        f.seek(50000)
        f.write(b"end")
        f.flush()
        want = b"a" * 8190 + b"bcd" + b"a" * (10000 - 8193) + b"\0" * 40000 + b"end"
        f.seek(0)
        assert f.read() == want
    assert path.stat().st_size == 50003


def test_append_and_truncate(mounted):
    path = mounted.dir / "log"
    for i in range(100):
        with open(path, "ab") as f:
            f.write(b"line %03d\n" % i)
    assert path.read_bytes() == b"".join(b"line %03d\n" % i for i in range(100))
    os.truncate(path, 450)
    os.truncate(path, 20000)
    assert path.read_bytes() == b"".join(b"line %03d\n" % i for i in range(50)) + b"\0" * (20000 - 450)


def test_directories_and_links(mounted):
    d = mounted.dir
    os.makedirs(d / "a/b/c")
    (d / "a/x").write_text("x")
    os.link(d / "a/x", d / "a/b/y")
    os.symlink("../x", d / "a/b/s")
    assert (d / "a/x").stat().st_nlink == 2
    assert (d / "a/b/s").read_text() == "x"
    assert d.joinpath("a").stat().st_nlink == 3
    assert sorted(os.listdir(d / "a/b")) == ["c", "s", "y"]
    fails_with(errno.ENOTEMPTY, os.rmdir, d / "a/b")
    os.rmdir(d / "a/b/c")
    os.unlink(d / "a/x")
    assert (d / "a/b/y").stat().st_nlink == 1
    fails_with(errno.ENOENT, os.stat, d / "a/x")
    fails_with(errno.EEXIST, os.mkdir, d / "a")
    fails_with(errno.ENOTDIR, os.rmdir, d / "a/b/y")
    fails_with(errno.EISDIR, os.unlink, d / "a/b")


def test_rename_in_all_its_forms(mounted):
    d = mounted.dir
    (d / "a").write_text("a")
    (d / "b").write_text("b")
    os.mkdir(d / "dir")
    fails_with(errno.EEXIST, renameat2, d / "a", d / "b", RENAME_NOREPLACE)
    renameat2(d / "a", d / "b", RENAME_EXCHANGE)
    assert ((d / "a").read_text(), (d / "b").read_text()) == ("b", "a")
    os.rename(d / "a", d / "dir/a")
    os.rename(d / "b", d / "dir/a")
    assert (d / "dir/a").read_text() == "a" and os.listdir(d) == ["dir"]
    os.mkdir(d / "other")
    fails_with(errno.EISDIR, os.rename, d / "dir/a", d / "other")
    os.rename(d / "dir", d / "other")
    assert (d / "other/a").read_text() == "a"
    fails_with(errno.EINVAL, os.rename, d / "other", d / "other/inside")


def test_unlinked_file_stays_usable(mounted):
    path = mounted.dir / "gone"
    with open(path, "w+b") as f:
        f.write(b"before")
        f.flush()
        os.unlink(path)
        f.write(b" after")
        f.flush()
        f.seek(0)
        assert f.read() == b"before after"
        assert os.fstat(f.fileno()).st_nlink == 0
    assert os.listdir(mounted.dir) == []


def test_replaced_file_stays_readable(mounted):
    d = mounted.dir
    (d / "f").write_text("old")
    with open(d / "f") as f:
        (d / "new").write_text("new")
        os.rename(d / "new", d / "f")
        assert f.read() == "old"
    assert (d / "f").read_text() == "new"


def test_attributes_and_times(mounted):
    path = mounted.dir / "f"
    path.write_text("x")
    os.chmod(path, 0o4711)
    os.chown(path, 1000, 1001)
    os.utime(path, ns=(1_000_000_001, 2_000_000_002))
    st = path.stat()
    assert (st.st_uid, st.st_gid, st.st_atime_ns, st.st_mtime_ns) == (1000, 1001, 1_000_000_001, 2_000_000_002)
    assert stat.S_IMODE(st.st_mode) & 0o777 == 0o711
    before = path.stat().st_ctime_ns
    next_tick()
    path.write_text("y")
    assert path.stat().st_mtime_ns > 2_000_000_002 and path.stat().st_ctime_ns > before


def test_setgid_directory_is_inherited(mounted):
    d = mounted.dir / "shared"
    os.mkdir(d)
    os.chown(d, 0, 4242)
    os.chmod(d, 0o2775)
    os.mkdir(d / "sub")
    (d / "file").write_text("")
    assert (d / "sub").stat().st_gid == 4242 and (d / "sub").stat().st_mode & stat.S_ISGID
    assert (d / "file").stat().st_gid == 4242


def test_new_files_belong_to_the_caller(mounted):
    os.chmod(mounted.dir, 0o777)
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(1234)
            os.setuid(1233)
            (mounted.dir / "mine").write_text("x")
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    st = (mounted.dir / "mine").stat()
    assert (st.st_uid, st.st_gid) == (1233, 1234)


def test_xattrs(mounted):
    path = mounted.dir / "f"
    path.write_text("x")
    os.setxattr(path, "user.one", b"1")
    os.setxattr(path, "user.big", b"v" * 3000)
    assert sorted(os.listxattr(path)) == ["user.big", "user.one"]
    assert os.getxattr(path, "user.big") == b"v" * 3000
    fails_with(errno.EEXIST, os.setxattr, path, "user.one", b"2", os.XATTR_CREATE)
    fails_with(errno.ENODATA, os.setxattr, path, "user.none", b"2", os.XATTR_REPLACE)
    os.removexattr(path, "user.one")
    fails_with(errno.ENODATA, os.getxattr, path, "user.one")


def test_special_files(mounted):
    d = mounted.dir
    os.mkfifo(d / "fifo")
    os.mknod(d / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as s:
        os.chdir(d)
        s.bind("sock")
        os.chdir("/")
    assert stat.S_ISFIFO((d / "fifo").stat().st_mode)
    assert (d / "null").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISSOCK((d / "sock").stat().st_mode)
    assert (d / "null").read_bytes() == b""


def test_holes_and_fallocate(mounted):
    path = mounted.dir / "f"
    with open(path, "w+b") as f:
        fd = f.fileno()
        f.write(b"x" * 65536)
        f.flush()
        fallocate(fd, FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE, 5000, 30000)
        fallocate(fd, FALLOC_KEEP_SIZE | FALLOC_ZERO_RANGE, 40000, 1000)
        fallocate(fd, 0, 65536, 10000)
        want = b"x" * 5000 + b"\0" * 30000 + b"x" * 5000 + b"\0" * 1000 + b"x" * (65536 - 41000) + b"\0" * 10000
        assert os.pread(fd, 100000, 0) == want
        assert os.lseek(fd, 0, os.SEEK_HOLE) <= 8192
        os.ftruncate(fd, 1 << 30)
        assert os.fstat(fd).st_blocks * 512 < 1 << 20


def test_shared_mapping(mounted):
    path = mounted.dir / "map"
    path.write_bytes(b"\0" * 20000)
    with open(path, "r+b") as f, mmap.mmap(f.fileno(), 20000) as m:
        m[9000:9005] = b"hello"
        m.flush()
        assert os.pread(f.fileno(), 5, 9000) == b"hello"
        os.pwrite(f.fileno(), b"WORLD", 9005)
        assert m[9000:9010] == b"helloWORLD"


def test_direct_io(mounted):
    path = mounted.dir / "direct"
    buffer = mmap.mmap(-1, 16384)
    buffer.write(b"d" * 16384)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    try:
        assert os.pwritev(fd, [buffer], 0) == 16384
        assert os.preadv(fd, [buffer], 0) == 16384 and buffer[:] == b"d" * 16384
    finally:
        os.close(fd)


def test_tmpfile_and_its_linking(mounted):
    d = mounted.dir
    fd = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"unnamed")
    at_fdcwd, at_symlink_follow = -100, 0x400
    assert libc.linkat(at_fdcwd, b"/proc/self/fd/%d" % fd, at_fdcwd, os.fsencode(d / "named"), at_symlink_follow) == 0
    os.close(fd)
    assert (d / "named").read_bytes() == b"unnamed" and (d / "named").stat().st_nlink == 1


def test_an_attribute_that_a_tmpfile_lost_stays_away(mounted):
    d = mounted.dir
    fd = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o640)
    for name in ("user.kept", "user.gone"):
        os.setxattr(fd, name, b"1")
    os.removexattr(fd, "user.gone")
    assert libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, os.fsencode(d / "named"), 0x400) == 0
    os.close(fd)
    assert os.listxattr(d / "named") == ["user.kept"]
    mounted.unmount()
    assert os.listxattr(d / "named") == ["user.kept"]


def test_copy_file_range(mounted):
    d = mounted.dir
    (d / "a").write_bytes(os.urandom(3_000_000))
    with open(d / "a", "rb") as a, open(d / "b", "wb") as b:
        left = 3_000_000
        while left:
            left -= os.copy_file_range(a.fileno(), b.fileno(), left)
    assert (d / "a").read_bytes() == (d / "b").read_bytes()


def test_names_of_255_bytes_and_any_bytes(mounted):
    d = os.fsencode(mounted.dir)
    for name in (b"n" * 255, bytes(range(1, 47)) + bytes(range(48, 256))):
        with open(d + b"/" + name, "wb") as f:
            f.write(b"x")
        assert name in os.listdir(d)
    fails_with(errno.ENAMETOOLONG, os.stat, d + b"/" + b"n" * 256)


def test_huge_directory_lists_every_name_once_while_names_go(mounted):
    d = mounted.dir / "many"
    os.mkdir(d)
    for i in range(2000):
        (d / f"f{i:05}").touch()
    seen = []
    with os.scandir(d) as entries:
        for entry in entries:
            seen.append(entry.name)
            if len(seen) == 500:
                for i in range(0, 2000, 2):
                    os.unlink(d / f"f{i:05}")
    assert len(seen) == len(set(seen))
    assert {f"f{i:05}" for i in range(1, 2000, 2)} <= set(seen)


def test_reserved_name_is_not_visible(mounted):
    fails_with(errno.ENOENT, os.stat, mounted.dir / ".dkfs-partial")
    fails_with(errno.EPERM, os.mkdir, mounted.dir / ".dkfs-partial")
    assert os.listdir(mounted.dir) == []


@pytest.fixture
def narrow(fs):
    """Mounted by a daemon that gets 800 descriptors and no more, of which backing files may take a quarter."""
    run("prlimit", "--nofile=800:800", "setpriv", "--bounding-set", "-sys_resource", *fs.command(), env=fs.env)
    return fs


def test_backing_files_stay_open(mounted):
    """Opening one again takes longer than the rest of a small read."""
    files = min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 8)
    for i in range(files):
        (mounted.dir / f"n{i}").write_bytes(b"x")
    time.sleep(5)
    assert sum(os.path.dirname(link) == str(mounted.dir) for link in mounted.descriptors()) == files


def test_an_unlinked_file_is_read_on_although_many_others_are_used(narrow):
    """More files than the daemon keeps open: the one without a name keeps its content, the others find theirs again."""
    with open(narrow.dir / "f", "w+b") as f:
        f.write(b"first" * 5000)
        f.flush()
        os.unlink(narrow.dir / "f")
        for i in range(600):
            (narrow.dir / f"n{i}").write_bytes(b"%d" % i * 50)
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.pwrite(f.fileno(), b"second", 3)
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(f.fileno(), 100_000, 0) == b"firsecond" + (b"first" * 5000)[9:]
    for i in range(600):
        os.posix_fadvise(fd := os.open(narrow.dir / f"n{i}", os.O_RDWR), 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.read(fd, 1000) == b"%d" % i * 50
        os.write(fd, b"more")
        os.close(fd)
    assert all((narrow.dir / f"n{i}").read_bytes() == b"%d" % i * 50 + b"more" for i in range(600))


@pytest.mark.parametrize("size", [900, 300_000])
def test_a_file_not_used_lately_is_read_on_without_a_name(narrow, size):
    """Its backing file was closed, many others having been used since, when the name goes."""
    body = os.urandom(size)
    (narrow.dir / "f").write_bytes(body)
    for i in range(600):
        (narrow.dir / f"n{i}").write_bytes(b"x")
    with open(narrow.dir / "f", "r+b", buffering=0) as f:
        os.unlink(narrow.dir / "f")
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert f.read() == body
        os.pwrite(f.fileno(), b"second", 3)
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(f.fileno(), size, 0) == body[:3] + b"second" + body[9:]


def test_descriptors_of_the_daemon_are_bounded(narrow):
    held = [open(narrow.dir / f"n{i}", "w+b", buffering=0) for i in range(1000)]
    try:
        for f in held:
            f.write(b"x" * 5000)
        assert len(narrow.descriptors()) < 400
    finally:
        for f in held:
            f.close()


def test_descriptors_of_files_that_began_without_a_name_are_bounded(narrow):
    for i in range(600):
        fd = os.open(narrow.dir, os.O_TMPFILE | os.O_RDWR)
        os.write(fd, b"x")
        assert libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, os.fsencode(narrow.dir / f"n{i}"), 0x400) == 0
        os.close(fd)
    wait_until(lambda: len(narrow.descriptors()) < 400, "files that have a name now stay open")


def test_however_many_unlinked_files_are_open_the_store_gets_descriptors(narrow):
    """More than the daemon may have open: those used least are made again from the store, also once changed."""
    big = open(narrow.dir / "big", "wb", buffering=0)
    held = []
    try:
        for i in range(900):
            held.append(open(narrow.dir / f"o{i}", "w+b", buffering=0))
            held[i].write(b"orphan%d" % i * 100)
            os.unlink(narrow.dir / f"o{i}")
        assert len(narrow.descriptors()) < 600
        for i in range(120):  # a segment is full after 64
            big.write(os.urandom(1 << 20))
        os.fsync(big.fileno())
        for _ in range(2):
            for i, f in enumerate(held):
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                assert os.pread(f.fileno(), 10_000, 0) == (b"orphan%d" % i * 100)
                os.pwrite(f.fileno(), b"orphan", 0)
        assert len(narrow.descriptors()) < 600
    finally:
        for f in [big, *held]:
            f.close()
    wait_until(lambda: len(narrow.descriptors()) < 500, "unlinked files that nobody has open keep descriptors")
    narrow.unmount()
    assert not (narrow.dir / ".dkfs-partial").exists()
    narrow.mount()
    assert narrow.ctl("aside", "list", narrow.dir).stdout == ""


def test_so_many_files_without_a_name_and_no_more(narrow):
    held = []
    try:
        with pytest.raises(OSError) as e:
            for _ in range(800):
                held.append(os.open(narrow.dir, os.O_TMPFILE | os.O_RDWR))
        assert e.value.errno == errno.ENFILE and len(held) > 20
        (narrow.dir / "f").write_bytes(b"x" * 5000)
        assert (narrow.dir / "f").read_bytes() == b"x" * 5000
    finally:
        for fd in held:
            os.close(fd)
    wait_until(lambda: len(narrow.descriptors()) < 400, "files that nobody has open keep descriptors")
    os.close(os.open(narrow.dir, os.O_TMPFILE | os.O_RDWR))


def set_until_full(path, value, most, name="user.%d"):
    """How many attributes the file took, which must be less than `most`."""
    for i in range(most):
        try:
            os.setxattr(path, name % i, value)
        except OSError as full:
            assert full.errno == errno.ENOSPC
            return i
    raise AssertionError(f"{path} takes {most} attributes")


def test_extended_attributes_of_a_file_are_bounded(base):
    """So that they can be listed, and held in memory. tmpfs takes any number."""
    with tmpfs(base, "disk") as disk:
        fs = Dkfs(base)
        fs.dir = disk / "data"
        fs.dir.mkdir()
        names, values = fs.dir / "names", fs.dir / "values"
        try:
            fs.mount()
            names.touch()
            values.touch()
            long = "user.%d." + "n" * 240
            taken = set_until_full(names, b"", 300, long)
            assert taken > 230 and len(os.listxattr(names)) == taken
            os.setxattr(names, long % 0, b"another")
            os.removexattr(names, long % 0)
            os.setxattr(names, long % taken, b"")
            taken = set_until_full(values, bytes(65536), 20)
            assert taken == 16 and sum(len(os.getxattr(values, name)) for name in os.listxattr(values)) == 1 << 20
            os.setxattr(values, "user.0", bytes(65535))
            fs.kill()
            fs.lose_dir()
            fs.mount()
            assert len(os.listxattr(names)) > 230 and len(os.listxattr(values)) == 16
        finally:
            fs.close()


def test_extended_attributes_that_cannot_be_listed_refuse_a_first_mount(base):
    with tmpfs(base, "disk") as disk:
        fs = Dkfs(base)
        fs.dir = disk / "data"
        fs.dir.mkdir()
        (fs.dir / "f").touch()
        for i in range(300):
            os.setxattr(fs.dir / "f", f"user.{i}." + "n" * 240, b"")
        refused = fs.mount(check=False)
        assert refused.returncode == 3 and '"f" in the backing directory has more than 64 KiB of names' in refused.stderr
