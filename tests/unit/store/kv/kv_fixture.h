// A Kv in a directory of its own, for the tests of this folder.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/kv/kv.h"

namespace dkfs {

class KvFixture : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = testing::TempDir() + "dkfs_kv_" + info->name() + "_" + std::to_string(getpid());
    ASSERT_TRUE(file::RemoveTree(AT_FDCWD, path_).ok());
    Reopen();
  }
  void TearDown() override {
    ASSERT_TRUE(Fault::Arm("").ok());
    kv_.reset();
    ASSERT_TRUE(file::RemoveTree(AT_FDCWD, path_).ok());
  }
  void Reopen() {
    kv_.reset();
    auto kv = Kv::Open(path_, KvOptions{});
    ASSERT_TRUE(kv.ok()) << kv.status().ToString();
    kv_ = std::move(kv).value();
  }
  void Put(Family family, std::string_view key, std::string_view value) {
    KvBatch batch;
    batch.Put(family, key, value);
    Status s = kv_->Write(&batch);
    ASSERT_TRUE(s.ok()) << s.ToString();
  }
  std::string Get(Family family, std::string_view key) {
    auto value = kv_->Get(family, key);
    return value.ok() ? *value : "(" + std::to_string(value.code()) + ")";
  }
  Status Flush() {
    DKFS_TRY(kv_->BeginFlush());
    return kv_->FinishFlush();
  }
  std::string path_;
  std::unique_ptr<Kv> kv_;
};

inline const std::string kMissing = "(" + std::to_string(ENOENT) + ")";

}  // namespace dkfs
