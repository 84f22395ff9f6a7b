// Owner, mode, times, extended attributes and the directory's identity.
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "fs/backing/backing.h"

namespace dkfs {
namespace {

constexpr const char* kIdentityNames[] = {"trusted.dkfs.store", "user.dkfs.store"};

Status Failed(const char* operation, const std::string& path) {
  const int code = errno;
  if (code == ENOENT || code == ENODATA) return Status::Error(code);
  return Status::Error(code, std::string(operation) + " \"" + path + "\" in the backing directory");
}

bool IsOurs(std::string_view name) { return name.starts_with("trusted.dkfs.") || name.starts_with("user.dkfs."); }

// Extended attributes of an entry without opening it: through the open directory's link in /proc, not following the
// entry.
std::string ProcPath(int dir, const std::string& leaf) { return "/proc/self/fd/" + std::to_string(dir) + "/" + leaf; }

struct timespec ToTimespec(const TimeSpec& t) {
  return {static_cast<time_t>(t.sec), static_cast<long>(t.nsec)};
}
TimeSpec FromTimespec(const struct timespec& t) { return {t.tv_sec, static_cast<uint32_t>(t.tv_nsec)}; }

// fchmodat2 is Linux 6.6; /proc does the same before.
int ChmodFd(int fd, mode_t mode) {
#ifndef SYS_fchmodat2
  constexpr long SYS_fchmodat2 = 452;
#endif
  if (::syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0) return 0;
  if (errno != ENOSYS) return -1;
  return ::chmod(("/proc/self/fd/" + std::to_string(fd)).c_str(), mode);
}

// Grows until the answer fits.
template <class Call>
Result<std::string> ReadXattr(const Call& call, const std::string& path) {
  std::string out(256, '\0');
  for (;;) {
    const ssize_t n = call(out.data(), out.size());
    if (n >= 0) {
      out.resize(static_cast<size_t>(n));
      return out;
    }
    if (errno != ERANGE || out.size() > (1u << 20)) return Failed("read an extended attribute of", path);
    out.resize(out.size() * 8);
  }
}

}  // namespace

Status Backing::ApplyOwnerAndMode(const std::string& path, const InodeState& state) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  DKFS_TRY_ASSIGN(UniqueFd fd, OpenAt(place.dir, place.leaf, O_PATH, 0));
  return ApplyOwnerAndModeFd(fd.get(), path, state);
}

Status Backing::ApplyOwnerAndModeFd(int fd, const std::string& path, const InodeState& state) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return Failed("stat", path);
  const bool chown = st.st_uid != state.uid || st.st_gid != state.gid;
  if (chown && ::fchownat(fd, "", state.uid, state.gid, AT_EMPTY_PATH) != 0) return Failed("chown", path);
  if (S_ISLNK(st.st_mode)) return Status::Ok();
  const mode_t mode = state.mode & 07777;  // a change of owner may have cleared set-id bits
  if (!chown && (st.st_mode & 07777) == mode) return Status::Ok();
  return ChmodFd(fd, mode) == 0 ? Status::Ok() : Failed("chmod", path);
}

Status Backing::ApplyTimes(const std::string& path, const InodeState& state) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  const struct timespec times[2] = {ToTimespec(state.atime), ToTimespec(state.mtime)};
  if (::utimensat(place.dir, place.leaf.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0) return Status::Ok();
  return Failed("set the times of", path);
}

Status Backing::ApplyTimesFd(int fd, const InodeState& state) {
  const struct timespec times[2] = {ToTimespec(state.atime), ToTimespec(state.mtime)};
  return ::futimens(fd, times) == 0 ? Status::Ok() : Status::FromErrno("set the times of a backing file");
}

Status Backing::SetXattr(const std::string& path, std::string_view name, std::string_view value) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  const std::string proc = ProcPath(place.dir, place.leaf);
  if (::lsetxattr(proc.c_str(), std::string(name).c_str(), value.data(), value.size(), 0) == 0) return Status::Ok();
  return Failed("set an extended attribute of", path);
}

Status Backing::SetXattrFd(int fd, std::string_view name, std::string_view value) {
  if (::fsetxattr(fd, std::string(name).c_str(), value.data(), value.size(), 0) == 0) return Status::Ok();
  return Status::FromErrno("set an extended attribute of a file without a name");
}

Status Backing::RemoveXattr(const std::string& path, std::string_view name) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  if (::lremovexattr(ProcPath(place.dir, place.leaf).c_str(), std::string(name).c_str()) == 0) return Status::Ok();
  return Failed("remove an extended attribute of", path);
}

Status Backing::RemoveXattrFd(int fd, std::string_view name) {
  if (::fremovexattr(fd, std::string(name).c_str()) == 0) return Status::Ok();
  if (errno == ENODATA) return Status::Error(ENODATA);
  return Status::FromErrno("remove an extended attribute of a file without a name");
}

Result<std::vector<std::pair<std::string, std::string>>> Backing::ListXattrs(const std::string& path) {
  DKFS_TRY_ASSIGN(Place place, Find(path));
  const std::string proc = ProcPath(place.dir, place.leaf);
  std::vector<std::pair<std::string, std::string>> out;
  Result<std::string> names =
      ReadXattr([&](char* buffer, size_t n) { return ::llistxattr(proc.c_str(), buffer, n); }, path);
  if (names.code() == EOPNOTSUPP) return out;
  if (names.code() == E2BIG) {
    return Status::Error(E2BIG, "\"" + path + "\" in the backing directory has more than 64 KiB of names of extended " +
                                    "attributes, which the kernel does not list: remove some");
  }
  if (!names.ok()) return names.status();
  for (size_t at = 0; at < names->size();) {
    const std::string name = names->c_str() + at;
    at += name.size() + 1;
    if (IsOurs(name)) continue;
    Result<std::string> value =
        ReadXattr([&](char* buffer, size_t n) { return ::lgetxattr(proc.c_str(), name.c_str(), buffer, n); }, path);
    if (value.code() == ENODATA) continue;  // removed meanwhile
    if (!value.ok()) return value.status();
    out.emplace_back(name, std::move(value).value());
  }
  return out;
}

Fingerprint Backing::FingerprintOf(const struct stat& st) {
  return {.inode = st.st_ino,
          .size = static_cast<uint64_t>(st.st_size),
          .mtime = FromTimespec(st.st_mtim),
          .ctime = FromTimespec(st.st_ctim)};
}

InodeState Backing::StateOf(const struct stat& st) {
  InodeState state;
  state.mode = st.st_mode;
  state.uid = st.st_uid;
  state.gid = st.st_gid;
  state.nlink = static_cast<uint32_t>(st.st_nlink);
  if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) state.size = static_cast<uint64_t>(st.st_size);
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) state.rdev = st.st_rdev;
  state.atime = FromTimespec(st.st_atim);
  state.mtime = FromTimespec(st.st_mtim);
  state.ctime = state.btime = FromTimespec(st.st_ctim);
  return state;
}

std::optional<std::string> Backing::ReadIdentity() {
  const std::string proc = ProcPath(root_.get(), ".");
  for (const char* name : kIdentityNames) {
    Result<std::string> value =
        ReadXattr([&](char* buffer, size_t n) { return ::getxattr(proc.c_str(), name, buffer, n); }, "");
    if (value.ok()) return std::move(value).value();
  }
  return std::nullopt;
}

Status Backing::WriteIdentity(const std::string& identity) {
  const std::string proc = ProcPath(root_.get(), ".");
  for (const char* name : kIdentityNames) {
    if (::setxattr(proc.c_str(), name, identity.data(), identity.size(), 0) == 0) return Status::Ok();
    if (errno != EPERM && errno != EOPNOTSUPP) break;
  }
  return Status::FromErrno("mark " + display_ + " as belonging to its store");
}

std::string Backing::OwnIdentity(const std::string& store_uuid) {
  struct stat st = {};
  if (::fstat(root_.get(), &st) != 0) return store_uuid + ":?";
  return store_uuid + ":" + std::to_string(st.st_ino);
}

}  // namespace dkfs
