// Fault points: named places where a test can make a call fail, kill the process, or hold a thread until it lets go.
//
// Off (the default) a point costs one relaxed load. They are armed by the environment variable DKFS_FAULTS or by tests:
//   DKFS_FAULTS="journal.append=EIO@3,index.flush=kill@1,hydrate.block=ENOSPC@*"
// NAME=ACTION@N: on the Nth pass (1 based; * every pass; N+ from the Nth on) do ACTION: an errno name, `kill`
// (SIGKILL to itself), `pause` (tests in the same process; released by Fault::Release), or `short` (a transfer moves
// about half of its bytes; the caller goes on with the rest in a further pass, so
// "file.write=short@3,file.write=kill@4" tears the third write), or `skip` (a sync answers success without syncing).
// Several actions may be armed at one point; the first
// that matches a pass is done. Every name is listed in Fault::Names(), which the crash tests enumerate; an unlisted
// name aborts in debug builds. Thread-safety: all functions may be called from any thread.
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
    return PassSlow(name, nullptr);
  }
  // The same for a transfer of *bytes, which an armed `short` lowers (never to 0).
  static Status PassTransfer(std::string_view name, size_t* bytes) {
    if (!armed_.load(std::memory_order_relaxed)) return Status::Ok();
    return PassSlow(name, bytes);
  }
  // The same for a sync: an armed `skip` sets *skip, and the caller reports success without syncing.
  static Status PassSync(std::string_view name, bool* skip) {
    *skip = false;
    if (!armed_.load(std::memory_order_relaxed)) return Status::Ok();
    return PassSlow(name, nullptr, skip);
  }
  // Replaces what is armed. EINVAL names the bad part. "" disarms everything. Counts start anew and
  // paused threads go.
  static Status Arm(std::string_view spec);
  static Status ArmFromEnvironment();
  static void Release(std::string_view name);                      // opens the point's pauses until the next Arm
  static uint64_t Passes(std::string_view name);                   // counted only while anything is armed
  static void AwaitPasses(std::string_view name, uint64_t count);  // returns when Passes(name) >= count
  static std::span<const std::string_view> Names();

 private:
  static Status PassSlow(std::string_view name, size_t* bytes, bool* skip = nullptr);
  static std::atomic<bool> armed_;
};

}  // namespace dkfs
