// A fresh directory on a disk (under DKFS_TEST_DIR, else /var/tmp: /tmp is often a tmpfs, which cannot do all that dkfs
// asks of a file system), removed with everything in it.
#pragma once

#include <string>

#include "store/base/unique_fd.h"

namespace dkfs::test {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  UniqueFd fd_;
};

// Whole content of a file; "<missing>" when it cannot be read.
std::string ContentOf(const std::string& path);
void PutFile(const std::string& path, const std::string& content);

}  // namespace dkfs::test
