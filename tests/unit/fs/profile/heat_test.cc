#include "fs/profile/heat.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace dkfs {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr FileId kFile{7};
constexpr uint64_t kAll = ~uint64_t{0};

ExtentPages Again(uint64_t extent, uint64_t pages) { return {kFile, extent, 0, pages}; }
ExtentPages First(uint64_t extent, uint64_t pages) { return {kFile, extent, pages, 0}; }

TEST(HeatTest, RewrittenPagesAreHotterThanAStream) {
  Heat heat;
  heat.Look(First(1, kAll), seconds(1));
  heat.Look({kFile, 2, 0b111, 0b111}, seconds(1));
  const auto hottest = heat.Hottest(seconds(1));
  ASSERT_EQ(2u, hottest.size());
  EXPECT_EQ(2u, hottest[0].extent);
  EXPECT_EQ(1u, hottest[1].extent);
  EXPECT_EQ(16u, hottest[1].heat);
}

TEST(HeatTest, OftenIsHotterThanMuch) {
  Heat heat;
  heat.Look(Again(1, kAll), seconds(1));
  for (uint64_t t = 1; t <= 8; ++t) heat.Look(Again(2, 0b11), seconds(t));
  EXPECT_EQ(2u, heat.Hottest(seconds(8))[0].extent);
}

TEST(HeatTest, AFewPagesThatAreWrittenAgainAreAsHotAsMany) {
  Heat heat;
  heat.Look(Again(1, kAll), seconds(1));
  heat.Look(Again(2, 0x7f), seconds(1));
  const auto hottest = heat.Hottest(seconds(1));
  ASSERT_EQ(2u, hottest.size());
  EXPECT_EQ(hottest[0].heat, hottest[1].heat);
}

hotness_file Writes(uint64_t writes, uint64_t fsyncs, uint64_t back) {
  hotness_file counts{};
  counts.writes = writes;
  counts.fsyncs = fsyncs;
  counts.back = back;
  return counts;
}

TEST(HeatTest, ALogHardlyEverGoesBackAndIsSyncedMoreOften) {
  EXPECT_TRUE(Heat::IsLog(Writes(4'000, 2'000, 2)));
  EXPECT_TRUE(Heat::IsLog(Writes(4'000, 252, 125)));
  EXPECT_TRUE(Heat::IsLog(Writes(2'359, 13, 2))) << "while a table is filled";
  EXPECT_FALSE(Heat::IsLog(Writes(4'000, 251, 125)));
  EXPECT_FALSE(Heat::IsLog(Writes(4'000, 10, 10))) << "a table at checkpoints";
  EXPECT_FALSE(Heat::IsLog(Writes(4'000, 1, 0))) << "a table that was filled";
  EXPECT_FALSE(Heat::IsLog(Writes(4'000, 4'000, 126))) << "a table that is synced with each change";
  EXPECT_FALSE(Heat::IsLog(Writes(31, 31, 0))) << "little is known yet";
}

TEST(HeatTest, RecycledFilesOfALogAreAsHotAsAStream) {
  Heat heat;
  for (uint64_t i = 1; i < 9; ++i) heat.Look(Again(1, kAll), seconds(1));
  heat.Look({FileId(8), 2, 0, 0b11}, seconds(1));
  EXPECT_EQ(kFile, heat.Hottest(seconds(1))[0].file);
  heat.SetLogs({kFile});
  const auto hottest = heat.Hottest(seconds(1));
  ASSERT_EQ(2u, hottest.size());
  EXPECT_EQ(FileId(8), hottest[0].file) << "also what was seen before it was known to be one";
  EXPECT_EQ(16u, hottest[1].heat);
}

TEST(HeatTest, ThePagesThatWereWrittenAgainAndAgainAreTheHotOnes) {
  Heat heat;
  const auto pages = [&] { return heat.Hottest(seconds(9))[0].pages; };
  heat.Look(First(1, kAll), seconds(1));
  EXPECT_EQ(kAll, pages()) << "of a stream none is hotter than the others";
  heat.Look(Again(1, 0xff), seconds(2));
  EXPECT_EQ(0xffu, pages());
  heat.Look(Again(1, 0xf00), seconds(3));
  EXPECT_EQ(0xfffu, pages());
  heat.Look(Again(1, 0b101), seconds(4));
  EXPECT_EQ(0b101u, pages()) << "once was a pass over the file";
  heat.Look(Again(1, 0x800), seconds(5));
  EXPECT_EQ(0x805u, pages());
}

TEST(HeatTest, HalfIsLeftAfterTheHalfLife) {
  Heat heat;
  for (uint64_t i = 1; i < 99; ++i) heat.Look(Again(1, kAll), seconds(1));
  const uint64_t begin = heat.Hottest(seconds(1))[0].heat;
  EXPECT_NEAR(static_cast<double>(begin) / 2, static_cast<double>(heat.Hottest(seconds(1) + hours(1))[0].heat), 1);
  EXPECT_TRUE(heat.Hottest(hours(40)).empty()) << "cold at last";
}

TEST(HeatTest, GoesOnWithWhatWasRecorded) {
  Heat before, after;
  for (uint64_t i = 1; i < 9; ++i) before.Look(Again(1, 0xff00), seconds(1));
  before.Look(Again(2, 0b11), seconds(1));
  after.Recall(before.Hottest(seconds(1)), seconds(0));
  EXPECT_EQ(before.Hottest(seconds(1)), after.Hottest(seconds(0)));
  after.Look(Again(2, 0b100), seconds(2));
  EXPECT_EQ(1u, after.Hottest(seconds(2))[0].extent) << "a short mount does not wipe it";
  EXPECT_EQ(0b11u, after.Hottest(seconds(2))[1].pages);
}

TEST(HeatTest, TheColdestGoWhenThereAreTooMany) {
  Heat heat;
  for (uint64_t i = 1; i < 9; ++i) heat.Look(Again(1'000'000, kAll), seconds(1));
  for (uint64_t i = 0; i < 3 * kMaxHotExtents; ++i) heat.Look({kFile, i, kAll >> i % 64, i % 7}, seconds(1));
  const auto hottest = heat.Hottest(seconds(1));
  EXPECT_LE(hottest.size(), kMaxHotExtents);
  EXPECT_GE(hottest.size(), kMaxHotExtents / 2);
  EXPECT_EQ(1'000'000u, hottest[0].extent);
  EXPECT_TRUE(std::is_sorted(hottest.begin(), hottest.end(), [](auto& a, auto& b) { return a.heat > b.heat; }));
}

TEST(HeatTest, ManyAlikeDoNotEmptyIt) {
  Heat heat;
  for (uint64_t i = 0; i < 3 * kMaxHotExtents; ++i) heat.Look(First(i, kAll), seconds(1));
  EXPECT_EQ(kMaxHotExtents, heat.Hottest(seconds(1)).size());
}

}  // namespace
}  // namespace dkfs
