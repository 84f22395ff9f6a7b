// Readiness: how a daemon tells the process that started it that the mount is ready, or why it never will be.
#pragma once

#include <sys/types.h>

#include <string>

#include "fs/daemon/failure.h"
#include "store/base/unique_fd.h"

namespace dkfs {

// The daemon's end. Says one thing, once. Without a pipe (in the foreground) it says nothing.
class Readiness {
 public:
  Readiness() = default;
  explicit Readiness(UniqueFd pipe) : pipe_(std::move(pipe)) {}
  void Ready();
  void Failed(const Failure& failure);
  bool said() const { return said_; }
  bool awaited() const;  // false: whoever waited is gone, and nothing was said yet

 private:
  void Say(const std::string& text);
  UniqueFd pipe_;
  bool said_ = false;
};

// Blocks the signals that AwaitReadiness passes on: TERM, INT and HUP, as far as the caller does not ignore them. To be
// called before the daemon is forked, so that it loses none.
void HoldStarterSignals();
// The starter's end: waits. None when ready; a daemon that died without a word is a Failure too, and so is one that was
// passed a signal, even if it was ready before it had it: it ends.
Failure AwaitReadiness(UniqueFd pipe, pid_t daemon);
// A pipe with close-on-exec ends.
Status MakePipe(UniqueFd* read_end, UniqueFd* write_end);

}  // namespace dkfs
