// Content that was in DIR before the first mount, and what is done to it before and after it is captured.
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include "tests/unit/fs/ops/served_dir.h"

namespace dkfs {
namespace {

class AdoptedContentTest : public ServedDirTest {};

struct Destruction {
  const char* name;
  Status (*change)(FileSystem& fs, const Caller& caller, FileId a);
};

class DestructionTest : public AdoptedContentTest, public ::testing::WithParamInterface<Destruction> {};

// The backing directory may have the change after a loss of power that the journal does not survive.
TEST_P(DestructionTest, WhatWasCapturedInTheBackgroundIsSyncedBeforeIt) {
  CaptureAll();
  const Seq captured = store_->appended();
  ASSERT_LT(store_->GetStatus().synced, captured);
  ASSERT_TRUE(Fault::Arm("ops.recorded=EIO@1").ok());  // it comes no further than to the backing directory
  EXPECT_EQ(GetParam().change(*fs_, caller_, Find("a")).code(), EIO);
  EXPECT_GE(store_->GetStatus().synced, captured);
  EXPECT_EQ(Backed("a"), std::string(kBytes, 'a'));
}

INSTANTIATE_TEST_SUITE_P(
    Each, DestructionTest,
    ::testing::Values(Destruction{"Unlink",
                                  [](FileSystem& fs, const Caller& c, FileId) { return fs.Unlink(c, kRootFile, "a"); }},
                      Destruction{"RenameOver", [](FileSystem& fs, const Caller& c,
                                                   FileId) { return fs.Rename(c, kRootFile, "b", kRootFile, "a", 0); }},
                      Destruction{"Write",
                                  [](FileSystem& fs, const Caller& c, FileId a) {
                                    const std::string bytes(100, 'x');
                                    return fs.Write(c, a, AsBytes(bytes), 5000, false, false).status();
                                  }},
                      Destruction{"Truncate",
                                  [](FileSystem& fs, const Caller& c, FileId a) {
                                    SetAttrRequest request;
                                    request.size = 5000;
                                    return fs.SetAttr(c, a, request).status();
                                  }},
                      Destruction{"Punch",
                                  [](FileSystem& fs, const Caller& c, FileId a) {
                                    return fs.Allocate(c, a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
                                  }}),
    [](const auto& p) { return std::string(p.param.name); });

TEST_F(AdoptedContentTest, AfterItIsSyncedNothingWaitsForTheJournal) {
  CaptureAll();
  ASSERT_TRUE(store_->Sync().ok());
  const std::string bytes(100, 'x');
  ASSERT_TRUE(fs_->Write(caller_, Find("a"), AsBytes(bytes), 0, false, false).ok());
  const uint64_t syncs = store_->GetStatus().syncs;
  ASSERT_TRUE(fs_->Write(caller_, Find("a"), AsBytes(bytes), 5000, false, false).ok());
  ASSERT_TRUE(fs_->Write(caller_, Find("b"), AsBytes(bytes), 5000, false, false).ok());
  ASSERT_TRUE(Cut(Find("b"), 3000).ok());
  ASSERT_TRUE(fs_->Unlink(caller_, kRootFile, "b").ok());
  EXPECT_EQ(store_->GetStatus().syncs, syncs);
}

// Two of them that go at once must not both leave it to the other.
TEST_F(AdoptedContentTest, OneOfSeveralNamesThatGoesIsCapturedFirst) {
  ASSERT_TRUE(fs_->Link(caller_, Find("a"), kRootFile, "c").ok());
  ASSERT_TRUE(fs_->Unlink(caller_, kRootFile, "a").ok());
  Result<InodeState> state = store_->GetInode(Find("c"));
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->content, ContentState::kStored);
}

// Renames of what is not captured yet, of which only the record, or only the backing directory, kept the change.
class TornRenameTest : public ServedDirTest {
 protected:
  // Recorded, and not carried out.
  void Record(const char* from, const char* to, unsigned flags) {
    ASSERT_TRUE(Fault::Arm("ops.recorded=EIO@1,store.append=ENOSPC@" + std::to_string(Appends(flags) + 1)).ok());
    EXPECT_FALSE(fs_->Rename(caller_, kRootFile, from, kRootFile, to, flags).ok());
    ASSERT_TRUE(Fault::Arm("").ok());
  }
  // Carried out, and not recorded.
  void Move(const char* from, const char* to) { std::filesystem::rename(dir_ / "data/" + from, dir_ / "data/" + to); }
  // What is over another file captures that first.
  static int Appends(unsigned flags) { return flags == 0 ? 3 : 1; }
  void MountAgain() {
    Drop();
    Serve(false);
    const Status reclaimed = hydrator_->Reclaim();
    ASSERT_TRUE(reclaimed.ok()) << reclaimed.ToString();
  }
  static std::string All(char c) { return std::string(kBytes, c); }
};

TEST_F(TornRenameTest, ANewNameThatWasRecordedHasTheContent) {
  Record("a", "c", RENAME_NOREPLACE);
  MountAgain();
  EXPECT_EQ(Read(Find("c")), All('a'));
  EXPECT_EQ(Read(Find("b")), All('b'));
}

TEST_F(TornRenameTest, OverAnotherFileItHasItsOwnContent) {
  Record("a", "b", 0);
  MountAgain();
  EXPECT_EQ(Read(Find("b")), All('a'));
}

TEST_F(TornRenameTest, WhatWasWrittenBeforeHasItsOwnContent) {
  const std::string bytes(100, 'x');
  ASSERT_TRUE(fs_->Write(caller_, Find("a"), AsBytes(bytes), 0, false, false).ok());
  Record("a", "c", RENAME_NOREPLACE);
  MountAgain();
  EXPECT_EQ(Read(Find("c")), bytes + All('a').substr(bytes.size()));
}

TEST_F(TornRenameTest, WhatWasWrittenBelowADirectoryHasItsOwnContent) {
  const std::string bytes(100, 'x');
  ASSERT_TRUE(Cut(Find("f", Find("e")), kBytes - 1).ok());  // captures it
  ASSERT_TRUE(fs_->Write(caller_, Find("f", Find("d")), AsBytes(bytes), 0, false, false).ok());
  Record("d", "e", RENAME_EXCHANGE);
  MountAgain();
  EXPECT_EQ(Read(Find("f", Find("e"))), bytes + All('d').substr(bytes.size()));
}

TEST_F(TornRenameTest, EachOfTwoThatWereExchangedHasItsOwnContent) {
  Record("a", "b", RENAME_EXCHANGE);
  MountAgain();
  EXPECT_EQ(Read(Find("a")), All('b'));
  EXPECT_EQ(Read(Find("b")), All('a'));
}

TEST_F(TornRenameTest, WhatIsBelowADirectoryHasItsContent) {
  Record("d", "n", RENAME_NOREPLACE);
  MountAgain();
  EXPECT_EQ(Read(Find("f", Find("n"))), All('d'));
}

TEST_F(TornRenameTest, ANewNameThatWasNotRecordedDoesNotLoseIt) {
  Move("a", "c");
  Move("b", "a");
  Move("d", "b");
  MountAgain();
  ASSERT_TRUE(fs_->Create(caller_, kRootFile, "new", 0600).ok());  // what the store does not know goes aside now
  EXPECT_EQ(Read(Find("a")), All('a'));
  EXPECT_EQ(Read(Find("b")), All('b'));
  EXPECT_EQ(Read(Find("f", Find("d"))), All('d'));
}

TEST_F(TornRenameTest, ANumberThatAnotherFileGotIsNoProof) {
  Move("a", "c");
  Put("c", "somebody wrote this");
  MountAgain();
  EXPECT_NE(Read(Find("a")).find("lost"), std::string::npos);
}

}  // namespace
}  // namespace dkfs
