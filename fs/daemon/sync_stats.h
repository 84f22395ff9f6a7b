// SyncStats: how long the journal's device flushes take and how many barriers each answers, as histograms. Recording
// costs a few relaxed additions. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "fs/fuse/request_stats.h"

namespace dkfs {

// Upper bounds of the buckets of barriers; one more bucket is above all of them.
inline constexpr std::array<uint64_t, 7> kGroupBounds = {1, 2, 4, 8, 16, 32, 64};

struct SyncSnapshot {
  std::array<uint64_t, kLatencyBoundsNs.size() + 1> durations{};  // not cumulative
  uint64_t total_ns = 0;
  std::array<uint64_t, kGroupBounds.size() + 1> groups{};  // flushes that answered at least one barrier
  uint64_t barriers = 0;
};

class SyncStats {
 public:
  void Record(uint64_t nanoseconds, int barriers);
  SyncSnapshot Snapshot() const;

 private:
  std::array<std::atomic<uint64_t>, kLatencyBoundsNs.size() + 1> durations_{};
  std::atomic<uint64_t> total_ns_{0};
  std::array<std::atomic<uint64_t>, kGroupBounds.size() + 1> groups_{};
  std::atomic<uint64_t> barriers_{0};
};

}  // namespace dkfs
