// Appenders, askers and a flusher at once: what was enqueued before a question is always seen.
#include <thread>

#include "tests/unit/store/index/rig.h"

namespace dkfs {
namespace {

TEST(ThreadsTest, EveryAskerSeesWhatItEnqueued) {
  Rig rig("threads");
  std::mutex journal;  // stands for the journal's
  std::atomic<bool> stop{false};
  uint64_t next = 1;
  auto append = [&](uint64_t file, uint64_t size) {
    std::lock_guard lock(journal);
    const Seq seq{next++};
    Appended at;
    at.seq = seq;
    at.segment = SegmentId{1};
    std::vector<Item> items;
    items.push_back(Inode(FileId{file}, size));
    rig.index->Enqueue(at, std::move(items));
  };
  std::vector<std::thread> askers;
  for (uint64_t file = 10; file < 13; ++file) {
    askers.emplace_back([&, file] {
      for (uint64_t i = 1; i <= 400; ++i) {
        append(file, i);
        auto state = rig.index->Inode(FileId{file}, kLatest);
        EXPECT_TRUE(state.ok() && state->size == i) << i;
      }
    });
  }
  std::thread indexer([&] {
    while (!stop) EXPECT_TRUE(rig.index->ApplyAll().ok());
  });
  std::thread flusher([&] {
    while (!stop) EXPECT_TRUE(rig.Flush().ok());
  });
  for (std::thread& asker : askers) asker.join();
  stop = true;
  indexer.join();
  flusher.join();
  ASSERT_TRUE(rig.Flush().ok());
  EXPECT_EQ(rig.index->flushed(), Seq{1200});
  rig.Open();
  EXPECT_EQ(rig.index->recovered().last, Seq{1200});
  for (uint64_t file = 10; file < 13; ++file) EXPECT_EQ(rig.index->Inode(FileId{file}, kLatest)->size, 400u);
}

// Whatever is being applied meanwhile: the queue, what was taken from it, and RocksDB have no gap between them.
TEST(ThreadsTest, ANameIsWhatWasEnqueuedLast) {
  Rig rig("names");
  std::atomic<bool> stop{false};
  std::thread indexer([&] {
    while (!stop) EXPECT_TRUE(rig.index->ApplyAll().ok());
  });
  auto enqueue = [&, next = uint64_t{1}](FileId child) mutable {
    Appended at;
    at.seq = Seq{next++};
    at.segment = SegmentId{1};
    std::vector<Item> items;
    items.push_back({Seq{}, NameItem{FileId{1}, EntryId{7}, "a", child, 0}, 0, {}});
    rig.index->Enqueue(at, std::move(items));
  };
  for (uint64_t i = 1; i <= 3000; ++i) {
    enqueue(FileId{i});
    for (int asked = 0; asked < 3; ++asked) {
      auto found = rig.index->Name(FileId{1}, "a", kLatest);
      ASSERT_TRUE(found.ok() && found->child == FileId{i}) << i << ": " << found.status().ToString();
    }
    enqueue(FileId{});
    ASSERT_TRUE(rig.index->Name(FileId{1}, "a", kLatest).status().IsNotFound()) << i;
  }
  stop = true;
  indexer.join();
}

}  // namespace
}  // namespace dkfs
