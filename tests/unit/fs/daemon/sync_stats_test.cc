#include "fs/daemon/sync_stats.h"

#include <gtest/gtest.h>

namespace dkfs::test {
namespace {

TEST(SyncStatsTest, ABoundBelongsToItsBucketAndTheRestToTheLast) {
  SyncStats stats;
  stats.Record(kLatencyBoundsNs[0], 1);
  stats.Record(kLatencyBoundsNs[0] + 1, 3);
  stats.Record(kLatencyBoundsNs.back() + 1, 65);
  const SyncSnapshot now = stats.Snapshot();
  EXPECT_EQ(now.durations[0], 1u);
  EXPECT_EQ(now.durations[1], 1u);
  EXPECT_EQ(now.durations.back(), 1u);
  EXPECT_EQ(now.total_ns, 2 * kLatencyBoundsNs[0] + kLatencyBoundsNs.back() + 2);
  EXPECT_EQ(now.groups[0], 1u);
  EXPECT_EQ(now.groups[2], 1u) << "3 is at most 4";
  EXPECT_EQ(now.groups.back(), 1u);
  EXPECT_EQ(now.barriers, 69u);
}

TEST(SyncStatsTest, AFlushThatNobodyWaitedForIsNoGroup) {
  SyncStats stats;
  stats.Record(5, 0);
  const SyncSnapshot now = stats.Snapshot();
  EXPECT_EQ(now.durations[0], 1u);
  EXPECT_EQ(now.groups, (SyncSnapshot{}.groups));
}

}  // namespace
}  // namespace dkfs::test
