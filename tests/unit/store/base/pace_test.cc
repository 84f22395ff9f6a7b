#include "store/base/pace.h"

#include <gtest/gtest.h>
#include <time.h>

#include <chrono>
#include <thread>
#include <vector>

namespace dkfs {
namespace {

constexpr uint64_t kMs = 1'000'000;

uint64_t CpuNs() {
  struct timespec now {};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Each look finds what the test says; every Rest is far enough behind the last one for a look.
struct Rig {
  std::optional<Pace::CpuTimes> times = Pace::CpuTimes{};
  bool hurry = false;
  std::atomic<bool> stop = false;
  std::vector<uint64_t> naps;
  Pace pace{[this] { return hurry; }, [this] { return times; }, [this](uint64_t ns) { naps.push_back(ns); }};

  uint64_t RestAfter(uint64_t ran, uint64_t waited) {
    pace.Rest(stop);
    if (times) times = Pace::CpuTimes{times->ran_ns + ran, times->waited_ns + waited};
    naps.clear();
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    pace.Rest(stop);
    uint64_t sum = 0;
    for (uint64_t nap : naps) sum += nap;
    return sum;
  }
};

TEST(PaceTest, AnIdleMachineIsUsedInFull) { EXPECT_EQ(0u, Rig().RestAfter(20 * kMs, 4 * kMs)); }
TEST(PaceTest, WhoWaitsRestsTwentyFourTimesAsLong) { EXPECT_EQ(240 * kMs, Rig().RestAfter(10 * kMs, 10 * kMs)); }
TEST(PaceTest, ARestIsBounded) { EXPECT_EQ(Pace::kMaxRestNs, Rig().RestAfter(1000 * kMs, 1000 * kMs)); }

TEST(PaceTest, NoRestWhenTheBudgetIsNearlyUsedUp) {
  Rig rig;
  rig.hurry = true;
  EXPECT_EQ(0u, rig.RestAfter(10 * kMs, 10 * kMs));
}

TEST(PaceTest, NoRestWhereTheKernelDoesNotTell) {
  Rig rig;
  rig.times.reset();
  EXPECT_EQ(0u, rig.RestAfter(10 * kMs, 10 * kMs));
}

TEST(PaceTest, AnotherThreadBeginsAnew) {
  Rig rig;
  rig.times = Pace::CpuTimes{500 * kMs, 500 * kMs};
  rig.pace.Rest(rig.stop);
  std::this_thread::sleep_for(std::chrono::milliseconds(25));
  rig.times = Pace::CpuTimes{1 * kMs, 900 * kMs};
  rig.pace.Rest(rig.stop);
  EXPECT_TRUE(rig.naps.empty());
}

TEST(PaceTest, StoppingEndsARest) {
  std::atomic<bool> stop = false;
  std::optional<Pace::CpuTimes> times = Pace::CpuTimes{};
  int naps = 0;
  Pace pace([] { return false; }, [&] { return times; }, [&](uint64_t) { stop = ++naps == 2; });
  pace.Rest(stop);
  times = Pace::CpuTimes{100 * kMs, 100 * kMs};
  std::this_thread::sleep_for(std::chrono::milliseconds(25));
  pace.Rest(stop);
  EXPECT_EQ(2, naps);
}

TEST(PaceTest, TheProbeCountsThisThreadsTime) {
  const std::optional<Pace::CpuTimes> before = Pace::ProbeThread();
  if (!before) GTEST_SKIP() << "this kernel keeps no schedstat";
  const uint64_t end = CpuNs() + 30 * kMs;  // where others have the CPU the wall clock says nothing
  while (CpuNs() < end) {
  }
  const std::optional<Pace::CpuTimes> after = Pace::ProbeThread();
  ASSERT_TRUE(after);
  EXPECT_GT((after->ran_ns - before->ran_ns) + (after->waited_ns - before->waited_ns), 10 * kMs);
}

}  // namespace
}  // namespace dkfs
