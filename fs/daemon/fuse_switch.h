// FuseSwitch: the kernel's switch for FUSE over io_uring, held on while a mount is made.
//
// The switch is a parameter of the fuse module (enable_uring, Linux 6.14), off unless an administrator turned it on.
// The kernel asks it when a connection is made and when the protocol has been agreed on, never again for that
// connection; and a file system that does not ask for io_uring is not given it. So it is on for these milliseconds and
// put back then. Mounts made at the same time take turns. A dkfs killed between the two leaves it on, and a mark
// beside it, so that the next mount puts it back.
#pragma once

#include <memory>
#include <string>

#include "store/base/status.h"
#include "store/base/unique_fd.h"

namespace dkfs {

class FuseSwitch {
 public:
  static constexpr const char* kPath = "/sys/module/fuse/parameters/enable_uring";
  static constexpr const char* kMark = "/run/dkfs.fuse_switch";  // there: dkfs turned it on

  // On until it is destroyed. `may_turn` false: only where it is on already. ENOENT: the kernel has no such switch;
  // EPERM: it is off, and dkfs may not turn it or was not to; EBUSY: another mount has held it for seconds. The context
  // is one line for the user.
  static Result<std::unique_ptr<FuseSwitch>> HoldOn(bool may_turn, const std::string& path = kPath,
                                                    const std::string& mark = kMark);
  FuseSwitch(const FuseSwitch&) = delete;
  ~FuseSwitch();

 private:
  static std::unique_ptr<FuseSwitch> Holding(UniqueFd file, bool turned, const std::string& mark);
  FuseSwitch(UniqueFd file, bool turned, std::string mark)
      : file_(std::move(file)), turned_(turned), mark_(std::move(mark)) {}
  const UniqueFd file_;  // locked
  const bool turned_;    // to be put back
  const std::string mark_;
};

// Whether the running kernel, by its release as uname(2) gives it, is one whose FUSE over io_uring dkfs uses unasked.
bool IsRingTrusted(const std::string& release);

}  // namespace dkfs
