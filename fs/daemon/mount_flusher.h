// MountFlusher: has the kernel hand over what is dirty in its cache of a file, through a helper process.
//
// It takes other threads to answer the writes that come of it, so only one thread at a time waits here, and none for
// long. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "fs/daemon/mount_helper.h"
#include "store/base/mutex.h"
#include "store/format/ids.h"

namespace dkfs {

class MountFlusher {
 public:
  // `device` is the "major:minor" of the mount at `dir`.
  MountFlusher(std::string dir, const std::string& device);

  // True: nothing in the range is dirty any more of what was when this was called. False: not known; another thread may
  // be at it. The helper is started when it is needed first.
  bool HandOver(FileId file, uint64_t offset, uint64_t length) EXCLUDES(mutex_);

  // What the helper runs, told by this argument.
  static constexpr const char* kArgument = "--flush-mount";
  static int Main(const char* dir);

 private:
  bool Ask(FileId file, uint64_t offset, uint64_t length) REQUIRES(mutex_);
  bool TakeAnswer(int flags) REQUIRES(mutex_);

  const std::string dir_;
  const uint64_t device_;
  Mutex mutex_;  // only ever tried
  std::unique_ptr<MountHelper> helper_ GUARDED_BY(mutex_);
  bool owed_ GUARDED_BY(mutex_) = false;  // the helper is still at the last question
};

}  // namespace dkfs
