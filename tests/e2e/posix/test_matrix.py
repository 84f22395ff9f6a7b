"""Every call on every type of file by every kind of caller: dkfs answers what ext4 answers.

The oracle is ext4 itself: each case is made on both, and the whole answer is compared: the error or success, and which
attributes and times of the file, its directory and the other names changed.
"""

import os
import socket
import stat

import pytest

import dkfs as support
from calls import (AT_FDCWD, AT_SYMLINK_NOFOLLOW, GROUP, KEEP_SIZE, OTHER, OTHER_GROUP, PUNCH_HOLE, RENAME_EXCHANGE,
                   RENAME_NOREPLACE, RENAME_WHITEOUT, USER, UTIME_NOW, UTIME_OMIT, ZERO_RANGE, as_user, code_of, fallocate,
                   linkat, renameat2, utimensat)
from places import WRITEBACK, assert_it_survives, next_tick

TYPES = ("file", "dir", "symlink", "fifo", "socket", "char", "block")
OLD = (1_000_000_000, 1_100_000_000)
# uid, gid, further groups
CALLERS = {"root": (0, 0, ()), "owner": (USER, OTHER_GROUP, (GROUP,)), "foreign_owner": (USER, OTHER_GROUP, ()),
           "member": (OTHER, OTHER_GROUP, (GROUP,)), "stranger": (OTHER, OTHER_GROUP, ())}


def make(path, kind, mode=0o644, uid=USER, gid=GROUP, data=b"some content"):
    if kind == "file":
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, data)
        os.close(fd)
    elif kind == "dir":
        os.mkdir(path)
    elif kind == "symlink":
        os.symlink("nowhere/at/all", path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    elif kind == "char":
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    elif kind == "block":
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 200))
    elif kind == "nothing":
        return path
    os.lchown(path, uid, gid)
    if kind != "symlink":
        os.chmod(path, mode)
    os.utime(path, OLD, follow_symlinks=False)
    return path


def facts(path):
    try:
        st = os.lstat(path)
    except OSError as e:
        return e.errno
    plain = {"mode": oct(st.st_mode), "owner": (st.st_uid, st.st_gid), "nlink": st.st_nlink, "rdev": st.st_rdev}
    if not stat.S_ISDIR(st.st_mode):
        plain["size"] = st.st_size
    return plain, {"mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns}, st.st_ino


def change(before, after):
    """How two facts differ: new attributes as they are, times only as changed or not."""
    if not isinstance(before, tuple) or not isinstance(after, tuple) or before[2] != after[2]:
        return after if not isinstance(after, tuple) else after[0]
    rows = {k: v for k, v in after[0].items() if before[0].get(k) != v}
    rows["times"] = [k for k in after[1] if before[1][k] != after[1][k]]
    return rows


def answer(directory, names, call, caller):
    """The outcome of call() by caller, and what changed of the directory and the names in it."""
    paths = [directory, *[directory / n for n in names]]
    before = [facts(p) for p in paths]
    uid, gid, groups = CALLERS[caller]
    next_tick()
    code = as_user(uid, lambda: code_of(call), gid, groups)
    return code, [change(b, facts(p)) for b, p in zip(before, paths)]


def compare(rooms, case):
    """case(directory) -> comparable; the same on both."""
    on_native, on_dkfs = [case(r) for r in rooms]
    assert len(on_native) == len(on_dkfs)
    differ = [f"ext4 {a}\ndkfs {b}" for a, b in zip(on_native, on_dkfs) if a != b]
    assert not differ, f"{len(differ)} of {len(on_native)} differ:\n" + "\n".join(differ[:10])


def fresh(root, name, mode=0o777, uid=0, gid=0):
    path = root / name
    os.mkdir(path)
    os.chown(path, uid, gid)
    os.chmod(path, mode)
    os.utime(path, OLD)
    return path


def open_and(path, flags, then=None):
    def call():
        fd = os.open(path, flags, 0o640)
        try:
            if then:
                then(fd)
        finally:
            os.close(fd)
    return call


MODES = (0o111, 0o2644, 0o2755, 0o4755, 0o6644, 0o1755, 0o7777)


@pytest.mark.parametrize("caller", ["root", "owner", "foreign_owner", "stranger"])
@pytest.mark.parametrize("kind", ["file", "dir", "socket"])
def test_chmod(rooms, kind, caller):
    def case(root):
        rows = []
        for mode in MODES:
            d = fresh(root, f"{mode:o}")
            p = make(d / "it", kind)
            rows.append((oct(mode), answer(d, ["it"], lambda: os.chmod(p, mode), caller)))
        return rows
    compare(rooms, case)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("kind", ["file", "dir", "symlink"])
def test_chown(rooms, kind, caller):
    def case(root):
        rows = []
        for i, mode in enumerate((0o644, 0o6755, 0o6644)):
            for uid in (-1, USER, OTHER):
                for gid in (-1, GROUP, OTHER_GROUP):
                    if (kind, uid, gid) == ("file", -1, -1) and mode & 0o6000 and caller in ("member", "stranger"):
                        continue  # ext4: EPERM; dkfs cannot tell it from an allocation by somebody who may write
                    d = fresh(root, f"{i}.{uid}.{gid}")
                    p = make(d / "it", kind, mode)
                    rows.append((oct(mode), uid, gid, answer(d, ["it"], lambda: os.lchown(p, uid, gid), caller)))
        return rows
    compare(rooms, case)


TIMES = {"now": (None, None), "set": ((5, 6), (7, 8)), "now_now": ((0, UTIME_NOW), (0, UTIME_NOW)),
         "omit_omit": ((0, UTIME_OMIT), (0, UTIME_OMIT)), "omit_set": ((0, UTIME_OMIT), (9, 1)),
         "set_omit": ((9, 1), (0, UTIME_OMIT)), "omit_now": ((0, UTIME_OMIT), (0, UTIME_NOW)),
         "now_omit": ((0, UTIME_NOW), (0, UTIME_OMIT)), "bad": ((0, 1_000_000_000), (0, 0))}


@pytest.mark.parametrize("caller", ["root", "owner", "stranger"])
@pytest.mark.parametrize("kind", ["file", "dir", "symlink"])
def test_utimensat(rooms, kind, caller):
    def case(root):
        rows = []
        for mode in (0o644, 0o666):
            for name, times in TIMES.items():
                d = fresh(root, f"{mode:o}{name}")
                p = make(d / "it", kind, mode)
                got = answer(d, ["it"], lambda: utimensat(p, *times, AT_SYMLINK_NOFOLLOW), caller)
                rows.append((oct(mode), name, got, os.lstat(p).st_atime in (OLD[0], 5.000000006, 9.000000001)))
        return rows
    compare(rooms, case)


CONTENT = {
    "truncate_same": lambda p: lambda: os.truncate(p, 12),
    "truncate_less": lambda p: lambda: os.truncate(p, 3),
    "truncate_more": lambda p: lambda: os.truncate(p, 5000),
    "truncate_negative": lambda p: lambda: os.truncate(p, -1),
    "ftruncate_same": lambda p: open_and(p, os.O_WRONLY, lambda fd: os.ftruncate(fd, 12)),
    "ftruncate_less": lambda p: open_and(p, os.O_WRONLY, lambda fd: os.ftruncate(fd, 3)),
    "ftruncate_more": lambda p: open_and(p, os.O_RDWR, lambda fd: os.ftruncate(fd, 5000)),
    "ftruncate_readonly": lambda p: open_and(p, os.O_RDONLY, lambda fd: os.ftruncate(fd, 1)),
    "o_trunc": lambda p: open_and(p, os.O_WRONLY | os.O_TRUNC),
    "o_trunc_read": lambda p: open_and(p, os.O_RDONLY | os.O_TRUNC),
    "write": lambda p: open_and(p, os.O_WRONLY, lambda fd: os.write(fd, b"abc")),
    "write_nothing": lambda p: open_and(p, os.O_WRONLY, lambda fd: os.write(fd, b"")),
    "pwrite_far": lambda p: open_and(p, os.O_RDWR, lambda fd: os.pwrite(fd, b"abc", 100_000)),
    "append": lambda p: open_and(p, os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, b"abc")),
    "read": lambda p: open_and(p, os.O_RDONLY | os.O_NOATIME, lambda fd: os.read(fd, 3)),
    "allocate": lambda p: open_and(p, os.O_WRONLY, lambda fd: fallocate(fd, 0, 0, 6)),
    "allocate_more": lambda p: open_and(p, os.O_WRONLY, lambda fd: fallocate(fd, 0, 0, 10_000)),
    "allocate_keep": lambda p: open_and(p, os.O_WRONLY, lambda fd: fallocate(fd, KEEP_SIZE, 0, 10_000)),
    "punch": lambda p: open_and(p, os.O_WRONLY, lambda fd: fallocate(fd, KEEP_SIZE | PUNCH_HOLE, 2, 4)),
    "punch_beyond": lambda p: open_and(p, os.O_WRONLY, lambda fd: fallocate(fd, KEEP_SIZE | PUNCH_HOLE, 8192, 4096)),
    "punch_resize": lambda p: open_and(p, os.O_WRONLY, lambda fd: fallocate(fd, PUNCH_HOLE, 2, 4)),
    "zero": lambda p: open_and(p, os.O_WRONLY, lambda fd: fallocate(fd, ZERO_RANGE, 2, 4)),
    "zero_more": lambda p: open_and(p, os.O_WRONLY, lambda fd: fallocate(fd, ZERO_RANGE, 2, 9000)),
    "zero_keep": lambda p: open_and(p, os.O_WRONLY, lambda fd: fallocate(fd, ZERO_RANGE | KEEP_SIZE, 2, 9000)),
    "allocate_nothing": lambda p: open_and(p, os.O_WRONLY, lambda fd: fallocate(fd, 0, 0, 0)),
    "allocate_readonly": lambda p: open_and(p, os.O_RDONLY, lambda fd: fallocate(fd, 0, 0, 10)),
    "allocate_too_far": lambda p: open_and(p, os.O_WRONLY, lambda fd: fallocate(fd, 0, 1 << 62, 1 << 61)),
    "copy": lambda p: open_and(p, os.O_RDWR, lambda fd: os.copy_file_range(fd, fd, 3, 0, 100)),
    "copy_overlapping": lambda p: open_and(p, os.O_RDWR, lambda fd: os.copy_file_range(fd, fd, 3, 0, 1)),
    "fsync": lambda p: open_and(p, os.O_WRONLY, os.fsync),
}


@pytest.mark.parametrize("caller", ["root", "owner", "foreign_owner", "stranger"])
@pytest.mark.parametrize("call", CONTENT)
def test_content(rooms, call, caller):
    if WRITEBACK and call in ("truncate_same", "allocate_too_far"):
        pytest.skip("the kernel decides about the times")

    def case(root):
        rows = []
        for mode in (0o666, 0o6777, 0o2666, 0o644):
            if call == "allocate_too_far" and mode & 0o6000:
                continue  # the kernel takes the set-id bits before it asks
            d = fresh(root, f"{mode:o}")
            p = make(d / "it", "file", mode)
            rows.append((oct(mode), answer(d, ["it"], CONTENT[call](p), caller)))
        return rows
    compare(rooms, case)


FLAGS = {n: getattr(os, n) for n in ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_APPEND", "O_TRUNC", "O_NOFOLLOW", "O_DIRECTORY",
                                     "O_PATH", "O_NOATIME", "O_SYNC", "O_DSYNC", "O_DIRECT", "O_CREAT", "O_TMPFILE")}
OPENS = [("O_RDONLY",), ("O_WRONLY",), ("O_RDWR",), ("O_WRONLY", "O_APPEND"), ("O_WRONLY", "O_TRUNC"),
         ("O_RDONLY", "O_TRUNC"), ("O_RDONLY", "O_NOFOLLOW"), ("O_RDONLY", "O_DIRECTORY"), ("O_PATH",),
         ("O_PATH", "O_NOFOLLOW"), ("O_RDONLY", "O_NOATIME"), ("O_RDWR", "O_SYNC"), ("O_RDWR", "O_DSYNC"),
         ("O_RDWR", "O_DIRECT"), ("O_RDWR", "O_CREAT"), ("O_RDONLY", "O_CREAT", "O_DIRECTORY"), ("O_RDWR", "O_TMPFILE"),
         ("O_RDONLY", "O_TMPFILE"), ("O_WRONLY", "O_DIRECTORY"), ("O_RDWR", "O_CREAT", "O_NOFOLLOW")]


@pytest.mark.parametrize("caller", ["root", "owner", "stranger"])
@pytest.mark.parametrize("kind", TYPES + ("nothing",))
def test_open(rooms, kind, caller):
    def case(root):
        rows = []
        for mode in (0o666, 0o600) if kind in ("file", "dir") else (0o600,):
            for words in OPENS:
                flags = os.O_NONBLOCK
                for w in words:
                    flags |= FLAGS[w]
                d = fresh(root, f"{mode:o}{'.'.join(words)}")
                p = make(d / "it", kind, mode)
                if kind == "block":
                    flags |= os.O_NONBLOCK
                rows.append((oct(mode), words, answer(d, ["it"], open_and(p, flags), caller)))
                flags |= os.O_EXCL | os.O_CREAT
                if "O_CREAT" in words and "O_DIRECTORY" not in words:
                    rows.append((oct(mode), words, "O_EXCL", answer(d, ["it"], open_and(p, flags), caller)))
        return rows
    compare(rooms, case)


@pytest.mark.parametrize("caller", ["root", "owner", "stranger"])
@pytest.mark.parametrize("kind", TYPES)
def test_unlink_rmdir_link_and_access(rooms, kind, caller):
    def case(root):
        rows = []
        for mode in (0o777, 0o755, 0o1777):
            for name, call in {"unlink": os.unlink, "rmdir": os.rmdir,
                               "link": lambda p: os.link(p, p.parent / "new", follow_symlinks=False),
                               "link_over": lambda p: os.link(p, p.parent / "other", follow_symlinks=False),
                               "link_following": lambda p: linkat(AT_FDCWD, p, p.parent / "new", 0x400),
                               "access_w": lambda p: open_and(p, os.O_PATH) if os.access(p, os.W_OK) else os.lstat("/no"),
                               "readlink": os.readlink, "listdir": os.listdir}.items():
                d = fresh(root, f"{mode:o}{name}", mode)
                p = make(d / "it", kind, 0o755)
                make(d / "other", "file")
                rows.append((oct(mode), name, answer(d, ["it", "other", "new"], lambda: call(p), caller)))
        return rows
    compare(rooms, case)


@pytest.mark.parametrize("caller", ["root", "owner", "stranger"])
@pytest.mark.parametrize("dir_mode", [0o777, 0o2777, 0o755])
def test_making(rooms, dir_mode, caller):
    calls = {
        "mkdir": lambda p: os.mkdir(p, 0o7777), "mkdir_plain": lambda p: os.mkdir(p, 0o700),
        "mkfifo": lambda p: os.mkfifo(p, 0o6777), "mknod_file": lambda p: os.mknod(p, stat.S_IFREG | 0o2775),
        "mknod_zero": lambda p: os.mknod(p, 0o600), "mknod_socket": lambda p: os.mknod(p, stat.S_IFSOCK | 0o755),
        "mknod_char": lambda p: os.mknod(p, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
        "mknod_block": lambda p: os.mknod(p, stat.S_IFBLK | 0o666, os.makedev(7, 9)),
        "mknod_whiteout": lambda p: os.mknod(p, stat.S_IFCHR | 0o644, 0),
        "mknod_dir": lambda p: os.mknod(p, stat.S_IFDIR | 0o755), "symlink": lambda p: os.symlink("x" * 100, p),
        "symlink_empty": lambda p: os.symlink("", p), "open": lambda p: os.close(os.open(p, os.O_CREAT, 0o6777)),
        "open_group_exec": lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY, 0o2775)),
        "slash_file": lambda p: os.close(os.open(f"{p}/", os.O_CREAT | os.O_WRONLY)),
        "slash_dir": lambda p: os.mkdir(f"{p}/"), "dot": lambda p: os.mkdir(p.parent / "x/."),
        "socket": lambda p: bind(p),
    }

    def bind(p):
        with socket.socket(socket.AF_UNIX) as s:
            here = os.open(p.parent, os.O_PATH)
            s.bind(f"/proc/self/fd/{here}/{p.name}")
            os.close(here)

    def case(root):
        rows = []
        for name, call in calls.items():
            for owner in (0, USER):
                d = fresh(root, f"{name}{owner}", dir_mode, owner, OTHER_GROUP if name == "mkdir" else 7)
                rows.append((name, owner, answer(d, ["it"], lambda: call(d / "it"), caller)))
                rows.append((name, owner, "again", answer(d, ["it"], lambda: call(d / "it"), caller)))
        return rows
    compare(rooms, case)


@pytest.mark.parametrize("flags", [0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT,
                                   RENAME_NOREPLACE | RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_WHITEOUT,
                                   RENAME_EXCHANGE | RENAME_WHITEOUT, 64])
@pytest.mark.parametrize("kind", ["file", "dir", "symlink", "char"])
def test_rename(rooms, kind, flags):
    def case(root):
        rows = []
        for target in ("file", "dir", "symlink", "socket", "nothing", "full", "link"):
            for apart in (False, True):
                if (kind, target, flags) == ("dir", "full", RENAME_WHITEOUT):
                    continue  # ext4 has changed the old directory's times before it finds that it must refuse
                d = fresh(root, f"{target}{apart}")
                e = fresh(d, "e") if apart else d
                p, q = make(d / "it", kind), e / "to"
                if target == "link":
                    if kind == "dir":
                        continue
                    os.link(p, q, follow_symlinks=False)
                elif target == "full":
                    os.mkdir(q)
                    make(q / "inside", "file")
                else:
                    make(q, target)
                names = ["it", "to", "e", "e/to"]
                rows.append((target, apart, answer(d, names, lambda: renameat2(p, q, flags), "root")))
        return rows
    compare(rooms, case)


@pytest.mark.parametrize("caller", ["owner", "stranger"])
def test_sticky_and_foreign_directories(rooms, caller):
    def case(root):
        rows = []
        for kind in ("file", "dir"):
            for from_mode, to_mode in ((0o1777, 0o777), (0o777, 0o1777), (0o755, 0o777), (0o777, 0o755)):
                for owners in ((0, 0, 0), (USER, 0, 0), (0, USER, 0), (0, 0, USER), (USER, USER, USER), (OTHER, USER, OTHER)):
                    for target in ("nothing", kind):
                        base = fresh(root, f"{len(rows)}")
                        d, e = fresh(base, "d", from_mode, owners[0]), fresh(base, "e", to_mode, owners[0])
                        make(d / "it", kind, 0o755, owners[1])
                        make(e / "to", target, 0o755, owners[2])
                        got = answer(base, ["d", "e", "d/it", "e/to"], lambda: os.rename(d / "it", e / "to"), caller)
                        rows.append((kind, from_mode, to_mode, owners, target, got))
        return rows
    compare(rooms, case)


def test_odd_paths(rooms):
    def case(root):
        make(root / "f", "file", 0o755)
        make(root / "dir", "dir", 0o755)
        make(root / "full", "dir", 0o755)
        make(root / "full/x", "file")
        os.symlink("self", root / "self")
        os.symlink("dir", root / "to_dir")
        os.symlink("missing", root / "dangling")
        n255, n256 = "n" * 255, "n" * 256
        long_path = "dir/" + "./" * 2040
        paths = ["f/", "f/.", "f/..", "f/x", "dir/.", "dir/..", "self", "self/x", "to_dir/", "to_dir/x", "dangling",
                 "dangling/", "", n255, n256, f"{n256}/x", f"{n255}/x", long_path, long_path + "./" * 10, "full", "full/.",
                 "missing/x", "dir//f"]
        calls = {"stat": os.stat, "lstat": os.lstat, "unlink": os.unlink, "rmdir": os.rmdir,
                 "mkdir": lambda p: os.mkdir(p), "open": lambda p: os.close(os.open(p, os.O_RDONLY)),
                 "creat": lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY)),
                 "exclusive": lambda p: os.close(os.open(p, os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
                 "mkfifo": os.mkfifo, "symlink": lambda p: os.symlink("x", p), "readlink": os.readlink,
                 "truncate": lambda p: os.truncate(p, 1), "chmod": lambda p: os.chmod(p, 0o755),
                 "chown": lambda p: os.chown(p, 0, 0), "utime": os.utime, "statvfs": os.statvfs,
                 "rename_from": lambda p: os.rename(p, "renamed"), "rename_to": lambda p: os.rename("f", p),
                 "link_from": lambda p: os.link(p, "linked"), "link_to": lambda p: os.link("f", p),
                 "rename_dir_to": lambda p: os.rename("dir", p), "listxattr": os.listxattr}
        rows = []
        os.chdir(root)
        try:
            for name, call in calls.items():
                for path in paths:
                    rows.append((name, path[:20], len(path), code_of(call, path)))
                    tidy()
        finally:
            os.chdir("/")
        return rows

    def tidy():
        """Back to what the cases start from."""
        for made in ("renamed", "linked", "n" * 255, "missing", "dangling", "dir", "f", "to_dir", "full/x", "full", "self"):
            if os.path.isdir(made) and not os.path.islink(made):
                support.shutil.rmtree(made)
            elif os.path.lexists(made):
                os.unlink(made)
        make(support.Path("f"), "file", 0o755)
        make(support.Path("dir"), "dir", 0o755)
        make(support.Path("full"), "dir", 0o755)
        make(support.Path("full/x"), "file")
        os.symlink("self", "self")
        os.symlink("dir", "to_dir")
        os.symlink("missing", "dangling")
    compare(rooms, case)


def test_all_of_it_survives_kill_and_loss(dkfs_place):
    assert_it_survives(dkfs_place)
