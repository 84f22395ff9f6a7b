// Decayed write rates: what is hot, from counts that only grow. Pure: the caller brings the time.
//
// The rate of an interval is what was counted in it; the shown rate is an exponential moving average over intervals:
// rate += alpha * (seen - rate). Intervals without a look count as what came, spread evenly over them.
#pragma once

#include <chrono>
#include <cstdint>

namespace dkfs {

struct RateOptions {
  std::chrono::milliseconds interval{5000};
  double alpha = 0.3;  // weight of the newest interval, in (0, 1]
};

class DecayedRate {
 public:
  using Time = std::chrono::nanoseconds;  // monotonic

  // `total` counted until `now`. `born`: when the counter began at 0; another one has another.
  void Observe(const RateOptions& options, uint64_t born, uint64_t total, Time now);
  // A second, as of `now`: decays also while nothing is observed.
  double At(const RateOptions& options, Time now) const;

 private:
  uint64_t born_ = 0;
  uint64_t total_ = 0;
  Time seen_{0};
  double per_second_ = 0;
  bool begun_ = false;
};

}  // namespace dkfs
