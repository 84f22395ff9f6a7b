"""Content: writing in every way, holes, allocation, mappings, direct i/o, limits."""

import ctypes
import faulthandler
import fcntl
import mmap
import os
import resource
import signal
import subprocess
import threading

import pytest

from calls import (COLLAPSE_RANGE, INSERT_RANGE, KEEP_SIZE, O_DIRECT, PUNCH_HOLE, USER, ZERO_RANGE, as_user, code_of, creat,
                   fallocate, in_child, libc, mmap_offset_write)
from places import WRITEBACK, assert_it_survives, next_tick

MIB = 1 << 20


def opened(path, flags=os.O_RDWR | os.O_CREAT):
    return os.fdopen(os.open(path, flags, 0o644), "r+b" if flags & os.O_RDWR else "rb", buffering=0)


def test_appends_of_many_processes_never_overlap(d):
    def work(i):
        def body():
            fd = os.open(d / "log", os.O_WRONLY | os.O_APPEND)
            for n in range(50):
                os.write(fd, f"{i}:{n:04}\n".encode())
        return body
    creat(d / "log")
    children = []
    for i in range(4):
        pid = os.fork()
        if pid == 0:
            try:
                work(i)()
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    lines = (d / "log").read_text().splitlines()
    assert sorted(lines) == sorted(f"{i}:{n:04}" for i in range(4) for n in range(50))


def test_append_goes_to_the_end_whatever_the_position(d):
    creat(d / "f", data=b"12345")
    with opened(d / "f", os.O_RDWR | os.O_APPEND) as f:
        f.seek(0)
        f.write(b"6")
        assert os.pwrite(f.fileno(), b"7", 0) == 1  # as Linux has it, not POSIX
        f.seek(0)
        assert f.read() == b"1234567"
        os.truncate(d / "f", 2)
        f.write(b"3")
        assert (d / "f").read_bytes() == b"123"


def test_vectors_and_offsets(d):
    with opened(d / "f") as f:
        assert os.pwritev(f.fileno(), [b"ab", b"", b"cde"], 10) == 5
        parts = [bytearray(4), bytearray(20)]
        assert os.preadv(f.fileno(), parts, 8) == 7
        assert bytes(parts[0]) == b"\0\0ab" and bytes(parts[1][:3]) == b"cde"
        assert code_of(os.pread, f.fileno(), 1, -1) == "EINVAL" and code_of(os.lseek, f.fileno(), -1, 0) == "EINVAL"
        assert os.pread(f.fileno(), 10, 1 << 40) == b""
        assert os.lseek(f.fileno(), 5, os.SEEK_END) == 20 and f.read(1) == b""


def test_rwf_append_and_noappend(d):
    creat(d / "f", data=b"12345")
    with opened(d / "f") as f:
        assert os.pwritev(f.fileno(), [b"6"], 0, os.RWF_APPEND) == 1
        assert (d / "f").read_bytes() == b"123456"
        assert os.pwritev(f.fileno(), [b"X"], 0, os.RWF_DSYNC | os.RWF_SYNC) == 1
        assert (d / "f").read_bytes() == b"X23456"


@pytest.mark.parametrize("flag", ["O_SYNC", "O_DSYNC"])
def test_synchronous_writes(d, flag):
    fd = os.open(d / "f", os.O_WRONLY | os.O_CREAT | getattr(os, flag))
    os.write(fd, b"durable")
    assert fcntl.fcntl(fd, fcntl.F_GETFL) & getattr(os, flag)
    os.fdatasync(fd)
    os.fsync(fd)
    os.close(fd)
    assert (d / "f").read_bytes() == b"durable"


def test_bytes_cut_off_never_come_back(d):
    with opened(d / "f") as f:
        f.write(b"s" * 100_000)
        for size in (70_001, 4096, 4095, 1):
            os.ftruncate(f.fileno(), size)
            os.ftruncate(f.fileno(), 100_000)
            assert os.pread(f.fileno(), 100_000, 0) == b"s" * size + bytes(100_000 - size)
        os.ftruncate(f.fileno(), 1)
        os.pwrite(f.fileno(), b"e", 5000)
        assert os.pread(f.fileno(), 6000, 0) == b"s" + bytes(4999) + b"e"


def test_a_mapped_tail_beyond_the_end_never_shows(d):
    with opened(d / "f") as f:
        f.write(b"x" * 4096)
        with mmap.mmap(f.fileno(), 4096) as m:
            os.ftruncate(f.fileno(), 100)
            m[200:300] = b"y" * 100
            m.flush()
            os.ftruncate(f.fileno(), 4096)
            assert os.pread(f.fileno(), 4096, 0) == b"x" * 100 + bytes(3996)


def extents(fd, size):
    found, at = [], 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start, end))
        at = end
    return found


@pytest.mark.skipif(WRITEBACK, reason="with the writeback cache holes are not told")
def test_holes_are_found_and_cost_nothing(d):
    with opened(d / "f") as f:
        for at in (0, 10 * MIB, 100 * MIB):
            os.pwrite(f.fileno(), b"d" * 8192, at)
        os.ftruncate(f.fileno(), 200 * MIB)
        assert extents(f.fileno(), 200 * MIB) == [(a, a + 8192) for a in (0, 10 * MIB, 100 * MIB)]
        assert os.lseek(f.fileno(), 150 * MIB, os.SEEK_HOLE) == 150 * MIB
        assert os.lseek(f.fileno(), 100 * MIB + 5, os.SEEK_DATA) == 100 * MIB + 5
        assert code_of(os.lseek, f.fileno(), 150 * MIB, os.SEEK_DATA) == "ENXIO"
        assert code_of(os.lseek, f.fileno(), 200 * MIB, os.SEEK_HOLE) == "ENXIO"
        assert code_of(os.lseek, f.fileno(), 200 * MIB, os.SEEK_DATA) == "ENXIO"
        assert os.fstat(f.fileno()).st_blocks * 512 <= 64 << 10
        fallocate(f.fileno(), PUNCH_HOLE | KEEP_SIZE, 10 * MIB, 8192)
        assert extents(f.fileno(), 200 * MIB) == [(a, a + 8192) for a in (0, 100 * MIB)]


def test_dirty_mapped_pages_are_no_hole(d):
    with opened(d / "f") as f:
        os.ftruncate(f.fileno(), 4 * MIB)
        with mmap.mmap(f.fileno(), 4 * MIB) as m:
            m[MIB:MIB + 4] = b"data"
            if not WRITEBACK:
                assert extents(f.fileno(), 4 * MIB) == [(MIB, MIB + 4096)]
            m[3 * MIB:3 * MIB + 4] = b"more"
            assert os.lseek(f.fileno(), MIB, os.SEEK_HOLE) >= MIB + 4096
            subprocess.run(["cp", "--sparse=auto", d / "f", d / "copy"], check=True)
            m[0:4] = b"last"
            with opened(d / "ranged") as to:
                assert os.copy_file_range(f.fileno(), to.fileno(), MIB, 0, 0) == MIB
                assert os.pread(to.fileno(), 4, 0) == b"last"
    want = bytes(MIB) + b"data" + bytes(2 * MIB - 4) + b"more" + bytes(MIB - 4)
    assert (d / "copy").read_bytes() == want


def test_allocation_in_all_its_modes(d):
    data = os.urandom(65536)
    with opened(d / "f") as f:
        fd = f.fileno()
        f.write(data)
        want = bytearray(data)
        fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 5000, 20_000)
        want[5000:25_000] = bytes(20_000)
        fallocate(fd, ZERO_RANGE, 30_000, 3)
        want[30_000:30_003] = bytes(3)
        fallocate(fd, ZERO_RANGE | KEEP_SIZE, 60_000, 10_000)
        want[60_000:] = bytes(5536)
        assert os.pread(fd, 100_000, 0) == want
        fallocate(fd, 0, 65_536, 1000)
        want += bytes(1000)
        fallocate(fd, ZERO_RANGE, 66_000, 1000)
        want += bytes(67_000 - len(want))
        assert os.pread(fd, 100_000, 0) == want
        fallocate(fd, KEEP_SIZE, 0, 4 * MIB)
        assert os.fstat(fd).st_size == 67_000 and os.fstat(fd).st_blocks * 512 >= 4 * MIB
        fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 100_000, 4 * MIB)
        assert os.fstat(fd).st_size == 67_000 and os.pread(fd, 100_000, 0) == want
        for bad in ((0, -1, 1), (0, 0, -1), (0, 0, 0)):
            assert code_of(fallocate, fd, *bad) == "EINVAL"
        assert code_of(fallocate, fd, PUNCH_HOLE, 0, 1) == "EOPNOTSUPP"
        assert code_of(fallocate, fd, PUNCH_HOLE | ZERO_RANGE | KEEP_SIZE, 0, 1) in ("EOPNOTSUPP", "EINVAL")
    assert code_of(lambda: os.posix_fallocate(os.open(d, os.O_RDONLY), 0, 1)) in ("EISDIR", "EBADF")


def test_collapse_and_insert_are_refused_or_done(d, place):
    with opened(d / "f") as f:
        f.write(b"a" * 8192 + b"b" * 8192)
        for mode in (COLLAPSE_RANGE, INSERT_RANGE):
            assert code_of(fallocate, f.fileno(), mode, 4096, 4096) == ("ok" if place.kind == "native" else "EOPNOTSUPP")


def test_copies_by_range(d):
    data = os.urandom(3 * MIB + 77)
    creat(d / "a", data=data)
    with opened(d / "a") as a, opened(d / "b") as b:
        done = 0
        while done < len(data):
            done += os.copy_file_range(a.fileno(), b.fileno(), len(data) - done)
        assert os.copy_file_range(a.fileno(), b.fileno(), 10) == 0
        assert (d / "b").read_bytes() == data
        assert os.copy_file_range(b.fileno(), b.fileno(), 5000, 100, 2 * MIB) == 5000
        want = bytearray(data)
        want[2 * MIB:2 * MIB + 5000] = data[100:5100]
        assert (d / "b").read_bytes() == want
        assert code_of(os.copy_file_range, b.fileno(), b.fileno(), 100, 0, 50) == "EINVAL"
        with open(d / "a", "rb") as readonly:
            assert code_of(os.copy_file_range, a.fileno(), readonly.fileno(), 1) == "EBADF"
        m = mmap.mmap(b.fileno(), 4096)
        m[0:4] = b"live"
        assert os.copy_file_range(b.fileno(), a.fileno(), 4, 0, 0) == 4
        assert os.pread(a.fileno(), 4, 0) == b"live"
        m.close()


def test_sendfile_and_splice(d):
    data = os.urandom(300_000)
    creat(d / "a", data=data)
    with opened(d / "a") as a, opened(d / "b") as b:
        done = 0
        while done < len(data):
            done += os.sendfile(b.fileno(), a.fileno(), done, len(data) - done)
        assert (d / "b").read_bytes() == data
        r, w = os.pipe()
        assert os.splice(a.fileno(), w, 4096, offset_src=100) == 4096
        assert os.splice(r, b.fileno(), 4096, offset_dst=0) == 4096
        assert os.pread(b.fileno(), 4096, 0) == data[100:4196]
        os.close(r)
        os.close(w)


def aligned(data):
    buffer = mmap.mmap(-1, max(len(data), 4096))
    buffer[:len(data)] = data
    return memoryview(buffer)[:len(data)]


def test_direct_reads_and_writes_of_whole_sectors(d):
    data = os.urandom(256 << 10)
    fd = os.open(d / "f", os.O_RDWR | os.O_CREAT | O_DIRECT)
    assert os.pwritev(fd, [aligned(data)], 0) == len(data)
    back = aligned(bytes(len(data)))
    assert os.preadv(fd, [back], 0) == len(data) and bytes(back) == data
    assert os.pwritev(fd, [aligned(b"n" * 4096)], 8192) == 4096
    assert os.preadv(fd, [back], 4096) == len(data) - 4096 and bytes(back[4096:8192]) == b"n" * 4096
    os.ftruncate(fd, 10_000)
    assert os.preadv(fd, [back], 8192) == 10_000 - 8192
    assert os.preadv(fd, [back], 12_288) == 0
    os.close(fd)


def test_direct_io_that_ext4_refuses_is_refused_or_right(d, place):
    """FUSE knows no alignment: what ext4 answers with EINVAL works."""
    fd = os.open(d / "f", os.O_RDWR | os.O_CREAT | O_DIRECT)
    os.pwritev(fd, [aligned(b"0" * 8192)], 0)
    want = "EINVAL" if place.kind == "native" else "ok"
    assert code_of(os.pwritev, fd, [aligned(b"odd")], 5) == want
    assert code_of(os.preadv, fd, [aligned(bytes(100))], 3) == want
    os.close(fd)
    assert (d / "f").read_bytes() == (b"0" * 8192 if place.kind == "native" else b"0" * 5 + b"odd" + b"0" * 8184)


def test_buffered_direct_and_mapped_access_see_each_other(d):
    size = 64 << 10
    creat(d / "f", data=b"-" * size)
    plain, direct = os.open(d / "f", os.O_RDWR), os.open(d / "f", os.O_RDWR | O_DIRECT)
    with mmap.mmap(plain, size) as m, mmap.mmap(plain, size, access=mmap.ACCESS_COPY) as private:
        os.pread(plain, size, 0)
        assert os.pwritev(direct, [aligned(b"D" * 4096)], 4096) == 4096
        assert m[4096:8192] == b"D" * 4096 and os.pread(plain, 4096, 4096) == b"D" * 4096
        m[8192:12_288] = b"M" * 4096
        back = aligned(bytes(4096))
        assert os.preadv(direct, [back], 8192) == 4096 and bytes(back) == b"M" * 4096
        os.pwrite(plain, b"B" * 4096, 12_288)
        assert os.preadv(direct, [back], 12_288) == 4096 and bytes(back) == b"B" * 4096
        assert m[12_288] == ord("B")
        private[0:4] = b"mine"
        assert os.pread(plain, 4, 0) == b"----" and m[0:4] == b"----"
        m.flush()
    os.close(plain)
    os.close(direct)
    assert (d / "f").read_bytes()[4096:16_384] == b"D" * 4096 + b"M" * 4096 + b"B" * 4096


def test_shared_mappings_are_shared_and_reach_the_file(d):
    creat(d / "f", data=bytes(20_000))
    with opened(d / "f") as f, mmap.mmap(f.fileno(), 20_000) as m:
        pid = os.fork()
        if pid == 0:
            with mmap.mmap(f.fileno(), 20_000) as other:
                other[9000:9005] = b"child"
            os._exit(0)
        os.waitpid(pid, 0)
        assert m[9000:9005] == b"child" and os.pread(f.fileno(), 5, 9000) == b"child"
        before = os.fstat(f.fileno())
        next_tick()
        m[1:4] = b"abc"
        m.flush()
        after = os.fstat(f.fileno())
        assert after.st_mtime_ns > before.st_mtime_ns and after.st_ctime_ns > before.st_ctime_ns


def test_a_mapping_outlives_descriptor_and_name(d):
    creat(d / "f", data=b"a" * 8192)
    fd = os.open(d / "f", os.O_RDWR)
    m = mmap.mmap(fd, 8192)
    os.close(fd)
    os.unlink(d / "f")
    m[4096:4100] = b"live"
    m.flush()
    assert m[4095:4101] == b"alivea"
    m.close()


def test_access_beyond_the_end_of_a_mapping_is_sigbus(d):
    creat(d / "f", data=b"a" * 8192)
    fd = os.open(d / "f", os.O_RDWR)
    m = mmap.mmap(fd, 8192)
    os.ftruncate(fd, 4096)
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.disable()
        m[5000]
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGBUS
    m.close()
    os.close(fd)


def test_file_size_limit_kills_or_fails(d):
    creat(d / "f")

    def work(ignore):
        def body():
            got = []
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN if ignore else lambda *a: got.append("signal"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
            fd = os.open(d / "f", os.O_RDWR)
            rows = [os.pwrite(fd, b"x" * 3000, 9000), code_of(os.pwrite, fd, b"x", 10_000),
                    code_of(os.ftruncate, fd, 10_001), code_of(os.ftruncate, fd, 10_000),
                    code_of(fallocate, fd, 0, 0, 10_001), code_of(fallocate, fd, KEEP_SIZE, 0, 20_000)]
            return rows, len(got)
        return body
    rows = [1000, "EFBIG", "EFBIG", "ok", "EFBIG", "ok"]
    assert in_child(work(True)) == (rows, 0)
    got, signals = in_child(work(False))
    assert got == rows and signals >= 2


def test_sizes_that_ext4_cannot_hold_are_too_big(d):
    with opened(d / "f") as f:
        top = 1 << 62
        assert code_of(os.ftruncate, f.fileno(), top) == "EFBIG"
        if not WRITEBACK:  # else the cache takes it, and fsync fails
            assert code_of(os.pwrite, f.fileno(), b"x", top) == "EFBIG"
        assert code_of(fallocate, f.fileno(), 0, top, 10) == "EFBIG"
        assert code_of(os.ftruncate, f.fileno(), -1) == "EINVAL" and code_of(os.truncate, d / "f", -1) == "EINVAL"
        assert os.fstat(f.fileno()).st_size == 0
        os.ftruncate(f.fileno(), 1 << 40)
        os.pwrite(f.fileno(), b"end", (1 << 40) - 3)
        assert os.pread(f.fileno(), 10, (1 << 40) - 5) == b"\0\0end"


def test_programs_run_and_cannot_be_written_meanwhile(d):
    with open("/bin/sleep", "rb") as f:
        creat(d / "sleeper", 0o755, f.read())
    script = creat(d / "script", 0o755, b"#!/bin/sh\necho ran $1\n")
    assert subprocess.run([script, "it"], capture_output=True, text=True, check=True).stdout == "ran it\n"
    child = subprocess.Popen([d / "sleeper", "1000"])
    try:
        assert code_of(os.open, d / "sleeper", os.O_WRONLY) == "ETXTBSY"
        assert code_of(os.truncate, d / "sleeper", 1) == "ETXTBSY"
        os.rename(d / "sleeper", d / "renamed")
    finally:
        child.kill()
        child.wait()
    with open(d / "renamed", "r+b"):
        assert code_of(os.execv, d / "renamed", ["x"]) == "ETXTBSY"
    os.chmod(d / "renamed", 0o644)
    assert code_of(os.execv, d / "renamed", ["x"]) == "EACCES"


def test_setuid_programs_take_their_owner(d):
    with open("/usr/bin/id", "rb") as f:
        creat(d / "id", 0o755, f.read())
    os.chown(d / "id", 4321, 0)
    os.chmod(d / "id", 0o4755)
    run = as_user(USER, lambda: subprocess.run([d / "id", "-u"], capture_output=True, text=True).stdout)
    assert run.strip() == "4321"


def test_a_cut_and_a_write_of_two_threads_leave_one_of_both_orders(d):
    with opened(d / "f") as f:
        for _ in range(50):
            os.pwrite(f.fileno(), b"a" * 20_000, 0)
            threads = [threading.Thread(target=os.ftruncate, args=(f.fileno(), 5000)),
                       threading.Thread(target=os.pwrite, args=(f.fileno(), b"b" * 5000, 10_000))]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            got = os.pread(f.fileno(), 20_000, 0)
            cut_last, write_last = b"a" * 5000, b"a" * 5000 + bytes(5000) + b"b" * 5000
            assert got in (cut_last, write_last)


def test_mapped_writes_into_holes_and_across_blocks(d):
    with opened(d / "f") as f:
        os.ftruncate(f.fileno(), 1 * MIB)
        mmap_offset_write(f.fileno(), 123_456, b"into a hole")
        mmap_offset_write(f.fileno(), 8190, b"across")
        want = bytearray(MIB)
        want[123_456:123_467], want[8190:8196] = b"into a hole", b"across"
        assert os.pread(f.fileno(), MIB, 0) == want
        os.fsync(f.fileno())
    assert (d / "f").read_bytes() == want


def test_sync_calls_answer(d, place):
    fd = os.open(d, os.O_RDONLY)
    os.fsync(fd)
    assert libc.syncfs(fd) == 0
    os.close(fd)
    fd = os.open(d / "f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x" * 10_000)
    assert libc.sync_file_range(fd, ctypes.c_long(0), ctypes.c_long(0), 7) == 0
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
    assert libc.readahead(fd, ctypes.c_long(0), ctypes.c_size_t(10_000)) == 0
    assert os.pread(fd, 10_000, 0) == b"x" * 10_000
    os.close(fd)
    if place.kind == "dkfs":
        place.fs.ctl("sync", place.dir)


def test_all_of_it_survives_kill_and_loss(place):
    for path in place.dir.rglob("f"):  # not worth the time to compare a tebibyte of zeros
        if path.is_file() and path.stat().st_size > 1 << 30:
            path.unlink()
    assert_it_survives(place)
