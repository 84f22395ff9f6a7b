"""System calls as Python lacks them, and calls made by other users."""

import ctypes
import errno
import os
import pickle
import struct
import sys
import traceback

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH = -100, 0x100, 0x400, 0x1000
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 1, 2, 8, 16, 32
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38
F_GETLK, F_SETLK, F_SETLKW = 5, 6, 7
O_DIRECT, O_NOATIME, O_PATH, O_TMPFILE = os.O_DIRECT, os.O_NOATIME, os.O_PATH, os.O_TMPFILE
USER, OTHER, GROUP, OTHER_GROUP = 65534, 65533, 65534, 65533


def checked(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def renameat2(a, b, flags):
    return checked(libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags))


def fallocate(fd, mode, offset, length):
    return checked(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))


def linkat(old_dir, old, new, flags=0):
    return checked(libc.linkat(old_dir, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))


def utimensat(path, atime, mtime, flags=0, dir_fd=AT_FDCWD):
    """Times as (sec, nsec); path None: of dir_fd itself. None for both: the current time."""
    times = None if atime is None else (ctypes.c_long * 4)(*atime, *mtime)
    return checked(libc.utimensat(dir_fd, None if path is None else os.fsencode(path), times, flags))


def mmap_offset_write(fd, offset, data):
    """Bytes written through a shared mapping."""
    import mmap
    start = offset // mmap.PAGESIZE * mmap.PAGESIZE
    with mmap.mmap(fd, offset - start + len(data), offset=start) as m:
        m[offset - start:] = data


FLOCK = struct.Struct("hhqqi4x")


def lock_call(fd, command, kind, start=0, length=0):
    """fcntl record locks, also those of open file descriptions; gives the struct back as (type, start, length, pid)."""
    import fcntl
    answer = fcntl.fcntl(fd, command, FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
    kind, _, start, length, pid = FLOCK.unpack(answer)
    return kind, start, length, pid


def code_of(call, *args, **kw):
    """The name of the error a call ends with; "ok" when it succeeds."""
    try:
        call(*args, **kw)
    except OSError as e:
        return {errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EDEADLK: "EDEADLK"}.get(e.errno, errno.errorcode[e.errno])
    return "ok"


def in_child(body):
    """Runs body() in a child process; gives its result or raises its exception."""
    r, w = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(r)
            try:
                answer = (True, body())
            except OSError as e:
                answer = (False, e)
            except BaseException:
                answer = (False, AssertionError(traceback.format_exc()))
            with os.fdopen(w, "wb") as f:
                pickle.dump(answer, f)
        finally:
            os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        data = f.read()
    status = os.waitpid(pid, 0)[1]
    assert data, f"the child died, status {status}"
    fine, answer = pickle.loads(data)
    if not fine:
        raise answer
    return answer


def as_user(uid, body, gid=None, groups=()):
    """Runs body() as an ordinary user."""
    def run():
        os.setgroups(list(groups))
        os.setresgid(*[uid if gid is None else gid] * 3)
        os.setresuid(uid, uid, uid)
        return body()
    return body() if uid == 0 else in_child(run)


def user_code(uid, call, *args, gid=None, groups=()):
    """The name of the error a call by this user ends with."""
    return as_user(uid, lambda: code_of(call, *args), gid, groups)


def creat(path, mode=0o644, data=b""):
    """A new file with exactly this mode."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if data:
            os.write(fd, data)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)
    return path


def acl(user, group, other, users=(), groups=(), mask=None):
    """The bytes of system.posix_acl_*: users and groups as (id, permissions)."""
    none = 0xFFFFFFFF
    rows = [(1, user, none), *[(2, p, i) for i, p in sorted(users)], (4, group, none),
            *[(8, p, i) for i, p in sorted(groups)]]
    if mask is not None:
        rows.append((16, mask, none))
    rows.append((32, other, none))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)
