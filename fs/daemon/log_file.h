// The log of a detached daemon: STORE/dkfs.log, with one older file beside it so that both stay bounded.
#pragma once

#include <string>

#include "store/base/status.h"
#include "store/base/unique_fd.h"

namespace dkfs {

class LogFile {
 public:
  static constexpr uint64_t kMaxBytes = 8 << 20;

  // Opens `path` for appending and directs the log there.
  Status Open(const std::string& path);
  ~LogFile();  // the log goes to stderr again
  // When the file has grown too large it becomes `path`.1 and a new one is begun, as when somebody removed it. Call now
  // and then, from one thread.
  Status RotateIfLarge();

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace dkfs
