// Content that was in DIR before the first mount, and what is done to it before and after it is captured.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include <filesystem>
#include <thread>

#include "fs/capture/adopter.h"
#include "fs/ops/file_system.h"
#include "store/base/fault.h"
#include "tests/support/temp_dir.h"

namespace dkfs {
namespace {

using test::TempDir;

// A store without background work, so that nothing is synced unless somebody waits for it.
class AdoptedContentTest : public ::testing::Test {
 protected:
  static constexpr size_t kBytes = 10'000;

  void SetUp() override {
    std::filesystem::create_directory(dir_.path() + "/data");
    for (const char* name : {"a", "b"}) Put(name, std::string(kBytes, name[0]));
    StoreOptions options;
    options.background = false;
    options.segment_bytes = 4 << 20;
    Result<std::unique_ptr<Store>> opened = Store::Open(dir_.path() + "/store", options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = std::move(opened).value();
    UniqueFd root(::open((dir_.path() + "/data").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    backing_ = std::make_unique<Backing>(std::move(root), "data");
    adopter_ = std::make_unique<Adopter>(store_.get(), backing_.get());
    const Status adopted = adopter_->AdoptNames(nullptr);
    ASSERT_TRUE(adopted.ok()) << adopted.ToString();
    inodes_ = std::make_unique<InodeTable>(store_.get());
    HydrateOptions hydrate;
    hydrate.trusted = true;
    hydrator_ = std::make_unique<Hydrator>(store_.get(), backing_.get(), inodes_.get(), &tree_lock_, hydrate);
    fs_ = std::make_unique<FileSystem>(store_.get(), backing_.get(), inodes_.get(), hydrator_.get(), &tree_lock_,
                                       FileSystemOptions{});
  }
  void TearDown() override {
    ASSERT_TRUE(Fault::Arm("").ok());
    adopter_.reset();
    fs_.reset();
    hydrator_.reset();
    inodes_.reset();
    EXPECT_TRUE(store_->Close().ok());
  }

  void Put(const std::string& name, const std::string& content) { test::PutFile(dir_ / "data/" + name, content); }
  std::string Backed(const std::string& name) const { return test::ContentOf(dir_ / "data/" + name); }
  void CaptureAll() {
    adopter_->StartContents([this](FileId file, const Adopter::Body& body) { return fs_->WithContent(file, body); });
    while (!adopter_->progress().done) std::this_thread::yield();
    adopter_->Stop();
  }
  FileId Find(const std::string& name) {
    Result<NameValue> found = store_->Lookup(kRootFile, name);
    EXPECT_TRUE(found.ok()) << name;
    return found.ok() ? found->child : FileId{};
  }
  Status Cut(const std::string& name, uint64_t size) {
    SetAttrRequest request;
    request.size = size;
    return fs_->SetAttr(caller_, Find(name), request).status();
  }

  TempDir dir_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Backing> backing_;
  std::unique_ptr<Adopter> adopter_;
  std::unique_ptr<InodeTable> inodes_;
  SharedMutex tree_lock_;
  std::unique_ptr<Hydrator> hydrator_;
  std::unique_ptr<FileSystem> fs_;
  Caller caller_;
};

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
  ASSERT_TRUE(Cut("b", 3000).ok());
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

}  // namespace
}  // namespace dkfs
