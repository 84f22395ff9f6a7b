#include "fs/inode/inode.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <random>
#include <thread>

#include "store/base/file.h"

namespace dkfs {
namespace {

class InodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "inode-XXXXXX";
    ASSERT_NE(::mkdtemp(path_.data()), nullptr);
    StoreOptions options;
    options.background = false;
    options.segment_bytes = 1 << 20;
    Result<std::unique_ptr<Store>> store = Store::Open(path_ + "/s", options);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = std::move(store).value();
    table_ = std::make_unique<InodeTable>(store_.get());
  }
  void TearDown() override {
    table_.reset();
    if (store_) {
      EXPECT_TRUE(store_->Close().ok());
    }
    store_.reset();
    file::RemoveTree(AT_FDCWD, path_).Ignore("left in the temporary directory");
  }

  FileId Put(uint64_t size) {
    const FileId file = store_->NewFile();
    Put(file, size);
    return file;
  }
  void Put(FileId file, uint64_t size) {
    InodeState state;
    state.mode = S_IFREG | 0644;
    state.nlink = 1;
    state.size = size;
    RecordBuilder record;
    record.Inode(file, state);
    ASSERT_TRUE(store_->Append(record).ok());
  }
  InodeRef Get(FileId file) {
    Result<InodeRef> ref = table_->Get(file);
    EXPECT_TRUE(ref.ok()) << ref.status().ToString();
    return ref.ok() ? std::move(ref).value() : InodeRef();
  }
  static uint64_t SizeOf(Inode& inode) {
    SharedLock l(inode.lock);
    return inode.state.size;
  }
  static void SetPresence(Inode& inode, Presence presence) {
    ExclusiveLock l(inode.lock);
    inode.presence = presence;
  }
  static Presence PresenceOf(Inode& inode) {
    SharedLock l(inode.lock);
    return inode.presence;
  }

  std::string path_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<InodeTable> table_;
};

TEST_F(InodeTest, UnknownIsNotFoundAndLeavesNothingBehind) {
  EXPECT_EQ(table_->Get(FileId{999}).code(), ENOENT);
  EXPECT_FALSE(table_->Peek(FileId{999}));
  EXPECT_EQ(table_->size(), 0u);
}

TEST_F(InodeTest, WhatIsAddedMayHaveBeenAskedForAlready) {
  const FileId file = Put(5);
  InodeRef early = Get(file);
  InodeState state;
  {
    SharedLock l(early->lock);
    state = early->state;
  }
  InodeRef added = table_->Add(file, state);
  EXPECT_EQ(added.get(), early.get());
  EXPECT_EQ(SizeOf(*added), 5u);
  early.reset();
  added.reset();
  EXPECT_EQ(table_->size(), 0u);
}

TEST_F(InodeTest, GoneIsStaleOrNotFound) {
  const FileId file = Put(1);
  RecordBuilder record;
  record.InodeGone(file);
  ASSERT_TRUE(store_->Append(record).ok());
  const int code = table_->Get(file).code();
  EXPECT_TRUE(code == ESTALE || code == ENOENT) << code;
  EXPECT_EQ(table_->size(), 0u);
}

TEST_F(InodeTest, LeavesWhenNobodyRefersToIt) {
  const FileId file = Put(10);
  {
    InodeRef a = Get(file), b = Get(file);
    EXPECT_EQ(a.get(), b.get());
    EXPECT_EQ(SizeOf(*a), 10u);
    table_->CountLookup(*a);
    table_->CountLookup(*a);
  }
  EXPECT_EQ(table_->size(), 1u);
  table_->Forget(file, 1);
  EXPECT_EQ(table_->size(), 1u);
  table_->Forget(file, 1);
  EXPECT_EQ(table_->size(), 0u);
}

TEST_F(InodeTest, ForgetNeverUnderflows) {
  const FileId file = Put(10);
  table_->Forget(file, 5);  // not in memory
  InodeRef ref = Get(file);
  table_->Forget(file, 1000);
  EXPECT_FALSE(table_->KernelKnows(*ref));
  table_->CountLookup(*ref);
  EXPECT_TRUE(table_->KernelKnows(*ref));
  ref.reset();
  EXPECT_EQ(table_->size(), 1u);
  table_->Forget(file, 1);
  EXPECT_EQ(table_->size(), 0u);
}

TEST_F(InodeTest, PartialContentKeepsIt) {
  const FileId file = Put(10);
  InodeRef ref = Get(file);
  SetPresence(*ref, Presence::kPartial);
  ref.reset();
  EXPECT_EQ(table_->size(), 1u);
  ref = table_->Peek(file);
  ASSERT_TRUE(ref);
  SetPresence(*ref, Presence::kPresent);
  ref.reset();
  EXPECT_EQ(table_->size(), 0u);
}

TEST_F(InodeTest, PresenceComparedAndLastSeqOutliveTheInode) {
  const FileId file = Put(10), other = Put(11);
  InodeRef ref = Get(file);
  EXPECT_EQ(ref->last_seq.load(), 0u);
  {
    ExclusiveLock l(ref->lock);
    ref->presence = Presence::kPresent;
    ref->compared = true;
  }
  ref->last_seq.store(77);
  ref.reset();
  EXPECT_EQ(table_->size(), 0u);
  EXPECT_TRUE(table_->IsRememberedPresent(file));
  EXPECT_FALSE(table_->IsRememberedPresent(other));
  ref = Get(file);
  EXPECT_GE(ref->last_seq.load(), 77u);
  {
    SharedLock l(ref->lock);
    EXPECT_EQ(ref->presence, Presence::kPresent);
    EXPECT_TRUE(ref->compared);
  }
  SetPresence(*ref, Presence::kUnknown);
  table_->ForgetPresent(file);
  ref.reset();
  EXPECT_EQ(PresenceOf(*Get(file)), Presence::kUnknown);
}

TEST_F(InodeTest, EvictHookRunsBeforeTheInodeGoesWithoutLocks) {
  const FileId file = Put(10), partial = Put(11);
  std::vector<FileId> seen;
  table_->SetEvictHook([&](Inode& inode) {
    ExclusiveLock l(inode.lock);  // would hang if the lock was held
    EXPECT_EQ(table_->size(), inode.id == file ? 2u : 1u);
    seen.push_back(inode.id);
  });
  InodeRef ref = Get(partial);
  SetPresence(*ref, Presence::kPartial);
  ref.reset();
  EXPECT_TRUE(seen.empty());
  Get(file).reset();
  EXPECT_EQ(seen, std::vector<FileId>{file});
}

TEST_F(InodeTest, AnInodeTakenDuringItsEvictionStays) {
  const FileId file = Put(10);
  InodeRef taken;
  int calls = 0;
  table_->SetEvictHook([&](Inode& inode) {
    if (++calls == 1) std::thread([&] { taken = table_->Peek(inode.id); }).join();
  });
  Inode* first = Get(file).get();
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken.get(), first);
  EXPECT_EQ(table_->size(), 1u);
  taken.reset();
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(table_->size(), 0u);
}

TEST_F(InodeTest, AddedInodeIsFoundWithItsState) {
  InodeState state;
  state.mode = S_IFREG | 0600;
  state.size = 5;
  InodeRef made = table_->Add(FileId{500}, state);
  EXPECT_EQ(Get(FileId{500}).get(), made.get());
  EXPECT_EQ(SizeOf(*made), 5u);
}

// N1, N2: whatever comes and goes meanwhile, a change made under the inode's lock is never seen undone.
TEST_F(InodeTest, ConcurrentUseNeverSeesOlderState) {
  constexpr int kFiles = 4, kThreads = 4, kRounds = 300;
  std::vector<FileId> files;
  for (int i = 0; i < kFiles; ++i) files.push_back(Put(0));
  std::atomic<uint64_t> counts[kFiles] = {};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < kRounds; ++i) {
        const size_t n = random() % kFiles;
        InodeRef ref = Get(files[n]);
        if (random() % 2) table_->CountLookup(*ref);
        {
          ExclusiveLock l(ref->lock);
          ASSERT_EQ(ref->state.size, counts[n].load());
          Put(files[n], ++ref->state.size);
          ++counts[n];
        }
        table_->Forget(files[n], random() % 4);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (FileId file : files) table_->Forget(file, kThreads * kRounds);
  EXPECT_EQ(table_->size(), 0u);
}

TEST(CompressGateTest, WhatDoesNotShrinkIsTriedMoreAndMoreRarely) {
  CompressGate gate;
  std::vector<int> tried;
  for (int write = 0; write < 400; ++write) {
    if (!gate.Try()) continue;
    tried.push_back(write);
    gate.Note(false);
  }
  EXPECT_EQ(tried, (std::vector<int>{0, 2, 5, 10, 19, 36, 69, 134, 199, 264, 329, 394}));
  while (!gate.Try()) continue;
  gate.Note(true);
  EXPECT_TRUE(gate.Try());
  gate.Note(false);
  EXPECT_FALSE(gate.Try());
  EXPECT_TRUE(gate.Try());
}

}  // namespace
}  // namespace dkfs
