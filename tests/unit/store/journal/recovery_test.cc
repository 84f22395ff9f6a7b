#include "store/journal/recovery.h"

#include "tests/unit/store/journal/image.h"

namespace dkfs {
namespace {

using namespace journal_testing;

struct RecoveryTest : testing::Test {
  RecoveryTest() : rig(FreshDir(testing::UnitTest::GetInstance()->current_test_info()->name())) {
    EXPECT_TRUE(rig.Open().ok());
  }
  void ExpectDamage(const std::string& name, JournalPosition from = {}) {
    const Status opened = rig.Open(from);
    EXPECT_TRUE(opened.IsCorruption()) << opened.ToString();
    EXPECT_NE(opened.ToString().find(name), std::string::npos) << opened.ToString();
  }
  std::string NameOf(size_t i) { return SegmentName(rig.model[i].at.segment, SegmentKind::kJournal); }
  Rig rig;
};

TEST_F(RecoveryTest, TornTailIsCut) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(rig.Append(std::string(1000, 't')).ok());
  rig.journal.reset();
  const Appended last = rig.model.back().at;
  Patch(rig.File(last.segment)).Zero(last.offset + 500, last.offset + last.length);
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->appended(), Seq(4));
  EXPECT_EQ(fs::file_size(rig.File(last.segment)), last.offset);
}

TEST_F(RecoveryTest, WhatCameAfterAGapNeverReappears) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(rig.Append("old " + std::to_string(i)).ok());
  rig.journal.reset();
  const Appended third = rig.model[2].at;
  Patch(rig.File(third.segment)).Zero(third.offset, third.offset + third.length);
  ASSERT_TRUE(rig.Open().ok());
  ASSERT_EQ(rig.journal->appended(), Seq(2));
  ASSERT_TRUE(rig.Append("new").ok());
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->appended(), Seq(3));
  EXPECT_EQ(rig.model[2].body, "new");
}

TEST_F(RecoveryTest, AGapBelowASyncedMarkIsDamage) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(rig.Append("synced").ok());
  ASSERT_TRUE(rig.journal->Sync(kLatest).ok());
  ASSERT_TRUE(rig.Append("carries the mark").ok());
  rig.journal.reset();
  const Appended second = rig.model[1].at;
  Patch(rig.File(second.segment)).Zero(second.offset, second.offset + second.length);
  ExpectDamage(NameOf(1) + " at offset " + std::to_string(second.offset) + ": Seq 2");
}

TEST_F(RecoveryTest, AGapBeforeALaterOpeningIsDamage) {
  ASSERT_TRUE(rig.Append("a").ok());
  ASSERT_TRUE(rig.Open().ok());  // which synced it; no record says so
  rig.journal.reset();
  Patch(rig.File(rig.model[0].at.segment)).Flip(rig.model[0].at.offset + 9, 1);
  ExpectDamage(NameOf(0));
}

TEST_F(RecoveryTest, ADamagedSegmentHeaderIsDamage) {
  ASSERT_TRUE(rig.Append("a").ok());
  rig.journal.reset();
  Patch(rig.File(rig.model[0].at.segment)).Flip(20, 1);
  ExpectDamage(NameOf(0));
}

TEST_F(RecoveryTest, AMissingSegmentInTheMiddleIsDamage) {
  for (int i = 0; i < 3; ++i) rig.FillSegment();
  ASSERT_TRUE(rig.journal->Seal().ok());
  const SegmentId first = rig.model[0].at.segment;
  SegmentId middle;
  for (const Written& w : rig.model) {
    if (w.at.segment > first && !middle) middle = w.at.segment;
  }
  rig.journal.reset();
  fs::remove(rig.File(middle));
  ExpectDamage(NameOf(0));
}

TEST_F(RecoveryTest, AMissingFirstSegmentIsDamage) {
  rig.FillSegment();
  rig.FillSegment();
  rig.journal.reset();
  fs::remove(rig.File(rig.model[0].at.segment));
  ExpectDamage("is missing");
}

TEST_F(RecoveryTest, AMissingLastSegmentIsDamageWhenTheIndexHoldsIt) {
  rig.FillSegment();
  rig.FillSegment();
  ASSERT_TRUE(rig.journal->Sync(kLatest).ok());
  rig.journal.reset();
  const Appended last = rig.model.back().at;
  fs::remove(rig.File(last.segment));
  ExpectDamage("the index holds it", {.last = last.seq, .segment = last.segment, .offset = last.offset + last.length});
}

TEST_F(RecoveryTest, AnEmptiedJournalIsDamageWhenTheIndexHoldsSomething) {
  rig.journal.reset();
  fs::remove_all(rig.path);
  ExpectDamage("is missing", {.last = Seq(3), .segment = SegmentId(1), .offset = 5000});
}

TEST_F(RecoveryTest, AnotherStoresSegmentIsDamage) {
  ASSERT_TRUE(rig.Append("a").ok());
  rig.journal.reset();
  Uuid other = kUuid;
  other[5] = std::byte{9};
  const auto opened = Journal::Open(rig.path, other, {}, rig.options, [](auto&&...) { return Status::Ok(); });
  EXPECT_TRUE(opened.status().IsCorruption());
}

TEST_F(RecoveryTest, OnlyTheTailIsRead) {
  rig.FillSegment();
  rig.FillSegment();
  ASSERT_TRUE(rig.journal->Sync(kLatest).ok());
  const Appended last = rig.model.back().at;
  ASSERT_TRUE(rig.Append("tail").ok());
  rig.journal.reset();
  // Damage before the tail is found when it is read, not here.
  Patch(rig.File(rig.model[1].at.segment)).Flip(rig.model[1].at.offset + 100, 1);
  ASSERT_TRUE(rig.Open({.last = last.seq, .segment = last.segment, .offset = last.offset + last.length}).ok());
}

TEST_F(RecoveryTest, AFullSegmentThatWasNotSealedIsCutLater) {
  rig.FillSegment();
  ASSERT_TRUE(rig.journal->Sync(kLatest).ok());
  const Appended last = rig.model.back().at;
  const SegmentId first = rig.model[0].at.segment;
  rig.journal.reset();
  const uint64_t sealed = fs::file_size(rig.File(first));
  Patch(rig.File(first)).Unseal(nullptr);
  ASSERT_TRUE(rig.Open({.last = last.seq, .segment = last.segment, .offset = last.offset + last.length}).ok());
  EXPECT_EQ(fs::file_size(rig.File(first)), sealed);
}

TEST_F(RecoveryTest, AReplayErrorEndsTheOpen) {
  ASSERT_TRUE(rig.Append("a").ok());
  rig.journal.reset();
  const auto opened =
      Journal::Open(rig.path, kUuid, {}, rig.options, [](auto&&...) { return Status::Error(ENOMEM, "replay"); });
  EXPECT_EQ(opened.code(), ENOMEM);
}

TEST_F(RecoveryTest, LeftoversOfAPreparationAreRemoved) {
  rig.journal.reset();
  std::fclose(std::fopen((rig.path + "/spare.tmp").c_str(), "w"));
  std::fclose(std::fopen((rig.path + "/reserve.tmp").c_str(), "w"));
  ASSERT_TRUE(rig.Open().ok());
  rig.journal.reset();
  EXPECT_FALSE(fs::exists(rig.path + "/spare.tmp"));
  EXPECT_FALSE(fs::exists(rig.path + "/reserve.tmp"));
}

}  // namespace
}  // namespace dkfs
