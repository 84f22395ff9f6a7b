"""Names, links, directories and the files that outlive their names."""

import ctypes
import os
import stat
import struct

import pytest

import dkfs as support
from calls import (AT_FDCWD, AT_SYMLINK_FOLLOW, O_PATH, O_TMPFILE, OTHER, USER, checked, code_of, creat, in_child, libc, linkat,
                   renameat2, user_code)
from calls import RENAME_WHITEOUT
from places import assert_it_survives

ALL = os.environ.get("DKFS_TEST_ALL") == "1"


def names_in(d):
    return sorted(os.listdir(d))


def test_any_bytes_and_255_of_them_make_a_name(d):
    root = os.fsencode(d)
    odd = [b"n" * 255, bytes(range(1, 47)) + bytes(range(48, 256)), b"\xff\xfe", b" ", b"\n", b"a\\b", "é".encode(), b"..."]
    for name in odd:
        os.mkdir(root + b"/" + name)
    assert sorted(os.listdir(root)) == sorted(odd)
    assert code_of(os.mkdir, root + b"/" + b"n" * 256) == "ENAMETOOLONG"
    assert code_of(os.stat, root + b"/" + b"n" * 256) == "ENAMETOOLONG"


def test_paths_of_4095_bytes_work_and_longer_ones_do_not(d):
    path = str(d)
    while len(path) + 252 < 4000:
        path += "/" + "p" * 250
        os.mkdir(path)
    longest = path + "/" + "f" * (4095 - len(path) - 1)
    creat(longest, data=b"deep")
    assert len(longest) == 4095 and open(longest, "rb").read() == b"deep"
    assert code_of(os.stat, longest + "f") == "ENAMETOOLONG"


def test_trees_deeper_than_a_path_can_say(d):
    def work():
        os.chdir(d)
        for _ in range(30):
            os.mkdir("x" * 200)
            os.chdir("x" * 200)
        creat("leaf", data=b"below 6000 bytes of path")
        os.rename("leaf", "moved")
        os.link("moved", "linked")
        os.truncate("moved", 5)
        os.setxattr("moved", "user.x", b"y")
        seen = open("linked", "rb").read(), os.stat("moved").st_nlink, os.getxattr("linked", "user.x")
        os.unlink("moved")
        os.unlink("linked")
        for _ in range(30):
            os.chdir("..")
            os.rmdir("x" * 200)
        return seen
    assert in_child(work) == (b"below", 2, b"y")


def test_a_file_is_found_by_any_name_that_is_left(d):
    creat(d / "a", data=b"same")
    os.link(d / "a", d / "b")
    os.unlink(d / "b")
    os.chmod(d / "a", 0o600)
    os.link(d / "a", d / "c")
    assert (d / "c").read_bytes() == b"same" and (d / "c").stat().st_nlink == 2
    creat(d / "e", data=b"other")
    os.link(d / "c", d / "x")
    os.rename(d / "e", d / "x")
    os.unlink(d / "a")
    assert (d / "c").read_bytes() == b"same" and stat.S_IMODE((d / "c").stat().st_mode) == 0o600
    os.link(d / "c", d / "again")
    assert (d / "x").read_bytes() == b"other" and (d / "again").read_bytes() == b"same"


def test_what_happens_to_an_unlinked_file_does_not_touch_its_namesake(d):
    creat(d / "f", 0o644, b"old")
    with open(d / "f", "r+b") as old:
        os.unlink(d / "f")
        creat(d / "f", 0o604, b"new!")
        os.fchmod(old.fileno(), 0o600)
        os.fchown(old.fileno(), USER, USER)
        os.setxattr(old.fileno(), "user.of_old", b"1")
        os.utime(old.fileno(), (1, 1))
        os.ftruncate(old.fileno(), 1)
        old.seek(0)
        assert old.read() == b"o" and os.fstat(old.fileno()).st_nlink == 0
    st = (d / "f").stat()
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_size) == (0o604, 0, 4)
    assert os.listxattr(d / "f") == [] and (d / "f").read_bytes() == b"new!"


def test_an_unlinked_file_does_all_but_get_a_name(d):
    fd = os.open(d / "f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"content")
    os.unlink(d / "f")
    os.ftruncate(fd, 3)
    os.fchmod(fd, 0o640)
    os.setxattr(fd, "user.a", b"b")
    st = os.fstat(fd)
    assert (st.st_nlink, st.st_size, stat.S_IMODE(st.st_mode)) == (0, 3, 0o640)
    assert os.getxattr(fd, "user.a") == b"b" and os.pread(fd, 10, 0) == b"con"
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    assert os.read(again, 10) == b"con"
    assert code_of(linkat, AT_FDCWD, f"/proc/self/fd/{fd}", d / "back", AT_SYMLINK_FOLLOW) == "ENOENT"
    os.fsync(fd)
    os.close(fd)
    os.close(again)
    assert names_in(d) == []


def test_an_unlinked_file_that_only_a_path_descriptor_holds_can_be_used(d):
    (d / "f").write_bytes(b"content")
    path = os.open(d / "f", os.O_PATH)
    os.unlink(d / "f")
    fd = os.open(f"/proc/self/fd/{path}", os.O_RDWR)
    assert os.pwrite(fd, b"CON", 0) == 3 and os.pread(fd, 10, 0) == b"CONtent"
    os.close(fd)
    os.close(path)


def test_a_removed_directory_that_is_in_use_is_empty_and_takes_nothing(d):
    def work():
        os.mkdir(d / "gone")
        os.chdir(d / "gone")
        fd = os.open(".", os.O_RDONLY)
        os.rmdir(d / "gone")
        os.fchmod(fd, 0o711)
        st = os.fstat(fd)
        return [st.st_nlink, oct(st.st_mode), code_of(os.open, "new", os.O_CREAT | os.O_WRONLY), code_of(os.mkdir, "new"),
                code_of(os.symlink, "a", "b"), code_of(getdents, fd), code_of(os.stat, ".."), code_of(os.getcwd),
                code_of(os.rename, d / "file", "x"), code_of(os.fsync, fd)]
    creat(d / "file")
    want = [0, "0o40711", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ok", "ENOENT", "ENOENT", "ok"]
    assert in_child(work) == want


def test_a_replaced_directory_is_gone_for_those_inside(d):
    os.mkdir(d / "a")
    os.mkdir(d / "b")

    def work():
        os.chdir(d / "b")
        os.rename(d / "a", d / "b")
        return code_of(os.mkdir, "x"), os.stat(".").st_nlink
    assert in_child(work) == ("ENOENT", 0)


def test_directories_count_their_subdirectories(d):
    base = d.stat().st_nlink
    for i in range(5):
        os.mkdir(d / f"{i}")
    assert d.stat().st_nlink == base + 5
    os.rename(d / "0", d / "1/0")
    assert (d.stat().st_nlink, (d / "1").stat().st_nlink) == (base + 4, 3)
    os.rmdir(d / "2")
    os.rename(d / "3", d / "4")
    assert d.stat().st_nlink == base + 2


def test_a_directory_cannot_become_its_own_descendant(d):
    os.makedirs(d / "a/b/c")
    assert code_of(os.rename, d / "a", d / "a/b/c/d") == "EINVAL"
    assert code_of(os.rename, d / "a", d / "a/b") == "EINVAL"
    assert code_of(os.rename, d / "a/b", d / "a") == "ENOTEMPTY"
    assert code_of(os.rename, f"{d}/a/.", d / "x") == "EBUSY"
    assert code_of(os.rmdir, f"{d}/a/.") == "EINVAL" and code_of(os.rmdir, f"{d}/a/b/..") == "ENOTEMPTY"
    assert code_of(os.rename, d / "a", "/dev/shm/x") == "EXDEV"


def test_dotdot_follows_a_moved_directory(d):
    os.makedirs(d / "a/sub")
    os.mkdir(d / "b")
    os.rename(d / "a/sub", d / "b/sub")
    fd = os.open(d / "b/sub", os.O_RDONLY)
    assert os.stat("..", dir_fd=fd).st_ino == (d / "b").stat().st_ino
    os.close(fd)
    assert {e.name: e.inode() for e in raw_entries(d / "b/sub")}[".."] == (d / "b").stat().st_ino


def test_links_to_directories_and_of_symlinks(d):
    os.mkdir(d / "dir")
    assert code_of(os.link, d / "dir", d / "hard") == "EPERM"
    os.symlink("dir", d / "sym")
    os.link(d / "sym", d / "sym2", follow_symlinks=False)
    assert os.readlink(d / "sym2") == "dir" and os.lstat(d / "sym").st_nlink == 2
    assert code_of(os.link, d / "missing", d / "x") == "ENOENT"


@pytest.mark.skipif(not ALL, reason="takes a minute; the long form has it")
def test_a_file_takes_as_many_links_as_ext4_allows(place):
    """65,000."""
    d = place.dir / "links"
    os.mkdir(d)
    creat(d / "f")
    fd = os.open(d, os.O_RDONLY)
    try:
        for i in range(64_999):
            os.link("f", f"{i}", src_dir_fd=fd, dst_dir_fd=fd)
        assert os.stat(d / "f").st_nlink == 65_000
        assert code_of(os.link, d / "f", d / "one_too_many") == "EMLINK"
        assert os.stat(d / "f").st_nlink == 65_000 and not (d / "one_too_many").exists()
    finally:
        os.close(fd)
    support.shutil.rmtree(d)


def test_symlinks_of_4095_bytes_and_loops(d):
    os.symlink("s" * 4095, d / "long")
    assert os.readlink(d / "long") == "s" * 4095 and os.lstat(d / "long").st_size == 4095
    assert code_of(os.symlink, "s" * 4096, d / "longer") == "ENAMETOOLONG"
    os.symlink("b", d / "a")
    os.symlink("a", d / "b")
    assert code_of(os.stat, d / "a") == "ELOOP" and code_of(os.open, d / "a", os.O_RDONLY) == "ELOOP"
    assert code_of(os.open, d / "a", os.O_CREAT | os.O_WRONLY) == "ELOOP"
    os.mkdir(d / "end")
    previous = "end"
    for i in range(41):
        os.symlink(previous, d / f"l{i}")
        previous = f"l{i}"
    assert code_of(os.stat, d / "l39") == "ok" and code_of(os.stat, d / "l40") == "ELOOP"


def test_tmpfile_gets_a_name_with_what_it_could_take_of_xattrs(d):
    fd = os.open(d, O_TMPFILE | os.O_RDWR, 0o600)
    os.setxattr(fd, "user.small", b"1")
    large = code_of(os.setxattr, fd, "user.large", bytes(5000), 0)  # ext4 keeps them in one block
    os.fchown(fd, 7, 8)
    os.fchmod(fd, 0o640)
    linkat(AT_FDCWD, f"/proc/self/fd/{fd}", d / "named", AT_SYMLINK_FOLLOW)
    os.close(fd)
    assert sorted(os.listxattr(d / "named")) == (["user.large", "user.small"] if large == "ok" else ["user.small"])
    st = os.stat(d / "named")
    assert (st.st_uid, st.st_gid, st.st_mode & 0o7777, st.st_nlink) == (7, 8, 0o640, 1)
    os.unlink(d / "named")
    creat(d / "named", 0o600)


def test_tmpfile_gets_a_name_once_unless_exclusive(d):
    fd = os.open(d, O_TMPFILE | os.O_RDWR, 0o604)
    os.write(fd, b"unnamed")
    os.setxattr(fd, "user.k", b"v")
    os.fchown(fd, USER, USER)
    assert os.fstat(fd).st_nlink == 0 and names_in(d) == []
    linkat(AT_FDCWD, f"/proc/self/fd/{fd}", d / "named", AT_SYMLINK_FOLLOW)
    linkat(fd, "", d / "second", 0x1000)
    os.close(fd)
    st = (d / "named").stat()
    assert (d / "named").read_bytes() == b"unnamed" and (st.st_nlink, stat.S_IMODE(st.st_mode), st.st_uid) == (2, 0o604, USER)
    assert os.getxattr(d / "second", "user.k") == b"v"
    fd = os.open(d, O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    assert code_of(linkat, AT_FDCWD, f"/proc/self/fd/{fd}", d / "third", AT_SYMLINK_FOLLOW) == "ENOENT"
    os.close(fd)
    assert code_of(os.open, d, O_TMPFILE | os.O_RDONLY) == "EINVAL"
    assert code_of(os.open, d / "named", O_TMPFILE | os.O_RDWR) == "ENOTDIR"


def test_whiteout_leaves_a_device_that_can_be_removed(d):
    creat(d / "f", data=b"moved")
    renameat2(d / "f", d / "g", RENAME_WHITEOUT)
    st = os.lstat(d / "f")
    assert (d / "g").read_bytes() == b"moved" and stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
    os.unlink(d / "f")
    creat(d / "f")
    assert names_in(d) == ["f", "g"]


def test_sticky_directories_protect_what_others_own(d):
    os.chmod(d, 0o1777)
    for name, uid in (("mine", USER), ("theirs", OTHER)):
        creat(d / name)
        os.chown(d / name, uid, uid)
    assert user_code(USER, os.unlink, d / "theirs") == "EPERM"
    assert user_code(USER, os.rename, d / "theirs", d / "x") == "EPERM"
    assert user_code(USER, os.rename, d / "mine", d / "theirs") == "EPERM"
    assert user_code(USER, os.rename, d / "mine", d / "still_mine") == "ok"
    os.chown(d, USER, USER)
    assert user_code(USER, os.unlink, d / "theirs") == "ok"


class Dirent:
    def __init__(self, inode, offset, kind, name):
        self._inode, self.offset, self.kind, self.name = inode, offset, kind, name

    def inode(self):
        return self._inode


def getdents(fd, size=32768):
    buffer = ctypes.create_string_buffer(size)
    n = checked(libc.syscall(217, fd, buffer, size))
    at, found = 0, []
    while at < n:
        inode, offset, length, kind = struct.unpack_from("<QqHB", buffer.raw, at)
        name = buffer.raw[at + 19:at + length].split(b"\0")[0]
        found.append(Dirent(inode, offset, kind, os.fsdecode(name)))
        at += length
    return found


def raw_entries(path, size=32768):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = []
        while more := getdents(fd, size):
            found += more
        return found
    finally:
        os.close(fd)


def test_listing_tells_types_and_inode_numbers(d):
    creat(d / "file")
    os.mkdir(d / "dir")
    os.symlink("x", d / "sym")
    os.mkfifo(d / "fifo")
    found = {e.name: e for e in raw_entries(d)}
    assert set(found) == {".", "..", "file", "dir", "sym", "fifo"}
    for name, e in found.items():
        st = os.lstat(d / name)
        assert e.inode() == st.st_ino and e.kind == st.st_mode >> 12


def test_a_listing_that_fits_nothing_is_an_error(d):
    fd = os.open(d, os.O_RDONLY)
    assert code_of(getdents, fd, 10) == "EINVAL"
    os.close(fd)


def test_positions_in_a_directory_stay_good(d):
    for i in range(500):
        creat(d / f"f{i:04}")
    fd = os.open(d, os.O_RDONLY)
    rows = []
    while more := getdents(fd, 4096):
        rows += more
    for i in (0, 1, 2, 100, 333, 499):
        os.lseek(fd, rows[i].offset, os.SEEK_SET)
        rest = []
        while more := getdents(fd, 2048):
            rest += more
        assert [e.name for e in rest] == [e.name for e in rows[i + 1:]]
    os.lseek(fd, 0, os.SEEK_SET)
    creat(d / "late")
    os.unlink(d / "f0000")
    rest = []
    while more := getdents(fd):
        rest += more
    assert {e.name for e in rest} == {e.name for e in rows} - {"f0000"} | {"late"}
    os.close(fd)


@pytest.mark.parametrize("count", [100_000 if ALL else 10_000])
def test_a_huge_directory_lists_each_lasting_name_once_while_others_come_and_go(d, count):
    there = os.open(d, os.O_RDONLY)
    for i in range(count):
        os.mknod(f"k{i:06}", 0o600, dir_fd=there)
    listing = os.open(d, os.O_RDONLY)
    seen, turn = [], 0
    while more := getdents(listing):
        seen += [e.name for e in more]
        for i in range(turn * 20, turn * 20 + 20):  # every seventh goes, others come
            if i * 7 < count:
                os.unlink(f"k{i * 7:06}", dir_fd=there)
            os.mknod(f"new{i}", 0o600, dir_fd=there)
        turn += 1
        assert turn < 10_000, "the listing never ends"
    os.close(listing)
    gone = {f"k{i * 7:06}" for i in range(turn * 20) if i * 7 < count}
    lasting = {f"k{i:06}" for i in range(count)} - gone
    assert len(seen) == len(set(seen)) and lasting <= set(seen)
    fresh = {e.name for e in raw_entries(d)} - {".", ".."}
    assert fresh == lasting | {f"new{i}" for i in range(turn * 20)}
    os.close(there)
    support.shutil.rmtree(d)


def test_file_handles_find_a_file_after_the_caches_are_dropped(d, place):
    class Handle(ctypes.Structure):
        _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128)]

    def handle_of(path):
        handle, mount = Handle(size=128), ctypes.c_int()
        checked(libc.name_to_handle_at(AT_FDCWD, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount), 0))
        return handle

    def open_handle(handle, flags=os.O_RDONLY):
        root = os.open(place.dir, os.O_RDONLY)
        try:
            return checked(libc.open_by_handle_at(root, ctypes.byref(handle), flags))
        finally:
            os.close(root)

    os.makedirs(d / "a/b")
    creat(d / "a/b/f", data=b"by handle")
    file, directory = handle_of(d / "a/b/f"), handle_of(d / "a/b")
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("2")
    fd = open_handle(file)
    assert os.read(fd, 20) == b"by handle"
    os.close(fd)
    fd = open_handle(directory)
    assert os.listdir(fd) == ["f"] and os.stat("..", dir_fd=fd).st_ino == (d / "a").stat().st_ino
    os.close(fd)
    os.rename(d / "a/b/f", d / "g")
    os.close(open_handle(file))
    os.unlink(d / "g")
    # Until the daemon has heard of the last close, it is open without a name.
    support.wait_until(lambda: code_of(lambda: os.close(open_handle(file))) == "ESTALE", "a file without a name is opened")


def test_a_path_descriptor_names_but_does_not_open(d):
    creat(d / "f", 0o000, b"x")
    fd = os.open(d / "f", O_PATH)
    assert code_of(os.read, fd, 1) == "EBADF" and code_of(os.fchmod, fd, 0o600) == "EBADF"
    assert os.fstat(fd).st_size == 1
    os.rename(d / "f", d / "g")
    assert os.readlink(f"/proc/self/fd/{fd}") == str(d / "g")
    os.unlink(d / "g")
    assert os.fstat(fd).st_nlink == 0
    os.close(fd)


def test_all_of_it_survives_kill_and_loss(place):
    assert_it_survives(place)
