"""Modes, owners, ACLs, times, extended attributes, locks and special files."""

import errno
import fcntl
import mmap
import os
import select
import socket
import stat
import subprocess
import time

import pytest

import dkfs as support
from calls import (F_GETLK, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_SETLK, F_SETLKW, GROUP, OTHER, USER, UTIME_NOW,
                   UTIME_OMIT, acl, as_user, code_of, creat, in_child, lock_call, user_code, utimensat)
from places import WRITEBACK, assert_it_survives, next_tick

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_access_acl_decides_and_moves_with_chmod(d):
    os.chmod(d, 0o755)
    creat(d / "f", 0o640, b"x")
    os.setxattr(d / "f", ACCESS, acl(6, 4, 0, users=[(USER, 6)], groups=[(OTHER, 4)], mask=6))
    assert mode_of(d / "f") == 0o660
    assert user_code(USER, os.open, d / "f", os.O_RDWR) == "ok"
    assert user_code(OTHER, os.open, d / "f", os.O_RDONLY) == "ok"
    assert user_code(OTHER, os.open, d / "f", os.O_RDWR) == "EACCES"
    assert user_code(1000, os.open, d / "f", os.O_RDONLY) == "EACCES"
    os.chmod(d / "f", 0o640)
    assert os.getxattr(d / "f", ACCESS) == acl(6, 4, 0, users=[(USER, 6)], groups=[(OTHER, 4)], mask=4)
    assert user_code(USER, os.open, d / "f", os.O_RDWR) == "EACCES"
    assert ACCESS in os.listxattr(d / "f")
    os.setxattr(d / "f", ACCESS, acl(7, 5, 1))
    assert mode_of(d / "f") == 0o751 and code_of(os.getxattr, d / "f", ACCESS) == "ENODATA"
    assert code_of(os.removexattr, d / "f", ACCESS) == "ok"


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_default_acl_is_inherited_instead_of_the_umask(d, umask):
    os.setxattr(d, DEFAULT, acl(7, 7, 5, users=[(USER, 7)], mask=7))

    def work():
        os.umask(umask)
        os.mkdir(d / "sub", 0o770)
        os.close(os.open(d / "file", os.O_CREAT, 0o666))
        os.close(os.open(d / "sub/exe", os.O_CREAT, 0o711))
        os.mkfifo(d / "fifo", 0o600)
        os.symlink("x", d / "sym")
    in_child(work)
    assert [mode_of(d / n) for n in ("sub", "file", "sub/exe", "fifo", "sym")] == [0o770, 0o664, 0o711, 0o600, 0o777]
    assert os.getxattr(d / "sub", DEFAULT) == os.getxattr(d, DEFAULT)
    assert os.getxattr(d / "file", ACCESS) == acl(6, 7, 4, users=[(USER, 7)], mask=6)
    assert code_of(os.getxattr, d / "file", DEFAULT) == "ENODATA"
    os.removexattr(d, DEFAULT)
    os.setxattr(d, DEFAULT, acl(7, 5, 0))
    os.close(os.open(d / "plain", os.O_CREAT, 0o666))
    assert mode_of(d / "plain") == 0o640 and code_of(os.getxattr, d / "plain", ACCESS) == "ENODATA"


def test_acls_that_make_no_sense_are_refused(d):
    creat(d / "f")
    os.symlink("f", d / "sym")
    for bad in (b"\2\0\0\0\1\0", acl(7, 7, 7, users=[(USER, 7)]), acl(9, 0, 0)):
        assert code_of(os.setxattr, d / "f", ACCESS, bad) == "EINVAL"
    assert code_of(os.setxattr, d / "f", DEFAULT, acl(7, 5, 5)) == "EACCES"
    assert code_of(os.setxattr, d / "sym", ACCESS, acl(7, 5, 5), 0, follow_symlinks=False) == "EOPNOTSUPP"
    assert user_code(USER, os.setxattr, d / "f", ACCESS, acl(7, 7, 7)) == "EPERM"


def test_setting_an_acl_takes_setgid_from_those_outside_the_group(d):
    for i, groups in enumerate([(), (4242,)]):
        p = creat(d / f"{i}", 0o644)
        os.chown(p, USER, 4242)
        os.chmod(p, 0o2755)
        as_user(USER, lambda: os.setxattr(p, ACCESS, acl(7, 5, 5, users=[(OTHER, 4)], mask=5)), groups=groups)
        assert mode_of(p) == (0o2755 if groups else 0o755)


TIMES = {"epoch": (0, 0), "one_nanosecond": (0, 1), "before_1970": (-1, 999_999_999), "1950": (-631_152_000, 5),
         "2038": (1 << 31, 7), "2100": (4_102_444_800, 123_456_789), "first": (-(1 << 31), 0), "too_early": (-(1 << 33), 5),
         "2400": (13_569_465_600, 1), "last": (15_032_385_535, 0), "last_ns": (15_032_385_535, 9), "2500": (16_725_225_600, 77)}


@pytest.mark.parametrize("name", TIMES)
def test_times_are_kept_to_the_nanosecond_within_ext4s_limits(d, name):
    sec, nsec = TIMES[name]
    creat(d / "f")
    utimensat(d / "f", (sec, nsec), (sec, nsec))
    if WRITEBACK and not -(1 << 31) < sec < 15_032_385_535:
        pytest.skip("with the writeback cache times are cut when the file is looked up anew")
    st = os.stat(d / "f")
    limited = min(max(sec, -(1 << 31)), 15_032_385_535)
    want = limited * 10**9 + (nsec if limited == sec and -(1 << 31) < sec < 15_032_385_535 else 0)
    assert (st.st_atime_ns, st.st_mtime_ns) == (want, want)


def test_utime_now_and_omit(d):
    creat(d / "f")
    utimensat(d / "f", (1, 2), (3, 4))
    before = os.stat(d / "f")
    next_tick()
    utimensat(d / "f", (0, UTIME_OMIT), (5, 6))
    utimensat(d / "f", (0, UTIME_NOW), (0, UTIME_OMIT))
    st = os.stat(d / "f")
    assert st.st_mtime_ns == 5 * 10**9 + 6 and abs(st.st_atime - time.time()) < 60 and st.st_ctime_ns > before.st_ctime_ns
    ctime = os.stat(d / "f").st_ctime_ns
    utimensat(d / "f", (0, UTIME_OMIT), (0, UTIME_OMIT))
    assert os.stat(d / "f").st_ctime_ns == ctime
    os.symlink("missing", d / "sym")
    os.utime(d / "sym", (11, 12), follow_symlinks=False)
    assert os.lstat(d / "sym").st_mtime == 12
    fd = os.open(d / "f", os.O_RDONLY)
    os.utime(fd, (21, 22))
    os.close(fd)
    assert os.stat(d / "f").st_mtime == 22


def test_writing_attributes_of_a_directory_through_the_root(place):
    """The mount point itself is a directory like any other."""
    os.chmod(place.dir, 0o1770)
    os.chown(place.dir, 12, 13)
    os.utime(place.dir, (5, 6))
    os.setxattr(place.dir, "user.on_root", b"1")
    st = os.stat(place.dir)
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime) == (0o1770, 12, 13, 6)
    os.chmod(place.dir, 0o755)
    os.chown(place.dir, 0, 0)
    assert os.getxattr(place.dir, "user.on_root") == b"1"


def test_capabilities_go_with_a_write_a_cut_and_a_new_owner(d):
    import struct
    value = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    for name, change in {"write": lambda p: p.write_bytes(b"new"), "truncate": lambda p: os.truncate(p, 1),
                         "chown": lambda p: os.chown(p, 7, 7)}.items():
        p = creat(d / name, 0o755, b"program")
        os.setxattr(p, "security.capability", value)
        assert os.getxattr(p, "security.capability") == value
        change(p)
        assert code_of(os.getxattr, p, "security.capability") == "ENODATA"


def test_a_capability_set_after_the_write_stays(d):
    """Though the page it was written to is handed over, or back, later."""
    import struct
    value = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    fd = os.open(d / "written", os.O_CREAT | os.O_RDWR, 0o755)
    os.write(fd, b"program" * 1000)
    os.setxattr(fd, "security.capability", value)
    os.fsync(fd)
    os.close(fd)
    assert os.getxattr(d / "written", "security.capability") == value
    with open(creat(d / "mapped", 0o755, bytes(4096)), "r+b") as f, mmap.mmap(f.fileno(), 4096) as m:
        m[0:4] = b"prog"
        os.setxattr(f.fileno(), "security.capability", value)
        m.flush()
    assert os.getxattr(d / "mapped", "security.capability") == value


def test_xattrs_at_their_limits(d):
    creat(d / "f")
    p = d / "f"
    assert code_of(os.setxattr, p, "user." + "n" * 250, b"v") == "ok"
    assert code_of(os.setxattr, p, "user." + "n" * 251, b"v") == "ERANGE"
    assert code_of(os.setxattr, p, "user.", b"v") == "EINVAL" and code_of(os.setxattr, p, "nothing", b"v") == "EOPNOTSUPP"
    assert code_of(os.setxattr, p, "user.big", b"v" * 65_537) == "E2BIG"
    assert code_of(os.setxattr, p, "user.big", b"v" * 65_536) == "ENOSPC"  # ext4 without ea_inode
    assert code_of(os.setxattr, p, "user.fits", bytes(range(256)) * 12) == "ok"
    assert os.getxattr(p, "user.fits") == bytes(range(256)) * 12
    assert code_of(os.setxattr, p, "user.empty", b"") == "ok" and os.getxattr(p, "user.empty") == b""
    assert code_of(os.setxattr, p, "user.fits", b"", os.XATTR_CREATE) == "EEXIST"
    assert code_of(os.setxattr, p, "user.no", b"", os.XATTR_REPLACE) == "ENODATA"
    assert code_of(os.setxattr, p, "user.fits", b"short", os.XATTR_REPLACE) == "ok"
    assert code_of(os.removexattr, p, "user.no") == "ENODATA"
    assert sorted(os.listxattr(p)) == sorted(["user." + "n" * 250, "user.fits", "user.empty"])


@pytest.mark.parametrize("name,error", [("system.none", "EOPNOTSUPP"), ("none.at_all", "EOPNOTSUPP"), ("none", "EOPNOTSUPP"),
                                        ("user.", "EINVAL"), ("trusted.", "EINVAL"), ("security.", "EINVAL"),
                                        ("user.none", "ENODATA"), ("trusted.none", "ENODATA"), ("security.none", "ENODATA")])
def test_xattrs_of_no_namespace_are_neither_read_nor_made_nor_removed(d, name, error):
    creat(d / "f")
    assert code_of(os.getxattr, d / "f", name) == error
    assert code_of(os.removexattr, d / "f", name) == error
    assert code_of(os.setxattr, d / "f", name, b"v") == ("ok" if error == "ENODATA" else error)


def test_xattr_buffers_that_are_too_small(d):
    import ctypes
    from calls import libc
    creat(d / "f")
    os.setxattr(d / "f", "user.a", b"12345")
    path, buffer = os.fsencode(d / "f"), ctypes.create_string_buffer(100)

    def get(size):
        n = libc.getxattr(path, b"user.a", buffer, size)
        return n if n >= 0 else errno.errorcode[ctypes.get_errno()]

    def names(size):
        n = libc.listxattr(path, buffer, size)
        return n if n >= 0 else errno.errorcode[ctypes.get_errno()]
    assert [get(0), get(4), get(5), get(6)] == [5, "ERANGE", 5, 5]
    assert [names(0), names(6), names(7)] == [7, "ERANGE", 7]


def test_xattr_namespaces_and_who_may_use_them(d):
    os.chmod(d, 0o777)
    creat(d / "f", 0o666)
    os.symlink("f", d / "sym")
    os.mkfifo(d / "fifo", 0o666)
    os.setxattr(d / "f", "trusted.t", b"1")
    os.setxattr(d / "f", "security.s", b"2")
    os.setxattr(d / "f", "user.u", b"3")
    assert sorted(os.listxattr(d / "f")) == ["security.s", "trusted.t", "user.u"]
    assert sorted(as_user(USER, lambda: os.listxattr(d / "f"))) == ["security.s", "user.u"]
    assert user_code(USER, os.getxattr, d / "f", "trusted.t") == "ENODATA"
    assert user_code(USER, os.setxattr, d / "f", "trusted.t", b"x") == "EPERM"
    assert user_code(USER, os.setxattr, d / "f", "user.u", b"x") == "ok"
    assert code_of(lambda: os.setxattr(d / "sym", "user.u", b"x", follow_symlinks=False)) == "EPERM"
    assert code_of(lambda: os.setxattr(d / "sym", "trusted.t", b"x", follow_symlinks=False)) == "ok"
    assert code_of(os.setxattr, d / "fifo", "user.u", b"x") == "EPERM"
    os.chmod(d / "f", 0o600)
    assert user_code(USER, os.getxattr, d / "f", "user.u") == "EACCES"
    ctime = os.stat(d / "f").st_ctime_ns
    next_tick()
    os.setxattr(d / "f", "user.u", b"4")
    assert os.stat(d / "f").st_ctime_ns > ctime


def test_permissions_of_directories_on_the_way(d):
    os.makedirs(d / "closed/inner")
    creat(d / "closed/inner/f", 0o666)
    os.chmod(d / "closed", 0o700)
    assert user_code(USER, os.stat, d / "closed/inner/f") == "EACCES"
    os.chmod(d / "closed", 0o711)
    assert user_code(USER, os.stat, d / "closed/inner/f") == "ok"
    assert user_code(USER, os.listdir, d / "closed") == "EACCES"
    assert user_code(USER, os.unlink, d / "closed/inner/f") == "EACCES"
    os.chown(d / "closed", 0, GROUP)
    os.chmod(d / "closed", 0o750)
    assert user_code(OTHER, os.listdir, d / "closed") == "EACCES"
    assert as_user(OTHER, lambda: code_of(os.listdir, d / "closed"), groups=[GROUP]) == "ok"


def in_other_process(body):
    """Starts body(say, heed) in a child: say() wakes the parent, which wakes it by writing."""
    to_parent, from_parent = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            body(lambda: os.write(to_parent[1], b"."), lambda: os.read(from_parent[0], 1))
            os._exit(0)
        except BaseException:
            os._exit(1)
    return pid, lambda: os.read(to_parent[0], 1), lambda: os.write(from_parent[1], b".")


def test_flock_between_processes(d):
    creat(d / "f")

    def holder(say, heed):
        fd = os.open(d / "f", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        say()
        heed()
    pid, heard, wake = in_other_process(holder)
    heard()
    fd = os.open(d / "f", os.O_RDONLY)
    assert code_of(fcntl.flock, fd, fcntl.LOCK_SH | fcntl.LOCK_NB) == "EAGAIN"
    wake()
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert os.waitpid(pid, 0)[1] == 0
    other = os.open(d / "f", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)
    assert code_of(fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB) == "EAGAIN"
    os.close(fd)
    os.close(other)


def test_record_locks_between_processes(d):
    creat(d / "f", data=b"x" * 100)

    def holder(say, heed):
        fd = os.open(d / "f", os.O_RDWR)
        lock_call(fd, F_SETLK, fcntl.F_WRLCK, 10, 20)
        say()
        heed()
        os.close(os.open(d / "f", os.O_RDONLY))  # any close of the file drops the locks of the process
        say()
        heed()
    pid, heard, wake = in_other_process(holder)
    heard()
    fd = os.open(d / "f", os.O_RDWR)
    assert lock_call(fd, F_GETLK, fcntl.F_RDLCK, 0, 0) == (fcntl.F_WRLCK, 10, 20, pid)
    assert code_of(lock_call, fd, F_SETLK, fcntl.F_RDLCK, 29, 1) == "EAGAIN"
    assert code_of(lock_call, fd, F_SETLK, fcntl.F_WRLCK, 30, 0) == "ok"
    wake()
    heard()
    lock_call(fd, F_SETLKW, fcntl.F_WRLCK, 0, 0)
    assert lock_call(fd, F_GETLK, fcntl.F_WRLCK, 0, 0)[0] == fcntl.F_UNLCK
    wake()
    assert os.waitpid(pid, 0)[1] == 0
    os.close(fd)


def test_deadlocks_of_record_locks_are_seen(d):
    creat(d / "f", data=b"x" * 100)
    fd = os.open(d / "f", os.O_RDWR)
    lock_call(fd, F_SETLK, fcntl.F_WRLCK, 0, 1)

    def other(say, heed):
        mine = os.open(d / "f", os.O_RDWR)
        lock_call(mine, F_SETLK, fcntl.F_WRLCK, 1, 1)
        say()
        lock_call(mine, F_SETLKW, fcntl.F_WRLCK, 0, 1)
    pid, heard, _ = in_other_process(other)
    heard()
    deadline = time.monotonic() + 60
    while not any(f" {pid} " in line for line in open("/proc/locks") if "->" in line):
        assert time.monotonic() < deadline, "the other process does not wait"
        time.sleep(0.005)
    assert code_of(lock_call, fd, F_SETLKW, fcntl.F_WRLCK, 1, 1) == "EDEADLK"
    os.close(fd)
    assert os.waitpid(pid, 0)[1] == 0


def test_locks_of_open_file_descriptions(d):
    creat(d / "f", data=b"x" * 100)
    a, b = os.open(d / "f", os.O_RDWR), os.open(d / "f", os.O_RDWR)
    lock_call(a, F_OFD_SETLK, fcntl.F_WRLCK, 0, 50)
    assert code_of(lock_call, b, F_OFD_SETLK, fcntl.F_WRLCK, 49, 2) == "EAGAIN"
    assert lock_call(b, F_OFD_GETLK, fcntl.F_WRLCK, 0, 0)[:3] == (fcntl.F_WRLCK, 0, 50)
    assert code_of(lock_call, b, F_SETLK, fcntl.F_RDLCK, 0, 1) == "EAGAIN"
    os.close(os.open(d / "f", os.O_RDONLY))
    assert code_of(lock_call, b, F_OFD_SETLK, fcntl.F_WRLCK, 49, 2) == "EAGAIN"
    os.close(a)
    lock_call(b, F_OFD_SETLKW, fcntl.F_WRLCK, 0, 0)
    os.close(b)


def test_fifos_carry_bytes(d):
    os.mkfifo(d / "p")
    assert code_of(os.open, d / "p", os.O_WRONLY | os.O_NONBLOCK) == "ENXIO"
    r = os.open(d / "p", os.O_RDONLY | os.O_NONBLOCK)
    w = os.open(d / "p", os.O_WRONLY)
    os.write(w, b"through")
    assert select.select([r], [], [], 10)[0] and os.read(r, 100) == b"through"
    os.close(w)
    assert os.read(r, 1) == b""
    os.close(r)
    assert os.stat(d / "p").st_size == 0


def test_unix_sockets_connect(d):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        here = os.open(d, os.O_PATH)
        name = f"/proc/self/fd/{here}/s"
        assert code_of(client.connect, name) == "ENOENT"
        server.bind(name)
        assert code_of(client.connect, name) == "ECONNREFUSED"
        assert code_of(os.open, d / "s", os.O_RDWR) == "ENXIO"
        server.listen()
        client.connect(name)
        peer = server.accept()[0]
        client.send(b"hello")
        assert peer.recv(10) == b"hello"
        peer.close()
        os.unlink(d / "s")
        with socket.socket(socket.AF_UNIX) as late:
            assert code_of(late.connect, name) == "ENOENT"
        os.close(here)


def test_device_nodes_open_the_device(d):
    os.mknod(d / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(d / "zero", stat.S_IFCHR | 0o444, os.makedev(1, 5))
    (d / "null").write_bytes(b"gone")
    assert (d / "null").read_bytes() == b""
    with open(d / "zero", "rb") as f:
        assert f.read(4) == b"\0\0\0\0"
    assert os.stat(d / "null").st_rdev == os.makedev(1, 3)
    assert user_code(USER, os.mknod, d / "x", stat.S_IFCHR | 0o666, os.makedev(1, 3)) in ("EPERM", "EACCES")


def test_statvfs_is_sensible(place, d):
    v = os.statvfs(d)
    assert v.f_bsize >= 512 and v.f_namemax == 255 and v.f_blocks >= v.f_bfree >= v.f_bavail > 0
    assert v.f_files >= v.f_ffree > 0
    below = os.statvfs(place.dir.parent)
    assert v.f_blocks * v.f_frsize == below.f_blocks * below.f_frsize
    creat(d / "f", data=b"x" * 10_000)
    st = os.stat(d / "f")
    assert st.st_blksize == 4096 and 10_000 <= st.st_blocks * 512 <= 65_536


def test_inotify_sees_changes(d):
    import ctypes
    from calls import libc
    fd = libc.inotify_init1(0o4000)
    libc.inotify_add_watch(fd, os.fsencode(d), 0x3C0 | 0x2)
    creat(d / "f", data=b"x")
    os.rename(d / "f", d / "g")
    os.unlink(d / "g")
    data = os.read(fd, 4096)
    kinds = set()
    at = 0
    while at < len(data):
        mask, length = ctypes.c_uint32.from_buffer_copy(data, at + 4).value, ctypes.c_uint32.from_buffer_copy(data, at + 12).value
        kinds.add(mask & 0xFFF)
        at += 16 + length
    os.close(fd)
    assert {0x100, 0x2, 0x40, 0x80, 0x200} <= kinds


def test_tools_work(d):
    """tar, cp and find keep all of it."""
    os.makedirs(d / "a/b")
    creat(d / "a/f", 0o640, b"content")
    os.link(d / "a/f", d / "a/b/linked")
    os.symlink("../f", d / "a/b/sym")
    os.mkfifo(d / "a/fifo")
    with open(d / "a/sparse", "wb") as f:
        f.truncate(1 << 20)
        f.seek(500_000)
        f.write(b"middle")
    os.setxattr(d / "a/f", "user.k", b"v")
    subprocess.run(["cp", "-a", d / "a", d / "copy"], check=True)
    subprocess.run(["tar", "-C", d, "--xattrs", "-Scf", d / "t.tar", "a"], check=True)
    os.mkdir(d / "out")
    subprocess.run(["tar", "-C", d / "out", "--xattrs", "-xf", d / "t.tar"], check=True)
    want = support.tree(d / "a")
    support.assert_same(support.tree(d / "copy"), want)
    support.assert_same(support.tree(d / "out/a"), want)


def test_all_of_it_survives_kill_and_loss(place):
    assert_it_survives(place)
