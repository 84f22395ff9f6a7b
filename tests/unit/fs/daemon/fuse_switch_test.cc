#include "fs/daemon/fuse_switch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "tests/support/temp_dir.h"

namespace dkfs {
namespace {

class FuseSwitchTest : public testing::Test {
 protected:
  std::string Make(const std::string& text) {
    std::ofstream(path_) << text;
    return path_;
  }
  Result<std::unique_ptr<FuseSwitch>> Hold(bool may_turn) { return FuseSwitch::HoldOn(may_turn, path_, mark_); }
  std::string Text() const {
    std::string text;
    std::ifstream(path_) >> text;
    return text;
  }
  const test::TempDir dir_;
  const std::string path_ = dir_ / "enable_uring", mark_ = dir_ / "mark";
};

TEST_F(FuseSwitchTest, IsOnWhileHeldAndOffAgainAfterwards) {
  Make("N\n");
  {
    auto held = Hold(true);
    ASSERT_TRUE(held.ok()) << held.status().ToString();
    EXPECT_EQ("Y", Text());
  }
  EXPECT_EQ("N", Text());
}

TEST_F(FuseSwitchTest, WhatTheAdministratorTurnedOnStaysOn) {
  Make("Y\n");
  ASSERT_TRUE(Hold(false).ok());
  ASSERT_TRUE(Hold(true).ok());
  EXPECT_EQ("Y", Text());
}

TEST_F(FuseSwitchTest, IsNotTurnedWithoutLeave) {
  Make("N\n");
  auto held = Hold(false);
  EXPECT_EQ(EPERM, held.code());
  EXPECT_NE(std::string::npos, held.status().ToString().find(path_));
  EXPECT_EQ("N", Text());
}

TEST_F(FuseSwitchTest, WhatAKilledMountLeftOnIsPutBackByTheNext) {
  Make("N\n");
  const pid_t child = ::fork();
  if (child == 0) {
    auto held = Hold(true);
    ::_exit(held.ok() ? 0 : 1);  // without its destructor
  }
  int how = 0;
  ASSERT_EQ(child, ::waitpid(child, &how, 0));
  ASSERT_EQ(0, how);
  ASSERT_EQ("Y", Text());
  ASSERT_TRUE(Hold(false).ok());
  EXPECT_EQ("N", Text());
  EXPECT_NE(0, ::access(mark_.c_str(), F_OK));
}

TEST_F(FuseSwitchTest, KernelWithoutItIsNamed) {
  auto held = FuseSwitch::HoldOn(true, dir_ / "missing", mark_);
  EXPECT_EQ(ENOENT, held.code());
  EXPECT_NE(std::string::npos, held.status().ToString().find("6.14"));
}

TEST_F(FuseSwitchTest, OnesMadeAtTheSameTimeTakeTurns) {
  Make("N\n");
  std::vector<std::thread> threads;
  std::atomic<int> seen_on{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      auto held = Hold(true);
      ASSERT_TRUE(held.ok());
      seen_on += Text() == "Y";
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(8, seen_on);
  EXPECT_EQ("N", Text());
}

TEST_F(FuseSwitchTest, AHolderThatDoesNotLetGoIsNotWaitedForForEver) {
  Make("N\n");
  UniqueFd other(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(0, ::flock(other.get(), LOCK_EX));
  EXPECT_EQ(EBUSY, Hold(true).code());
}

TEST(RingTrustTest, FollowsTheReleaseOfTheKernel) {
  EXPECT_TRUE(IsRingTrusted("6.18.44-fc-v657"));
  EXPECT_TRUE(IsRingTrusted("6.19.0"));
  EXPECT_TRUE(IsRingTrusted("7.0"));
  EXPECT_FALSE(IsRingTrusted("6.18.1-generic"));
  EXPECT_FALSE(IsRingTrusted("6.14.0"));
  EXPECT_FALSE(IsRingTrusted("5.15.200"));
  EXPECT_FALSE(IsRingTrusted("custom"));
}

}  // namespace
}  // namespace dkfs
