#include "fs/hotness/request_counts.h"

#include <gtest/gtest.h>
#include <time.h>

#include <map>
#include <thread>
#include <vector>

namespace dkfs {
namespace {

constexpr FileId kFile{42};
constexpr uint64_t kExtent = uint64_t{1} << HOTNESS_EXTENT_SHIFT;

double ThreadNs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

class RequestCountsTest : public testing::Test {
 protected:
  RequestCountsTest() { counts_.SetCounting(true); }
  hotness_file Of(FileId file) {
    auto read = counts_.Read();
    for (const FileWrites& f : (*read).files) {
      if (f.file == file) return f.counts;
    }
    return {};
  }
  std::map<uint64_t, hotness_extent> ExtentsOf(FileId file) {
    std::map<uint64_t, hotness_extent> out;
    auto read = counts_.Read();
    for (const ExtentWrites& e : (*read).extents) {
      if (e.file == file) out[e.extent] = e.counts;
    }
    return out;
  }
  RequestCounts counts_;
};

TEST_F(RequestCountsTest, CountsWritesBytesAndSizes) {
  counts_.OnWrite(kFile, 0, 100, false);
  counts_.OnWrite(kFile, 8192, 8192, false);
  counts_.OnWrite(FileId(7), 0, 1, false);
  const hotness_file f = Of(kFile);
  EXPECT_EQ(2u, f.writes);
  EXPECT_EQ(8292u, f.bytes);
  EXPECT_EQ(1u, f.sizes[0]);
  EXPECT_EQ(1u, f.sizes[2]);
  EXPECT_GT(f.born, 0u);
}

TEST_F(RequestCountsTest, SequentialIsWhatBeginsWhereTheLastEnded) {
  for (uint64_t i = 0; i < 10; ++i) counts_.OnWrite(kFile, i * 4096, 4096, false);
  counts_.OnWrite(kFile, 0, 4096, false);
  EXPECT_EQ(9u, Of(kFile).sequential);
}

TEST_F(RequestCountsTest, BackIsWhatBeginsBeforeTheLastPage) {
  counts_.OnWrite(kFile, 1 << 20, 4096, false);
  counts_.OnWrite(kFile, 1 << 20, 8192, false);
  counts_.OnWrite(kFile, 1 << 20, 8192, false);
  counts_.OnWrite(kFile, 2 << 20, 4096, false);
  EXPECT_EQ(0u, Of(kFile).back);
  counts_.OnWrite(kFile, (2 << 20) - 8192, 100, false);
  EXPECT_EQ(1u, Of(kFile).back);
  counts_.OnWrite(kFile, 0, 4096, false);
  EXPECT_EQ(2u, Of(kFile).back);
}

TEST_F(RequestCountsTest, FirstWriteAtZeroIsNotSequential) {
  counts_.OnFsync(kFile);
  counts_.OnWrite(kFile, 0, 4096, false);
  EXPECT_EQ(0u, Of(kFile).sequential);
  EXPECT_EQ(1u, Of(kFile).fsyncs);
}

TEST_F(RequestCountsTest, RewritesAreOfPagesTouchedBefore) {
  counts_.OnWrite(kFile, 0, 16384, false);
  counts_.OnWrite(kFile, 8192, 16384, false);
  const auto extents = ExtentsOf(kFile);
  ASSERT_EQ(1u, extents.size());
  EXPECT_EQ(8u, extents.at(0).pages);
  EXPECT_EQ(2u, extents.at(0).rewritten);
  EXPECT_EQ(0b1100u, extents.at(0).again);
}

TEST_F(RequestCountsTest, AWriteOverABorderCountsInBothExtents) {
  counts_.OnWrite(kFile, kExtent - 100, 300, false);
  const auto extents = ExtentsOf(kFile);
  ASSERT_EQ(2u, extents.size());
  EXPECT_EQ(100u, extents.at(0).bytes);
  EXPECT_EQ(200u, extents.at(1).bytes);
  EXPECT_EQ(1u, extents.at(1).pages);
}

TEST_F(RequestCountsTest, RewrittenPagesAreTakenOnce) {
  counts_.OnWrite(kFile, 0, 8192, false);
  counts_.OnWrite(kFile, kExtent, 1, false);
  EXPECT_TRUE(counts_.TakeRewritten().empty()) << "nothing was written again";
  counts_.OnWrite(kFile, 4096, 8192, true);
  counts_.OnWrite(kFile, 8192, 4096, false);
  const auto taken = counts_.TakeRewritten();
  ASSERT_EQ(1u, taken.size());
  EXPECT_EQ(kFile, taken[0].file);
  EXPECT_EQ(0u, taken[0].extent);
  EXPECT_EQ(0b110u, taken[0].pages);
  EXPECT_TRUE(counts_.TakeRewritten().empty());
  EXPECT_EQ(5u, ExtentsOf(kFile).at(0).pages) << "the counts go on";
}

TEST_F(RequestCountsTest, PagesOfTheCacheAreHandedOver) {
  counts_.OnWrite(kFile, 0, 4096, true);
  EXPECT_EQ(4096u, Of(kFile).handed_over_bytes);
}

TEST_F(RequestCountsTest, NothingIsCountedWhenOff) {
  counts_.SetCounting(false);
  counts_.OnWrite(kFile, 0, 4096, false);
  counts_.OnFsync(kFile);
  EXPECT_EQ(0u, counts_.status().totals.events);
}

TEST_F(RequestCountsTest, TablesAreBoundedAndEvictionsCounted) {
  for (uint64_t i = 1; i <= 20'000; ++i) counts_.OnWrite(FileId(i), 0, 1, false);
  const HotnessStatus status = counts_.status();
  EXPECT_LE(status.files, uint64_t{HOTNESS_MAX_FILES});
  EXPECT_LE(status.extents, uint64_t{HOTNESS_MAX_EXTENTS});
  EXPECT_EQ(40'000u, status.files + status.extents + status.evicted);
  EXPECT_EQ(20'000u, status.totals.writes);
}

TEST_F(RequestCountsTest, AHotEntryOutlivesColdOnes) {
  for (uint64_t i = 100; i <= 20'000; ++i) {
    counts_.OnWrite(FileId(i), 0, 1, false);
    counts_.OnWrite(kFile, 0, 1, false);
  }
  EXPECT_EQ(19'901u, Of(kFile).writes);
}

TEST_F(RequestCountsTest, ThreadsLoseNothingUncounted) {
  constexpr uint64_t kThreads = 4, kWrites = 20'000;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([this] {
      for (uint64_t i = 0; i < kWrites; ++i) counts_.OnWrite(kFile, 0, 1, false);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const HotnessStatus status = counts_.status();
  EXPECT_LE(status.totals.writes, kThreads * kWrites);
  EXPECT_GE(status.totals.writes + status.totals.drops, kThreads * kWrites);
}

// No limit: the machine may be busy. The figure is for people.
TEST_F(RequestCountsTest, CostIsPrinted) {
  constexpr uint64_t kWrites = 1'000'000;
  const auto cost = [&] {
    const double begin = ThreadNs();
    for (uint64_t i = 0; i < kWrites; ++i) counts_.OnWrite(kFile, i % 1000 * 8192, 8192, false);
    return (ThreadNs() - begin) / kWrites;
  };
  const double on = cost();
  counts_.SetCounting(false);
  const double off = cost();
  std::printf("a write costs %.0f ns while counting, %.1f ns while not\n", on, off);
  EXPECT_EQ(kWrites, counts_.status().totals.writes);
}

}  // namespace
}  // namespace dkfs
