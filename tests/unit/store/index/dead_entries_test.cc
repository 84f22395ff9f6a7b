#include "store/index/dead_entries.h"

#include <gmock/gmock.h>

#include <random>
#include <set>

#include "tests/unit/store/index/rig.h"

namespace dkfs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Range = DeadEntries::Range;

constexpr FileId kDir{3}, kOther{4};

TEST(DeadEntriesTest, RunsThatTouchWhatIsKnownBecomeOneWithIt) {
  DeadEntries dead;
  dead.Found(kDir, dead.Of(kDir), {{100, 200}, {400, 500}});
  dead.Found(kDir, dead.Of(kDir), {{100, 200}});
  EXPECT_THAT(dead.Of(kDir).ranges, ElementsAre(Range{100, 200}, Range{400, 500}));
  dead.Found(kDir, dead.Of(kDir), {{20, 90}, {150, 300}});
  EXPECT_THAT(dead.Of(kDir).ranges, ElementsAre(Range{20, 90}, Range{100, 300}, Range{400, 500}));
  dead.Found(kDir, dead.Of(kDir), {{80, 450}, {600, 700}});
  EXPECT_THAT(dead.Of(kDir).ranges, ElementsAre(Range{20, 500}, Range{600, 700}));
  EXPECT_THAT(dead.Of(kOther).ranges, IsEmpty());
}

TEST(DeadEntriesTest, WhatWasFoundBeforeAllWasForgottenDoesNotCount) {
  DeadEntries dead;
  const DeadEntries::Known before = dead.Of(kDir);
  dead.Found(kOther, before, {{1, 100}});
  dead.Forget();
  dead.Found(kDir, before, {{1, 100}});
  EXPECT_THAT(dead.Of(kDir).ranges, IsEmpty());
  EXPECT_THAT(dead.Of(kOther).ranges, IsEmpty());
  dead.Found(kDir, dead.Of(kDir), {{1, 100}});
  EXPECT_THAT(dead.Of(kDir).ranges, ElementsAre(Range{1, 100}));
}

TEST(DeadEntriesTest, ItHoldsSoManyRangesAndNoMore) {
  DeadEntries dead;
  std::vector<Range> many;
  for (uint64_t i = 0; i < DeadEntries::kMostRanges / 2 + 1; ++i) many.push_back({1000 * i, 1000 * i + 99});
  dead.Found(kDir, dead.Of(kDir), many);
  EXPECT_EQ(dead.Of(kDir).ranges.size(), many.size());
  dead.Found(kOther, dead.Of(kOther), many);
  EXPECT_THAT(dead.Of(kDir).ranges, IsEmpty());
  EXPECT_EQ(dead.Of(kOther).ranges.size(), many.size());
}

TEST(DeadEntriesTest, ListingIsDueOnceAsManyEndedAsItWalks) {
  DeadEntries dead;
  const auto end = [&](uint64_t entries) {
    for (uint64_t i = 0; i < entries; ++i) dead.Ended(kDir);
  };
  end(DeadEntries::kEndedForListing - 1);
  EXPECT_THAT(dead.TakeDue(), IsEmpty());
  end(1);
  EXPECT_THAT(dead.TakeDue(), ElementsAre(kDir));
  dead.Listed(kDir, 3 * DeadEntries::kEndedForListing);
  end(3 * DeadEntries::kEndedForListing - 1);
  EXPECT_THAT(dead.TakeDue(), IsEmpty());
  end(1);
  EXPECT_THAT(dead.TakeDue(), ElementsAre(kDir));
}

// A directory, by its model and by the index.
class DeadEntriesIndexTest : public testing::Test {
 protected:
  static Item Entry(uint64_t id, bool alive) {
    return Make(NameItem{kDir, EntryId{id}, "n" + std::to_string(id), FileId{alive ? id : 0}, 8});
  }
  void Begin(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      rig_.Append({Entry(next_, true)});
      alive_.insert(next_++);
    }
  }
  void End(uint64_t first, uint64_t last) {
    for (auto it = alive_.lower_bound(first); it != alive_.end() && *it <= last;) {
      rig_.Append({Entry(*it, false)});
      it = alive_.erase(it);
    }
  }
  std::vector<uint64_t> Listed(uint64_t after = 0, size_t most = SIZE_MAX, Seq at = kLatest) {
    std::vector<uint64_t> seen;
    Status s = rig_.index->Entries(kDir, EntryId{after}, at, [&](EntryId id, const EntryValue& value) {
      EXPECT_EQ(value.name, "n" + std::to_string(id.value));
      seen.push_back(id.value);
      return seen.size() < most;
    });
    EXPECT_TRUE(s.ok()) << s.ToString();
    return seen;
  }
  std::vector<uint64_t> Expected(uint64_t after = 0, size_t most = SIZE_MAX) const {
    std::vector<uint64_t> out;
    for (auto it = alive_.upper_bound(after); it != alive_.end() && out.size() < most; ++it) out.push_back(*it);
    return out;
  }

  Rig rig_{"dead_entries"};
  std::set<uint64_t> alive_;
  uint64_t next_ = 16;
};

TEST_F(DeadEntriesIndexTest, ListingsAreRightWhateverCameAndWent) {
  std::mt19937 random(11);
  for (int turn = 0; turn < 300; ++turn) {
    switch (random() % 4) {
      case 0:
        Begin(random() % 200);
        break;
      case 1: {
        const uint64_t first = random() % next_;
        End(first, first + random() % 300);
        break;
      }
      case 2: {  // ended, and taken back
        if (alive_.empty()) break;
        const auto found = alive_.lower_bound(random() % next_);
        const uint64_t id = found == alive_.end() ? *alive_.begin() : *found;
        const Seq seq = rig_.Append({Entry(id, false)});
        alive_.erase(id);
        if (random() % 2 == 0) {
          ASSERT_EQ(Listed(), Expected()) << turn;
        }
        rig_.Append({Make(VoidItem{seq})});
        alive_.insert(id);
        break;
      }
      default:
        ASSERT_TRUE(rig_.index->FindDeadEntries().ok());
    }
    const uint64_t after = random() % next_;
    const size_t most = 1 + random() % 50;
    ASSERT_EQ(Listed(after, most), Expected(after, most)) << turn;
    if (turn % 3 == 0) {
      ASSERT_EQ(Listed(), Expected()) << turn;
    }
  }
}

TEST_F(DeadEntriesIndexTest, FormerMomentsAreListedAsTheyWere) {
  Begin(300);
  const Seq then = rig_.journal.back().at.seq;
  const std::vector<uint64_t> was = Expected();
  End(50, 250);
  EXPECT_EQ(Listed(), Expected());
  EXPECT_EQ(Listed(), Expected());
  EXPECT_EQ(Listed(0, SIZE_MAX, then), was);
}

// Rows that are not looked at may as well be missing.
TEST_F(DeadEntriesIndexTest, DeadEntriesAreNotWalkedAgain) {
  Begin(DeadEntries::kEndedForListing + 500);
  const uint64_t last = 16 + DeadEntries::kEndedForListing + 99;
  End(116, last);
  ASSERT_TRUE(rig_.index->ApplyAll().ok());
  ASSERT_TRUE(rig_.index->FindDeadEntries().ok());
  KvBatch batch;
  for (const Written& record : rig_.journal) {
    batch.Delete(Family::kEntry, keys::Entry(kDir, EntryId{200}, record.at.seq));
  }
  const Seq made = rig_.journal[200 - 16].at.seq;
  batch.Put(Family::kEntry, keys::Entry(kDir, EntryId{200}, made), values::Encode(EntryValue{FileId{200}, 8, "n200"}));
  ASSERT_TRUE(rig_.index->Write(&batch).ok());
  EXPECT_EQ(Listed(), Expected());
  EXPECT_EQ(Listed(150, 10), Expected(150, 10));
  rig_.Append({Make(VoidItem{Seq{1}})});  // everything is looked at again
  EXPECT_THAT(Listed(), testing::Contains(200));
}

}  // namespace
}  // namespace dkfs
