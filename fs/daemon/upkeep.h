// Upkeep: what the daemon does once in a while: syncs what the kernel handed over by sync and syncfs (within 1 s),
// writes fingerprints, rotates the log. One thread.
#pragma once

#include <thread>

#include "fs/daemon/log_file.h"
#include "fs/hydrate/hydrator.h"
#include "store/base/mutex.h"
#include "store/store.h"

namespace dkfs {

class Upkeep {
 public:
  Upkeep(Store* store, Hydrator* hydrator, LogFile* log);  // `log` may be null
  ~Upkeep();

 private:
  void Run() EXCLUDES(mutex_);
  void Round();

  Store* const store_;
  Hydrator* const hydrator_;
  LogFile* const log_;
  uint64_t rounds_ = 0;
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dkfs
