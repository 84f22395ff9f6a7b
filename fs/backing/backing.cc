#include "fs/backing/backing.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "store/base/fault.h"

namespace dkfs {
namespace {

constexpr uint64_t kResolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

int OpenAt2(int dir, const char* path, int flags, mode_t mode) {
  struct open_how how = {};
  how.flags = static_cast<uint64_t>(flags);
  how.mode = mode;
  how.resolve = kResolve;
  int fd;
  do {
    fd = static_cast<int>(::syscall(SYS_openat2, dir, path, &how, sizeof how));
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));  // EAGAIN: a rename raced with the walk
  return fd;
}

// ENOENT and its like are answers, not events: no sentence is made for them.
Status Failed(const char* operation, const std::string& path) {
  const int code = errno;
  if (code == ENOENT || code == EEXIST || code == ENODATA) return Status::Error(code);
  return Status::Error(code, std::string(operation) + " \"" + path + "\" in the backing directory");
}

std::optional<TimeSpec> BirthTimeIn(const struct statx& st) {
  if ((st.stx_mask & STATX_BTIME) == 0) return std::nullopt;
  return TimeSpec{st.stx_btime.tv_sec, st.stx_btime.tv_nsec};
}

}  // namespace

Backing::Backing(UniqueFd root, std::string display)
    : root_(std::move(root)), display_(std::move(display)), knows_birth_times_(BirthTimeOf(root_.get()).has_value()) {}

Result<UniqueFd> Backing::OpenAt(int dir, const std::string& path, int flags, mode_t mode) {
  flags |= O_NOFOLLOW | O_CLOEXEC;
  if (!(flags & O_CREAT) && (flags & O_TMPFILE) != O_TMPFILE) mode = 0;
  const bool quiet = !(flags & O_PATH) && (flags & O_ACCMODE) != O_WRONLY;
  int fd = OpenAt2(dir, path.c_str(), quiet ? flags | O_NOATIME : flags, mode);
  if (fd < 0 && errno == EPERM && quiet) fd = OpenAt2(dir, path.c_str(), flags, mode);
  if (fd < 0) return Failed("open", path);
  return UniqueFd(fd);
}

Result<Backing::Place> Backing::Find(const std::string& path) {
  Place place;
  place.dir = root_.get();
  if (path.empty()) {
    place.leaf = ".";
    return place;
  }
  const size_t slash = path.rfind('/');
  place.leaf = slash == std::string::npos ? path : path.substr(slash + 1);
  size_t at = 0;
  while (slash != std::string::npos && at < slash) {
    size_t end = slash;
    if (end - at >= PATH_MAX) {
      end = path.rfind('/', at + PATH_MAX - 1);
      if (end == std::string::npos || end <= at) return Status::Error(ENAMETOOLONG);
    }
    DKFS_TRY_ASSIGN(place.owned, OpenAt(place.dir, path.substr(at, end - at), O_PATH | O_DIRECTORY, 0));
    place.dir = place.owned.get();
    at = end + 1;
  }
  return place;
}

Result<UniqueFd> Backing::Open(const std::string& path, int flags, mode_t mode) {
  DKFS_TRY(Fault::Pass("backing.open"));
  if (path.size() < PATH_MAX) return OpenAt(root_.get(), path.empty() ? "." : path, flags, mode);
  DKFS_TRY_ASSIGN(Place place, Find(path));
  return OpenAt(place.dir, place.leaf, flags, mode);
}

Result<struct stat> Backing::Stat(const std::string& path) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  struct stat st;
  if (::fstatat(place.dir, place.leaf.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return st;
  return Failed("stat", path);
}

Result<std::optional<TimeSpec>> Backing::BirthTime(const std::string& path) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  struct statx st;
  if (::statx(place.dir, place.leaf.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BTIME, &st) != 0) return Failed("statx", path);
  return BirthTimeIn(st);
}

std::optional<TimeSpec> Backing::BirthTimeOf(int fd) {
  struct statx st;
  return ::statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) == 0 ? BirthTimeIn(st) : std::nullopt;
}

Result<bool> Backing::IsFixed(const std::string& path) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  struct statx st;
  if (::statx(place.dir, place.leaf.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) != 0) return Failed("statx", path);
  return (st.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0;
}

Status Backing::MakeDir(const std::string& path, mode_t mode) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  return ::mkdirat(place.dir, place.leaf.c_str(), mode) == 0 ? Status::Ok() : Failed("mkdir", path);
}

Status Backing::MakeNode(const std::string& path, mode_t mode, dev_t rdev) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  return ::mknodat(place.dir, place.leaf.c_str(), mode, rdev) == 0 ? Status::Ok() : Failed("mknod", path);
}

Status Backing::MakeSymlink(const std::string& target, const std::string& path) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  return ::symlinkat(target.c_str(), place.dir, place.leaf.c_str()) == 0 ? Status::Ok() : Failed("symlink", path);
}

Status Backing::Link(const std::string& from, const std::string& to) {
  DKFS_TRY_ASSIGN(Place a, Find(from));
  DKFS_TRY_ASSIGN(Place b, Find(to));
  return ::linkat(a.dir, a.leaf.c_str(), b.dir, b.leaf.c_str(), 0) == 0 ? Status::Ok() : Failed("link", to);
}

Status Backing::LinkFd(int fd, const std::string& to) {
  DKFS_TRY_ASSIGN(Place place, Find(to));
  if (::linkat(fd, "", place.dir, place.leaf.c_str(), AT_EMPTY_PATH) == 0) return Status::Ok();
  if (errno != ENOENT) return Failed("link", to);  // ENOENT: without CAP_DAC_READ_SEARCH; /proc needs none
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  if (::linkat(AT_FDCWD, self.c_str(), place.dir, place.leaf.c_str(), AT_SYMLINK_FOLLOW) == 0) return Status::Ok();
  return Failed("link", to);
}

Status Backing::Unlink(const std::string& path) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  return ::unlinkat(place.dir, place.leaf.c_str(), 0) == 0 ? Status::Ok() : Failed("unlink", path);
}

Status Backing::RemoveDir(const std::string& path) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  return ::unlinkat(place.dir, place.leaf.c_str(), AT_REMOVEDIR) == 0 ? Status::Ok() : Failed("rmdir", path);
}

Status Backing::Rename(const std::string& from, const std::string& to, unsigned flags) {
  DKFS_TRY(Fault::Pass("backing.rename"));
  DKFS_TRY_ASSIGN(Place a, Find(from));
  DKFS_TRY_ASSIGN(Place b, Find(to));
  if (::renameat2(a.dir, a.leaf.c_str(), b.dir, b.leaf.c_str(), flags) == 0) return Status::Ok();
  return Failed("rename", from);
}

Result<std::vector<Backing::Entry>> Backing::ListEntries(const std::string& path) {
  DKFS_TRY_ASSIGN(UniqueFd fd, Open(path, O_RDONLY | O_DIRECTORY));
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd.get()), ::closedir);
  if (!dir) return Failed("list", path);
  const int dir_fd = fd.release();  // closedir closes it
  std::vector<Entry> entries;
  for (;;) {
    errno = 0;
    const struct dirent* found = ::readdir(dir.get());
    if (found == nullptr) break;
    const std::string_view name = found->d_name;
    if (name == "." || name == ".." || (path.empty() && name == kPartialDir)) continue;
    Entry entry{std::string(name), found->d_type};
    if (entry.type == DT_UNKNOWN) {
      struct stat st;
      if (::fstatat(dir_fd, entry.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone meanwhile
      entry.type = static_cast<uint8_t>((st.st_mode & S_IFMT) >> 12);
    }
    entries.push_back(std::move(entry));
  }
  if (errno != 0) return Failed("list", path);
  return entries;
}

Result<std::vector<std::string>> Backing::List(const std::string& path) {
  DKFS_TRY_ASSIGN(std::vector<Entry> entries, ListEntries(path));
  std::vector<std::string> names;
  names.reserve(entries.size());
  for (Entry& entry : entries) names.push_back(std::move(entry.name));
  return names;
}

Result<std::string> Backing::ReadLink(const std::string& path) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  char target[PATH_MAX];
  const ssize_t n = ::readlinkat(place.dir, place.leaf.c_str(), target, sizeof target);
  if (n < 0) return Failed("read the link", path);
  return std::string(target, static_cast<size_t>(n));
}

Status Backing::MoveOut(const std::string& path, int dir, const std::string& name) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  if (::renameat2(place.dir, place.leaf.c_str(), dir, name.c_str(), RENAME_NOREPLACE) == 0) return Status::Ok();
  return Failed("move aside", path);
}

Result<UniqueFd> Backing::OpenTmpfile(const std::string& dir) { return Open(dir, O_TMPFILE | O_RDWR, 0600); }

std::string Backing::PartialPath(FileId file) {
  char name[24];
  ::snprintf(name, sizeof name, "/%012llx", static_cast<unsigned long long>(file.value));
  return std::string(kPartialDir) + name;
}

Status Backing::EnsurePartialDir() {
  Status made = MakeDir(std::string(kPartialDir), 0700);
  return made.code() == EEXIST ? CheckPartialDir() : made;
}

Status Backing::CheckPartialDir() {
  const std::string what = display_ + "/" + std::string(kPartialDir);
  Result<UniqueFd> dir = OpenAt(root_.get(), std::string(kPartialDir), O_RDONLY | O_DIRECTORY, 0);
  if (dir.ok()) return CloseToOthers(dir->get(), what);
  if (dir.status().IsNotFound()) return Status::Ok();
  return dir.code() == ENOTDIR ? Status::Error(ENOTDIR, what + " is no directory: move it elsewhere") : dir.status();
}

Status Backing::RemovePartialDirIfEmpty() {
  // A place to move aside to that nothing was moved to (fs/hydrate/aside.cc).
  RemoveDir(std::string(kPartialDir) + "/aside")
      .Ignore("mostly not there; with content it stays, and so does its parent");
  Status removed = RemoveDir(std::string(kPartialDir));
  const int code = removed.code();
  return code == ENOENT || code == ENOTEMPTY || code == EEXIST ? Status::Ok() : removed;
}

Status CloseToOthers(int dir, const std::string& what) {
  struct stat st;
  if (::fstat(dir, &st) != 0) return Status::FromErrno("stat " + what);
  if (st.st_uid != ::geteuid()) {
    return Status::Error(EPERM,
                         what + " belongs to uid " + std::to_string(st.st_uid) + ", not to dkfs: move it elsewhere");
  }
  if ((st.st_mode & (S_IRWXG | S_IRWXO)) == 0) return Status::Ok();
  return ::fchmod(dir, S_IRWXU) == 0 ? Status::Ok() : Status::FromErrno("chmod " + what);
}

Result<struct statvfs> Backing::StatFs() {
  struct statvfs st;
  if (::fstatvfs(root_.get(), &st) == 0) return st;
  return Status::FromErrno("statvfs " + display_);
}

Status Backing::SyncAll() {
  DKFS_TRY(Fault::Pass("backing.sync"));
  return ::syncfs(root_.get()) == 0 ? Status::Ok() : Status::FromErrno("syncfs " + display_);
}

}  // namespace dkfs
