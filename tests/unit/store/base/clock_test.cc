#include "store/base/clock.h"

#include <gtest/gtest.h>

#include <ctime>

namespace dkfs {
namespace {

TEST(ClockTest, WallTimeIsTheSystemsWithNanosecondsBelowASecond) {
  const time_t before = std::time(nullptr);
  const TimeSpec now = WallNow();
  const time_t after = std::time(nullptr);
  EXPECT_GE(now.sec, before - 1);  // time() may lag by one tick
  EXPECT_LE(now.sec, after + 1);
  EXPECT_LT(now.nsec, 1'000'000'000u);
}

TEST(ClockTest, MonotonicNeverGoesBack) {
  uint64_t last = MonotonicNs();
  for (int i = 0; i < 10000; ++i) {
    const uint64_t now = MonotonicNs();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(ClockTest, TimesOrderBySecondsThenNanoseconds) {
  EXPECT_LT((TimeSpec{1, 999'999'999}), (TimeSpec{2, 0}));
  EXPECT_LT((TimeSpec{2, 0}), (TimeSpec{2, 1}));
  EXPECT_LT((TimeSpec{-1, 5}), (TimeSpec{0, 0}));
}

}  // namespace
}  // namespace dkfs
