#include "fs/daemon/fuse_switch.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <thread>
#include <tuple>

#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr std::chrono::milliseconds kRetry{10}, kPatience{3000};
// The oldest kernel on which dkfs was tried out with it. Before 6.18's first corrections, ending a daemon that owed
// answers could damage the kernel's own lists.
constexpr std::tuple<unsigned, unsigned, unsigned> kTrustedSince{6, 18, 44};

bool LockPatiently(int fd) {
  for (auto waited = kRetry; ::flock(fd, LOCK_EX | LOCK_NB) != 0; waited += kRetry) {
    if (waited > kPatience) return false;
    std::this_thread::sleep_for(kRetry);
  }
  return true;
}

Result<bool> IsOn(int fd) {
  std::array<char, 2> text{};
  if (::pread(fd, text.data(), 1, 0) != 1) return Status::FromErrno("reading the kernel's switch for it");
  return text[0] == 'Y' || text[0] == '1';
}

bool Turn(int fd, char to) { return ::pwrite(fd, &to, 1, 0) == 1; }

}  // namespace

Result<std::unique_ptr<FuseSwitch>> FuseSwitch::HoldOn(bool may_turn, const std::string& path,
                                                       const std::string& mark) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  const bool writable = static_cast<bool>(file);
  if (!writable) file.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return Status::Error(ENOENT, "the kernel has no FUSE over io_uring (Linux 6.14 and newer)");
  if (!LockPatiently(file.get())) return Status::Error(EBUSY, "another mount holds the kernel's switch for it");
  DKFS_TRY_ASSIGN(const bool on, IsOn(file.get()));
  if (on) return Holding(std::move(file), writable && ::access(mark.c_str(), F_OK) == 0, mark);
  if (!may_turn) return Status::Error(EPERM, "the kernel's switch for it is off: " + path);
  // The mark comes first: without it the switch would seem an administrator's doing after a kill.
  if (writable) UniqueFd(::open(mark.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)).reset();
  if (!writable || !Turn(file.get(), 'Y')) {
    return Status::Error(EPERM, "the kernel's switch for it is off, and dkfs may not turn it: " + path);
  }
  return Holding(std::move(file), true, mark);
}

std::unique_ptr<FuseSwitch> FuseSwitch::Holding(UniqueFd file, bool turned, const std::string& mark) {
  return std::unique_ptr<FuseSwitch>(new FuseSwitch(std::move(file), turned, mark));
}

FuseSwitch::~FuseSwitch() {
  if (!turned_) return;
  if (Turn(file_.get(), 'N')) {
    (void)::unlink(mark_.c_str());
  } else {
    Log(LogLevel::kWarn, "fuse_switch_left_on", {{"hint", std::string("write N to ") + kPath}});
  }
}

bool IsRingTrusted(const std::string& release) {
  unsigned major = 0, minor = 0, patch = 0;
  if (std::sscanf(release.c_str(), "%u.%u.%u", &major, &minor, &patch) < 2) return false;
  return std::tuple{major, minor, patch} >= kTrustedSince;
}

}  // namespace dkfs
