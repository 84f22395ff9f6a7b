// Fault points: named places where a test can make a call fail, kill the process, or hold a thread until it lets go.
//
// Off (the default) a point costs one relaxed load. They are armed by the environment variable DKFS_FAULTS or by tests:
//   DKFS_FAULTS="journal.append=EIO@3,index.flush=kill@1,hydrate.block=ENOSPC@*"
// NAME=ACTION@N: on the Nth pass (1 based; * every pass; N+ from the Nth on) do ACTION: an errno name, `kill`
// (SIGKILL to itself), or `pause` (tests in the same process; released by Fault::Release).
// Every name is listed in Fault::Names(), which the crash tests enumerate; an unlisted name aborts in debug builds.
// Thread-safety: all functions may be called from any thread.
#pragma once

#include <atomic>
#include <span>
#include <string>
#include <string_view>

#include "store/base/status.h"

namespace dkfs {

class Fault {
 public:
  // Passes the point: Ok, or the armed error.
  static Status Pass(std::string_view name) {
    if (!armed_.load(std::memory_order_relaxed)) return Status::Ok();
    return PassSlow(name);
  }
  // Replaces what is armed. EINVAL names the bad part. "" disarms everything.
  static Status Arm(std::string_view spec);
  static Status ArmFromEnvironment();
  static void Release(std::string_view name);      // lets paused threads go
  static uint64_t Passes(std::string_view name);   // counted only while anything is armed
  static std::span<const std::string_view> Names();

 private:
  static Status PassSlow(std::string_view name);
  static std::atomic<bool> armed_;
};

}  // namespace dkfs
