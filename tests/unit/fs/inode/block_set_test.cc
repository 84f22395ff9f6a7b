#include "fs/inode/block_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

namespace dkfs {
namespace {

// Ranges that begin and end near the borders of bitmaps, and anywhere.
TEST(BlockSetTest, IsWhatWasAddedAndRemoved) {
  constexpr uint64_t kBlocks = 5 * 4096;
  std::mt19937 random(7);
  const auto place = [&] {
    const uint64_t near = random() % 5 * 4096 + random() % 5, anywhere = random() % kBlocks;
    return random() % 2 == 0 ? near - std::min<uint64_t>(near, 2) : anywhere;
  };
  for (int round = 0; round < 200; ++round) {
    BlockSet set;
    std::vector<bool> in(kBlocks, false);
    for (int turn = 0; turn < 20; ++turn) {
      const uint64_t a = place(), b = random() % 3 == 0 ? a + random() % 100 : place();
      const uint64_t first = std::min(a, b), end = std::min(kBlocks, std::max(a, b));
      const bool add = random() % 2 == 0;
      add ? set.Add(first, end) : set.Remove(first, end);
      std::fill(in.begin() + static_cast<ptrdiff_t>(first), in.begin() + static_cast<ptrdiff_t>(end), add);
      ASSERT_EQ(set.count(), static_cast<uint64_t>(std::count(in.begin(), in.end(), true)));
      for (uint64_t i = 0; i < kBlocks;) {
        const bool here = in[i];
        uint64_t next = i;
        while (next < kBlocks && in[next] == here) ++next;
        ASSERT_EQ(set.Contains(i), here) << round << ' ' << i;
        ASSERT_EQ(set.Contains(next - 1), here) << round << ' ' << next;
        ASSERT_EQ(here ? set.NextOutside(i, kBlocks) : set.Next(i, kBlocks), next) << round << ' ' << i;
        ASSERT_EQ(here ? set.Next(i, kBlocks) : set.NextOutside(i, kBlocks), i);
        ASSERT_EQ(here ? set.NextOutside(i, next - 1) : set.Next(i, next - 1), next - 1);
        i = next;
      }
    }
  }
}

TEST(BlockSetTest, AnEmptySetAndEmptyRanges) {
  BlockSet set;
  EXPECT_EQ(set.count(), 0u);
  EXPECT_FALSE(set.Contains(0));
  EXPECT_EQ(set.Next(3, 9), 9u);
  EXPECT_EQ(set.NextOutside(3, 9), 3u);
  EXPECT_EQ(set.NextOutside(9, 3), 3u);
  set.Add(5, 5);
  set.Remove(0, ~uint64_t{0});
  EXPECT_EQ(set.count(), 0u);
  EXPECT_EQ(set.Next(0, ~uint64_t{0}), ~uint64_t{0});
}

// The largest file, in blocks of 4 KiB, with its few blocks that are no holes.
TEST(BlockSetTest, StretchesOfAnySizeTakeNothing) {
  constexpr uint64_t kBlocks = uint64_t{1} << 51;
  BlockSet set;
  set.Add(0, kBlocks);
  EXPECT_EQ(set.count(), kBlocks);
  for (uint64_t i = 1; i <= 1000; ++i) set.Remove(i * (kBlocks / 1001), i * (kBlocks / 1001) + 3);
  EXPECT_EQ(set.count(), kBlocks - 3000);
  EXPECT_EQ(set.NextOutside(1, kBlocks), kBlocks / 1001);
  EXPECT_EQ(set.Next(kBlocks / 1001, kBlocks), kBlocks / 1001 + 3);
  EXPECT_EQ(set.NextOutside(1000 * (kBlocks / 1001) + 3, kBlocks), kBlocks);
  set.Remove(10, ~uint64_t{0});
  EXPECT_EQ(set.count(), 10u);
  EXPECT_EQ(set.NextOutside(0, kBlocks), 10u);
  BlockSet moved = std::move(set);
  EXPECT_EQ(moved.count(), 10u);
  moved = {};
  EXPECT_EQ(moved.count(), 0u);
}

}  // namespace
}  // namespace dkfs
