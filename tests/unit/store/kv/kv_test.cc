#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <set>
#include <thread>

#include "store/base/scheduling.h"
#include "tests/unit/store/kv/kv_fixture.h"

namespace dkfs {
namespace {

using KvTest = KvFixture;

std::string Version(std::string_view thing, uint8_t inverted) {
  return std::string(thing) + std::string(7, '\xff') + static_cast<char>(inverted);
}

TEST_F(KvTest, BatchIsVisibleAtOnceInEveryFamily) {
  KvBatch batch;
  for (int i = 0; i < kFamilies; ++i) batch.Put(static_cast<Family>(i), "some longer key", std::to_string(i));
  EXPECT_EQ(batch.count(), static_cast<size_t>(kFamilies));
  EXPECT_GT(batch.bytes(), 0u);
  ASSERT_TRUE(kv_->Write(&batch).ok());
  for (int i = 0; i < kFamilies; ++i) {
    EXPECT_EQ(Get(static_cast<Family>(i), "some longer key"), std::to_string(i));
  }
}

TEST_F(KvTest, MissingKeyIsEnoentWithoutSentence) {
  auto value = kv_->Get(Family::kMeta, "nothing");
  EXPECT_EQ(value.code(), ENOENT);
  EXPECT_TRUE(value.status().context().empty());
}

TEST_F(KvTest, NothingUnflushedSurvivesReopening) {
  Put(Family::kMeta, "key", "value");
  Reopen();
  EXPECT_EQ(Get(Family::kMeta, "key"), kMissing);
}

TEST_F(KvTest, FlushedSurvivesReopeningInAllFamilies) {
  Put(Family::kMeta, "key", "value");
  Put(Family::kBlock, "longer block key", "block");
  ASSERT_TRUE(Flush().ok());
  Reopen();
  EXPECT_EQ(Get(Family::kMeta, "key"), "value");
  EXPECT_EQ(Get(Family::kBlock, "longer block key"), "block");
}

TEST_F(KvTest, WhatIsWrittenAfterBeginFlushIsNotPartOfIt) {
  Put(Family::kMeta, "before", "1");
  ASSERT_TRUE(kv_->BeginFlush().ok());
  Put(Family::kMeta, "before", "2");
  Put(Family::kName, "after, long enough", "1");
  ASSERT_TRUE(kv_->FinishFlush().ok());
  EXPECT_EQ(Get(Family::kMeta, "before"), "2");
  Reopen();
  EXPECT_EQ(Get(Family::kMeta, "before"), "1");
  EXPECT_EQ(Get(Family::kName, "after, long enough"), kMissing);
}

TEST_F(KvTest, NothingIsDurableBeforeFinishFlush) {
  Put(Family::kMeta, "key", "value");
  ASSERT_TRUE(kv_->BeginFlush().ok());
  EXPECT_EQ(kv_->DiskBytes(), 0u);
  Reopen();
  EXPECT_EQ(Get(Family::kMeta, "key"), kMissing);
}

TEST_F(KvTest, EmptyFlushEnds) {
  ASSERT_TRUE(Flush().ok());
  ASSERT_TRUE(Flush().ok());
}

TEST_F(KvTest, MuchUnflushedDataStaysInMemory) {
  std::string value(64 << 10, 'x');
  for (int i = 0; i < 1200; ++i) Put(Family::kBlock, "some block key " + std::to_string(i), value);
  EXPECT_GT(kv_->MemoryBytes(), uint64_t{70} << 20);
  EXPECT_EQ(kv_->DiskBytes(), 0u);
  Reopen();
  EXPECT_EQ(Get(Family::kBlock, "some block key 0"), kMissing);
}

// 16 flushes of 64 KiB each, so that what they hold comes below L0.
class KvSpaceTest : public KvFixture {
 protected:
  static constexpr int kFlushes = 16;
  static std::string Key(int n) { return {static_cast<char>(n >> 8), static_cast<char>(n)}; }
  static std::string Noise(int n) {
    std::mt19937 random(static_cast<unsigned>(n));
    std::string value(64 << 10, '\0');
    for (char& c : value) c = static_cast<char>(random());
    return value;
  }
  void Fill() {
    for (int i = 0; i < kFlushes; ++i) {
      Put(Family::kMoment, Key(i), Noise(i));
      ASSERT_TRUE(Flush().ok());
    }
  }
  // Whether less than `bytes` are on disk before long; `ask` is called again and again.
  template <class Ask>
  bool FallsBelow(uint64_t bytes, Ask ask) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (kv_->DiskBytes() >= bytes) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      ask();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }
};

TEST_F(KvSpaceTest, CompactionGivesDeletedSpaceBackAndFlushesNothing) {
  Fill();
  KvBatch drop;
  drop.DeleteRange(Family::kMoment, Key(0), Key(kFlushes));
  ASSERT_TRUE(kv_->Write(&drop).ok());
  ASSERT_TRUE(Flush().ok());
  Put(Family::kName, "another name of some length", "2");
  EXPECT_TRUE(FallsBelow(6 << 16, [&] { ASSERT_TRUE(kv_->CompactRange(Family::kMoment, {}, {}).ok()); }));
  Reopen();
  EXPECT_EQ(Get(Family::kName, "another name of some length"), kMissing);
}

TEST_F(KvSpaceTest, TablesBelowAKeyGoWithoutACompaction) {
  Fill();
  Put(Family::kMoment, Key(kFlushes + 7), "later");
  EXPECT_TRUE(FallsBelow(6 << 16, [&] { kv_->DropTables(Family::kMoment, Key(kFlushes)); }));
  EXPECT_EQ(Get(Family::kMoment, Key(kFlushes + 7)), "later");
  Reopen();
  EXPECT_EQ(Get(Family::kMoment, Key(0)), kMissing);
}

TEST_F(KvSpaceTest, ClosingEndsADropThatWaitsForSpace) {
  Fill();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // for the compaction, which would wait instead
  ASSERT_TRUE(Fault::Arm("kv.write=ENOSPC@*").ok());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (kv_->error().code() != ENOSPC) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    kv_->DropTables(Family::kMoment, Key(kFlushes));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  kv_.reset();
  ASSERT_TRUE(Fault::Arm("").ok());
  Reopen();
  EXPECT_TRUE(FallsBelow(6 << 16, [&] { kv_->DropTables(Family::kMoment, Key(kFlushes)); }));
}

TEST_F(KvSpaceTest, ACompactionThatWaitsForSpaceGoesOnWithoutAFlush) {
  Fill();
  while (kv_->Compacting()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  Put(Family::kMoment, Key(0), "other");
  ASSERT_TRUE(Flush().ok());
  ASSERT_TRUE(Fault::Arm("kv.write=ENOSPC@*").ok());
  ASSERT_TRUE(kv_->CompactRange(Family::kMoment, {}, {}).ok());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (kv_->error().code() != ENOSPC) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  EXPECT_TRUE(kv_->Compacting());
  ASSERT_TRUE(Fault::Arm("").ok());
  EXPECT_EQ(kv_->error().code(), ENOSPC);
  kv_->TryAgain();
  while (kv_->Compacting()) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  EXPECT_TRUE(kv_->error().ok());
}

// Of this process.
std::set<pid_t> Threads() {
  std::set<pid_t> threads;
  auto names = file::ListDir(AT_FDCWD, "/proc/self/task");
  for (const std::string& name : *names) threads.insert(static_cast<pid_t>(std::stoi(name)));
  return threads;
}

TEST_F(KvSpaceTest, ADropDoesNotGiveWayWhenWhoeverAskedDoes) {
  Fill();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // for the compaction
  ASSERT_TRUE(Fault::Arm("kv.write=ENOSPC@*").ok());
  std::set<pid_t> before;
  bool may_be_raised = false;
  std::thread([&] {
    ScheduleWhenIdle(gettid(), true);
    ScheduleWhenIdle(gettid(), false);
    may_be_raised = getpriority(PRIO_PROCESS, 0) == 0;
    ScheduleWhenIdle(gettid(), true);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (kv_->error().code() != ENOSPC && std::chrono::steady_clock::now() < deadline) {
      if (!kv_->Dropping()) before = Threads();
      kv_->DropTables(Family::kMoment, Key(kFlushes));
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    before.insert(gettid());
  }).join();
  if (!may_be_raised) GTEST_SKIP() << "needs CAP_SYS_NICE";
  ASSERT_TRUE(kv_->Dropping());
  int found = 0;
  for (const pid_t thread : Threads()) {
    if (before.contains(thread)) continue;
    ++found;
    EXPECT_EQ(getpriority(PRIO_PROCESS, static_cast<id_t>(thread)), 0);
  }
  EXPECT_EQ(found, 1);
}

TEST_F(KvSpaceTest, ADropForWhichNoThreadCanBeHadIsLeftOut) {
  Fill();
  pthread_attr_t usual, large;
  ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
  ASSERT_EQ(pthread_getattr_default_np(&large), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&large, size_t{1} << 56), 0);
  ASSERT_EQ(pthread_setattr_default_np(&large), 0);
  kv_->DropTables(Family::kMoment, Key(kFlushes));
  ASSERT_EQ(pthread_setattr_default_np(&usual), 0);
  EXPECT_FALSE(kv_->Dropping());
  EXPECT_TRUE(FallsBelow(6 << 16, [&] { kv_->DropTables(Family::kMoment, Key(kFlushes)); }));
}

TEST_F(KvSpaceTest, TheTableThatHoldsTheEndStays) {
  Fill();
  kv_->DropTables(Family::kMoment, Key(0));
  for (int i = 0; i < kFlushes; ++i) EXPECT_TRUE(Get(Family::kMoment, Key(i)) == Noise(i)) << i;
}

TEST_F(KvTest, SeekPrefixFindsTheVersionInForce) {
  for (bool flushed : {false, true}) {
    Put(Family::kName, Version("dir/name", 10), "ten");
    Put(Family::kName, Version("dir/name", 20), "twenty");
    Put(Family::kName, Version("dir/other", 10), "other");
    if (flushed) {
      ASSERT_TRUE(Flush().ok());
    }
    std::string key, value;
    ASSERT_TRUE(kv_->SeekPrefix(Family::kName, Version("dir/name", 15), "dir/name", &key, &value).ok());
    EXPECT_EQ(value, "twenty");
    EXPECT_EQ(key, Version("dir/name", 20));
    ASSERT_TRUE(kv_->SeekPrefix(Family::kName, Version("dir/name", 0), "dir/name", &key, &value).ok());
    EXPECT_EQ(value, "ten");
    EXPECT_EQ(kv_->SeekPrefix(Family::kName, Version("dir/name", 21), "dir/name", &key, &value).code(), ENOENT);
    EXPECT_EQ(kv_->SeekPrefix(Family::kName, Version("dir/absent", 0), "dir/absent", &key, &value).code(), ENOENT);
    EXPECT_EQ(kv_->SeekPrefix(Family::kName, Version("zzz", 0), "zzz", &key, &value).code(), ENOENT);
    ASSERT_TRUE(kv_->SeekPrefix(Family::kName, "dir/", "dir/", &key, &value).ok());  // a shorter prefix works too
    EXPECT_EQ(value, "ten");
  }
}

TEST_F(KvTest, VersionsCursorStaysWithOneThing) {
  const auto versions = [&](const std::string& thing, uint8_t from) {
    std::string seen;
    KvCursor cursor = kv_->NewVersionsCursor(Family::kName);
    for (cursor.Seek(Version(thing, from)); cursor.Valid(); cursor.Next()) seen += cursor.value();
    EXPECT_TRUE(cursor.status().ok());
    return seen;
  };
  for (uint8_t i = 1; i <= 3; ++i) {  // each in a table of its own, beside another thing
    Put(Family::kName, Version("dir/name", i), std::to_string(i));
    Put(Family::kName, Version("dir/other", i), "other");
    ASSERT_TRUE(Flush().ok());
  }
  Put(Family::kName, Version("dir/other", 4), "other");
  ASSERT_TRUE(Flush().ok());
  Put(Family::kName, Version("dir/name", 4), "4");  // in memory
  EXPECT_EQ("1234", versions("dir/name", 0));
  EXPECT_EQ("34", versions("dir/name", 3));
  EXPECT_EQ("", versions("dir/name", 5));
  EXPECT_EQ("", versions("dir/nam", 0));
  EXPECT_EQ("", versions("dir/names", 0));
}

TEST_F(KvTest, CursorSeesItsMomentAndStopsAtItsBound) {
  for (char c = 'a'; c <= 'e'; ++c) Put(Family::kEntry, std::string(12, c), std::string(1, c));
  KvCursor cursor = kv_->NewCursor(Family::kEntry, "dddd");
  Put(Family::kEntry, std::string(12, 'b') + "later", "later");
  std::string seen;
  for (cursor.SeekToFirst(); cursor.Valid(); cursor.Next()) seen += cursor.value();
  EXPECT_TRUE(cursor.status().ok());
  EXPECT_EQ(seen, "abc");
  cursor.SeekToLast();
  EXPECT_EQ(cursor.value(), "c");
  cursor.SeekForPrev("bz");
  EXPECT_EQ(cursor.value(), "b");
  cursor.Prev();
  EXPECT_EQ(cursor.value(), "a");
}

TEST_F(KvTest, DeletesHideFromAllAndRangeDeletesFromGet) {
  for (char c = 'a'; c <= 'e'; ++c) Put(Family::kMoment, std::string(8, c), std::string(1, c));
  ASSERT_TRUE(Flush().ok());
  KvBatch batch;
  batch.DeleteRange(Family::kMoment, "a", "cc");
  batch.Delete(Family::kMoment, std::string(8, 'e'));
  ASSERT_TRUE(kv_->Write(&batch).ok());
  KvCursor cursor = kv_->NewCursor(Family::kMoment);
  std::string seen;
  for (cursor.SeekToFirst(); cursor.Valid(); cursor.Next()) seen += cursor.value();
  EXPECT_EQ(seen, "abcd");
  EXPECT_TRUE(kv_->Get(Family::kMoment, std::string(8, 'a')).status().IsNotFound());
  EXPECT_TRUE(kv_->Get(Family::kMoment, std::string(8, 'd')).ok());
}

}  // namespace
}  // namespace dkfs
