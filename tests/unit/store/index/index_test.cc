#include "store/base/fault.h"
#include "tests/unit/store/index/rig.h"

namespace dkfs {
namespace {

constexpr FileId kFile{7};
constexpr FileId kDir{3};
constexpr LayoutId kLayout{1};

BlockVersion Baseline(uint32_t bytes, uint64_t checksum) {
  BlockVersion version;
  version.kind = BlockKind::kBaseline;
  version.stored_bytes = bytes;
  version.checksum = checksum;
  return version;
}

TEST(IndexTest, QuestionsSeeWhatIsStillQueued) {
  Rig rig("queued");
  rig.Append({Inode(kFile, 5)});
  EXPECT_GT(rig.index->QueuedBytes(), 0u);
  EXPECT_EQ(rig.index->applied(), Seq{});
  EXPECT_EQ(rig.index->Inode(kFile, kLatest)->size, 5u);
  EXPECT_EQ(rig.index->QueuedBytes(), 0u);
  EXPECT_EQ(rig.index->applied(), Seq{1});
}

TEST(IndexTest, InodeAtEachMoment) {
  Rig rig("inode");
  rig.Append({Inode(kFile, 5)});
  rig.Append({Inode(kFile, 6)});
  rig.Append({InodeGone(kFile)});
  EXPECT_EQ(rig.index->Inode(kFile, Seq{0}).code(), ENOENT);
  EXPECT_EQ(rig.index->Inode(kFile, Seq{1})->size, 5u);
  EXPECT_EQ(rig.index->Inode(kFile, Seq{2})->size, 6u);
  EXPECT_EQ(rig.index->Inode(kFile, kLatest).code(), ENOENT);
}

TEST(IndexTest, PayloadsAreLocatedBehindOneAnother) {
  Rig rig("location");
  BlocksItem blocks{kFile, kLayout, kDefaultBlockShift, 10, {Baseline(100, 1), BlockVersion{}, Baseline(50, 2)}};
  rig.Append({Inode(kFile, 1), Make(blocks)}, {}, {"", std::string(150, 'p')});
  Seq seq;
  BlockEntry first, third;
  ASSERT_TRUE(rig.index->NewestBlock(kFile, kLayout, 10, kLatest, &seq, &first).ok());
  ASSERT_TRUE(rig.index->NewestBlock(kFile, kLayout, 12, kLatest, &seq, &third).ok());
  const size_t payload = rig.journal[0].body.find('p');
  EXPECT_EQ(first.location, (Location{SegmentId{1}, 0, uint32_t(kSegmentHeaderBytes + kRecordHeaderBytes + payload)}));
  EXPECT_EQ(third.location.offset, first.location.offset + 100);
}

TEST(IndexTest, ReplacedNameKeepsOnlyTheNewEntry) {
  Rig rig("replace");
  rig.Append({Make(NameItem{kDir, EntryId{20}, "name", FileId{8}, 8})});
  for (bool gone_first : {true, false}) {
    Item gone = Make(NameItem{kDir, EntryId{20}, "name", FileId{}, 0});
    Item made = Make(NameItem{kDir, EntryId{21}, "name", FileId{9}, 8});
    Seq seq = gone_first ? rig.Append({gone, made}) : rig.Append({made, gone});
    EXPECT_EQ(rig.index->Name(kDir, "name", seq)->child, FileId{9});
    std::vector<EntryId> entries;
    ASSERT_TRUE(rig.index
                    ->Entries(kDir, EntryId{}, seq,
                              [&](EntryId id, const EntryValue&) {
                                entries.push_back(id);
                                return true;
                              })
                    .ok());
    EXPECT_EQ(entries, std::vector<EntryId>{EntryId{21}});
    EXPECT_TRUE(rig.index->Links(FileId{8}, seq)->empty());
    EXPECT_EQ(rig.index->Links(FileId{8}, Seq{1})->size(), 1u);
  }
}

TEST(IndexTest, ListingGoesOnAfterAnEntry) {
  Rig rig("listing");
  for (uint64_t i = 16; i < 40; ++i)
    rig.Append({Make(NameItem{kDir, EntryId{i}, "n" + std::to_string(i), FileId{i}, 8})});
  std::vector<uint64_t> seen;
  EntryId after;
  for (bool more = true; more;) {
    more = false;
    int count = 0;
    ASSERT_TRUE(rig.index
                    ->Entries(kDir, after, kLatest,
                              [&](EntryId id, const EntryValue&) {
                                if (++count > 5) return !(more = true);
                                seen.push_back(id.value);
                                after = id;
                                return true;
                              })
                    .ok());
  }
  EXPECT_EQ(seen.size(), 24u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(IndexTest, CoveringRangeIsTheNewestThatCovers) {
  Rig rig("range");
  rig.Append({Make(RangeItem{kFile, kLayout, 0, 10}), Make(RangeItem{kFile, kLayout, 20, 30})});
  rig.Append({Make(RangeItem{kFile, LayoutId{2}, 0, kEndOfFile})});
  rig.Append({Make(RangeItem{kFile, kLayout, 8, kEndOfFile})});
  auto covering = [&](uint64_t block, uint64_t after, Seq at) {
    return rig.index->CoveringRange(kFile, kLayout, block, Seq{after}, at)->value;
  };
  EXPECT_EQ(covering(9, 0, kLatest), 3u);
  EXPECT_EQ(covering(7, 0, kLatest), 1u);
  EXPECT_EQ(covering(7, 1, kLatest), 0u);
  EXPECT_EQ(covering(25, 0, Seq{2}), 1u);
  EXPECT_EQ(covering(15, 0, Seq{2}), 0u);
  EXPECT_EQ(covering(1 << 20, 0, kLatest), 3u);
}

TEST(IndexTest, MaxIdsCountWhatIsQueued) {
  Rig rig("ids");
  rig.Append({Make(NameItem{kDir, EntryId{99}, "name", FileId{55}, 8})});
  EXPECT_EQ(rig.index->max_file(), FileId{55});
  EXPECT_EQ(rig.index->max_entry(), EntryId{99});
  ASSERT_TRUE(rig.Flush().ok());
  rig.Open();
  EXPECT_EQ(rig.index->max_file(), FileId{55});
  EXPECT_EQ(rig.index->max_entry(), EntryId{99});
}

TEST(IndexTest, QueueOverItsLimitSaysSo) {
  Rig rig("limit");
  for (int i = 0; i < 200 && !rig.index->OverLimit(); ++i) {
    rig.Append({Make(XattrItem{kFile, "user.a", std::string(60000, 'x')})});
  }
  EXPECT_TRUE(rig.index->OverLimit());
  ASSERT_TRUE(rig.index->ApplyAll().ok());
  EXPECT_FALSE(rig.index->OverLimit());
}

TEST(IndexTest, FailedApplyLosesNothing) {
  Rig rig("failed");
  rig.Append({Inode(kFile, 5)});
  rig.Append({Inode(kFile, 6)});
  ASSERT_TRUE(Fault::Arm("index.apply=EIO@1").ok());
  EXPECT_EQ(rig.index->Inode(kFile, kLatest).code(), EIO);
  ASSERT_TRUE(Fault::Arm("").ok());
  EXPECT_EQ(rig.index->Inode(kFile, kLatest)->size, 6u);
}

TEST(IndexTest, FlushWaitsForTheJournal) {
  Rig rig("sync");
  rig.Append({Inode(kFile, 5)});
  EXPECT_EQ(rig.index->Flush([](Seq) { return Status::Error(EIO); }).code(), EIO);
  EXPECT_EQ(rig.index->flushed(), Seq{});
  rig.Append({Inode(kFile, 6)});
  rig.Open();
  EXPECT_EQ(rig.index->recovered().last, Seq{});
  EXPECT_EQ(rig.index->Inode(kFile, kLatest).code(), ENOENT);
}

TEST(IndexTest, WhatArrivesWhileTheJournalSyncsIsNotFlushed) {
  Rig rig("during");
  rig.Append({Inode(kFile, 5)});
  Seq asked;
  ASSERT_TRUE(rig.index
                  ->Flush([&](Seq seq) {
                    asked = seq;
                    rig.Append({Inode(kFile, 6)});
                    EXPECT_EQ(rig.index->Inode(kFile, kLatest)->size, 6u);  // no lock is held here
                    return Status::Ok();
                  })
                  .ok());
  EXPECT_EQ(asked, Seq{1});
  EXPECT_EQ(rig.index->flushed(), Seq{1});
  rig.Open();
  EXPECT_EQ(rig.index->recovered().last, Seq{1});
  EXPECT_EQ(rig.index->Inode(kFile, kLatest)->size, 5u);
}

TEST(IndexTest, FlushThatFailedForSpaceEndsLater) {
  Rig rig("space");
  rig.Append({Inode(kFile, 5)});
  ASSERT_TRUE(Fault::Arm("kv.write=ENOSPC@*").ok());
  EXPECT_EQ(rig.Flush().code(), ENOSPC);
  rig.Append({Inode(kFile, 6)});
  EXPECT_EQ(rig.index->Inode(kFile, kLatest)->size, 6u);
  ASSERT_TRUE(Fault::Arm("").ok());
  ASSERT_TRUE(rig.Flush().ok());
  EXPECT_EQ(rig.index->flushed(), Seq{2});
}

TEST(IndexTest, VoidedRecordFlushedBeforeACrashGoesWhenTheTailIsReplayed) {
  for (bool segment_gone : {false, true}) {
    Rig rig("void");
    rig.Append({Inode(kFile, 5)});
    rig.Append({Inode(kFile, 6), Hole(kFile, kLayout, 1, 11), Make(XattrItem{kFile, "user.a", "v"}),
                Make(NameItem{kDir, EntryId{20}, "name", kFile, 8}), Make(RangeItem{kFile, kLayout, 5, 6})});
    ASSERT_TRUE(rig.Flush().ok());
    rig.Append({Make(VoidItem{Seq{2}})});
    if (segment_gone) {
      ASSERT_TRUE(file::Unlink(AT_FDCWD, rig.segment_path()).ok());
    }
    rig.Crash(3);
    EXPECT_EQ(rig.index->recovered().last, Seq{2});
    EXPECT_EQ(rig.index->Inode(kFile, Seq{2})->size, 5u);
    Seq seq;
    BlockEntry entry;
    EXPECT_EQ(rig.index->NewestBlock(kFile, kLayout, 1, kLatest, &seq, &entry).code(), ENOENT);
    EXPECT_EQ(rig.index->Xattr(kFile, "user.a", kLatest).code(), ENOENT);
    EXPECT_EQ(rig.index->Name(kDir, "name", kLatest).code(), ENOENT);
    EXPECT_TRUE(rig.index->Links(kFile, kLatest)->empty());
    EXPECT_EQ(rig.index->CoveringRange(kFile, kLayout, 5, Seq{}, kLatest)->value, 0u);
  }
}

TEST(IndexTest, ACompressedRecordIsAFrameAndCanBeVoided) {
  Rig rig("compressed");
  BlockVersion version;
  version.kind = BlockKind::kBaseline;
  version.stored_bytes = 2000;
  const auto append = [&] {
    return rig.Append({Make(BlocksItem{kFile, kLayout, kDefaultBlockShift, 1, {version}})}, {},
                      {std::string(2000, 'p')}, true);
  };
  append();
  const uint32_t offset = rig.journal.back().at.offset;
  append();
  ASSERT_TRUE(rig.Flush().ok());
  rig.Append({Make(VoidItem{Seq{2}})});
  rig.Crash(3);
  Seq seq;
  BlockEntry entry;
  ASSERT_TRUE(rig.index->NewestBlock(kFile, kLayout, 1, kLatest, &seq, &entry).ok());
  EXPECT_EQ(seq, Seq{1});
  EXPECT_EQ(entry.location.frame, offset);
  EXPECT_EQ(rig.journal[0].body.substr(entry.location.offset, 2000), std::string(2000, 'p'));
}

TEST(IndexTest, RepointOnlyWhereTheIndexStillHoldsWhatWasPacked) {
  Rig rig("repoint");
  rig.Append({Hole(kFile, kLayout, 1, 11), Hole(kFile, kLayout, 2, 12)});
  Seq seq;
  BlockEntry one, two;
  ASSERT_TRUE(rig.index->NewestBlock(kFile, kLayout, 1, kLatest, &seq, &one).ok());
  ASSERT_TRUE(rig.index->NewestBlock(kFile, kLayout, 2, kLatest, &seq, &two).ok());
  BlockEntry moved = one;
  moved.location = {SegmentId{9}, 1, 2};
  ASSERT_TRUE(rig.index
                  ->ApplyRepoints({{{kFile, kLayout, 1, seq}, one, moved},
                                   {{kFile, kLayout, 2, seq}, one, moved},
                                   {{kFile, kLayout, 3, seq}, one, moved}})
                  .ok());
  BlockEntry now;
  ASSERT_TRUE(rig.index->NewestBlock(kFile, kLayout, 1, kLatest, &seq, &now).ok());
  EXPECT_EQ(now, moved);
  ASSERT_TRUE(rig.index->NewestBlock(kFile, kLayout, 2, kLatest, &seq, &now).ok());
  EXPECT_EQ(now, two);
  EXPECT_EQ(rig.index->NewestBlock(kFile, kLayout, 3, kLatest, &seq, &now).code(), ENOENT);
}

TEST(IndexTest, TimeMeansTheLastSeqNotLater) {
  Rig rig("time");
  const std::vector<int64_t> seconds = {10, 20, 20, 15, 16, 30, 5, 5, 40};  // the clock was set back twice
  for (int64_t sec : seconds) rig.Append({Inode(kFile, 1)}, TimeSpec{sec, 0});
  auto check = [&] {
    for (int64_t at = 0; at < 45; ++at) {
      uint64_t expected = 0;
      for (size_t i = 0; i < seconds.size(); ++i) {
        if (seconds[i] <= at) expected = i + 1;
      }
      auto found = rig.index->SeqAt(TimeSpec{at, 0});
      ASSERT_EQ(found.ok() ? found->value : 0, expected) << at;
    }
  };
  check();
  ASSERT_TRUE(rig.Flush().ok());
  rig.Crash(seconds.size());
  check();
  EXPECT_EQ(rig.index->Moment(Seq{4})->time.sec, 15);
  EXPECT_EQ(rig.index->Moment(Seq{99}).code(), ENOENT);
}

}  // namespace
}  // namespace dkfs
