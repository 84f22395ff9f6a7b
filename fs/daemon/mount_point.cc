#include "fs/daemon/mount_point.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <algorithm>
#include <cstring>

#include "fs/daemon/mount_words.h"
#include "store/base/file.h"
#include "store/base/hash.h"
#include "store/base/log.h"
#include "store/base/mutex.h"
#include "store/format/ids.h"

namespace dkfs {
namespace {

// Access times are not kept when files are read, and who asks for the mount's options shall see it.
constexpr unsigned long kAlways = MS_NOATIME;

constexpr unsigned long kRestrictions = MS_NOSUID | MS_NODEV | MS_NOEXEC;

constexpr int kMaxLinks = 40;

std::string Joined(const std::string& dir, const std::string& name) {
  return dir == "/" ? "/" + name : dir + "/" + name;
}

Result<std::string> RealPath(const std::string& path) {
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return Status::FromErrno(path);
  std::string out(resolved);
  ::free(resolved);
  return out;
}

// Splits off the last name; "" when the path ends in none that could be a link (".", "..", "/").
void SplitLast(std::string path, std::string* parent, std::string* name) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  size_t slash = path.rfind('/');
  *parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  *name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (*name == "." || *name == "..") name->clear();
}

// statfs always asks the daemon; attributes may come from the kernel's cache, which outlives it. The answer may be the
// death itself, when the daemon is just being killed.
bool IsDead(const std::string& path) {
  struct statfs st;
  return ::statfs(path.c_str(), &st) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

// From the look at the table to the call: two threads that both saw the mount would also take what is below it.
Mutex unmounting;

// umount(2) takes whatever is on top, which may be the volume that DIR is.
Status CheckOnTop(const std::string& dir, const std::string& source) {
  DKFS_TRY_ASSIGN(const std::vector<MountEntry> mounts, ReadMountInfo());
  const auto ours = [&](const MountEntry& mount) {
    return mount.mount_point == dir && mount.type == kMountType && mount.source == source;
  };
  const auto top = MountAt(mounts, dir);
  if (top && ours(*top)) return Status::Ok();
  if (std::none_of(mounts.begin(), mounts.end(), ours)) return Status::Error(EINVAL, dir + " is not mounted any more");
  return Status::Error(EBUSY, "something else is mounted over " + dir);
}

Status TakeAway(const std::string& dir, const std::string& source, int flags) {
  DKFS_TRY(CheckOnTop(dir, source));  // without the lock: who has taken it away may still wait for its last writes
  MutexLock lock(unmounting);
  DKFS_TRY(CheckOnTop(dir, source));
  return ::umount2(dir.c_str(), flags | UMOUNT_NOFOLLOW) == 0 ? Status::Ok() : Status::FromErrno(dir);
}

}  // namespace

// The last name is not handed to realpath(3): looking at the root of a dead mount fails.
Result<std::string> ResolveMountPoint(const std::string& dir) {
  std::string path = dir;
  for (int links = 0; links < kMaxLinks; ++links) {
    std::string parent, name;
    SplitLast(path, &parent, &name);
    if (name.empty()) return RealPath(path);
    DKFS_TRY_ASSIGN(std::string real_parent, RealPath(parent));
    std::string resolved = Joined(real_parent, name);
    char target[PATH_MAX];
    ssize_t n = ::readlink(resolved.c_str(), target, sizeof target);
    if (n < 0 && (errno == EINVAL || errno == ENOTCONN)) {
      struct stat st;
      if (::stat(resolved.c_str(), &st) == 0 && !S_ISDIR(st.st_mode)) return Status::Error(ENOTDIR, resolved);
      return resolved;
    }
    if (n < 0) return Status::FromErrno(resolved);
    std::string link(target, static_cast<size_t>(n));
    path = link.starts_with('/') ? link : Joined(real_parent, link);
  }
  return Status::Error(ELOOP, dir);
}

Result<std::string> ResolveStore(const std::string& store) {
  auto real = RealPath(store);
  if (real.ok() || real.code() != ENOENT) return real;
  std::string parent, name;
  SplitLast(store, &parent, &name);
  if (name.empty()) return real.status();
  DKFS_TRY_ASSIGN(std::string real_parent, ResolveStore(parent));
  return Joined(real_parent, name);
}

std::string DefaultStore(const std::string& dir) {
  std::string name;
  for (unsigned char c : std::string_view(dir).substr(1)) {
    char escaped[8];
    if (c == '/') {
      name += '-';
    } else if (std::isalnum(c) || c == '_' || c == ':' || (c == '.' && !name.empty())) {
      name += static_cast<char>(c);
    } else {
      std::snprintf(escaped, sizeof escaped, "\\x%02x", c);
      name += escaped;
    }
  }
  if (name.size() > kMaxNameBytes) {
    char hash[20];
    std::snprintf(hash, sizeof hash, "-%016llx", static_cast<unsigned long long>(Hash64(AsBytes(dir))));
    name = name.substr(0, kMaxNameBytes - 17) + hash;
  }
  return "/var/lib/dkfs/" + (name.empty() ? "-" : name);
}

Failure ClearMountPoint(const std::string& dir) {
  while (true) {
    auto mounts = ReadMountInfo();
    if (!mounts.ok()) return Failure::Environment(mounts.status());
    auto mount = MountAt(*mounts, dir);
    bool ours = mount && mount->type == kMountType;
    if (!IsDead(dir)) {
      return ours ? Failure::Environment(dir + " is already mounted (store " + mount->source + ")") : Failure::None();
    }
    if (!ours) return Failure::Environment(dir + " is the dead mount of another file system; unmount it first");
    Status detached = Detach(dir, mount->source);
    if (!detached.ok()) return Failure::Environment(detached.Prefix("removing the dead mount"));
  }
}

Failure OpenFuse(UniqueFd* connection) {
  connection->reset(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (connection->valid()) return Failure::None();
  int code = errno;
  bool missing = code == ENOENT || code == ENODEV || code == ENXIO;
  return Failure::Environment(std::string("/dev/fuse: ") + std::strerror(code) +
                              (missing ? " (is the fuse kernel module there?)" : " (dkfs needs to be root)"));
}

Failure MountFuse(const MountRequest& request, int connection) {
  std::string data =
      "fd=" + std::to_string(connection) + ",rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions";
  if (::mount(request.source.c_str(), request.dir.c_str(), std::string(kMountType).c_str(), request.flags | kAlways,
              data.c_str()) != 0) {
    int code = errno;
    std::string hint = code == EPERM || code == EACCES ? " (dkfs needs CAP_SYS_ADMIN)"
                       : code == ENODEV                ? " (the kernel has no FUSE)"
                                                       : "";
    return Failure::Environment("mounting on " + request.dir + ": " + std::strerror(code) + hint);
  }
  return Failure::None();
}

unsigned long RestrictionsOf(const struct statvfs& covered) {
  constexpr unsigned long kNoSymFollow = 0x2000;  // ST_NOSYMFOLLOW, which the C library does not name
  // ST_NOSUID, ST_NODEV and ST_NOEXEC are the same bits.
  return (covered.f_flag & kRestrictions) | ((covered.f_flag & kNoSymFollow) != 0 ? MS_NOSYMFOLLOW : 0);
}

Result<unsigned long> RestrictionsBelow(const std::string& dir) {
  DKFS_TRY_ASSIGN(std::vector<MountEntry> mounts, ReadMountInfo());
  const auto ours = std::find_if(mounts.rbegin(), mounts.rend(), [&](const auto& m) { return m.mount_point == dir; });
  if (ours != mounts.rend()) mounts.erase(std::next(ours).base());
  const auto below = MountOf(mounts, dir);
  MountWords words;
  if (below) DKFS_TRY(AddMountWords(below->options, true, &words));
  return MountFlagsOf(words.flags) & (kRestrictions | MS_NOSYMFOLLOW);
}

Failure ChangeMountFlags(const std::string& dir, unsigned long flags) {
  auto mounts = ReadMountInfo();
  if (!mounts.ok()) return Failure::Environment(mounts.status());
  auto mount = MountAt(*mounts, dir);
  if (!mount || mount->type != kMountType) return Failure::Environment(dir + " is not a dkfs mount");
  if (::mount(nullptr, dir.c_str(), nullptr, MS_REMOUNT | kAlways | flags, nullptr) == 0) return Failure::None();
  return Failure::Environment("remounting " + dir + ": " + std::strerror(errno));
}

void RaiseDirtyLimit(const std::string& dir) {
  constexpr std::string_view kPercent = "40";
  auto mounts = ReadMountInfo();
  auto mount = mounts.ok() ? MountAt(*mounts, dir) : std::nullopt;
  if (!mount) return;
  UniqueFd fd(::open(("/sys/class/bdi/" + mount->device + "/max_ratio").c_str(), O_WRONLY | O_CLOEXEC));
  if (fd && ::write(fd.get(), kPercent.data(), kPercent.size()) > 0) return;
  Log(LogLevel::kDebug, "dirty_limit_not_raised", {{"dir", dir}});
}

Status Unmount(const std::string& dir, const std::string& source) {
  return TakeAway(dir, source, 0).Prefix("unmounting");
}

Status Detach(const std::string& dir, const std::string& source) {
  return TakeAway(dir, source, MNT_DETACH).Prefix("detaching");
}

}  // namespace dkfs
