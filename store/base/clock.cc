#include "store/base/clock.h"

#include <time.h>

namespace dkfs {

TimeSpec WallNow() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);  // cannot fail for this clock and a valid pointer
  return {now.tv_sec, static_cast<uint32_t>(now.tv_nsec)};
}

uint64_t MonotonicNs() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace dkfs
