#include "fs/hydrate/hydrator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "fs/hydrate/presence.h"
#include "store/base/fault.h"
#include "tests/unit/fs/hydrate/model.h"

namespace dkfs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

std::string Filled(size_t bytes, char first) {
  std::string out(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(first + static_cast<char>(i / 4096 % 20));
  return out;
}

class HydratorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = ::testing::TempDir() + "hydrate-XXXXXX";
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
    m_ = std::make_unique<HydrateModel>(root_);
  }
  void TearDown() override {
    ASSERT_TRUE(Fault::Arm("").ok());
    m_.reset();
    std::filesystem::remove_all(root_);
  }
  void MakeTree() {
    m_->MakeDir("a");
    m_->MakeDir("a/b");
    m_->MakeFile("a/big", Filled(3'000'000, 'A'));
    m_->MakeFile("a/b/small", "hello");
    m_->MakeFile("empty", "");
    m_->MakeFile("holes", Filled(4096, 'h') + std::string(5'000'000, '\0') + Filled(5000, 'z'));
    m_->MakeSpecial("a/link", S_IFLNK | 0777, "b/small");
    m_->MakeSpecial("fifo", S_IFIFO | 0600, "");
    m_->MakeFile("one", Filled(20'000, 'l'));
    m_->Link("one", "a/two");
    m_->Link("one", "a/b/three");
  }
  void FinishAndExpect() {
    const Status done = m_->Finish();
    ASSERT_TRUE(done.ok()) << done.ToString();
    m_->ExpectComplete();
    EXPECT_TRUE(m_->hydrator->progress().done);
  }

  Fingerprint Recorded(const std::string& path) {
    Result<Fingerprint> print = m_->store->GetFingerprint(m_->tree[path].id);
    return print.ok() ? *print : Fingerprint{};
  }
  Fingerprint InDir(const std::string& path) { return Backing::FingerprintOf(*m_->backing->Stat(path)); }

  // With these known as hot, the extent of a/big that is restored before any other. REQUIRES: MakeTree.
  void ExpectFirst(std::vector<HotExtent> known, size_t extent) {
    HydrateOptions options;
    options.bytes_per_second = 1;  // after the first of them it waits for days
    options.first = std::move(known);
    m_->Start(options);
    m_->hydrator->Start();
    constexpr uint64_t kBlocks = (1 << kHotExtentShift) / 4096;
    while (m_->hydrator->progress().blocks_reconstructed < kBlocks) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(m_->hydrator->progress().blocks_reconstructed, kBlocks);
    const std::string there = m_->Backed(Backing::PartialPath(m_->tree["a/big"].id));
    const std::string& whole = m_->tree["a/big"].content;
    const size_t begin = extent << kHotExtentShift, size = 1 << kHotExtentShift;
    EXPECT_EQ(there.substr(begin, size), whole.substr(begin, size));
    EXPECT_EQ(there.substr(0, begin), std::string(begin, '\0'));
    m_->hydrator->Stop();
    FinishAndExpect();
  }

  std::string root_;
  std::unique_ptr<HydrateModel> m_;
};

TEST_F(HydratorTest, EmptiedDirectoryIsMadeWhole) {
  MakeTree();
  m_->Start(false);
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), IsEmpty());
  EXPECT_GT(m_->hydrator->progress().blocks_reconstructed, 700u);
}

TEST_F(HydratorTest, IntactDirectoryIsOnlyVerified) {
  MakeTree();
  m_->FillDir();
  m_->Start(false);
  FinishAndExpect();
  EXPECT_EQ(m_->hydrator->progress().blocks_damaged, 0u);
  EXPECT_GT(m_->hydrator->progress().blocks_verified, 700u);
  EXPECT_EQ(m_->hydrator->progress().blocks_reconstructed, 0u);
  EXPECT_THAT(m_->AsideFiles(), IsEmpty());
}

TEST_F(HydratorTest, HotExtentsComeFirst) {
  MakeTree();
  const FileId big = m_->tree["a/big"].id;
  ExpectFirst({{big, 5, 100}, {big, 1, 10}}, 5);
}

TEST_F(HydratorTest, OfSimilarHeatTheyComeInFileOrder) {
  MakeTree();
  const FileId big = m_->tree["a/big"].id;
  ExpectFirst({{big, 5, 100}, {big, 3, 60}, {big, 1, 30}}, 3);
}

TEST_F(HydratorTest, MuchColderExtentsWaitForTheirTurn) {
  MakeTree();
  const FileId big = m_->tree["a/big"].id;
  HydrateOptions options;
  options.bytes_per_second = 0;
  options.first = {{big, 5, 100}, {big, 1, 6}, {big, 4, 5}, {big, 2, 1}};
  m_->Start(options);
  m_->hydrator->Start();
  while (!m_->hydrator->progress().done) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(m_->hydrator->progress().hot_total, 2u);
  FinishAndExpect();
}

class WarmerLog : public Warmer {
 public:
  explicit WarmerLog(std::vector<std::string>* lines) : lines_(lines) {}
  void Warm(const std::string& path, uint64_t offset, uint64_t bytes) override {
    lines_->push_back(path + " " + std::to_string(offset) + " " + std::to_string(bytes));
  }

 private:
  std::vector<std::string>* const lines_;
};

TEST_F(HydratorTest, WhatWasMadeOfTheHotPartIsWarmed) {
  MakeTree();
  const FileId big = m_->tree["a/big"].id;
  std::vector<std::string> lines;
  HydrateOptions options;
  options.bytes_per_second = 0;
  options.first = {{big, 3, 100, 0xff00ff}, {big, 1, 90}, {m_->tree["one"].id, 0, 80, 1}, {big, 4, 1}};
  options.start_warmer = [&] { return std::make_unique<WarmerLog>(&lines); };
  m_->Start(options);
  EXPECT_TRUE(
      m_->Read("a/big", 1 << kHotExtentShift, 1 << kHotExtentShift).ok());  // so its first readers have been there
  m_->hydrator->Start();
  while (!m_->hydrator->progress().done) std::this_thread::sleep_for(1ms);
  m_->hydrator->Stop();
  EXPECT_THAT(lines, UnorderedElementsAre("a/big 786432 32768", "a/big 851968 32768", "one 0 4096"));
  FinishAndExpect();
}

TEST_F(HydratorTest, AWarmerThatCannotStartIsNotAskedForAgain) {
  MakeTree();
  const FileId big = m_->tree["a/big"].id;
  int asked = 0;
  HydrateOptions options;
  options.bytes_per_second = 0;
  options.first = {{big, 3, 100}, {big, 1, 90}};
  options.start_warmer = [&] {
    ++asked;
    return std::unique_ptr<Warmer>();
  };
  m_->Start(options);
  m_->hydrator->Start();
  while (!m_->hydrator->progress().done) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(asked, 1);
  FinishAndExpect();
}

TEST_F(HydratorTest, HotExtentsThatAreNoLongerThereAreHarmless) {
  MakeTree();
  const FileId big = m_->tree["a/big"].id;
  HydrateOptions options;
  options.bytes_per_second = 0;
  options.first = {{FileId{999'999}, 0, 9},
                   {m_->tree["a"].id, 0, 8},
                   {m_->tree["a/link"].id, 0, 7},
                   {big, ~0ull >> kHotExtentShift, 6},
                   {big, 12, 5},
                   {big, 11, 4},
                   {m_->tree["empty"].id, 0, 3},
                   {m_->tree["one"].id, 0, 2}};
  m_->Start(options);
  m_->hydrator->Start();
  while (!m_->hydrator->progress().done) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(m_->hydrator->progress().hot_done, options.first.size());
  FinishAndExpect();
}

TEST_F(HydratorTest, FirstReadMakesOnlyItsBlocks) {
  MakeTree();
  m_->Start(false);
  EXPECT_EQ(*m_->Read("a/big", 1'000'000, 10), m_->tree["a/big"].content.substr(1'000'000, 10));
  EXPECT_EQ(m_->hydrator->progress().blocks_reconstructed, 1u);
  EXPECT_TRUE(std::filesystem::exists(m_->PathIn(Backing::PartialPath(m_->tree["a/big"].id))));
  EXPECT_FALSE(std::filesystem::exists(m_->PathIn("a/big")));  // H1
  FinishAndExpect();
}

// The file "f" of ten blocks, of which all were made beforehand, then what `meanwhile` does under the inode's lock.
// Which blocks are present after their use.
class MadeBeforehandTest : public HydratorTest {
 protected:
  std::vector<bool> Use(const std::function<void(Inode&)>& meanwhile) {
    m_->MakeFile("f", Filled(kBlocks * 4096, 'f'));
    m_->Start(false);
    InodeRef ref = m_->Get("f");
    {
      SharedLock t(m_->tree_lock);
      ExclusiveLock l(ref->lock);
      EXPECT_TRUE(m_->hydrator->Prepare(*ref, "f").ok());
    }
    const Hydrator::Made made = m_->hydrator->Make(*ref, 0, kBlocks);
    ExclusiveLock l(ref->lock);
    meanwhile(*ref);
    m_->hydrator->Use(*ref, made);
    std::vector<bool> present;
    for (size_t i = 0; i < kBlocks; ++i) present.push_back(Hydrator::IsPresent(*ref, i, 1));
    return present;
  }
  static constexpr size_t kBlocks = 10;
};

TEST_F(MadeBeforehandTest, BlocksAreUsed) {
  EXPECT_EQ(std::vector<bool>(kBlocks, true), Use([](Inode&) {}));
  EXPECT_EQ(m_->Backed(Backing::PartialPath(m_->tree["f"].id)), m_->tree["f"].content);
  EXPECT_EQ(m_->hydrator->progress().blocks_reconstructed, kBlocks);
  FinishAndExpect();
}

TEST_F(MadeBeforehandTest, ABlockThatTheStoreSaysOtherwiseOfIsNot) {
  std::vector<bool> expected(kBlocks, true);
  expected[3] = false;
  EXPECT_EQ(expected, Use([&](Inode&) { m_->Write("f", 3 * 4096 + 5, "newer"); }));
  EXPECT_EQ(m_->Read("f", 3 * 4096, 4096).value(), m_->tree["f"].content.substr(3 * 4096, 4096));
  FinishAndExpect();
}

TEST_F(MadeBeforehandTest, WhatIsRecordedOfOtherFilesMeanwhileChangesNothing) {
  m_->MakeFile("g", "other");
  EXPECT_EQ(std::vector<bool>(kBlocks, true), Use([&](Inode&) { m_->Write("g", 0, "newer"); }));
  FinishAndExpect();
}

TEST_F(MadeBeforehandTest, ABlockThatIsPresentStaysAsItIs) {
  Use([&](Inode& inode) NO_THREAD_SAFETY_ANALYSIS {
    ASSERT_EQ(::pwrite(inode.backing.get(), "mine", 4, 2 * 4096), 4);
    m_->hydrator->MarkPresent(inode, 2, 1);
  });
  EXPECT_EQ(m_->Backed(Backing::PartialPath(m_->tree["f"].id)).substr(2 * 4096, 4), "mine");
}

TEST_F(MadeBeforehandTest, WhatIsInTheBackingFileIsLookedAtFirst) {
  std::vector<bool> expected(kBlocks, true);
  expected[7] = false;
  EXPECT_EQ(expected, Use([](Inode& inode) NO_THREAD_SAFETY_ANALYSIS {
              ASSERT_EQ(::pwrite(inode.backing.get(), "strange", 7, 7 * 4096), 7);
            }));
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), ::testing::SizeIs(1));
}

TEST_F(MadeBeforehandTest, BeyondTheEndOfAFileThatWasCutNothingIsWritten) {
  Use([&](Inode& inode) NO_THREAD_SAFETY_ANALYSIS {
    m_->Truncate("f", 2 * 4096);
    inode.state.size = 2 * 4096;
    ASSERT_EQ(::ftruncate(inode.backing.get(), 2 * 4096), 0);
    m_->hydrator->MarkResized(inode, kBlocks * 4096, 2 * 4096);
  });
  EXPECT_EQ(m_->Backed(Backing::PartialPath(m_->tree["f"].id)), m_->tree["f"].content);
}

TEST_F(HydratorTest, HoleyFileLeavesItsNameWhileBlocksAreAbsent) {
  MakeTree();
  m_->FillDir();
  m_->Start(false);
  EXPECT_EQ(*m_->Read("one", 0, 5), m_->tree["one"].content.substr(0, 5));
  for (const char* name : {"one", "a/two", "a/b/three"})
    EXPECT_FALSE(std::filesystem::exists(m_->PathIn(name))) << name;
  FinishAndExpect();
}

TEST_F(HydratorTest, StaleBlocksThatVersionsExplainAreReplacedSilently) {
  MakeTree();
  m_->FillDir();
  m_->Write("a/big", 100'000, Filled(50'000, 'N'));
  m_->Write("one", 0, "new");
  m_->Truncate("holes", 100);
  m_->Start(false);
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), IsEmpty());
}

TEST_F(HydratorTest, TornBlockIsKeptAsideAndRepaired) {
  MakeTree();
  m_->FillDir();
  m_->Damage("a/big", 40960, std::string(512, '!'));
  m_->Start(false);
  EXPECT_EQ(*m_->Read("a/big", 40960, 4096), m_->tree["a/big"].content.substr(40960, 4096));
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), ElementsAre("a", "a/big"));
  EXPECT_EQ(m_->hydrator->aside().bytes(), 4096u);
}

TEST_F(HydratorTest, UnexplainedNamesTypesAndTailsGoAside) {
  MakeTree();
  m_->FillDir();
  m_->Damage("stranger", 0, "mine");
  std::filesystem::create_directories(m_->PathIn("a/strange/below"));
  std::filesystem::remove(m_->PathIn("a/b/small"));
  std::filesystem::create_directory(m_->PathIn("a/b/small"));
  std::filesystem::remove(m_->PathIn("a/link"));
  std::filesystem::create_symlink("/etc/passwd", m_->PathIn("a/link"));
  m_->Damage("empty", 0, "not empty");
  m_->Start(false);
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), IsSupersetOf({"stranger", "a/strange/below", "a/b/small", "a/link", "empty"}));
  EXPECT_EQ(m_->hydrator->aside().List()->size(), 1u);
  EXPECT_TRUE(m_->hydrator->aside().Remove("").ok());
  EXPECT_THAT(m_->AsideFiles(), IsEmpty());
}

TEST_F(HydratorTest, BeyondTheBudgetTheWholeFileGoesAside) {
  MakeTree();
  m_->FillDir();
  m_->Damage("a/big", 0, std::string(500'000, '?'));
  m_->Start(false, 10'000);
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), Contains("a/big"));
}

// What was made of the file before is absent again then.
TEST_F(HydratorTest, BeyondTheBudgetInTheMiddleOfAFileAllOfItIsMade) {
  MakeTree();
  m_->FillDir();
  m_->Damage("a/big", 1'000'000, std::string(500'000, '?'));
  m_->Start(false, 10'000);
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), Contains("a/big"));
}

TEST_F(HydratorTest, AFullDiskIsNoReasonToMoveTheWholeFileAside) {
  MakeTree();
  m_->FillDir();
  m_->Damage("a/big", 40960, std::string(512, '!'));
  m_->Start(false);
  ASSERT_TRUE(Fault::Arm("aside.move=EDQUOT@1").ok());
  EXPECT_EQ(m_->Read("a/big", 40960, 4096).code(), EDQUOT);
  EXPECT_EQ(m_->hydrator->progress().aside_entries, 0u);
  EXPECT_EQ(m_->Read("a/big", 40960, 4096).value(), m_->tree["a/big"].content.substr(40960, 4096));
  FinishAndExpect();
}

TEST_F(HydratorTest, OneBackingInodeServesOneFile) {
  m_->MakeFile("x", Filled(9000, 'x'));
  m_->MakeFile("y", Filled(9000, 'x'));
  m_->FillDir();
  std::filesystem::remove(m_->PathIn("y"));
  std::filesystem::create_hard_link(m_->PathIn("x"), m_->PathIn("y"));
  m_->Start(false);
  FinishAndExpect();
}

TEST_F(HydratorTest, ASpecialFileHasNoNameThatIsNotItsOwn) {
  MakeTree();
  m_->Link("fifo", "a/fifo2");
  m_->FillDir();
  std::filesystem::remove(m_->PathIn("a/fifo2"));
  std::filesystem::create_directory(m_->PathIn("gone"));  // of a directory that a record renamed, say
  std::filesystem::create_hard_link(m_->PathIn("fifo"), m_->PathIn("gone/fifo"));
  m_->Start(false);
  FinishAndExpect();
}

TEST_F(HydratorTest, AnythingInTheWayOfADirectoryGoesAside) {
  MakeTree();
  std::filesystem::create_directory_symlink("/tmp", m_->PathIn("a"));
  m_->Start(false);
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), ElementsAre("a"));
}

TEST_F(HydratorTest, FingerprintsLetTheNextTrustedMountBelieve) {
  MakeTree();
  m_->Start(false);
  FinishAndExpect();
  m_->Start(true);
  EXPECT_EQ(m_->Read("a/b/small", 0, 5).value(), "hello");
  FinishAndExpect();
  EXPECT_EQ(m_->hydrator->progress().blocks_verified + m_->hydrator->progress().blocks_reconstructed, 0u);
  // What changed since is not believed.
  m_->Damage("a/big", 5000, "changed");
  m_->Start(true);
  FinishAndExpect();
  EXPECT_GT(m_->hydrator->progress().blocks_verified, 0u);
}

TEST_F(HydratorTest, WhatGetsItsFirstNameLateHasAFingerprint) {
  m_->MakeFile("f", "unnamed");
  m_->Start(false);
  FinishAndExpect();
  InodeRef ref = m_->Get("f");
  const auto set_links = [&](uint32_t nlink) {
    ExclusiveLock l(ref->lock);
    ref->state.nlink = nlink;
    ref->state.mtime = {99, 9};
    ref->times_dirty = true;
  };
  set_links(0);
  m_->hydrator->NoteTouched(ref->id);
  ASSERT_TRUE(m_->hydrator->WriteTimesAndFingerprints().ok());  // as upkeep does in between
  set_links(1);
  ASSERT_TRUE(m_->hydrator->WriteTimesAndFingerprints().ok());
  EXPECT_EQ(Recorded("f"), InDir("f"));
  EXPECT_EQ(InDir("f").mtime, (TimeSpec{99, 9}));
}

TEST_F(HydratorTest, ADirectoryMadeLateLeavesTheTimesAboveAsRecorded) {
  MakeTree();
  m_->Start(false);
  for (const char* path : {"a", "a/b"}) {
    InodeRef ref = m_->Get(path);
    {
      ExclusiveLock t(m_->tree_lock);
      ASSERT_TRUE(m_->hydrator->PrepareDirectory(*ref, path).ok());
    }
    ASSERT_TRUE(m_->hydrator->WriteTimesAndFingerprints().ok());  // as upkeep does in between
  }
  EXPECT_EQ(Recorded("a"), InDir("a"));
}

TEST_F(HydratorTest, AttributesChangedBeforeFirstUseReachTrustedEntries) {
  MakeTree();
  m_->Start(false);
  FinishAndExpect();
  m_->Start(true);
  for (const char* path : {"one", "a/b", "a/link"}) {
    InodeRef ref = m_->Get(path);
    ExclusiveLock l(ref->lock);
    ref->state.mtime = {77, 7};
    if (!S_ISLNK(ref->state.mode)) ref->state.mode ^= 0111;
    RecordBuilder record;
    record.Inode(ref->id, ref->state);
    ASSERT_TRUE(m_->store->Append(record).ok());
    for (auto& [name, file] : m_->tree) {
      if (file.id == ref->id) file.mode = ref->state.mode;
    }
    m_->hydrator->NoteTouched(ref->id);
  }
  ASSERT_TRUE(m_->hydrator->WriteTimesAndFingerprints().ok());  // as upkeep does in between
  FinishAndExpect();
  EXPECT_EQ(m_->hydrator->progress().blocks_verified, 0u);
}

TEST_F(HydratorTest, AdoptedContentIsBelievedWhereNoVersionIs) {
  const std::string content = Filled(50'000, 'c');
  m_->MakeFile("f", content, true);
  m_->FillDir();
  m_->Start(false);
  EXPECT_EQ(*m_->Read("f", 20'000, 100), content.substr(20'000, 100));
  m_->Drop();
  m_->Write("f", 4096, Filled(4096, 'w'));  // recorded, not yet in the backing file
  m_->Start(false);
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), ElementsAre("f"));  // no version explains the block that was never captured
}

TEST_F(HydratorTest, LostAdoptedContentIsDamageNeverZeros) {
  m_->MakeFile("f", Filled(20'000, 'c'), true);
  m_->Write("f", 0, Filled(4096, 'w'));
  for (int mount = 0; mount < 2; ++mount) {  // the second finds the partial file of the first
    m_->Start(false);
    EXPECT_EQ(*m_->Read("f", 0, 4096), Filled(4096, 'w'));
    EXPECT_TRUE(m_->Read("f", 8192, 10).status().IsCorruption());
    EXPECT_EQ(m_->hydrator->progress().blocks_damaged, 1u);
  }
  EXPECT_TRUE(m_->Finish().IsCorruption());
  EXPECT_FALSE(std::filesystem::exists(m_->PathIn("f")));  // H1
}

TEST_F(HydratorTest, AdoptedContentFoundShorterIsDamageInEachMount) {
  const std::string content = Filled(20'000, 'c');
  m_->MakeFile("f", content, true);
  m_->FillDir();
  std::filesystem::resize_file(m_->PathIn("f"), 9000);  // inside of block 2
  for (int mount = 0; mount < 3; ++mount) {
    m_->Start(false);
    EXPECT_EQ(*m_->Read("f", 0, 8192), content.substr(0, 8192));
    EXPECT_TRUE(m_->Read("f", 8192, 10).status().IsCorruption()) << mount;
    EXPECT_TRUE(m_->Read("f", 16384, 10).status().IsCorruption()) << mount;
  }
  EXPECT_TRUE(m_->Finish().IsCorruption());
  std::filesystem::remove(m_->PathIn(Backing::PartialPath(m_->tree["f"].id)));
  m_->Start(false);
  EXPECT_TRUE(m_->Read("f", 0, 10).status().IsCorruption());  // that is lost, too
}

TEST_F(HydratorTest, DroppedAnywhereItGoesOnFromWhatIsThere) {
  MakeTree();
  for (int n = 1; n < 12; ++n) {
    m_->Start(false);
    int polls = 0;
    EXPECT_EQ(m_->hydrator->Finish([&] { return ++polls > n; }).code(), ECANCELED);
  }
  m_->Start(false);
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), IsEmpty());
}

TEST_F(HydratorTest, FailedSettlingOfHardLinksIsTakenUpAgain) {
  MakeTree();
  ASSERT_TRUE(Fault::Arm("backing.rename=EIO@1").ok());
  m_->Start(false);
  EXPECT_EQ(m_->Finish().code(), EIO);
  ASSERT_TRUE(Fault::Arm("").ok());
  m_->Start(false);
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), IsEmpty());
}

TEST_F(HydratorTest, AFileThatVanishedBeforeItGotItsNameIsMadeAgain) {
  m_->MakeFile("f", Filled(20'000, 'f'));
  m_->Start(false);
  ASSERT_TRUE(m_->Read("f", 0, 20'000).ok());
  {
    InodeRef ref = m_->Get("f");
    ExclusiveLock l(ref->lock);
    ref->backing.reset();
  }
  std::filesystem::remove(m_->PathIn(Backing::PartialPath(m_->tree["f"].id)));
  FinishAndExpect();
}

TEST_F(HydratorTest, BackingErrorsComeBackAsTheyAre) {
  MakeTree();
  m_->Start(false);
  ASSERT_TRUE(Fault::Arm("backing.write=ENOSPC@1").ok());
  EXPECT_EQ(m_->Read("a/big", 0, 10).code(), ENOSPC);
  EXPECT_EQ(m_->Read("a/big", 0, 10).value(), m_->tree["a/big"].content.substr(0, 10));
  FinishAndExpect();
}

TEST_F(HydratorTest, FailedWriteTurnsThePresentFilePartialUntilRepaired) {
  MakeTree();
  m_->Start(false);
  FinishAndExpect();
  InodeRef ref = m_->Get("one");
  {
    SharedLock t(m_->tree_lock);
    ExclusiveLock l(ref->lock);
    ASSERT_TRUE(m_->hydrator->Prepare(*ref, "one").ok());
    EXPECT_TRUE(Hydrator::IsPresent(*ref, 0, 100));
    m_->hydrator->MarkAbsent(*ref, 2, 1);
    EXPECT_FALSE(Hydrator::IsPresent(*ref, 0, 3));
    EXPECT_TRUE(Hydrator::IsPresent(*ref, 3, 100));
    ASSERT_EQ(::pwrite(ref->backing.get(), "torn", 4, 2 * 4096), 4);
  }
  EXPECT_EQ(*m_->Read("one", 8192, 4), m_->tree["one"].content.substr(8192, 4));
  ref.reset();
  FinishAndExpect();
}

TEST_F(HydratorTest, APartialFileOfALostLifeIsNotTakenForTheOneWhoseIdItHas) {
  MakeTree();
  m_->Start(false);
  FinishAndExpect();
  InodeRef ref = m_->Get("one");
  ASSERT_TRUE(m_->backing->EnsurePartialDir().ok());
  std::ofstream(m_->PathIn(Backing::PartialPath(ref->id))) << std::string(20'000, 'x');
  {
    SharedLock t(m_->tree_lock);
    ExclusiveLock l(ref->lock);
    ASSERT_TRUE(m_->hydrator->Prepare(*ref, "one").ok());
    m_->hydrator->MarkAbsent(*ref, 2, 1);
    ref->backing.reset();  // as when too many are open
  }
  EXPECT_EQ(*m_->Read("one", 0, 4), m_->tree["one"].content.substr(0, 4));
  ref.reset();
  FinishAndExpect();
  EXPECT_EQ(m_->AsideFiles().size(), 1u);  // and nothing of the file itself
}

TEST_F(HydratorTest, FailedWriteToABlockThatWasAppendedWhilePartialIsRepairedToo) {
  m_->MakeFile("f", Filled(100 * 4096, 'f'));
  m_->Start(false);
  InodeRef ref = m_->Get("f");
  {
    SharedLock t(m_->tree_lock);
    ExclusiveLock l(ref->lock);
    ASSERT_TRUE(m_->hydrator->Prepare(*ref, "f").ok());
    presence::Begin(*ref, 4, true);  // as if it had been shorter when it became partial
    ref->absent_blocks.Remove(0, 2);
    m_->hydrator->MarkAbsent(*ref, 97, 2);
    EXPECT_EQ(ref->absent_blocks.count(), 4u);
    EXPECT_TRUE(Hydrator::IsPresent(*ref, 4, 93));
    EXPECT_FALSE(Hydrator::IsPresent(*ref, 97, 1));
    EXPECT_FALSE(Hydrator::IsPresent(*ref, 98, 1));
    EXPECT_TRUE(Hydrator::IsPresent(*ref, 99, 1));
    ASSERT_EQ(::pwrite(ref->backing.get(), "torn", 4, 97 * 4096), 4);
  }
  EXPECT_EQ(*m_->Read("f", 97 * 4096, 4), m_->tree["f"].content.substr(97 * 4096, 4));
}

TEST_F(HydratorTest, MarksFollowWritesAndTruncates) {
  m_->MakeFile("f", Filled(10 * 4096, 'f'));
  m_->Start(false);
  InodeRef ref = m_->Get("f");
  SharedLock t(m_->tree_lock);
  ExclusiveLock l(ref->lock);
  EXPECT_FALSE(Hydrator::IsPresent(*ref, 0, 1));
  ASSERT_TRUE(m_->hydrator->Prepare(*ref, "f").ok());
  EXPECT_EQ(ref->absent_blocks.count(), 10u);
  EXPECT_FALSE(Hydrator::IsPresent(*ref, 0, 1));
  EXPECT_TRUE(Hydrator::IsPresent(*ref, 10, 5));  // beyond its end nothing was ever absent
  m_->hydrator->MarkPresent(*ref, 2, 3);
  EXPECT_TRUE(Hydrator::IsPresent(*ref, 2, 3));
  EXPECT_FALSE(Hydrator::IsPresent(*ref, 2, 4));
  m_->hydrator->MarkResized(*ref, 10 * 4096, 6 * 4096 + 1);
  EXPECT_EQ(ref->absent_blocks.count(), 4u);
  EXPECT_FALSE(Hydrator::IsPresent(*ref, 6, 1));
  EXPECT_TRUE(Hydrator::IsPresent(*ref, 7, 100));
}

TEST_F(HydratorTest, BackgroundCompletesByItself) {
  MakeTree();
  m_->Start(false);
  m_->hydrator->Start();
  while (!m_->hydrator->progress().done) std::this_thread::yield();
  m_->hydrator->Stop();
  ASSERT_TRUE(m_->backing->RemovePartialDirIfEmpty().ok());
  ASSERT_TRUE(m_->hydrator->WriteTimesAndFingerprints().ok());
  m_->ExpectComplete();
  EXPECT_EQ(m_->hydrator->progress().files_done, m_->hydrator->progress().files_total);
}

// A file that is present, and a background that is done with everything else.
class DeferTest : public HydratorTest {
 protected:
  static constexpr uint64_t kBytes = 10 * 4096;
  void Begin(const DeferOptions& defer) {
    m_->MakeFile("f", Filled(kBytes, 'f'));
    HydrateOptions options;
    options.defer = defer;
    m_->Start(options);
    EXPECT_FALSE(m_->hydrator->TakesDeferred(kBytes, kBytes));  // the background is not there yet
    m_->hydrator->Start();
    while (!m_->hydrator->progress().done) std::this_thread::sleep_for(1ms);
  }
  // As if blocks 6 to 9 had been appended just now.
  void DeferTheEnd() {
    InodeRef ref = m_->Get("f");
    SharedLock t(m_->tree_lock);
    ExclusiveLock l(ref->lock);
    ASSERT_TRUE(m_->hydrator->Prepare(*ref, "f").ok());
    ASSERT_TRUE(m_->hydrator->BeginDeferring(*ref, "f").ok());
    EXPECT_TRUE(Hydrator::IsPresent(*ref, 0, 10));
    ASSERT_EQ(::ftruncate(ref->backing.get(), 6 * 4096), 0);
    ASSERT_EQ(::ftruncate(ref->backing.get(), kBytes), 0);
    m_->hydrator->Defer(*ref, 6, 4);
    EXPECT_TRUE(Hydrator::IsPresent(*ref, 0, 6));
    EXPECT_FALSE(Hydrator::IsPresent(*ref, 9, 1));
    EXPECT_EQ(ref->absent_blocks.count(), 4u);
  }
  bool HasName() const { return std::filesystem::exists(m_->PathIn("f")); }
};

TEST_F(DeferTest, BlocksAreFilledOnceNoMoreCome) {
  Begin({.least_write_bytes = 1, .least_file_bytes = 1, .quiet = 1500ms});
  DeferTheEnd();
  EXPECT_FALSE(HasName());
  EXPECT_EQ(m_->hydrator->progress().deferred_bytes, 4u * 4096);
  EXPECT_TRUE(m_->hydrator->progress().done);
  while (m_->hydrator->progress().deferred_bytes > 0) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(HasName());
  EXPECT_EQ(m_->Backed("f"), m_->tree["f"].content);
  FinishAndExpect();
}

TEST_F(DeferTest, FinishDoesNotWaitForTheQuiet) {
  Begin({.least_write_bytes = 1, .least_file_bytes = 1, .quiet = 1h});
  DeferTheEnd();
  FinishAndExpect();
  EXPECT_EQ(m_->Backed("f"), m_->tree["f"].content);
}

TEST_F(DeferTest, AKillLeavesWhatTheNextMountMakesWhole) {
  Begin({.least_write_bytes = 1, .least_file_bytes = 1, .quiet = 1h});
  DeferTheEnd();
  m_->Drop();
  m_->Start(false);
  EXPECT_EQ(*m_->Read("f", 0, kBytes), m_->tree["f"].content);
  FinishAndExpect();
  EXPECT_THAT(m_->AsideFiles(), IsEmpty());
}

TEST_F(DeferTest, AStreamThatNeverEndsDoesNotKeepItForEver) {
  Begin({.least_write_bytes = 1, .least_file_bytes = 1, .quiet = 1h, .longest = 50ms});
  DeferTheEnd();
  while (m_->hydrator->progress().deferred_bytes > 0) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(HasName());
  FinishAndExpect();
}

TEST_F(DeferTest, OnlyLongAppendsAndNotTooManyAreTaken) {
  Begin({.least_write_bytes = 1000, .least_file_bytes = 5000, .most_bytes = 4 * 4096, .quiet = 1h});
  EXPECT_TRUE(m_->hydrator->TakesDeferred(1000, 5000));
  EXPECT_FALSE(m_->hydrator->TakesDeferred(999, 5000));
  EXPECT_FALSE(m_->hydrator->TakesDeferred(1000, 4999));
  DeferTheEnd();
  EXPECT_FALSE(m_->hydrator->TakesDeferred(1000, 5000));
  FinishAndExpect();
  EXPECT_FALSE(m_->hydrator->TakesDeferred(1000, 5000));  // nobody would fill it
}

TEST_F(DeferTest, NothingIsTakenWhereTheBackingDirectoryCannotMakeRoom) {
  Begin({.least_write_bytes = 1, .least_file_bytes = 1});
  m_->hydrator->RefuseDeferred();
  EXPECT_FALSE(m_->hydrator->TakesDeferred(1 << 20, 1 << 20));
}

TEST_F(DeferTest, AFileWithFurtherNamesStaysAsItIs) {
  Begin({.least_write_bytes = 1, .least_file_bytes = 1});
  std::filesystem::create_hard_link(m_->PathIn("f"), m_->PathIn("stranger"));
  InodeRef ref = m_->Get("f");
  SharedLock t(m_->tree_lock);
  ExclusiveLock l(ref->lock);
  ASSERT_TRUE(m_->hydrator->Prepare(*ref, "f").ok());
  EXPECT_FALSE(m_->hydrator->BeginDeferring(*ref, "f").ok());
  EXPECT_EQ(ref->presence, Presence::kPresent);
  EXPECT_TRUE(HasName());
}

TEST_F(HydratorTest, ExtendedAttributesComeBack) {
  m_->MakeFile("f", "x");
  m_->SetXattr("f", "user.k", "v");
  m_->Start(false);
  FinishAndExpect();
  auto there = m_->backing->ListXattrs("f");
  ASSERT_TRUE(there.ok());
  if (there->empty()) GTEST_SKIP() << "no user attributes on this file system";
  EXPECT_EQ(there->front().second, "v");
}

}  // namespace
}  // namespace dkfs
