#include "fs/daemon/log_file.h"

#include <fcntl.h>

#include "store/base/file.h"
#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND;

}  // namespace

Status LogFile::Open(const std::string& path) {
  path_ = path;
  DKFS_TRY_ASSIGN(fd_, file::Open(AT_FDCWD, path, kFlags, 0640));
  SetLogFd(fd_.get());
  return Status::Ok();
}

LogFile::~LogFile() {
  if (fd_) SetLogFd(STDERR_FILENO);
}

// The new file takes the old one's descriptor number: a line being written goes to one of the two.
Status LogFile::RotateIfLarge() {
  if (!fd_) return Status::Ok();
  DKFS_TRY_ASSIGN(struct stat st, file::StatFd(fd_.get(), path_));
  if (static_cast<uint64_t>(st.st_size) < kMaxBytes && st.st_nlink > 0) return Status::Ok();
  Status renamed = file::Rename(AT_FDCWD, path_, path_ + ".1");
  if (!renamed.ok() && !renamed.IsNotFound()) return renamed;  // removed by somebody, or renamed in an earlier round
  DKFS_TRY_ASSIGN(UniqueFd fresh, file::Open(AT_FDCWD, path_, kFlags, 0640));
  if (::dup3(fresh.get(), fd_.get(), O_CLOEXEC) < 0) return Status::FromErrno(path_);
  return Status::Ok();
}

}  // namespace dkfs
