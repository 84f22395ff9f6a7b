// ServedDir: a file system over a directory that held the files "a", "b", "d/f" and "e/f" before its first mount.
//
// Nothing works in the background: what is not synced stays so unless somebody waits for it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "fs/capture/adopter.h"
#include "fs/ops/file_system.h"
#include "store/base/fault.h"
#include "tests/support/temp_dir.h"

namespace dkfs {

class ServedDirTest : public ::testing::Test {
 protected:
  static constexpr size_t kBytes = 10'000;

  void SetUp() override {
    for (const char* name : {"d", "e"}) std::filesystem::create_directories(dir_ / "data/" + name);
    for (const char* name : {"a", "b", "d/f", "e/f"}) Put(name, std::string(kBytes, name[0]));
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
    Serve(true);
  }
  void Serve(bool trusted) {
    inodes_ = std::make_unique<InodeTable>(store_.get());
    HydrateOptions hydrate;
    hydrate.trusted = trusted;
    hydrator_ = std::make_unique<Hydrator>(store_.get(), backing_.get(), inodes_.get(), &tree_lock_, hydrate);
    fs_ = std::make_unique<FileSystem>(store_.get(), backing_.get(), inodes_.get(), hydrator_.get(), &tree_lock_,
                                       FileSystemOptions{});
  }
  void TearDown() override {
    ASSERT_TRUE(Fault::Arm("").ok());
    Drop();
    EXPECT_TRUE(store_->Close().ok());
  }

  // As a kill: nothing is finished.
  void Drop() {
    adopter_.reset();
    fs_.reset();
    hydrator_.reset();
    inodes_.reset();
  }
  void Put(const std::string& name, const std::string& content) { test::PutFile(dir_ / "data/" + name, content); }
  std::string Backed(const std::string& name) const { return test::ContentOf(dir_ / "data/" + name); }
  void CaptureAll() {
    adopter_->StartContents([this](FileId file, const Adopter::Body& body) { return fs_->WithContent(file, body); },
                            /*may_drift=*/true);  // else it would sync in the end
    while (!adopter_->progress().done) std::this_thread::yield();
    adopter_->Stop();
  }
  FileId Find(const std::string& name, FileId parent = kRootFile) {
    Result<NameValue> found = store_->Lookup(parent, name);
    EXPECT_TRUE(found.ok()) << name;
    return found.ok() ? found->child : FileId{};
  }
  // The content, or why it cannot be read.
  std::string Read(FileId file) {
    std::string out(kBytes, '-');
    Result<size_t> n = fs_->Read(file, {reinterpret_cast<std::byte*>(out.data()), out.size()}, 0);
    return n.ok() ? out.substr(0, *n) : n.status().ToString();
  }
  Status Cut(FileId file, uint64_t size) {
    SetAttrRequest request;
    request.size = size;
    return fs_->SetAttr(caller_, file, request).status();
  }

  test::TempDir dir_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Backing> backing_;
  std::unique_ptr<Adopter> adopter_;
  std::unique_ptr<InodeTable> inodes_;
  SharedMutex tree_lock_;
  std::unique_ptr<Hydrator> hydrator_;
  std::unique_ptr<FileSystem> fs_;
  Caller caller_;
};

}  // namespace dkfs
