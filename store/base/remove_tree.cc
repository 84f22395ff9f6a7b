#include <fcntl.h>
#include <unistd.h>

#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/io_trace.h"

namespace dkfs::file {
namespace {

Status RemoveDir(int dirfd, const std::string& name) {
  DKFS_TRY(Fault::Pass("file.unlink").Prefix("rmdir " + name));
  const IoTrace::Scope trace;
  if (::unlinkat(dirfd, name.c_str(), AT_REMOVEDIR) != 0) return Status::FromErrno("rmdir " + name);
  trace.Named(IoOp::kRemoveDir, dirfd, name);
  return Status::Ok();
}

// Every name is taken relative to the open directory that holds it, never through a link, so a tree that changes under
// us can make this fail but not lead it elsewhere. One descriptor a level is open.
Status RemoveEntry(int dirfd, const std::string& name, dev_t device) {
  Result<struct stat> st = Stat(dirfd, name, AT_SYMLINK_NOFOLLOW);
  if (!st.ok()) return st.code() == ENOENT ? Status::Ok() : st.status();
  if (!S_ISDIR(st->st_mode)) return Unlink(dirfd, name);
  if (st->st_dev != device) return Status::Error(EXDEV, "remove " + name + ", which is on another file system");
  {
    DKFS_TRY_ASSIGN(const UniqueFd dir, Open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    DKFS_TRY_ASSIGN(const std::vector<std::string> names, ListDir(dir.get(), "."));
    for (const std::string& child : names) DKFS_TRY(RemoveEntry(dir.get(), child, device));
  }
  return RemoveDir(dirfd, name);
}

}  // namespace

Status RemoveTree(int dirfd, const std::string& path) {
  Result<struct stat> st = Stat(dirfd, path, AT_SYMLINK_NOFOLLOW);
  if (!st.ok()) return st.code() == ENOENT ? Status::Ok() : st.status();
  return RemoveEntry(dirfd, path, st->st_dev);
}

}  // namespace dkfs::file
