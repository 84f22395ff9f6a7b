// Clocks. Wall time stamps records and may step; monotonic time ages them.
#pragma once

#include <cstdint>
#include <functional>

namespace dkfs {

struct TimeSpec {
  int64_t sec = 0;
  uint32_t nsec = 0;  // < 1e9
  friend auto operator<=>(const TimeSpec&, const TimeSpec&) = default;
};

TimeSpec WallNow();
uint64_t MonotonicNs();  // CLOCK_BOOTTIME: goes on while the machine sleeps

// Injected where tests drive time; defaults to the two above.
struct Clock {
  std::function<TimeSpec()> wall = WallNow;
  std::function<uint64_t()> monotonic_ns = MonotonicNs;
};

}  // namespace dkfs
