#include "fs/profile/bandit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

namespace dkfs {
namespace {

constexpr double kMiB = 1 << 20;

BanditOptions Options() {
  BanditOptions options;
  options.full_evidence_bytes = kMiB;
  return options;
}

TEST(BanditTest, WithoutEvidenceTheFallbackStays) {
  Bandit bandit(4, Options());
  EXPECT_EQ(2u, bandit.Best(2));
  EXPECT_EQ(2u, bandit.Next(2));
  bandit.Observe(0, 100, 0.1);  // hearsay
  EXPECT_EQ(2u, bandit.Next(2));
}

TEST(BanditTest, TheCheapestKnownIsBest) {
  Bandit bandit(3, Options());
  bandit.Observe(0, kMiB, 1.0);
  bandit.Observe(1, kMiB, 0.5);
  EXPECT_EQ(1u, bandit.Best(0));
}

TEST(BanditTest, MeansAreWeightedByBytes) {
  Bandit bandit(1, Options());
  bandit.Observe(0, 3 * kMiB, 1.0);
  bandit.Observe(0, kMiB, 0.2);
  EXPECT_NEAR(0.8, bandit.mean(0), 0.01);
}

TEST(BanditTest, BetterNeedsEvidenceOnBothSidesAndMoreThanChance) {
  Bandit bandit(2, Options());
  bandit.Observe(0, 4 * kMiB, 1.0);
  EXPECT_FALSE(bandit.IsBetter(1, 0, 0.05)) << "never tried";
  bandit.Observe(1, 4 * kMiB, 0.97);
  EXPECT_FALSE(bandit.IsBetter(1, 0, 0.05)) << "within the margin";
  Bandit clear(2, Options());
  for (size_t i = 0; i < 8; ++i) clear.Observe(0, kMiB, 1.0), clear.Observe(1, kMiB, 0.5);
  EXPECT_TRUE(clear.IsBetter(1, 0, 0.05));
  EXPECT_FALSE(clear.IsBetter(0, 1, 0.05));
}

TEST(BanditTest, NoiseIsNoProof) {
  Bandit bandit(2, Options());
  for (double cost : {0.1, 1.9, 0.3, 1.8}) bandit.Observe(0, kMiB, cost);
  for (double cost : {0.2, 1.7, 0.2, 1.6}) bandit.Observe(1, kMiB, cost);
  EXPECT_FALSE(bandit.IsBetter(1, 0, 0.05));
}

TEST(BanditTest, OldEvidenceFades) {
  BanditOptions options = Options();
  options.half_life_bytes = 4 * kMiB;
  Bandit bandit(2, options);
  for (int i = 0; i < 20; ++i) bandit.Observe(0, kMiB, 0.5);
  for (int i = 0; i < 40; ++i) bandit.Observe(1, kMiB, 0.7);
  EXPECT_LT(bandit.evidence(0), 0.5) << "forgotten, so to be tried again";
}

TEST(BanditTest, GarbageIsPassedOver) {
  Bandit bandit(2, Options());
  bandit.Observe(7, kMiB, 1);
  bandit.Observe(0, 0, 1);
  bandit.Observe(0, -5, 1);
  bandit.Observe(0, kMiB, std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(0, bandit.evidence(0));
}

TEST(BanditTest, WhatIsAsGoodAsTheBestIsNotExploration) {
  Bandit bandit(3, Options());
  for (int i = 0; i < 40; ++i) {
    bandit.Observe(0, kMiB, 1.0);
    bandit.Infer(1, kMiB, 0.996);
  }
  EXPECT_EQ(1u, bandit.Best(0));
  EXPECT_EQ(0, bandit.explored_share());
  EXPECT_EQ(2u, bandit.Next(0)) << "so there is something left to explore with";
}

// Whatever the costs: the share of bytes that goes to other arms than the best known stays within its bound.
TEST(BanditTest, ExplorationIsBoundedAndFindsTheCheapest) {
  const char* given = std::getenv("DKFS_TEST_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given)) : 20261122;
  std::printf("DKFS_TEST_SEED=%u\n", seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 20; ++round) {
    std::vector<double> costs(6);
    std::uniform_real_distribution<double> spread(0.3, 1.0), noise(0.9, 1.1);
    for (double& cost : costs) cost = spread(random);
    BanditOptions options = Options();
    Bandit bandit(costs.size(), options);
    size_t arm = 0;
    for (int i = 0; i < 4000; ++i) {
      bandit.Observe(arm, kMiB / 4, costs[arm] * noise(random));
      EXPECT_LE(bandit.explored_share(), options.explore + 0.25 * kMiB / std::min(i + 1, 1000) / (kMiB / 4) + 0.02)
          << round;
      arm = bandit.Next(arm);
    }
    const double cheapest = *std::min_element(costs.begin(), costs.end());
    EXPECT_LE(costs[bandit.Best(0)], cheapest * 1.6) << "round " << round;
  }
}

}  // namespace
}  // namespace dkfs
