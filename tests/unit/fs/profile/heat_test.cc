#include "fs/profile/heat.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace dkfs {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr FileId kFile{7};
constexpr uint64_t kAll = ~uint64_t{0};

ExtentPages Again(uint64_t extent, uint64_t pages) { return {kFile, extent, pages}; }

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

hotness_file Writes(uint64_t writes, uint64_t fsyncs, uint64_t back, uint64_t next_offset = 1 << 24) {
  hotness_file counts{};
  counts.born = 1;
  counts.writes = writes;
  counts.fsyncs = fsyncs;
  counts.back = back;
  counts.next_offset = next_offset;
  return counts;
}

// Whether a file that was written so, and all of it again and again, has no heat.
bool IsLog(const std::vector<hotness_file>& looks) {
  Heat heat;
  for (const hotness_file& counts : looks) heat.LookAtFile(kFile, counts);
  heat.Look(Again(1, kAll), seconds(1));
  return heat.Hottest(seconds(1)).empty();
}

TEST(HeatTest, ALogHardlyEverGoesBackAndIsSyncedMoreOften) {
  EXPECT_TRUE(IsLog({Writes(4'000, 2'000, 2)}));
  EXPECT_TRUE(IsLog({Writes(4'000, 252, 125)}));
  EXPECT_TRUE(IsLog({Writes(2'359, 13, 2)})) << "while a table is filled";
  EXPECT_FALSE(IsLog({Writes(4'000, 251, 125)}));
  EXPECT_FALSE(IsLog({Writes(4'000, 10, 10)})) << "a table at checkpoints";
  EXPECT_FALSE(IsLog({Writes(4'000, 1, 0)})) << "a table that was filled";
  EXPECT_FALSE(IsLog({Writes(4'000, 4'000, 126)})) << "a table that is synced with each change";
  EXPECT_FALSE(IsLog({Writes(31, 31, 0)})) << "little is known yet";
}

TEST(HeatTest, WhatAFileIsDoingLatelyDecides) {
  EXPECT_FALSE(IsLog({Writes(4'000, 2'000, 0), Writes(5'000, 3'000, 0)})) << "one page of it again and again";
  EXPECT_TRUE(IsLog({Writes(4'000, 2'000, 0), Writes(5'000, 3'000, 1)})) << "a whole pass over it";
  EXPECT_FALSE(IsLog({Writes(4'000, 2'000, 0), Writes(4'032, 2'032, 10, 1 << 20)}));
  EXPECT_TRUE(IsLog({Writes(4'000, 2'000, 0), Writes(4'031, 2'000, 31, 1 << 20)})) << "too little to decide anew";
  EXPECT_TRUE(IsLog({Writes(4'000, 10, 10), Writes(8'000, 2'010, 11, 1 << 20)}));
  hotness_file anew = Writes(100, 100, 0, 1 << 20);
  anew.born = 2;  // pushed out and back
  EXPECT_TRUE(IsLog({Writes(4'000, 10, 10), anew}));
}

TEST(HeatTest, RecycledFilesOfALogAreNotHot) {
  Heat heat;
  for (uint64_t i = 1; i < 9; ++i) heat.Look(Again(1, kAll), seconds(1));
  heat.Look({FileId(8), 2, 0b11}, seconds(1));
  EXPECT_EQ(kFile, heat.Hottest(seconds(1))[0].file);
  heat.LookAtFile(kFile, Writes(100, 100, 0));
  const auto hottest = heat.Hottest(seconds(1));
  ASSERT_EQ(1u, hottest.size()) << "also what was seen before it was known to be one";
  EXPECT_EQ(FileId(8), hottest[0].file);
}

TEST(HeatTest, ThePagesThatWereWrittenAgainAndAgainAreTheHotOnes) {
  Heat heat;
  const auto pages = [&] { return heat.Hottest(seconds(9))[0].pages; };
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
  for (uint64_t i = 0; i < 3 * kMaxHotExtents; ++i) heat.Look(Again(i, kAll >> i % 64), seconds(1));
  const auto hottest = heat.Hottest(seconds(1));
  EXPECT_LE(hottest.size(), kMaxHotExtents);
  EXPECT_GE(hottest.size(), kMaxHotExtents / 2);
  EXPECT_EQ(1'000'000u, hottest[0].extent);
  EXPECT_TRUE(std::is_sorted(hottest.begin(), hottest.end(), [](auto& a, auto& b) { return a.heat > b.heat; }));
}

TEST(HeatTest, ManyAlikeDoNotEmptyIt) {
  Heat heat;
  for (uint64_t i = 0; i < 3 * kMaxHotExtents; ++i) heat.Look(Again(i, kAll), seconds(1));
  EXPECT_EQ(kMaxHotExtents, heat.Hottest(seconds(1)).size());
}

}  // namespace
}  // namespace dkfs
