#include "fs/profile/heat.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace dkfs {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr FileId kFile{7};

hotness_extent Counts(uint64_t born, uint64_t pages, uint64_t rewritten, uint64_t mapped = 0) {
  hotness_extent counts{};
  counts.born = born;
  counts.pages = pages;
  counts.rewritten = rewritten;
  counts.mapped_pages = mapped;
  return counts;
}

TEST(HeatTest, RewrittenPagesAreHotterThanAStream) {
  Heat heat;
  heat.Look(kFile, 1, Counts(1, 64, 0), seconds(1));
  heat.Look(kFile, 2, Counts(1, 6, 3), seconds(1));
  const auto hottest = heat.Hottest(seconds(1));
  ASSERT_EQ(2u, hottest.size());
  EXPECT_EQ(2u, hottest[0].extent);
  EXPECT_EQ(1u, hottest[1].extent);
  EXPECT_EQ(16u, hottest[1].heat);
}

TEST(HeatTest, OftenIsHotterThanMuch) {
  Heat heat;
  heat.Look(kFile, 1, Counts(1, 10'000, 9'000), seconds(1));
  for (uint64_t t = 1; t <= 8; ++t) heat.Look(kFile, 2, Counts(1, 2 * t, 2 * t), seconds(t));
  EXPECT_EQ(2u, heat.Hottest(seconds(8))[0].extent);
}

hotness_file Writes(uint64_t writes, uint64_t fsyncs, uint64_t back) {
  hotness_file counts{};
  counts.writes = writes;
  counts.fsyncs = fsyncs;
  counts.back = back;
  return counts;
}

TEST(HeatTest, ALogIsSyncedOftenAndHardlyEverGoesBack) {
  EXPECT_TRUE(Heat::IsLog(Writes(4'000, 2'000, 2)));
  EXPECT_TRUE(Heat::IsLog(Writes(4'000, 250, 125)));
  EXPECT_FALSE(Heat::IsLog(Writes(4'000, 249, 0))) << "a table at a checkpoint";
  EXPECT_FALSE(Heat::IsLog(Writes(4'000, 4'000, 126))) << "a table that is synced with each change";
  EXPECT_FALSE(Heat::IsLog(Writes(31, 31, 0))) << "little is known yet";
}

TEST(HeatTest, RecycledFilesOfALogAreAsHotAsAStream) {
  Heat heat;
  hotness_extent counts = Counts(1, 64, 64);
  counts.again = ~uint64_t{0};
  for (uint64_t i = 1; i < 9; ++i) {
    counts.pages = counts.rewritten = 64 * i;
    heat.Look(kFile, 1, counts, seconds(1), true);
  }
  heat.Look(kFile, 2, Counts(1, 200, 190), seconds(1));
  heat.Look(kFile, 2, Counts(1, 400, 390), seconds(1));
  heat.Look(kFile, 2, Counts(1, 600, 590), seconds(1));
  const auto hottest = heat.Hottest(seconds(1));
  ASSERT_EQ(2u, hottest.size());
  EXPECT_EQ(2u, hottest[0].extent);
  EXPECT_EQ(16u, hottest[1].heat);
}

TEST(HeatTest, PagesDirtiedThroughAMappingCount) {
  Heat heat;
  heat.Look(kFile, 1, Counts(1, 64, 0), seconds(1));
  heat.Look(kFile, 2, Counts(1, 0, 0, 3), seconds(1));
  EXPECT_EQ(2u, heat.Hottest(seconds(1))[0].extent);
}

TEST(HeatTest, ThePagesThatWereWrittenAgainAreTheHotOnes) {
  Heat heat;
  hotness_extent counts = Counts(1, 64, 0);
  heat.Look(kFile, 1, counts, seconds(1));
  EXPECT_EQ(~uint64_t{0}, heat.Hottest(seconds(1))[0].pages) << "of a stream none is hotter than the others";
  counts = Counts(1, 66, 2);
  counts.again = 0b101;
  heat.Look(kFile, 1, counts, seconds(2));
  EXPECT_EQ(0xffffu, heat.Hottest(seconds(2))[0].pages) << "with those beside them";
  counts = Counts(2, 2, 1);  // pushed out and back
  counts.again = uint64_t{1} << 63;
  heat.Look(kFile, 1, counts, seconds(3));
  EXPECT_EQ(0xffff00000000ffffu, heat.Hottest(seconds(3))[0].pages);
}

TEST(HeatTest, OnlyWhatIsNewCounts) {
  Heat heat;
  EXPECT_TRUE(heat.Look(kFile, 1, Counts(1, 10, 10), seconds(1)));
  const uint64_t once = heat.Hottest(seconds(1))[0].heat;
  EXPECT_FALSE(heat.Look(kFile, 1, Counts(1, 10, 10), seconds(1)));
  EXPECT_EQ(once, heat.Hottest(seconds(1))[0].heat);
  EXPECT_TRUE(heat.Look(kFile, 1, Counts(2, 10, 10), seconds(1))) << "pushed out and back: counted anew";
  EXPECT_NEAR(2.0 * static_cast<double>(once), static_cast<double>(heat.Hottest(seconds(1))[0].heat), 1);
}

TEST(HeatTest, HalfIsLeftAfterTheHalfLife) {
  Heat heat;
  for (uint64_t i = 1; i < 99; ++i) heat.Look(kFile, 1, Counts(1, 100 * i, 100 * i), seconds(1));
  const uint64_t begin = heat.Hottest(seconds(1))[0].heat;
  EXPECT_NEAR(static_cast<double>(begin) / 2, static_cast<double>(heat.Hottest(seconds(1) + hours(1))[0].heat), 1);
  EXPECT_TRUE(heat.Hottest(hours(40)).empty()) << "cold at last";
}

TEST(HeatTest, GoesOnWithWhatWasRecorded) {
  Heat before, after;
  for (uint64_t i = 1; i < 9; ++i) before.Look(kFile, 1, Counts(1, 100 * i, 100 * i), seconds(1));
  before.Look(kFile, 2, Counts(1, 10, 10), seconds(1));
  after.Recall(before.Hottest(seconds(1)), seconds(0));
  EXPECT_EQ(before.Hottest(seconds(1)), after.Hottest(seconds(0)));
  after.Look(kFile, 2, Counts(5, 10, 10), seconds(2));
  EXPECT_EQ(1u, after.Hottest(seconds(2))[0].extent) << "a short mount does not wipe it";
}

TEST(HeatTest, TheColdestGoWhenThereAreTooMany) {
  Heat heat;
  for (uint64_t i = 1; i < 9; ++i) heat.Look(kFile, 1'000'000, Counts(1, 100 * i, 100 * i), seconds(1));
  for (uint64_t i = 0; i < 3 * kMaxHotExtents; ++i) heat.Look(kFile, i, Counts(1, i % 64 + 1, i % 7), seconds(1));
  const auto hottest = heat.Hottest(seconds(1));
  EXPECT_LE(hottest.size(), kMaxHotExtents);
  EXPECT_GE(hottest.size(), kMaxHotExtents / 2);
  EXPECT_EQ(1'000'000u, hottest[0].extent);
  EXPECT_TRUE(std::is_sorted(hottest.begin(), hottest.end(), [](auto& a, auto& b) { return a.heat > b.heat; }));
}

TEST(HeatTest, ManyAlikeDoNotEmptyIt) {
  Heat heat;
  for (uint64_t i = 0; i < 3 * kMaxHotExtents; ++i) heat.Look(kFile, i, Counts(1, 64, 0), seconds(1));
  EXPECT_EQ(kMaxHotExtents, heat.Hottest(seconds(1)).size());
}

}  // namespace
}  // namespace dkfs
