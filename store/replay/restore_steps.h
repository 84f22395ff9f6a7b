// What restore does, as steps in the order of the tree: one thread finds them in the store (RestoreWalk), another
// carries them out (RestoreWriter), so that reading and writing overlap. What is written, and in which order, does not
// depend on how the threads run.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "store/base/mutex.h"
#include "store/base/status.h"
#include "store/format/inode_state.h"
#include "store/replay/restore_sink.h"

namespace dkfs {

struct RestoreStep {
  enum class Kind {
    kEnter,    // a directory; its entries follow
    kFile,     // a regular file; its kData and kDamage follow
    kEnd,      // of the newest kEnter or kFile: `state` and `xattrs`; a bad `status` says why it stays incomplete
    kData,     // bytes at `offset`
    kDamage,   // bytes at `offset` that cannot be had, and why
    kLink,     // a further name of the inode restored at `target`
    kOther,    // a symlink or special file: `state` and `xattrs`
    kFailed,   // an entry that cannot be restored, and why
    kProblem,  // something else that cannot be restored, and why
  };
  Kind kind = Kind::kProblem;
  std::string name;  // in the newest directory entered. Data and damage have none, nor a problem with the directory
  Status status;
  InodeState state;
  RestoreSink::Xattrs xattrs;
  std::string target;
  uint64_t offset = 0;
  Bytes data;
  std::shared_ptr<const void> owner;  // keeps `data`
};

// Between the two threads. Bounded: about kMaxData buffers of at most 1 MiB wait, and kMaxSteps steps.
class RestoreQueue {
 public:
  // Waits while the queue is full. False once it was abandoned.
  bool Push(RestoreStep step) EXCLUDES(mutex_);
  void Finish() EXCLUDES(mutex_);   // nothing more comes
  void Abandon() EXCLUDES(mutex_);  // nothing more is wanted
  // Everything that waits, at least one step; empty when all has been taken after Finish.
  std::deque<RestoreStep> TakeAll() EXCLUDES(mutex_);

 private:
  static constexpr size_t kMaxSteps = 1024;
  static constexpr size_t kMaxData = 32;
  Mutex mutex_;
  CondVar changed_;
  std::deque<RestoreStep> steps_ GUARDED_BY(mutex_);
  size_t data_ GUARDED_BY(mutex_) = 0;  // steps that hold a buffer
  bool finished_ GUARDED_BY(mutex_) = false;
  bool abandoned_ GUARDED_BY(mutex_) = false;
};

}  // namespace dkfs
