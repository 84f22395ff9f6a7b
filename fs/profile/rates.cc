#include "fs/profile/rates.h"

#include <algorithm>
#include <cmath>

namespace dkfs {
namespace {

double Seconds(DecayedRate::Time t) { return std::chrono::duration<double>(t).count(); }

// What is left of an old rate after `elapsed`.
double Kept(const RateOptions& options, DecayedRate::Time elapsed) {
  const double intervals = Seconds(elapsed) / Seconds(options.interval);
  return std::pow(1 - std::clamp(options.alpha, 1e-6, 1.0), std::max(intervals, 0.0));
}

}  // namespace

void DecayedRate::Observe(const RateOptions& options, uint64_t born, uint64_t total, Time now) {
  if (!begun_) {
    begun_ = true;
    born_ = born;
    seen_ = std::min(Time(born), now);
  }
  if (now <= seen_) return;
  const uint64_t grown = born != born_ || total < total_ ? total : total - total_;
  const double kept = Kept(options, now - seen_);
  per_second_ = kept * per_second_ + (1 - kept) * static_cast<double>(grown) / Seconds(now - seen_);
  born_ = born;
  total_ = total;
  seen_ = now;
}

double DecayedRate::At(const RateOptions& options, Time now) const {
  return now <= seen_ ? per_second_ : per_second_ * Kept(options, now - seen_);
}

}  // namespace dkfs
