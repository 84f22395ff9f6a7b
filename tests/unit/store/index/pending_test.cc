// What is queued about other things does not keep a question waiting, and what is queued about its own does.
#include "store/index/pending.h"

#include <dirent.h>

#include "tests/unit/store/index/rig.h"

namespace dkfs {
namespace {

class PendingTest : public ::testing::Test {
 protected:
  void Enqueue(std::vector<Item> items) {
    Appended at;
    at.seq = Seq{next_++};
    at.segment = SegmentId{1};
    rig_.index->Enqueue(at, std::move(items));
  }
  static Item Xattr(FileId file) { return {Seq{}, XattrItem{file, "user.a", "value", false}, 0, {}}; }
  static Item Name(FileId parent, const std::string& name, FileId child) {
    return {Seq{}, NameItem{parent, EntryId{7}, name, child, DT_REG}, 0, {}};
  }

  Rig rig_{"pending"};
  uint64_t next_ = 1;
};

TEST_F(PendingTest, AQuestionAboutSomethingElseAppliesNothing) {
  Enqueue({Inode(FileId{10}, 1), Name(FileId{1}, "a", FileId{10}), Xattr(FileId{10})});
  EXPECT_TRUE(rig_.index->Inode(FileId{11}, kLatest).status().IsNotFound());
  EXPECT_TRUE(rig_.index->Name(FileId{1}, "b", kLatest).status().IsNotFound());
  EXPECT_TRUE(rig_.index->Name(FileId{2}, "a", kLatest).status().IsNotFound());
  EXPECT_TRUE(rig_.index->Xattr(FileId{11}, "user.a", kLatest).status().IsNotFound());
  EXPECT_EQ(rig_.index->applied(), Seq{});
}

TEST_F(PendingTest, EachQuestionFindsWhatIsQueuedAboutIt) {
  Enqueue({Inode(FileId{10}, 1)});
  EXPECT_TRUE(rig_.index->Inode(FileId{10}, kLatest).ok());
  EXPECT_EQ(rig_.index->applied(), Seq{1});
  Enqueue({Name(FileId{1}, "a", FileId{10})});
  EXPECT_TRUE(rig_.index->Name(FileId{1}, "a", Seq{2}).ok());
  EXPECT_EQ(rig_.index->applied(), Seq{2});
  Enqueue({Xattr(FileId{10})});
  EXPECT_TRUE(rig_.index->Xattr(FileId{10}, "user.a", kLatest).ok());
  Enqueue({Xattr(FileId{12})});
  EXPECT_EQ(rig_.index->Xattrs(FileId{12}, kLatest)->size(), 1u);
  EXPECT_EQ(rig_.index->applied(), Seq{4});
}

TEST_F(PendingTest, ANameIsReadFromTheQueueItself) {
  Enqueue({Name(FileId{1}, "a", FileId{10})});
  Enqueue({Name(FileId{1}, "b", FileId{11})});
  auto found = rig_.index->Name(FileId{1}, "a", kLatest);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->child, FileId{10});
  EXPECT_EQ(found->entry, EntryId{7});
  EXPECT_EQ(found->type, DT_REG);
  Enqueue({Name(FileId{1}, "a", FileId{})});
  EXPECT_TRUE(rig_.index->Name(FileId{1}, "a", kLatest).status().IsNotFound()) << "it ended";
  // One entry of a name ends and another comes, in whatever order a record says so.
  Enqueue({Name(FileId{1}, "a", FileId{12}), Name(FileId{1}, "a", FileId{})});
  EXPECT_EQ(rig_.index->Name(FileId{1}, "a", kLatest)->child, FileId{12});
  Enqueue({Name(FileId{1}, "a", FileId{}), Name(FileId{1}, "a", FileId{13})});
  EXPECT_EQ(rig_.index->Name(FileId{1}, "a", kLatest)->child, FileId{13});
  EXPECT_EQ(rig_.index->applied(), Seq{});
  ASSERT_TRUE(rig_.index->ApplyAll().ok());
  EXPECT_EQ(rig_.index->Name(FileId{1}, "a", kLatest)->child, FileId{13}) << "RocksDB says the same";
}

TEST_F(PendingTest, ANameIsNotReadPastWhatMayConcernItAndNotFarBack) {
  Enqueue({Name(FileId{1}, "a", FileId{10})});
  Enqueue({{Seq{}, VoidItem{Seq{9}}, 0, {}}});
  EXPECT_TRUE(rig_.index->Name(FileId{1}, "a", kLatest).ok());
  EXPECT_EQ(rig_.index->applied(), Seq{2}) << "a void in between";
  Enqueue({Name(FileId{1}, "a", FileId{11})});
  for (uint64_t file = 100; file < 2200; ++file) Enqueue({Inode(FileId{file}, 1)});
  EXPECT_EQ(rig_.index->Name(FileId{1}, "a", kLatest)->child, FileId{11});
  EXPECT_EQ(rig_.index->applied(), Seq{2103}) << "too much in between";
}

TEST_F(PendingTest, CountsEndAtZero) {
  Pending pending;
  const std::vector<Item> items = {Inode(FileId{10}, 1), Name(FileId{1}, "a", FileId{10}), Xattr(FileId{10})};
  pending.Add(items, false);
  pending.Add(items, false);
  pending.Remove(items, false);
  EXPECT_TRUE(pending.MayHoldInode(FileId{10}) && pending.MayHoldName(FileId{1}, "a"));
  EXPECT_TRUE(pending.MayHoldXattrs(FileId{10}));
  pending.Remove(items, false);
  EXPECT_FALSE(pending.MayHoldInode(FileId{10}) || pending.MayHoldName(FileId{1}, "a"));
  EXPECT_FALSE(pending.MayHoldXattrs(FileId{10}));
}

TEST_F(PendingTest, AVoidOrAPackMayConcernAnything) {
  Pending pending;
  for (bool pack : {false, true}) {
    const std::vector<Item> items = {{Seq{}, VoidItem{Seq{1}}, 0, {}}};
    pending.Add(items, pack);
    EXPECT_TRUE(pending.MayHoldInode(FileId{5}) && pending.MayHoldName(FileId{5}, "x") &&
                pending.MayHoldXattrs(FileId{5}));
    pending.Remove(items, pack);
    EXPECT_FALSE(pending.MayHoldInode(FileId{5}));
  }
}

}  // namespace
}  // namespace dkfs
