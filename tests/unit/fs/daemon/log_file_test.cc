#include "fs/daemon/log_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "store/base/log.h"

namespace dkfs {
namespace {

namespace stdfs = std::filesystem;

class LogFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "dkfs-log-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    ASSERT_TRUE(log_.Open(dir_ / "log").ok());
    Log(LogLevel::kWarn, "before", {});
  }
  void TearDown() override { stdfs::remove_all(dir_); }
  void Grow() { stdfs::resize_file(dir_ / "log", LogFile::kMaxBytes); }
  // Whether the next line goes to a new file, and nowhere else.
  bool BeginsAnew() {
    if (!log_.RotateIfLarge().ok() || !stdfs::exists(dir_ / "log") || stdfs::file_size(dir_ / "log") != 0) return false;
    Log(LogLevel::kWarn, "after", {});
    return stdfs::file_size(dir_ / "log") > 0;
  }
  stdfs::path dir_;
  LogFile log_;
};

TEST_F(LogFileTest, WhatHasGrownTooLargeIsKeptBeside) {
  ASSERT_TRUE(log_.RotateIfLarge().ok());
  EXPECT_FALSE(stdfs::exists(dir_ / "log.1"));
  Grow();
  EXPECT_TRUE(BeginsAnew());
  EXPECT_EQ(LogFile::kMaxBytes, stdfs::file_size(dir_ / "log.1"));
}

TEST_F(LogFileTest, ARemovedFileIsBegunAnew) {
  stdfs::remove(dir_ / "log");
  EXPECT_TRUE(BeginsAnew());
  EXPECT_FALSE(stdfs::exists(dir_ / "log.1"));
}

TEST_F(LogFileTest, AnEarlierRoundThatWasCutShortIsMadeUpFor) {
  Grow();
  stdfs::rename(dir_ / "log", dir_ / "log.1");
  EXPECT_TRUE(BeginsAnew());
}

}  // namespace
}  // namespace dkfs
