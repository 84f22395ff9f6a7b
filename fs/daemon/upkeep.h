// Upkeep: what the daemon does once in a while: closes idle backing files, writes fingerprints, rotates the log. One
// thread. (What the kernel hands over by sync and syncfs is synced within 1 s by the store's own thread.)
#pragma once

#include <thread>

#include "fs/daemon/log_file.h"
#include "fs/hydrate/hydrator.h"
#include "fs/ops/file_system.h"
#include "store/base/mutex.h"

namespace dkfs {

class Upkeep {
 public:
  Upkeep(FileSystem* file_system, Hydrator* hydrator, LogFile* log);  // `log` may be null
  ~Upkeep();

 private:
  void Run() EXCLUDES(mutex_);
  void Round();

  FileSystem* const file_system_;
  Hydrator* const hydrator_;
  LogFile* const log_;
  uint64_t rounds_ = 0;
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dkfs
