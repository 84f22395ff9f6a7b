#include "store/replay/restore_sink.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <climits>

#include "store/base/file.h"

namespace dkfs {
namespace {

Result<UniqueFd> OpenPart(int dirfd, const std::string& path, uint64_t flags) {
  struct open_how how {};
  how.flags = flags | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long fd = syscall(SYS_openat2, dirfd, path.c_str(), &how, sizeof how);
  if (fd < 0) return Status::FromErrno(path);
  return UniqueFd(static_cast<int>(fd));
}

// A path that is longer than the kernel takes is walked in parts.
Result<UniqueFd> OpenBeneath(int dirfd, std::string path, uint64_t flags) {
  UniqueFd above;
  while (path.size() >= PATH_MAX) {
    const size_t slash = path.rfind('/', PATH_MAX - 1);
    if (slash == std::string::npos) return Status::Error(ENAMETOOLONG);
    DKFS_TRY_ASSIGN(above, OpenPart(above ? above.get() : dirfd, path.substr(0, slash), O_PATH | O_DIRECTORY));
    path.erase(0, slash + 1);
  }
  return OpenPart(above ? above.get() : dirfd, path, flags);
}

bool IsAcl(std::string_view name) { return name.starts_with("system.posix_acl_"); }
bool IsPrivileged(std::string_view name) { return name.starts_with("trusted.") || name.starts_with("security."); }

// The entry itself by descriptor: for calls that have no form taking a directory and a name.
std::string ProcPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

struct timespec ToTimespec(TimeSpec time) {
  return {static_cast<time_t>(time.sec), static_cast<long>(time.nsec)};
}

// Set-id bits lend the rights of the owner and group they were given for, and of nobody else.
Result<mode_t> RestorableMode(int parent, const std::string& name, const InodeState& state) {
  DKFS_TRY_ASSIGN(const struct stat st, file::Stat(parent, name, AT_SYMLINK_NOFOLLOW));
  const bool same = st.st_uid == state.uid && st.st_gid == state.gid;
  return state.mode & (same ? 07777 : 01777);
}

}  // namespace

RestoreSink::RestoreSink() : root_(geteuid() == 0) {}

Result<UniqueFd> RestoreSink::OpenRoot(const std::string& path) {
  Status made = file::MakeDir(AT_FDCWD, path);
  if (!made.ok() && made.code() != EEXIST) return made;
  DKFS_TRY_ASSIGN(UniqueFd fd, file::Open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  DKFS_TRY_ASSIGN(std::vector<std::string> names, file::ListDir(fd.get(), "."));
  if (!names.empty()) return Status::Error(ENOTEMPTY, path);
  return fd;
}

Result<UniqueFd> RestoreSink::MakeDir(int parent, const std::string& name) const {
  DKFS_TRY(file::MakeDir(parent, name));
  return OpenBeneath(parent, name, O_RDONLY | O_DIRECTORY);
}

Result<UniqueFd> RestoreSink::MakeFile(int parent, const std::string& name, uint64_t size) const {
  DKFS_TRY_ASSIGN(UniqueFd fd, file::Open(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW));
  if (size > 0) DKFS_TRY(file::Truncate(fd.get(), size, name));
  return fd;
}

Status RestoreSink::MakeSymlink(int parent, const std::string& name, const std::string& target) const {
  return symlinkat(target.c_str(), parent, name.c_str()) == 0 ? Status::Ok() : Status::FromErrno("symlink " + name);
}

Status RestoreSink::MakeNode(int parent, const std::string& name, uint32_t mode, uint64_t rdev) const {
  return mknodat(parent, name.c_str(), (mode & S_IFMT) | 0600, rdev) == 0 ? Status::Ok()
                                                                          : Status::FromErrno("mknod " + name);
}

Status RestoreSink::MakeLink(int root, const std::string& path, int parent, const std::string& name) const {
  DKFS_TRY_ASSIGN(UniqueFd target, OpenBeneath(root, path, O_PATH));
  const int linked = linkat(AT_FDCWD, ProcPath(target.get()).c_str(), parent, name.c_str(), AT_SYMLINK_FOLLOW);
  return linked == 0 ? Status::Ok() : Status::FromErrno("link " + name);
}

Status RestoreSink::SetXattrs(const std::string& path, const Xattrs& xattrs, bool acls) const {
  Status first;
  for (const auto& [name, value] : xattrs) {
    if (IsAcl(name) != acls || (IsPrivileged(name) && !root_)) continue;
    if (lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) != 0 && first.ok())
      first = Status::FromErrno("set " + name);
  }
  return first;
}

Status RestoreSink::Dress(int fd, int parent, const std::string& name, const InodeState& state,
                          const Xattrs& xattrs) const {
  const bool symlink = S_ISLNK(state.mode);
  if (root_ && fchownat(parent, name.c_str(), state.uid, state.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return Status::FromErrno("chown");
  // By the directory's descriptor the last component is not followed, whatever it is.
  const std::string path = ProcPath(parent) + "/" + name;
  Status first = SetXattrs(path, xattrs, false);
  if (!symlink) {
    const auto change_mode = [&](mode_t mode) {
      return (fd >= 0 ? fchmod(fd, mode) : fchmodat(parent, name.c_str(), mode, 0)) == 0;
    };
    DKFS_TRY_ASSIGN(const mode_t mode, RestorableMode(parent, name, state));
    if (!change_mode(mode)) return Status::FromErrno("chmod");
    Status acls = SetXattrs(path, xattrs, true);
    // The group bits are an ACL's mask: without the ACL they may give the group more than it had.
    if (!acls.ok() && !change_mode(mode & ~mode_t{S_IRWXG})) return Status::FromErrno("chmod");
    if (first.ok()) first = std::move(acls);
  }
  const struct timespec times[2] = {ToTimespec(state.atime), ToTimespec(state.mtime)};
  if (utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return Status::FromErrno("set times");
  return first;
}

}  // namespace dkfs
