#include "fs/profile/rates.h"

#include <gtest/gtest.h>

namespace dkfs {
namespace {

using std::chrono::seconds;

constexpr RateOptions kOptions{std::chrono::milliseconds(1000), 0.5};

TEST(DecayedRateTest, ACounterCountsFromItsBirth) {
  DecayedRate young, old;
  young.Observe(kOptions, 9'000'000'000, 100, seconds(10));
  EXPECT_DOUBLE_EQ(50, young.At(kOptions, seconds(10)));
  old.Observe(kOptions, 0, 100, seconds(100));
  EXPECT_NEAR(1, old.At(kOptions, seconds(100)), 1e-9) << "spread over all of its life";
}

TEST(DecayedRateTest, ASteadyRateIsReached) {
  DecayedRate rate;
  for (uint64_t t = 0; t <= 20; ++t) rate.Observe(kOptions, 0, t * 100, seconds(t));
  EXPECT_NEAR(100, rate.At(kOptions, seconds(20)), 0.1);
}

TEST(DecayedRateTest, AlphaIsTheWeightOfTheNewestInterval) {
  DecayedRate rate;
  rate.Observe(kOptions, 0, 0, seconds(0));
  rate.Observe(kOptions, 0, 100, seconds(1));
  EXPECT_DOUBLE_EQ(50, rate.At(kOptions, seconds(1)));
}

TEST(DecayedRateTest, SilenceDecays) {
  DecayedRate rate;
  rate.Observe(kOptions, 0, 0, seconds(0));
  rate.Observe(kOptions, 0, 100, seconds(1));
  EXPECT_DOUBLE_EQ(12.5, rate.At(kOptions, seconds(3)));
}

TEST(DecayedRateTest, LookingSeldomOrOftenIsTheSame) {
  DecayedRate often, seldom;
  for (uint64_t t = 0; t <= 8; ++t) often.Observe(kOptions, 0, t * 100, seconds(t));
  seldom.Observe(kOptions, 0, 0, seconds(0));
  seldom.Observe(kOptions, 0, 800, seconds(8));
  EXPECT_NEAR(often.At(kOptions, seconds(8)), seldom.At(kOptions, seconds(8)), 1e-9);
}

TEST(DecayedRateTest, AnotherCounterBeginsAtZero) {
  DecayedRate rate;
  rate.Observe(kOptions, 0, 1'000'000, seconds(0));
  rate.Observe(kOptions, 2, 100, seconds(1));  // pushed out and back, also with a larger total
  EXPECT_DOUBLE_EQ(50, rate.At(kOptions, seconds(1)));
}

TEST(DecayedRateTest, TimeThatDoesNotMoveChangesNothing) {
  DecayedRate rate;
  rate.Observe(kOptions, 0, 0, seconds(5));
  rate.Observe(kOptions, 0, 500, seconds(5));
  rate.Observe(kOptions, 0, 500, seconds(4));
  EXPECT_EQ(0, rate.At(kOptions, seconds(5)));
  rate.Observe(kOptions, 0, 500, seconds(6));
  EXPECT_DOUBLE_EQ(250, rate.At(kOptions, seconds(6))) << "nothing was lost meanwhile";
}

}  // namespace
}  // namespace dkfs
