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

}  // namespace
}  // namespace dkfs
