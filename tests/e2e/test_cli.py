"""Flags, exit codes and one clear line for everything that is wrong."""

import errno
import fcntl
import os
import shutil
import socket
import subprocess

import pytest

from disks import tmpfs
from dkfs import BIN, PATIENCE, Dkfs, is_mounted, run, wait_until

pytestmark = pytest.mark.short
ST_NOSYMFOLLOW = 0x2000


def one_line(result, code):
    assert result.returncode == code, (result.returncode, result.stderr)
    lines = [line for line in result.stderr.splitlines() if line.startswith("dkfs: ")]
    assert len(lines) == 1 and len(result.stderr.strip().splitlines()) == 1, result.stderr
    return lines[0]


def dkfs(*args, env=None, **kw):
    return run(BIN / "dkfs", *args, check=False, env={**os.environ, **(env or {})}, **kw)


def test_help_and_version():
    for program in ("dkfs", "dkfsctl", "dkfs-replay"):
        out = run(BIN / program, "--help").stdout
        assert "usage" in out.lower()
        assert run(BIN / program, "--version").stdout.split()[0].startswith("dkfs")


def test_dkfsctl_helps_behind_a_command_and_refuses_unknown_options(base):
    assert "usage" in run(BIN / "dkfsctl", "unmount", "--help").stdout
    refused = run(BIN / "dkfsctl", "status", "--jsno", base, check=False)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "--jsno" in refused.stderr


@pytest.mark.parametrize("args", [["--no-such-flag", "DIR"], ["--order", "sometimes", "DIR"], ["--retain", "soon", "DIR"],
                                  ["--budget", "-5", "DIR"], ["--metrics-addr", "nowhere", "DIR"], ["-o", "nonsense", "DIR"],
                                  [], ["DIR", "extra"]])
def test_wrong_usage_is_2(base, args):
    (base / "DIR").mkdir()
    args = [str(base / "DIR") if a == "DIR" else a for a in args]
    one_line(dkfs(*args), 2)


def test_dir_missing_or_no_directory_is_3(base):
    one_line(dkfs("--store", base / "s", base / "nothing"), 3)
    (base / "file").touch()
    one_line(dkfs("--store", base / "s", base / "file"), 3)
    assert not (base / "s").exists()


def test_store_and_dir_inside_each_other(base):
    (base / "d/inner").mkdir(parents=True)
    assert "lie in each other" in one_line(dkfs("--store", base / "d/store", base / "d"), 2)
    (base / "store").mkdir()
    (base / "store/d").mkdir()
    assert "lie in each other" in one_line(dkfs("--store", base / "store", base / "store/d"), 2)
    os.symlink(base / "d", base / "link")
    assert "lie in each other" in one_line(dkfs("--store", base / "link/store", base / "d"), 2)


def test_store_in_use_is_4(mounted):
    other = mounted.base / "other"
    other.mkdir()
    line = one_line(dkfs("--metrics-addr", "off", "--store", mounted.store, other), 4)
    assert str(mounted.store) in line


def test_mounting_twice_is_3(mounted):
    one_line(dkfs("--metrics-addr", "off", "--store", mounted.base / "s2", mounted.dir), 3)
    assert os.listdir(mounted.dir) == []


def test_not_a_store_is_5(base):
    (base / "d").mkdir()
    (base / "s").mkdir()
    (base / "s/something").write_text("precious")
    one_line(dkfs("--store", base / "s", base / "d"), 5)
    assert (base / "s/something").read_text() == "precious" and not is_mounted(base / "d")


def test_a_file_is_not_a_store(base):
    (base / "d").mkdir()
    (base / "s").write_text("precious")
    assert "not a store" in one_line(dkfs("--store", base / "s", base / "d"), 5)
    for command in (["verify"], ["restore", "--to", base / "o"]):
        assert run(BIN / "dkfs-replay", *command, "--store", base / "s", check=False).returncode == 5
    assert (base / "s").read_text() == "precious" and not (base / "o").exists()


def test_newer_format_is_5(fs):
    fs.mount()
    fs.unmount()
    path = fs.store / "FORMAT"
    text = path.read_text()
    assert "1" in text
    path.write_text(text.replace("version 1", "version 99").replace("version=1", "version=99"))
    assert path.read_text() != text
    one_line(fs.mount(check=False), 5)


def test_taken_metrics_port(base):
    made = Dkfs(base)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        addr = f"127.0.0.1:{s.getsockname()[1]}"
        result = dkfs("--store", made.store, "--metrics-addr", addr, made.dir)
        assert addr in one_line(result, 3)
        assert not is_mounted(made.dir)


def test_an_address_nobody_can_listen_at_is_not_called_taken(base):
    (base / "d").mkdir()
    line = one_line(dkfs("--store", base / "s", "--metrics-addr", "192.0.2.1:9911", base / "d"), 3)
    assert "192.0.2.1:9911" in line and "in use" not in line
    assert not is_mounted(base / "d")


def test_a_configuration_file_that_cannot_be_read_is_2(base):
    (base / "d").mkdir()
    for config in (base / "none", base):
        assert str(config) in one_line(dkfs("--store", base / "s", "--config", config, base / "d"), 2)
    assert not (base / "s").exists()


def test_environment_and_config_file(base):
    made = Dkfs(base)
    config = base / "dkfs.conf"
    config.write_text(f"store = {base}/from-file\nretain = 1h\n")
    try:
        run(BIN / "dkfs", "--config", config, "--metrics-addr", "off", made.dir,
            env={**os.environ, "DKFS_STORE": str(made.store)})
        assert made.pids() and not (base / "from-file").exists()
        assert made.status()["retention"]["retain_seconds"] == 3600
    finally:
        made.close()


def test_command_line_shows_binary_and_store(mounted):
    for pid in mounted.pids():
        words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
        assert words[0] == str(BIN / "dkfs").encode()
        assert str(mounted.store).encode() in words


def test_default_store_is_below_var_lib(base):
    made = Dkfs(base)
    before = set(os.listdir("/var/lib/dkfs")) if os.path.isdir("/var/lib/dkfs") else set()
    run(BIN / "dkfs", "--metrics-addr", "off", made.dir)
    mine = base.name.split("-")[-1]  # others may make theirs meanwhile
    stores = {name for name in set(os.listdir("/var/lib/dkfs")) - before if mine in name}
    made.store = f"/var/lib/dkfs/{stores.pop()}"
    made.close()
    shutil.rmtree(made.store)


def test_fstab_helper(base):
    made = Dkfs(base)
    helper = base / "mount.dkfs"
    os.symlink(BIN / "dkfs", helper)
    try:
        run(helper, made.store, made.dir, "-o", "rw,noauto,nofail,metrics-addr=off,retain=2h")
        (made.dir / "f").write_text("x")
        assert made.status()["retention"]["retain_seconds"] == 7200
        run("umount", made.dir)
    finally:
        made.close()
    assert (made.dir / "f").read_text() == "x"


def test_remounting_changes_the_flags_only(fs, base):
    helper = base / "mount.dkfs"
    os.symlink(BIN / "dkfs", helper)
    fs.mount()
    seen = "rw,noatime,user_id=0,group_id=0,default_permissions,allow_other,retain=2h"  # as mount(8) hands them on
    run(helper, fs.store, fs.dir, "-o", f"{seen},remount,ro")
    with pytest.raises(OSError) as refused:
        (fs.dir / "f").write_text("x")
    assert refused.value.errno == errno.EROFS
    run(helper, fs.store, fs.dir, "-o", f"{seen},remount,rw,noexec")
    (fs.dir / "f").write_text("x")
    (fs.dir / "f").chmod(0o755)
    assert not os.access(fs.dir / "f", os.X_OK)
    fs.unmount()
    gone = run(helper, fs.store, fs.dir, "-o", "remount,ro", check=False)
    assert gone.returncode == 3 and "is not a dkfs mount" in gone.stderr


def test_what_the_file_system_below_forbids_is_forbidden(base):
    helper = base / "mount.dkfs"
    os.symlink(BIN / "dkfs", helper)
    forbidden = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | ST_NOSYMFOLLOW
    with tmpfs(base, "disk", "nosuid,nodev,noexec,nosymfollow") as disk:
        fs = Dkfs(base)
        fs.dir = disk / "data"
        fs.dir.mkdir()

        def seen():
            return os.statvfs(fs.dir).f_flag & forbidden

        try:
            fs.mount()
            assert seen() == forbidden
            run(helper, fs.store, fs.dir, "-o", "remount,ro")
            assert seen() == forbidden
            run(helper, fs.store, fs.dir, "-o", "remount,rw,dev")
            assert seen() == forbidden & ~os.ST_NODEV
            fs.unmount()
            fs.mount("-o", "suid,exec,symfollow")
            assert seen() == os.ST_NODEV
        finally:
            fs.close()


def test_a_partial_directory_that_somebody_else_made_is_refused(fs):
    """What is being restored would lie in it, out of the folders that keep others from it."""
    partial = fs.dir / ".dkfs-partial"
    fs.mount()
    (fs.dir / "f").write_text("x")
    fs.unmount()
    partial.mkdir()
    os.chown(partial, 4711, 4711)
    assert ".dkfs-partial belongs to uid 4711" in one_line(fs.mount(check=False), 3)
    partial.rename(fs.base / "elsewhere")
    fs.mount()
    assert (fs.dir / "f").read_text() == "x"


def test_umount_and_sigterm_are_clean(fs):
    fs.mount()
    (fs.dir / "f").write_text("one")
    run("umount", fs.dir)
    wait_gone(fs)
    assert (fs.dir / "f").read_text() == "one" and (fs.store / "clean").exists()
    fs.mount()
    (fs.dir / "f").write_text("two")
    for pid in fs.pids():
        os.kill(pid, 15)
    wait_gone(fs)
    assert (fs.dir / "f").read_text() == "two" and (fs.store / "clean").exists()


def wait_gone(fs):
    wait_until(fs.gone, "the daemon does not end")


def test_foreground_and_debug(fs):
    process = subprocess.Popen([str(w) for w in fs.command("-f", "-d")], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: is_mounted(fs.dir) or process.poll() is not None, "not mounted")
    assert process.poll() is None
    (fs.dir / "f").write_text("x")
    assert process.poll() is None
    process.terminate()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and "level=debug" in err


def test_status_exit_codes(fs):
    assert fs.ctl("status", fs.dir, check=False).returncode == 2
    fs.mount()
    assert fs.ctl("status", fs.dir).returncode == 0
    status = fs.status()
    assert status["state"] and status["order"] == "calls"
    for key in ("captured", "appended", "synced", "indexed"):
        assert isinstance(status["seq"][key], int)


def test_sync_makes_everything_synced(mounted):
    for i in range(50):
        (mounted.dir / str(i)).write_bytes(b"x" * 10000)
    mounted.ctl("sync", mounted.dir)
    seq = mounted.status()["seq"]
    assert seq["synced"] >= seq["appended"] > 50


def test_read_only_mount(fs):
    fs.mount()
    (fs.dir / "f").write_text("x")
    fs.unmount()
    fs.mount("-o", "ro")
    assert (fs.dir / "f").read_text() == "x"
    with pytest.raises(OSError):
        (fs.dir / "g").write_text("x")


def test_closed_standard_descriptors(fs):
    """Their numbers would be given to the pipe that says ready, and to the lock of the store."""
    mount = " ".join(str(word) for word in fs.command())
    assert subprocess.run(["sh", "-c", f"exec {mount} <&- >&- 2>&-"], timeout=PATIENCE).returncode == 0
    assert is_mounted(fs.dir) and fs.held()
    (fs.dir / "f").write_text("x")
    fs.unmount()
    assert (fs.dir / "f").read_text() == "x"


def test_a_lock_on_dir_is_said_to_be_one(fs):
    held = os.open(fs.dir, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "lslocks" in one_line(fs.mount(check=False), 3)
    finally:
        os.close(held)


@pytest.mark.parametrize("program", ["dkfs", "dkfsctl", "dkfs-replay"])
def test_what_cannot_be_printed_is_a_failure(program):
    with open("/dev/full", "w") as full:
        ended = subprocess.run([BIN / program, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode != 0 and "writing to standard output: No space left on device" in ended.stderr
