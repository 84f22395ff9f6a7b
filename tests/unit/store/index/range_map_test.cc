#include "store/index/range_map.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/store/index/model.h"
#include "tests/unit/store/index/rig.h"

namespace dkfs {
namespace {

constexpr FileId kFile{7}, kOther{8};
constexpr LayoutId kLayout{1};

// What the map is made for, by looking at each row.
Seq Newest(const std::vector<RangeMap::Row>& rows, uint64_t block) {
  for (const RangeMap::Row& row : rows) {
    if (row.first <= block && (block < row.end || row.end == kEndOfFile)) return row.seq;
  }
  return Seq{};
}

TEST(RangeMapTest, AnswersAsALookAtEachRowWould) {
  std::mt19937_64 random(11);
  const auto below = [&](uint64_t n) { return random() % n; };
  for (int round = 0; round < 300; ++round) {
    std::vector<RangeMap::Row> rows;
    for (uint64_t seq = 1 + below(40); seq > 0; --seq) {
      const uint64_t first = below(60);
      rows.push_back({Seq{seq}, first, below(8) == 0 ? kEndOfFile : first + below(20)});
    }
    const RangeMap map(rows, Seq{});
    for (uint64_t block = 0; block < 100; ++block)
      ASSERT_EQ(map.NewestAfter(block, Seq{}), Newest(rows, block)) << block;
    for (uint64_t block = 0; block < 100; ++block) {
      const uint64_t end = block + below(30);
      uint64_t open = block;
      while (open < end && Newest(rows, open)) ++open;
      ASSERT_EQ(map.FirstUncovered(block, end), open) << block << " to " << end;
    }
  }
}

TEST(RangeMapTest, OfNoRowsIsOpen) {
  const RangeMap map({}, Seq{});
  EXPECT_EQ(map.NewestAfter(0, Seq{}), Seq{});
  EXPECT_EQ(map.FirstUncovered(3, 9), 3u);
}

TEST(RangeMapTest, WhatTheRestMayCoverItDoesNotSay) {
  const RangeMap map({{Seq{9}, 5, 6}}, Seq{3});
  EXPECT_EQ(map.NewestAfter(5, Seq{2}), Seq{9});
  EXPECT_EQ(map.NewestAfter(5, Seq{9}), Seq{});
  EXPECT_EQ(map.NewestAfter(4, Seq{2}), std::nullopt);
  EXPECT_EQ(map.NewestAfter(4, Seq{3}), Seq{});
}

TEST(RangeMapsTest, WhatWasBegunBeforeItsFileWasForgottenIsNotKept) {
  RangeMaps maps;
  const auto map = std::make_shared<const RangeMap>(std::vector<RangeMap::Row>{{Seq{5}, 0, 9}}, Seq{});
  const uint64_t forgotten = maps.Begin(kFile, kLayout, kLatest);
  const uint64_t kept = maps.Begin(kOther, kLayout, kLatest);
  maps.Forget(kFile, Seq{9});
  maps.Keep(forgotten, map);
  maps.Keep(kept, map);
  EXPECT_EQ(maps.Find(kFile, kLayout, kLatest), nullptr);
  EXPECT_EQ(maps.Find(kOther, kLayout, kLatest), map);
  EXPECT_EQ(maps.Find(kOther, LayoutId{2}, kLatest), nullptr);
  EXPECT_EQ(maps.Find(kOther, kLayout, Seq{4}), nullptr);
  maps.ForgetAll();
  EXPECT_EQ(maps.Find(kOther, kLayout, kLatest), nullptr);
}

TEST(RangeMapsTest, ThoseAskedForLastStay) {
  RangeMaps maps;
  const auto map = std::make_shared<const RangeMap>(std::vector<RangeMap::Row>{}, Seq{});
  for (uint64_t i = 1; i <= RangeMaps::kMostMaps; ++i) maps.Keep(maps.Begin(FileId{i}, kLayout, kLatest), map);
  EXPECT_NE(maps.Find(FileId{1}, kLayout, kLatest), nullptr);
  maps.Keep(maps.Begin(FileId{99}, kLayout, kLatest), map);
  EXPECT_NE(maps.Find(FileId{1}, kLayout, kLatest), nullptr);
  EXPECT_EQ(maps.Find(FileId{2}, kLayout, kLatest), nullptr);
}

// A file punched out block by block, so that a map is made, and the questions that everybody asks.
class ManyRangesTest : public testing::Test {
 protected:
  static constexpr uint64_t kBlocks = 500;
  ManyRangesTest() {
    for (uint64_t block = 0; block < kBlocks; ++block) Punch(block * 2, block * 2 + 1);
  }
  Seq Punch(uint64_t first, uint64_t end) {
    const Seq seq = rig_.Append({Make(RangeItem{kFile, kLayout, first, end})});
    rows_.insert(rows_.begin(), {seq, first, end});
    return seq;
  }
  void AllAreAsTheyShouldBe(Seq at = kLatest) {
    std::vector<RangeMap::Row> then;
    for (const RangeMap::Row& row : rows_) {
      if (row.seq <= at) then.push_back(row);
    }
    for (uint64_t block = 0; block < 2 * kBlocks + 2; ++block) {
      const Seq newest = Newest(then, block);
      ASSERT_EQ(*rig_.index->CoveringRange(kFile, kLayout, block, Seq{}, at), newest) << block;
      ASSERT_EQ(*rig_.index->CoveringRange(kFile, kLayout, block, newest, at), Seq{}) << block;
    }
  }
  Rig rig_{"ranges"};
  std::vector<RangeMap::Row> rows_;  // newest first
};

TEST_F(ManyRangesTest, AreFoundNowAndBefore) {
  AllAreAsTheyShouldBe();
  AllAreAsTheyShouldBe(rows_[300].seq);
  AllAreAsTheyShouldBe(rows_[450].seq);
}

TEST_F(ManyRangesTest, OneThatComesCountsAtOnce) {
  AllAreAsTheyShouldBe();
  Punch(101, 102);
  AllAreAsTheyShouldBe();
  Punch(300, kEndOfFile);
  AllAreAsTheyShouldBe();
}

TEST_F(ManyRangesTest, OneThatComesChangesNoMapOfThePast) {
  const Seq past = rows_[300].seq;
  const auto map = *rig_.index->Ranges(kFile, kLayout, past);
  Punch(101, 102);
  EXPECT_EQ(*rig_.index->Ranges(kFile, kLayout, past), map);
  AllAreAsTheyShouldBe(past);
  AllAreAsTheyShouldBe();
}

TEST_F(ManyRangesTest, OneThatIsVoidIsGoneAtOnce) {
  AllAreAsTheyShouldBe();
  const Seq gone = Punch(0, 2 * kBlocks);
  AllAreAsTheyShouldBe();
  rig_.Append({Make(VoidItem{gone})});
  rows_.erase(rows_.begin());
  AllAreAsTheyShouldBe();
}

TEST_F(ManyRangesTest, MoreThanFitIntoAMapAreFoundToo) {
  constexpr uint64_t kRecords = 9, kEach = Index::kMostRanges / 8;
  std::vector<Seq> seqs;
  for (uint64_t i = 0; i < kRecords; ++i) {
    std::vector<Item> items;
    for (uint64_t n = 0; n < kEach; ++n) items.push_back(Make(RangeItem{kFile, kLayout, n * 20 + i, n * 20 + i + 1}));
    seqs.push_back(rig_.Append(items));
  }
  ASSERT_TRUE((*rig_.index->Ranges(kFile, kLayout, kLatest))->rest());
  for (uint64_t i = 0; i < kRecords; ++i) {
    for (uint64_t n = 100; n < kEach; n += kEach / 10) {
      EXPECT_EQ(*rig_.index->CoveringRange(kFile, kLayout, n * 20 + i, Seq{}, kLatest), seqs[i]) << i << " " << n;
      EXPECT_EQ(*rig_.index->CoveringRange(kFile, kLayout, n * 20 + i, seqs[i], kLatest), Seq{}) << i << " " << n;
    }
  }
  EXPECT_EQ(*rig_.index->CoveringRange(kFile, kLayout, 20 * kEach - 1, Seq{}, kLatest), Seq{});
}

TEST_F(ManyRangesTest, AFileWithoutAnyHasNone) {
  AllAreAsTheyShouldBe();
  EXPECT_EQ(*rig_.index->CoveringRange(kOther, kLayout, 0, Seq{}, kLatest), Seq{});
  EXPECT_EQ(*rig_.index->CoveringRange(kFile, LayoutId{2}, 0, Seq{}, kLatest), Seq{});
}

}  // namespace
}  // namespace dkfs
