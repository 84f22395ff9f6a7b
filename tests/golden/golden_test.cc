// Stores written by every format version so far: each moment reads as it did, and each can be written on.
#include "tests/golden/golden.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <set>

#include "store/format/item.h"
#include "store/record_scan.h"
#include "store/replay/restore.h"
#include "store/store_parts.h"
#include "store/verify/verify.h"
#include "tests/golden/sample.h"
#include "tests/support/temp_dir.h"

namespace dkfs::golden {
namespace {

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    path_ = UnpackGolden(GetParam(), dir_.path());
    ASSERT_NE(path_, "");
    trees_ = GoldenTrees(GetParam());
    ASSERT_GE(trees_.size(), 8u);
  }

  std::unique_ptr<Store> Open(StoreOptions::Mode mode) {
    StoreOptions options = SampleStoreOptions();
    options.mode = mode;
    options.create = false;
    Result<std::unique_ptr<Store>> opened = Store::Open(path_, options);
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    return opened.ok() ? std::move(opened).value() : nullptr;
  }

  void CheckMoments(Store& store) {
    const StoreStatus status = store.GetStatus();
    EXPECT_TRUE(status.error.ok()) << status.error.ToString();
    EXPECT_EQ(trees_.rbegin()->second, TreeText(ReadTree(store, trees_.rbegin()->first)));
    for (const auto& [seq, text] : trees_) {
      EXPECT_GE(seq, status.oldest);
      const Tree tree = ReadTree(store, seq);
      EXPECT_EQ(TreeText(tree), text) << "seq " << seq.value;
      EXPECT_EQ(CheckTree(store, tree, seq).wrong, "");
    }
  }

  std::string Damages() {
    std::string lines;
    VerifyOptions options;
    options.on_damage = [&](const std::string& line) { lines += line + "\n"; };
    VerifyResult result;
    const Status status = Verify(path_, options, &result);
    EXPECT_TRUE(status.ok()) << status.ToString();
    EXPECT_GT(result.versions, 0u);
    return lines;
  }

  test::TempDir dir_;
  std::string path_;
  std::map<Seq, std::string> trees_;
};

TEST_P(GoldenTest, EveryMomentReadsAsItDid) {
  std::unique_ptr<Store> store = Open(StoreOptions::Mode::kReadOnly);
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(store->GetStatus().appended, trees_.rbegin()->first);
  CheckMoments(*store);
}

TEST_P(GoldenTest, VerifyFindsNoDamage) { EXPECT_EQ(Damages(), ""); }

TEST_P(GoldenTest, ItIsWrittenOn) {
  std::unique_ptr<Store> store = Open(StoreOptions::Mode::kReadWrite);
  ASSERT_NE(store, nullptr);
  CheckMoments(*store);
  RecordBuilder record;
  InodeState state;
  state.mode = S_IFREG | 0600;
  state.nlink = 1;
  const FileId file = store->NewFile();
  record.Name(kRootFile, store->NewEntry(), "written now", file, 8);
  record.Inode(file, state);
  Result<Seq> seq = store->Append(record);
  ASSERT_TRUE(seq.ok()) << seq.status().ToString();
  EXPECT_EQ(seq->value, trees_.rbegin()->first.value + 1);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(store->Maintain().ok());
  ASSERT_TRUE(store->Close().ok());
  store.reset();
  store = Open(StoreOptions::Mode::kReadOnly);
  ASSERT_NE(store, nullptr);
  CheckMoments(*store);
  EXPECT_TRUE(store->Lookup(kRootFile, "written now").ok());
  EXPECT_EQ(Damages(), "");
}

TEST_P(GoldenTest, ItsIndexIsMadeAgain) {
  std::filesystem::remove_all(path_ + "/index");
  std::unique_ptr<Store> store = Open(StoreOptions::Mode::kReadWrite);
  ASSERT_NE(store, nullptr);
  CheckMoments(*store);
}

TEST_P(GoldenTest, ItIsRestored) {
  std::unique_ptr<Store> store = Open(StoreOptions::Mode::kReadOnly);
  ASSERT_NE(store, nullptr);
  RestoreOptions options;
  options.paths = {"dir", "doc", "pages", "link", "big"};
  RestoreResult result;
  const Seq last = trees_.rbegin()->first;
  const Status status = RestoreTree(*store, last, dir_ / "out", options, &result);
  ASSERT_TRUE(status.ok()) << status.ToString();
  const Tree tree = ReadTree(*store, last);
  for (const std::string path : {"doc", "pages", "big", "dir/last/tail"}) {
    const Node& node = tree.at(path);
    const std::string content = test::ContentOf(dir_ / "out/" + path);
    ASSERT_EQ(content.size(), node.state.size) << path;
    for (const auto& [block, bytes] : node.blocks) {
      const size_t at = block << node.state.block_shift;
      EXPECT_TRUE(content.substr(at, bytes->size()) == bytes->substr(0, content.size() - at)) << path;
    }
  }
}

// What a fixture does not hold it cannot protect.
TEST_P(GoldenTest, EveryKindOfRecordOccurs) {
  std::set<size_t> items;
  std::set<BlockKind> kinds;
  std::set<uint16_t> flags;
  std::unique_ptr<Store> store = Open(StoreOptions::Mode::kReadOnly);
  ASSERT_NE(store, nullptr);
  Result<std::vector<ListedSegment>> segments = ListSegments(path_ + "/journal");
  ASSERT_TRUE(segments.ok());
  for (const ListedSegment& segment : *segments) {
    Result<RecordScan> scan = RecordScan::Open(path_ + "/journal", segment, store->parts()->dir->uuid());
    ASSERT_TRUE(scan.ok());
    RecordScan::Record record;
    for (Result<bool> more = scan->Next(&record); more.ok() && *more; more = scan->Next(&record)) {
      flags.insert(record.header.flags);
      std::vector<Item> decoded;
      ASSERT_TRUE(DecodeItems(record.body, &decoded).ok());
      for (const Item& item : decoded) {
        items.insert(item.body.index());
        const auto* blocks = std::get_if<BlocksItem>(&item.body);
        if (blocks == nullptr) continue;
        for (const BlockVersion& version : blocks->versions) kinds.insert(version.kind);
      }
    }
  }
  EXPECT_EQ(items.size(), std::variant_size_v<decltype(Item::body)>);
  EXPECT_EQ(kinds.size(), 5u);
  std::set<uint16_t> expected{0, kRecordZstd};
  if (GetParam() != "v1" && GetParam() != "v2") expected.insert(kRecordLz4);
  EXPECT_EQ(flags, expected);
}

INSTANTIATE_TEST_SUITE_P(Versions, GoldenTest, testing::ValuesIn(GoldenVersions()),
                         [](const auto& test) { return test.param; });

// The recipe and the store agree, so that the next golden store will tell the truth.
TEST(SampleTest, EveryMomentIsTheModels) {
  test::TempDir dir;
  const Sample sample = MakeSample(dir / "store", {.seed = 7, .clean = true});
  StoreOptions options = SampleStoreOptions();
  options.mode = StoreOptions::Mode::kReadOnly;
  Result<std::unique_ptr<Store>> store = Store::Open(dir / "store", options);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  for (const auto& [seq, tree] : sample.moments) {
    const Check check = CheckTree(**store, tree, seq);
    ASSERT_EQ(check.wrong, "");
    ASSERT_EQ(check.refused, 0u) << check.first_refusal;
  }
}

}  // namespace
}  // namespace dkfs::golden
