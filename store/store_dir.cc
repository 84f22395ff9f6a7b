#include "store/store_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>

#include <charconv>
#include <chrono>
#include <thread>

#include "store/base/file.h"
#include "store/base/io_trace.h"
#include "store/moments.h"

namespace dkfs {
namespace {

constexpr const char* kFormat = "FORMAT";
constexpr const char* kLock = "LOCK";
constexpr const char* kClean = "clean";
constexpr const char* kHot = "hot";
constexpr std::string_view kMagicLine = "dkfs store";

// The value of the line "key value"; none when there is no such line.
std::optional<std::string_view> Field(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ')
      return line.substr(key.size() + 1);
  }
  return std::nullopt;
}

std::optional<uint64_t> Number(std::optional<std::string_view> text) {
  uint64_t value = 0;
  if (!text) return std::nullopt;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return value;
}

bool ParseUuid(std::string_view text, Uuid* out) {
  std::string hex;
  for (char c : text) {
    if (c != '-') hex.push_back(c);
  }
  if (hex.size() != 32) return false;
  for (size_t i = 0; i < 16; ++i) {
    uint8_t byte = 0;
    auto [end, error] = std::from_chars(hex.data() + 2 * i, hex.data() + 2 * i + 2, byte, 16);
    if (error != std::errc() || end != hex.data() + 2 * i + 2) return false;
    (*out)[i] = std::byte{byte};
  }
  return true;
}

std::string Owner(int lock_fd) {
  std::string text(256, '\0');
  Result<size_t> read = file::ReadAt(lock_fd, {reinterpret_cast<std::byte*>(text.data()), text.size()}, 0, kLock);
  text.resize(read.ok() ? *read : 0);
  const auto pid = Field(text, "pid");
  const auto program = Field(text, "program");
  return pid ? "by process " + std::string(*pid) + " (" + std::string(program.value_or("?")) + ")"
             : "by another process";
}

// Whether the process that wrote LOCK is going: killed, but its last thread has not let go of its files yet. A process
// of another pid namespace looks the same and costs an attempt the patience below.
bool OwnerIsGoing(int lock_fd) {
  std::string text(256, '\0');
  Result<size_t> read = file::ReadAt(lock_fd, {reinterpret_cast<std::byte*>(text.data()), text.size()}, 0, kLock);
  text.resize(read.ok() ? *read : 0);
  const auto pid = Number(Field(text, "pid"));
  if (!pid) return true;
  Result<std::string> stat = file::ReadAll(AT_FDCWD, "/proc/" + std::to_string(*pid) + "/stat");
  if (!stat.ok()) return true;
  const size_t name_end = stat->rfind(')');
  const char state = name_end == std::string::npos || name_end + 2 >= stat->size() ? 'X' : (*stat)[name_end + 2];
  return state == 'Z' || state == 'X';
}

constexpr std::chrono::milliseconds kPatience{5000};
constexpr std::chrono::milliseconds kAgain{10};

// flock, waiting only for an owner that is already going (G9: a dead owner's lock needs no person).
bool TakeLock(int lock_fd, int operation) {
  for (auto waited = std::chrono::milliseconds(0);; waited += kAgain) {
    if (flock(lock_fd, operation | LOCK_NB) == 0) return true;
    const int error = errno;
    if (error != EWOULDBLOCK || waited >= kPatience || !OwnerIsGoing(lock_fd)) {
      errno = error;
      return false;
    }
    std::this_thread::sleep_for(kAgain);
  }
}

std::string OwnProgram() {
  char path[4096];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : "?";
}

}  // namespace

Result<StoreDir> StoreDir::Open(const std::string& path, Access access, bool create, TimeSpec now) {
  StoreDir dir;
  dir.path_ = path;
  create = create && access == Access::kWrite;
  Result<struct stat> found = file::Stat(AT_FDCWD, path);
  if (found.ok() && !S_ISDIR(found->st_mode)) return Status::Error(EBADMSG, path + ": not a dkfs store (no directory)");
  if (create) DKFS_TRY(file::MakeDirs(path));
  DKFS_TRY_ASSIGN(dir.dir_, file::Open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  Result<struct stat> format = file::Stat(dir.fd(), kFormat, AT_SYMLINK_NOFOLLOW);
  if (!format.ok() && !format.status().IsNotFound()) return format.status();
  if (!format.ok()) {
    DKFS_TRY_ASSIGN(bool empty, dir.LooksEmpty());
    if (!empty) return Status::Error(EBADMSG, path + ": not a dkfs store (it has no FORMAT and is not empty)");
    if (!create) return Status::Error(ENOENT, path + ": no dkfs store here");
  }
  DKFS_TRY(dir.Lock(access));
  if (access == Access::kWrite) DKFS_TRY(IoTrace::Begin(path));
  // Looked at again under the lock: another process may have made the store meanwhile.
  if (create && file::Stat(dir.fd(), kFormat).status().IsNotFound()) DKFS_TRY(dir.Create(now));
  DKFS_TRY(dir.LoadFormat());
  return dir;
}

// True for a directory that holds nothing but what a new file system, or a store whose making was cut short, leaves.
Result<bool> StoreDir::LooksEmpty() const {
  DKFS_TRY_ASSIGN(std::vector<std::string> names, file::ListDir(dir_.get(), "."));
  for (const std::string& name : names) {
    if (name != "lost+found" && name != kLock && name != "FORMAT.tmp") return false;
  }
  return true;
}

Status StoreDir::Lock(Access access) {
  const bool write = access == Access::kWrite;
  Result<UniqueFd> opened =
      file::Open(fd(), kLock, write ? O_RDWR | O_CREAT | O_NOFOLLOW : O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!write && opened.status().IsNotFound()) return Status::Ok();  // no writer ever came by
  if (opened.code() == ELOOP || opened.code() == EISDIR) {
    return Status::Corruption(path_ + "/LOCK: not a file; remove it");
  }
  if (!opened.ok()) return opened.status().Prefix(path_);
  DKFS_TRY_ASSIGN(const struct stat st, file::StatFd(opened->get(), kLock));
  if (!S_ISREG(st.st_mode)) return Status::Corruption(path_ + "/LOCK: not a file; remove it");
  lock_ = std::move(opened).value();
  if (!TakeLock(lock_.get(), write ? LOCK_EX : LOCK_SH)) {
    if (errno != EWOULDBLOCK) return Status::FromErrno(path_ + "/LOCK: flock");
    const bool readers = write && flock(lock_.get(), LOCK_SH | LOCK_NB) == 0;
    return Status::Error(EBUSY, path_ + ": in use " + (readers ? "by a reader (dkfs-replay)" : Owner(lock_.get())));
  }
  if (!write) return Status::Ok();
  const std::string text = "pid " + std::to_string(getpid()) + "\nprogram " + OwnProgram() + "\n";
  DKFS_TRY(file::Truncate(lock_.get(), 0, kLock));
  return file::WriteAt(lock_.get(), AsBytes(text), 0, kLock);
}

Status StoreDir::Create(TimeSpec now) {
  if (getrandom(uuid_.data(), uuid_.size(), 0) != static_cast<ssize_t>(uuid_.size()))
    return Status::FromErrno("getrandom");
  const std::string text = std::string(kMagicLine) + "\nversion " + std::to_string(kFormatVersion) + "\nuuid " +
                           UuidText(uuid_) + "\ncreated " + FormatTime(now) + "\n";
  return file::ReplaceDurably(fd(), kFormat, text);
}

Status StoreDir::LoadFormat() {
  const std::string where = path_ + "/" + kFormat;
  Result<std::string> text = file::ReadAll(fd(), kFormat);
  if (!text.ok()) return text.status().Prefix(path_);
  if (!text->starts_with(kMagicLine)) return Status::Corruption(where + ": not understood");
  const auto version = Number(Field(*text, "version"));
  if (!version || *version == 0) return Status::Corruption(where + ": no version");
  if (*version > kFormatVersion) {
    return Status::Error(ENOTSUP, where + ": format " + std::to_string(*version) + " is newer than this dkfs knows (" +
                                      std::to_string(kFormatVersion) + ")");
  }
  const auto uuid = Field(*text, "uuid");
  if (!uuid || !ParseUuid(*uuid, &uuid_)) return Status::Corruption(where + ": no uuid");
  return Status::Ok();
}

std::optional<StoreDir::CleanMark> StoreDir::ReadCleanMark() const {
  Result<std::string> text = file::ReadAll(fd(), kClean);
  if (!text.ok()) return std::nullopt;
  const auto seq = Number(Field(*text, "seq"));
  const auto identity = Field(*text, "identity");
  if (!seq || !identity || identity->empty()) return std::nullopt;
  return CleanMark{Seq{*seq}, std::string(*identity)};
}

Status StoreDir::WriteCleanMark(const CleanMark& mark) {
  if (mark.identity.empty() || mark.identity.find('\n') != std::string::npos) {
    return Status::Error(EINVAL, "identity of the clean mark");
  }
  return file::ReplaceDurably(fd(), kClean,
                              "seq " + std::to_string(mark.seq.value) + "\nidentity " + mark.identity + "\n");
}

Result<std::string> StoreDir::ReadHot() const { return file::ReadAll(fd(), kHot); }

Status StoreDir::WriteHot(const std::string& text) { return file::ReplaceDurably(fd(), kHot, text); }

Status StoreDir::RemoveCleanMark() {
  Status removed = file::Unlink(fd(), kClean);
  if (!removed.ok() && !removed.IsNotFound()) return removed;
  return file::SyncDir(fd(), ".");
}

}  // namespace dkfs
