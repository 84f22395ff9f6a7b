#include <vector>

#include "tests/unit/store/kv/kv_fixture.h"

namespace dkfs {
namespace {

using KvFailureTest = KvFixture;

std::vector<std::string> Files(const std::string& path, std::string_view part) {
  std::vector<std::string> found;
  auto names = file::ListDir(AT_FDCWD, path);
  for (const std::string& name : *names) {
    if (name.find(part) != std::string::npos) found.push_back(path + "/" + name);
  }
  return found;
}

TEST_F(KvFailureTest, NoSpaceKeepsEverythingAndEndsWhenSpaceReturns) {
  Put(Family::kMeta, "key", "1");
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(Fault::Arm(round == 0 ? "kv.write=ENOSPC@3+" : "kv.write=ENOSPC@*").ok());
    EXPECT_EQ(Flush().code(), ENOSPC);
    EXPECT_EQ(kv_->FinishFlush().code(), ENOSPC);
    EXPECT_EQ(kv_->error().code(), ENOSPC);
    Put(Family::kMeta, "round", std::to_string(round));
    EXPECT_EQ(Get(Family::kMeta, "key"), "1");
  }
  ASSERT_TRUE(Fault::Arm("").ok());
  ASSERT_TRUE(kv_->FinishFlush().ok());
  EXPECT_TRUE(kv_->error().ok());
  ASSERT_TRUE(Flush().ok());
  Reopen();
  EXPECT_EQ(Get(Family::kMeta, "key"), "1");
  EXPECT_EQ(Get(Family::kMeta, "round"), "2");
}

// RocksDB must not hold a lock of its readers at any place where it may wait.
TEST_F(KvFailureTest, ReadersDoNotWaitForSpaceWhereverItIsMissing) {
  int n = 1;
  for (bool reached = true; reached && n < 100; ++n) {
    SCOPED_TRACE(n);
    Reopen();
    Put(Family::kMeta, "key", std::to_string(n));
    Put(Family::kBlock, "key", std::to_string(n));
    ASSERT_TRUE(Fault::Arm("kv.write=ENOSPC@" + std::to_string(n) + "+").ok());
    const Status flushed = Flush();
    reached = !flushed.ok();
    EXPECT_EQ(flushed.code(), reached ? ENOSPC : 0);
    EXPECT_EQ(Get(Family::kMeta, "key"), std::to_string(n));
    EXPECT_FALSE(kv_->NewCursor(Family::kName).Valid());
    EXPECT_GT(kv_->MemoryBytes(), 0u);
    ASSERT_TRUE(Fault::Arm("").ok());
    EXPECT_TRUE(!reached || kv_->FinishFlush().ok());
  }
  EXPECT_GT(n, 4);
  EXPECT_LT(n, 100);
}

TEST_F(KvFailureTest, FailedFlushIsStickyWhileReadsGoOn) {
  for (const char* fault : {"kv.write=EIO@1", "kv.sync=EIO@1", "kv.sync=EIO@2", "kv.sync=EIO@3", "kv.sync=ENOSPC@1",
                            "kv.sync=ENOSPC@2", "kv.sync=ENOSPC@3", "kv.sync=ENOSPC@*"}) {
    SCOPED_TRACE(fault);
    Reopen();
    Put(Family::kMeta, "key", "1");
    ASSERT_TRUE(Fault::Arm(fault).ok());
    EXPECT_EQ(Flush().code(), EIO);
    ASSERT_TRUE(Fault::Arm("").ok());
    EXPECT_EQ(Flush().code(), EIO);
    EXPECT_EQ(kv_->error().code(), EIO);
    KvBatch batch;
    batch.Put(Family::kMeta, "key", "2");
    const Status put = kv_->Write(&batch);
    EXPECT_TRUE(put.ok() || put.code() == EIO) << put.ToString();
    EXPECT_EQ(Get(Family::kMeta, "key"), put.ok() ? "2" : "1");
    Reopen();
    EXPECT_NE(Get(Family::kMeta, "key"), "2");  // "1" where the failed sync was the very last step
  }
}

TEST_F(KvFailureTest, ClosingEndsAFlushThatWaitsForSpace) {
  Put(Family::kMeta, "key", "1");
  ASSERT_TRUE(kv_->BeginFlush().ok());
  Put(Family::kMeta, "key", "2");
  ASSERT_TRUE(Fault::Arm("kv.write=ENOSPC@1").ok());
  EXPECT_EQ(kv_->FinishFlush().code(), ENOSPC);
  Reopen();
  EXPECT_EQ(Get(Family::kMeta, "key"), kMissing);
}

TEST_F(KvFailureTest, OpeningAnswersTheInjectedError) {
  kv_.reset();
  ASSERT_TRUE(Fault::Arm("kv.write=ENOSPC@*").ok());
  EXPECT_EQ(Kv::Open(path_, KvOptions{}).code(), ENOSPC);
  ASSERT_TRUE(Fault::Arm("kv.rename=EIO@*").ok());
  EXPECT_EQ(Kv::Open(path_, KvOptions{}).code(), EIO);
  ASSERT_TRUE(Fault::Arm("").ok());
  EXPECT_TRUE(Kv::Open(path_, KvOptions{}).ok());
}

TEST_F(KvFailureTest, MissingOrCutFilesAreCorruption) {
  for (std::string_view part : {".sst", "MANIFEST", "CURRENT"}) {
    for (bool cut : {false, true}) {
      SCOPED_TRACE(std::string(part) + (cut ? " cut" : " missing"));
      kv_.reset();
      ASSERT_TRUE(file::RemoveTree(AT_FDCWD, path_).ok());
      Reopen();
      Put(Family::kMeta, "key", std::string(5000, 'x'));
      ASSERT_TRUE(Flush().ok());
      kv_.reset();
      auto found = Files(path_, part);
      ASSERT_EQ(found.size(), 1u);
      if (cut) {
        auto fd = file::Open(AT_FDCWD, found[0], O_RDWR);
        uint64_t size = static_cast<uint64_t>(file::StatFd(fd->get(), "file")->st_size);
        ASSERT_TRUE(file::Truncate(fd->get(), size / 2, "file").ok());
      } else {
        ASSERT_TRUE(file::Unlink(AT_FDCWD, found[0]).ok());
      }
      auto kv = Kv::Open(path_, KvOptions{});
      EXPECT_EQ(kv.code(), EUCLEAN) << kv.status().ToString();
    }
  }
}

TEST_F(KvFailureTest, FlippedBitIsCorruptionWhenRead) {
  Put(Family::kMeta, "key", std::string(5000, 'x'));
  ASSERT_TRUE(Flush().ok());
  kv_.reset();
  auto found = Files(path_, ".sst");
  ASSERT_EQ(found.size(), 1u);
  auto fd = file::Open(AT_FDCWD, found[0], O_RDWR);
  std::byte byte;
  ASSERT_TRUE(file::ReadExactAt(fd->get(), {&byte, 1}, 10, "file").ok());
  byte ^= std::byte{1};
  ASSERT_TRUE(file::WriteAt(fd->get(), {&byte, 1}, 10, "file").ok());
  Reopen();
  EXPECT_EQ(kv_->Get(Family::kMeta, "key").code(), EUCLEAN);
  KvCursor cursor = kv_->NewCursor(Family::kMeta);
  cursor.SeekToFirst();
  EXPECT_FALSE(cursor.Valid());
  EXPECT_TRUE(cursor.status().IsCorruption());
}

TEST_F(KvFailureTest, OpenWithoutCreatingRefusesAnEmptyPlace) {
  kv_.reset();
  ASSERT_TRUE(file::RemoveTree(AT_FDCWD, path_).ok());
  KvOptions options;
  options.create_if_missing = false;
  EXPECT_FALSE(Kv::Open(path_, options).ok());
}

}  // namespace
}  // namespace dkfs
