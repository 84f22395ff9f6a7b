#include "fs/daemon/sync_stats.h"

#include <algorithm>

namespace dkfs {
namespace {

template <size_t N>
size_t BucketOf(uint64_t value, const std::array<uint64_t, N>& bounds) {
  return static_cast<size_t>(std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin());
}

}  // namespace

void SyncStats::Record(uint64_t nanoseconds, int barriers) {
  durations_[BucketOf(nanoseconds, kLatencyBoundsNs)].fetch_add(1, std::memory_order_relaxed);
  total_ns_.fetch_add(nanoseconds, std::memory_order_relaxed);
  if (barriers <= 0) return;
  const auto group = static_cast<uint64_t>(barriers);
  groups_[BucketOf(group, kGroupBounds)].fetch_add(1, std::memory_order_relaxed);
  barriers_.fetch_add(group, std::memory_order_relaxed);
}

SyncSnapshot SyncStats::Snapshot() const {
  SyncSnapshot now;
  for (size_t i = 0; i < now.durations.size(); ++i) now.durations[i] = durations_[i].load(std::memory_order_relaxed);
  for (size_t i = 0; i < now.groups.size(); ++i) now.groups[i] = groups_[i].load(std::memory_order_relaxed);
  now.total_ns = total_ns_.load(std::memory_order_relaxed);
  now.barriers = barriers_.load(std::memory_order_relaxed);
  return now;
}

}  // namespace dkfs
