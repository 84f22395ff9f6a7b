#include "store/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdio>
#include <memory>
#include <utility>

#include "store/base/fault.h"
#include "store/base/io_trace.h"

namespace dkfs::file {
namespace {

constexpr size_t kMaxSmallFile = 64 << 20;
constexpr int kDropBehind = 0x80;  // RWF_DONTCACHE, which older headers lack

std::string Sentence(std::string_view operation, std::string_view what) {
  std::string text(operation);
  text += ' ';
  text += what;
  return text;
}

// One system call behind its fault point: retried on EINTR; -1 becomes a Status that names operation and object.
template <class Call>
Status Do(std::string_view point, std::string_view operation, std::string_view what, Call call) {
  if (Status fault = Fault::Pass(point); !fault.ok()) return fault.Prefix(Sentence(operation, what));
  while (call() < 0) {
    if (errno != EINTR) return Status::FromErrno(Sentence(operation, what));
  }
  return Status::Ok();
}

// The same for a call that changes a file or a name; `done` tells the trace.
template <class Call, class Done>
Status Change(std::string_view point, std::string_view operation, std::string_view what, Call call, Done done) {
  if (Status fault = Fault::Pass(point); !fault.ok()) return fault.Prefix(Sentence(operation, what));
  const IoTrace::Scope trace;
  while (call() < 0) {
    if (errno != EINTR) return Status::FromErrno(Sentence(operation, what));
  }
  done(trace);
  return Status::Ok();
}

template <class Call>
Status DoSync(std::string_view point, std::string_view operation, std::string_view what, IoTrace::Sync::What kind,
              int fd, Call call) {
  bool skip;
  if (Status fault = Fault::PassSync(point, &skip); !fault.ok()) return fault.Prefix(Sentence(operation, what));
  if (skip) return Status::Ok();
  const IoTrace::Sync trace(kind, fd);
  while (call(fd) < 0) {
    if (errno != EINTR) return Status::FromErrno(Sentence(operation, what));
  }
  trace.Ended();
  return Status::Ok();
}

// What a writer is about to replace may be no file in a damaged store; a fifo would wait for a reader.
Status OpenToEmpty(int dirfd, const std::string& path, int flags, mode_t mode, int* fd) {
  do {
    *fd = ::openat(dirfd, path.c_str(), flags | O_NONBLOCK | O_CLOEXEC, mode);
  } while (*fd < 0 && errno == EINTR);
  if (*fd < 0 && (errno == EISDIR || errno == ENXIO || errno == ELOOP)) {
    return Status::Corruption(path + ": not a file; remove it");
  }
  if (*fd < 0) return Status::FromErrno(Sentence("open", path));
  struct stat st {};
  if (::fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) return Status::Ok();
  ::close(std::exchange(*fd, -1));
  return Status::Corruption(path + ": not a file; remove it");
}

// Opening may make or empty the file.
Status OpenToChange(int dirfd, const std::string& path, int flags, mode_t mode, int* fd) {
  DKFS_TRY(Fault::Pass("file.open").Prefix(Sentence("open", path)));
  const IoTrace::Scope trace;
  struct stat before {};
  const bool existed = IoTrace::on() && ::fstatat(dirfd, path.c_str(), &before, 0) == 0;
  if ((flags & O_TRUNC) != 0) {
    DKFS_TRY(OpenToEmpty(dirfd, path, flags, mode, fd));
  } else {
    do {
      *fd = ::openat(dirfd, path.c_str(), flags | O_CLOEXEC, mode);
    } while (*fd < 0 && errno == EINTR);
    if (*fd < 0) return Status::FromErrno(Sentence("open", path));
  }
  if (!existed) {
    trace.Created(*fd);
  } else if ((flags & O_TRUNC) != 0) {
    trace.Truncated(*fd, 0);
  }
  return Status::Ok();
}

// Parts left over after `done` bytes were moved.
void Advance(struct iovec** parts, int* count, size_t done) {
  while (*count > 0 && done >= (*parts)->iov_len) {
    done -= (*parts)->iov_len;
    ++*parts;
    --*count;
  }
  if (*count > 0) {
    (*parts)->iov_base = static_cast<char*>((*parts)->iov_base) + done;
    (*parts)->iov_len -= done;
  }
}

size_t TotalBytes(const struct iovec* parts, int count) {
  size_t total = 0;
  for (int i = 0; i < count; ++i) total += parts[i].iov_len;
  return total;
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Older kernels have the flag too, but writeback and the dropping of pages met in ways that were mended by 6.16.
bool MayDropBehind() {
  struct utsname name {};
  int major = 0, minor = 0;
  return ::uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
         (major > 6 || (major == 6 && minor >= 16));
}

// Writes at most one call's worth; the number of bytes that reached the file. `flags`: RWF_*.
Result<size_t> WriteOnce(int fd, struct iovec* parts, int count, uint64_t offset, int flags, std::string_view what) {
  const size_t total = TotalBytes(parts, count);
  size_t bytes = total;
  if (Status fault = Fault::PassTransfer("file.write", &bytes); !fault.ok())
    return fault.Prefix(Sentence("write", what));
  struct iovec cut = parts[0];
  if (bytes < total) {  // an armed `short`
    cut.iov_len = std::min(cut.iov_len, bytes);
    parts = &cut;
    count = 1;
  }
  const IoTrace::Scope trace;
  ssize_t n;
  do {
    n = ::pwritev2(fd, parts, std::min(count, IOV_MAX), static_cast<off_t>(offset), flags);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return Status::FromErrno(Sentence("write", what));
  if (n == 0) return Status::Error(EIO, Sentence("write of nothing to", what));
  trace.Wrote(fd, parts, count, offset, static_cast<size_t>(n));
  return static_cast<size_t>(n);
}

}  // namespace

Result<UniqueFd> Open(int dirfd, const std::string& path, int flags, mode_t mode) {
  int fd = -1;
  if ((flags & (O_CREAT | O_TRUNC)) != 0) {
    DKFS_TRY(OpenToChange(dirfd, path, flags, mode, &fd));
    return UniqueFd(fd);
  }
  DKFS_TRY(Do("file.open", "open", path, [&] { return fd = ::openat(dirfd, path.c_str(), flags | O_CLOEXEC, mode); }));
  return UniqueFd(fd);
}

Result<UniqueFd> OpenRegular(int dirfd, const std::string& path) {
  struct stat st {};
  Result<UniqueFd> fd = Open(dirfd, path, O_RDONLY | O_NONBLOCK);  // a fifo would wait for a writer
  if (!fd.ok()) {
    const bool dangling = fd.status().IsNotFound() && ::fstatat(dirfd, path.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (dangling || fd.code() == ELOOP || fd.code() == ENXIO) return Status::Corruption(path + ": not a file");
    return fd;
  }
  if (::fstat(fd->get(), &st) != 0) return Status::FromErrno(Sentence("stat", path));
  if (!S_ISREG(st.st_mode)) return Status::Corruption(path + ": not a file");
  return fd;
}

Result<size_t> ReadAt(int fd, MutableBytes out, uint64_t offset, std::string_view what) {
  constexpr uint64_t kMostBytes = INT64_MAX;  // of a file; a read that reaches beyond is refused as a whole
  const size_t most = std::min<uint64_t>(out.size(), kMostBytes - std::min(offset, kMostBytes));
  size_t done = 0;
  while (done < most) {
    size_t want = most - done;
    if (Status fault = Fault::PassTransfer("file.read", &want); !fault.ok())
      return fault.Prefix(Sentence("read", what));
    const ssize_t n = ::pread(fd, out.data() + done, want, static_cast<off_t>(offset + done));
    if (n == 0) break;
    if (n < 0 && errno != EINTR) return Status::FromErrno(Sentence("read", what));
    if (n > 0) done += static_cast<size_t>(n);
  }
  return done;
}

Status ReadExactAt(int fd, MutableBytes out, uint64_t offset, std::string_view what) {
  DKFS_TRY_ASSIGN(const size_t got, ReadAt(fd, out, offset, what));
  if (got == out.size()) return Status::Ok();
  return Status::Corruption(Sentence("read", what) + " ends at " + std::to_string(offset + got) + ", not " +
                            std::to_string(offset + out.size()));
}

Status WriteAt(int fd, Bytes data, uint64_t offset, std::string_view what) {
  struct iovec part = {const_cast<std::byte*>(data.data()), data.size()};
  return WriteVectorAt(fd, &part, 1, offset, what);
}

Status WriteVectorAt(int fd, struct iovec* parts, int count, uint64_t offset, std::string_view what) {
  Advance(&parts, &count, 0);  // empty parts in front
  while (count > 0) {
    DKFS_TRY_ASSIGN(const size_t n, WriteOnce(fd, parts, count, offset, 0, what));
    offset += n;
    Advance(&parts, &count, n);
  }
  return Status::Ok();
}

Status WriteStreamAt(int fd, Bytes data, uint64_t offset, std::string_view what) {
  static std::atomic<int> flags{MayDropBehind() ? kDropBehind : 0};
  struct iovec part = {const_cast<std::byte*>(data.data()), data.size()};
  struct iovec* parts = &part;
  for (int count = data.empty() ? 0 : 1; count > 0;) {
    const int wanted = flags.load(std::memory_order_relaxed);
    const Result<size_t> n = WriteOnce(fd, parts, count, offset, wanted, what);
    if (!n.ok() && n.code() == EOPNOTSUPP && wanted != 0) {  // the file system has not learnt it
      flags.store(0, std::memory_order_relaxed);
      continue;
    }
    DKFS_TRY(n.status());
    offset += *n;
    Advance(&parts, &count, *n);
  }
  return Status::Ok();
}

Status Datasync(int fd, std::string_view what) {
  return DoSync("file.datasync", "fdatasync", what, IoTrace::Sync::What::kFile, fd, ::fdatasync);
}

Status Sync(int fd, std::string_view what) {
  return DoSync("file.sync", "fsync", what, IoTrace::Sync::What::kFile, fd, ::fsync);
}

Status SyncFs(int fd, std::string_view what) {
  return DoSync("file.syncfs", "syncfs", what, IoTrace::Sync::What::kAll, fd, ::syncfs);
}

Status Truncate(int fd, uint64_t size, std::string_view what) {
  return Change(
      "file.truncate", "truncate", what, [&] { return ::ftruncate(fd, static_cast<off_t>(size)); },
      [&](const IoTrace::Scope& trace) { trace.Truncated(fd, size); });
}

Status Allocate(int fd, uint64_t size, std::string_view what) {
  return Change(
      "file.allocate", "allocate", what, [&] { return ::fallocate(fd, 0, 0, static_cast<off_t>(size)); },
      [&](const IoTrace::Scope& trace) { trace.Allocated(fd, size); });
}

bool IsHole(int fd, uint64_t offset, uint64_t length) {
  const off_t data = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  return data < 0 ? errno == ENXIO : static_cast<uint64_t>(data) >= offset + length;
}

void KeepInPlace(int fd) {
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return;
  flags |= FS_NOCOW_FL;
  (void)::ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

void DropCached(int fd) { (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); }

Status Rename(int dirfd, const std::string& from, const std::string& to) {
  return Change(
      "file.rename", "rename", from, [&] { return ::renameat(dirfd, from.c_str(), dirfd, to.c_str()); },
      [&](const IoTrace::Scope& trace) { trace.Renamed(dirfd, from, to); });
}

Status Unlink(int dirfd, const std::string& path) {
  return Change(
      "file.unlink", "unlink", path, [&] { return ::unlinkat(dirfd, path.c_str(), 0); },
      [&](const IoTrace::Scope& trace) { trace.Named(IoOp::kUnlink, dirfd, path); });
}

Status MakeDir(int dirfd, const std::string& path, mode_t mode) {
  return Change(
      "file.mkdir", "mkdir", path, [&] { return ::mkdirat(dirfd, path.c_str(), mode); },
      [&](const IoTrace::Scope& trace) { trace.Named(IoOp::kMakeDir, dirfd, path); });
}

Status MakeDirs(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string front = path.substr(0, slash);
    if (Status made = MakeDir(AT_FDCWD, front, mode); made.ok()) {
      DKFS_TRY(SyncDir(AT_FDCWD, ParentOf(front)));
    } else {
      Result<struct stat> there = Stat(AT_FDCWD, front);
      if (!there.ok()) return made;
      if (!S_ISDIR(there->st_mode)) return Status::Error(ENOTDIR, Sentence("mkdir", front));
    }
    if (slash == std::string::npos) return Status::Ok();
  }
}

Status SyncDir(int dirfd, const std::string& path) {
  DKFS_TRY_ASSIGN(const UniqueFd dir, Open(dirfd, path, O_RDONLY | O_DIRECTORY));
  return DoSync("file.syncdir", "fsync", path, IoTrace::Sync::What::kDir, dir.get(), ::fsync);
}

Result<struct stat> Stat(int dirfd, const std::string& path, int flags) {
  struct stat st {};
  DKFS_TRY(Do("file.stat", "stat", path, [&] { return ::fstatat(dirfd, path.c_str(), &st, flags); }));
  return st;
}

Result<struct stat> StatFd(int fd, std::string_view what) {
  struct stat st {};
  DKFS_TRY(Do("file.stat", "stat", what, [&] { return ::fstat(fd, &st); }));
  return st;
}

Result<std::vector<std::string>> ListDir(int dirfd, const std::string& path) {
  DKFS_TRY_ASSIGN(UniqueFd fd, Open(dirfd, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK));
  DKFS_TRY(Fault::Pass("file.list").Prefix(Sentence("list", path)));
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd.get()), ::closedir);
  if (!dir) return Status::FromErrno(Sentence("list", path));
  (void)fd.release();  // the stream owns it now
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const struct dirent* entry = ::readdir(dir.get());
    if (entry == nullptr && errno != 0) return Status::FromErrno(Sentence("list", path));
    if (entry == nullptr) return names;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
}

Result<std::string> ReadAll(int dirfd, const std::string& path) {
  DKFS_TRY_ASSIGN(const UniqueFd fd, OpenRegular(dirfd, path));
  DKFS_TRY_ASSIGN(const struct stat st, StatFd(fd.get(), path));
  if (st.st_size > static_cast<off_t>(kMaxSmallFile)) return Status::Corruption(path + ": far too large");
  std::string content;
  for (size_t step = 4096;; step = content.size()) {
    const size_t old = content.size();
    if (old > kMaxSmallFile) return Status::Error(EFBIG, Sentence("read", path));
    content.resize(old + step);
    const MutableBytes room(reinterpret_cast<std::byte*>(content.data()) + old, step);
    DKFS_TRY_ASSIGN(const size_t got, ReadAt(fd.get(), room, old, path));
    content.resize(old + got);
    if (got < step) return content;
  }
}

Status ReplaceDurably(int dirfd, const std::string& path, std::string_view content) {
  const std::string temporary = path + ".tmp";
  const auto write = [&]() -> Status {
    DKFS_TRY_ASSIGN(const UniqueFd fd, Open(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW));
    DKFS_TRY(WriteAt(fd.get(), AsBytes(content), 0, temporary));
    DKFS_TRY(Sync(fd.get(), temporary));
    return Rename(dirfd, temporary, path);
  };
  if (Status written = write(); !written.ok()) {
    Unlink(dirfd, temporary).Ignore("the next replacement truncates it; the first error is the one to report");
    return written;
  }
  return SyncDir(dirfd, ParentOf(path));
}

}  // namespace dkfs::file
