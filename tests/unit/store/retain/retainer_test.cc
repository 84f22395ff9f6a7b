// Space, units, damage and age, each by itself.
#include <random>

#include "store/codec/codec.h"
#include "store/replay/unit.h"
#include "tests/unit/store/retain/rig.h"

namespace dkfs::retain_test {
namespace {

using std::chrono::seconds;
constexpr size_t kBlock = 8192;

std::string Noise(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string out(bytes, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

class RetainerTest : public testing::Test {
 protected:
  void Start(RetainOptions options) {
    path_ = FreshDir(testing::UnitTest::GetInstance()->current_test_info()->name());
    rig_ = std::make_unique<Rig>(path_, &time_, options);
    ASSERT_OK(rig_->Open());
  }
  InodeState Inode(uint64_t size) {
    InodeState state;
    state.mode = 0100644;
    state.nlink = 1;
    state.size = size;
    return state;
  }
  Item InodeItemOf(uint64_t file, const InodeState& state) { return {Seq{}, InodeItem{FileId{file}, state}, 0, {}}; }
  // Writes content from byte 0 on, 64 KiB a record.
  Seq Write(uint64_t file, const std::string& content) {
    Seq last;
    for (size_t at = 0; at < content.size(); at += 65536) {
      const std::string part = content.substr(at, 65536);
      BlocksItem blocks{FileId{file}, LayoutId{1}, kDefaultBlockShift, at / kBlock, {}};
      for (size_t b = 0; b < part.size(); b += kBlock) {
        const std::string one = part.substr(b, kBlock);
        blocks.versions.push_back(
            {BlockKind::kBaseline, 0, static_cast<uint32_t>(one.size()), HashZeroPadded(AsBytes(one), kBlock), Seq{}});
      }
      last = rig_->Append({Item{Seq{}, blocks, 0, AsBytes(part)}});
    }
    return last;
  }
  std::string Read(uint64_t file, size_t bytes, Seq at) {
    std::string out;
    const InodeState state = Value(rig_->index->Inode(FileId{file}, at));
    for (uint64_t block = 0; out.size() < bytes; ++block) {
      std::string one(kBlock, '?');
      const Status read = rig_->reconstructor->Block(FileId{file}, state, block, at,
                                                     {reinterpret_cast<std::byte*>(one.data()), one.size()});
      EXPECT_TRUE(read.ok()) << read.ToString();
      out += one;
    }
    return out.substr(0, bytes);
  }
  void Age(seconds s) {
    rig_->retainer->Tick();
    time_.Pass(s);
    rig_->Settle();
  }

  FakeTime time_;
  std::string path_;
  std::unique_ptr<Rig> rig_;
};

// Adopted content is as old as the file, so its versions follow one another in packs; those of zeros have no payload.
TEST_F(RetainerTest, ManyAdoptedBlocksOfZerosArePacked) {
  constexpr uint64_t kBlocks = 400'000, kInRecord = 10'000;  // more than one record has room for
  Start({});
  rig_->Append({InodeItemOf(2, Inode(kBlocks * kBlock))});
  const BlockVersion zeros{BlockKind::kBaseline, 0, 0, HashZeroPadded({}, kBlock), Seq{}};
  for (uint64_t first = 0; first < kBlocks; first += kInRecord) {
    const BlocksItem blocks{FileId{2}, LayoutId{1}, kDefaultBlockShift, first, {kInRecord, zeros}};
    rig_->Append({Item{Seq{1}, blocks, 0, {}}});
  }
  rig_->Settle();
  std::string one(kBlock, '?');
  const InodeState state = Value(rig_->index->Inode(FileId{2}, kLatest));
  for (const uint64_t block : {uint64_t{0}, kBlocks / 2, kBlocks - 1}) {
    Reconstructor::Newest newest;
    ASSERT_OK(rig_->reconstructor->Block(FileId{2}, state, block, kLatest,
                                         {reinterpret_cast<std::byte*>(one.data()), one.size()}, &newest));
    EXPECT_FALSE(newest.hole);
    EXPECT_EQ(one, std::string(kBlock, '\0'));
  }
}

TEST_F(RetainerTest, EndlessOverwritesStayInTheBudget) {
  RetainOptions options;
  options.budget_bytes = 12 << 20;
  Start(options);
  rig_->Append({InodeItemOf(2, Inode(1 << 20))});
  std::string content;
  for (uint64_t round = 0; round < 40; ++round) {
    content = Noise(1 << 20, round);
    Write(2, content);
    if (round % 4 != 3) continue;
    Age(seconds(10));
    const uint64_t used = rig_->journal->DiskBytes() + rig_->PackBytes() + rig_->kv->DiskBytes();
    ASSERT_LE(used, options.budget_bytes) << "round " << round;
  }
  EXPECT_FALSE(rig_->retainer->stats().over_budget);
  EXPECT_GT(rig_->retainer->stats().horizon.value, 0u);
  EXPECT_EQ(Read(2, content.size(), kLatest), content);
}

TEST_F(RetainerTest, HistoryIsSpentInFewSteps) {
  constexpr uint64_t kParts = 32;
  RetainOptions options;
  options.budget_bytes = 80 << 20;
  options.pack_source_bytes = 1 << 20;  // many packs
  Start(options);
  rig_->Append({InodeItemOf(2, Inode(1 << 20))});
  int steps = 0;
  for (uint64_t round = 0; round < 70; ++round) {
    Write(2, Noise(1 << 20, round));
    ASSERT_OK(rig_->journal->Seal());
    time_.Pass(seconds(5));
    for (bool more = true; more;) {
      const Seq before = rig_->retainer->stats().horizon;
      more = Value(rig_->retainer->Step());
      const Seq after = rig_->retainer->stats().horizon;
      if (after == before) continue;
      ++steps;
      EXPECT_GE(after.value - before.value, (rig_->journal->appended().value - before.value) / kParts);
    }
  }
  EXPECT_GT(steps, 2);
}

TEST_F(RetainerTest, WhatLeftTheWindowTakesNoSpace) {
  RetainOptions options;
  options.retain = seconds(60);
  Start(options);
  rig_->Append({InodeItemOf(2, Inode(1 << 20))});
  for (uint64_t round = 0; round < 8; ++round) Write(2, Noise(1 << 20, round));
  Age(seconds(10));
  EXPECT_GT(rig_->PackBytes(), uint64_t{7} << 20);
  Age(seconds(70));
  Age(seconds(70));
  EXPECT_LT(rig_->PackBytes(), uint64_t{5} << 18);
  EXPECT_EQ(Read(2, 1 << 20, kLatest), Noise(1 << 20, 7));
}

TEST_F(RetainerTest, OverBudgetWithoutHistoryIsTold) {
  RetainOptions options;
  options.budget_bytes = 3 << 20;
  Start(options);
  rig_->Append({InodeItemOf(2, Inode(8 << 20))});
  Write(2, Noise(8 << 20, 1));
  Age(seconds(10));
  EXPECT_TRUE(rig_->retainer->stats().over_budget);
  EXPECT_EQ(Read(2, 8 << 20, kLatest), Noise(8 << 20, 1));
}

TEST_F(RetainerTest, WhatTheSegmentBeingWrittenEndedIsSpentToo) {
  RetainOptions options;
  options.budget_bytes = 12 << 20;
  Start(options);
  rig_->Append({InodeItemOf(2, Inode(9 << 20))});
  Write(2, Noise(9 << 20, 1));
  Age(seconds(10));
  EXPECT_GT(rig_->PackBytes(), uint64_t{8} << 20);
  rig_->Append({InodeItemOf(2, InodeState{})});
  for (int round = 0; round < 20; ++round) {
    time_.Pass(seconds(1));
    for (bool more = true; more;) more = Value(rig_->retainer->Step());
  }
  EXPECT_LT(rig_->PackBytes(), uint64_t{1} << 20);
}

TEST_F(RetainerTest, IdenticalContentStandsOnce) {
  Start({});
  const std::string content = Noise(1 << 20, 5);
  for (uint64_t file = 2; file < 6; ++file) {
    rig_->Append({InodeItemOf(file, Inode(1 << 20))});
    Write(file, content);
  }
  Age(seconds(10));
  EXPECT_LT(rig_->PackBytes(), uint64_t{3} << 19);
  for (uint64_t file = 2; file < 6; ++file) EXPECT_EQ(Read(file, content.size(), kLatest), content);
}

TEST_F(RetainerTest, LongFramesFindWhatStoodFarBefore) {
  RetainOptions options;
  options.retain = seconds(3600);
  Start(options);
  const std::string once = Noise(2 << 20, 9);
  const std::string content = once + once.substr(100) + once.substr(200);  // blocks that are not equal
  InodeState state = Inode(content.size());
  state.policy.compression = 1;
  state.policy.long_frames = true;
  rig_->Append({InodeItemOf(2, state)});
  const Seq written = Write(2, content);
  Age(seconds(10));
  EXPECT_LT(rig_->PackBytes(), uint64_t{5} << 19);
  EXPECT_EQ(Read(2, content.size(), kLatest), content);
  // Packed again when most of it has left the window.
  for (uint64_t round = 0; round < 2; ++round) {
    Write(2, Noise(2 << 20, round));
    Age(seconds(4000));
  }
  Age(seconds(4000));
  EXPECT_EQ(Read(2, content.size(), kLatest), Noise(2 << 20, 1) + content.substr(2 << 20));
  EXPECT_GT(rig_->retainer->stats().horizon, written);
}

TEST_F(RetainerTest, AReplacedFileIsStoredAsUnitsUntilItsBaseLeaves) {
  RetainOptions options;
  options.retain = seconds(600);
  Start(options);
  const std::string before = Noise(2 << 20, 1);
  std::string after = before;
  after.insert(100'000, "a few new bytes");
  after.resize(2 << 20);
  rig_->Append({InodeItemOf(2, Inode(2 << 20))});
  const Seq written = Write(2, before);
  Age(seconds(10));
  rig_->Append({InodeItemOf(3, Inode(2 << 20))});
  Write(3, after);
  InodeState renamed = Inode(2 << 20);
  renamed.replaced = FileId{2};
  rig_->Append({InodeItemOf(3, renamed), InodeItemOf(2, InodeState{})});
  Age(seconds(10));
  EXPECT_LT(rig_->PackBytes(), uint64_t{5} << 19) << "two plain copies would be 4 MiB";
  EXPECT_EQ(Read(3, after.size(), kLatest), after);
  EXPECT_EQ(Read(2, before.size(), written), before);
  rig_->Drop();
  ASSERT_OK(rig_->Open());
  EXPECT_EQ(Read(3, after.size(), kLatest), after);
  rig_->Append({InodeItemOf(4, Inode(0))});
  Age(seconds(700));
  Age(seconds(700));
  EXPECT_LT(rig_->PackBytes(), uint64_t{5} << 19) << "the base is gone";
  EXPECT_EQ(Read(3, after.size(), kLatest), after);
  rig_->Drop();
  ASSERT_OK(rig_->Open(true));
  EXPECT_EQ(Read(3, after.size(), kLatest), after);
}

TEST_F(RetainerTest, AFileReplacedAgainAndAgainStandsOnUnitsOfUnits) {
  constexpr uint64_t kGenerations = 5;
  RetainOptions options;
  options.retain = seconds(600);
  Start(options);
  std::string content = Noise(2 << 20, 1);
  for (uint64_t file = 2; file < 2 + kGenerations; ++file) {
    content.insert(file * 100'000, "a few new bytes");
    content.resize(2 << 20);
    InodeState state = Inode(2 << 20);
    rig_->Append({InodeItemOf(file, state)});
    Write(file, content);
    if (file > 2) {
      state.replaced = FileId{file - 1};
      rig_->Append({InodeItemOf(file, state), InodeItemOf(file - 1, InodeState{})});
    }
    Age(seconds(10));
  }
  int deepest = 0;
  for (uint64_t file = 2; file < 2 + kGenerations; ++file) {
    Seq seq;
    BlockEntry entry;
    ASSERT_OK(rig_->index->NewestBlock(FileId{file}, LayoutId{1}, 100, kLatest, &seq, &entry));
    if (entry.version.kind == BlockKind::kUnit) deepest = std::max<int>(deepest, entry.version.chain_length);
  }
  EXPECT_EQ(deepest, kMaxUnitDepth - 1);
  EXPECT_LT(rig_->PackBytes(), uint64_t{9} << 19);
  EXPECT_EQ(Read(1 + kGenerations, content.size(), kLatest), content);
}

TEST_F(RetainerTest, APackOfManyUnitsIsWrittenAgainOnce) {
  constexpr uint64_t kPairs = 6;
  RetainOptions options;
  options.retain = seconds(600);
  Start(options);
  const auto content = [](uint64_t pair) { return Noise(1 << 20, pair); };
  for (uint64_t pair = 0; pair < kPairs; ++pair) {
    rig_->Append({InodeItemOf(10 + pair, Inode(1 << 20))});
    Write(10 + pair, content(pair));
  }
  Age(seconds(10));
  for (uint64_t pair = 0; pair < kPairs; ++pair) {
    InodeState renamed = Inode(1 << 20);
    rig_->Append({InodeItemOf(20 + pair, renamed)});
    Write(20 + pair, "new" + content(pair).substr(3));
    renamed.replaced = FileId{10 + pair};
    rig_->Append({InodeItemOf(20 + pair, renamed), InodeItemOf(10 + pair, InodeState{})});
    time_.Pass(seconds(60));
    rig_->retainer->Tick();
  }
  rig_->Settle();
  const uint64_t written = rig_->retainer->stats().packed_segments;
  for (uint64_t i = 0; i < 20; ++i) Age(seconds(60));
  EXPECT_LE(rig_->retainer->stats().packed_segments, written + 3) << "the bases' pack, and the one with the units";
  EXPECT_LT(rig_->PackBytes(), kPairs * (5 << 18)) << "the bases are gone";
  for (uint64_t pair = 0; pair < kPairs; ++pair) {
    EXPECT_EQ(Read(20 + pair, 1 << 20, kLatest), "new" + content(pair).substr(3));
  }
}

TEST_F(RetainerTest, ADamagedSegmentIsKept) {
  RetainOptions options;
  options.retain = seconds(60);
  Start(options);
  rig_->Append({InodeItemOf(2, Inode(1 << 20))});
  const std::string content = Noise(1 << 19, 3);
  Write(2, content);
  ASSERT_OK(rig_->journal->Seal());
  ASSERT_GT(rig_->journal->SealedSegments().size(), 1u);
  const SegmentId damaged = rig_->journal->SealedSegments()[1].id;
  const std::string segment = rig_->journal_path() + "/" + SegmentName(damaged, SegmentKind::kJournal);
  UniqueFd fd = Value(file::Open(AT_FDCWD, segment, O_RDWR));
  ASSERT_OK(file::WriteAt(fd.get(), AsBytes("damage"), 200'000, segment));
  Age(seconds(10));
  EXPECT_TRUE(file::Stat(AT_FDCWD, segment).ok());
  Age(seconds(70));
  EXPECT_TRUE(file::Stat(AT_FDCWD, segment).ok());
  EXPECT_EQ(Read(2, 65536, kLatest), content.substr(0, 65536));
}

TEST_F(RetainerTest, ARestartAgesHistoryByAnHourAtMost) {
  RetainOptions options;
  options.retain = std::chrono::hours(24);
  Start(options);
  rig_->Append({InodeItemOf(2, Inode(0))});
  Age(seconds(10));
  rig_->Append({InodeItemOf(2, Inode(1))});
  Age(seconds(10));
  rig_->Drop();
  time_.Pass(std::chrono::hours(240));
  ASSERT_OK(rig_->Open());
  rig_->Settle();
  EXPECT_EQ(rig_->retainer->stats().horizon, Seq{});
  time_.Pass(std::chrono::hours(24));
  rig_->Settle();
  EXPECT_GT(rig_->retainer->stats().horizon, Seq{});
}

}  // namespace
}  // namespace dkfs::retain_test
