#include "store/base/fault.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <set>
#include <thread>

namespace dkfs {
namespace {

class FaultTest : public testing::Test {
 protected:
  ~FaultTest() override { EXPECT_TRUE(Fault::Arm("").ok()); }
  static int Code() { return Fault::Pass("journal.append").code(); }
};
using FaultDeathTest = FaultTest;

TEST_F(FaultTest, UnarmedPointsPassAndAreNotCounted) {
  EXPECT_EQ(Code(), 0);
  EXPECT_EQ(Fault::Passes("journal.append"), 0u);
}

TEST_F(FaultTest, FailsTheNthPassOnly) {
  ASSERT_TRUE(Fault::Arm("journal.append=EIO@3").ok());
  EXPECT_EQ(Code(), 0);
  EXPECT_EQ(Code(), 0);
  EXPECT_EQ(Code(), EIO);
  EXPECT_EQ(Code(), 0);
  EXPECT_EQ(Fault::Passes("journal.append"), 4u);
}

TEST_F(FaultTest, FailsFromTheNthPassOn) {
  ASSERT_TRUE(Fault::Arm("journal.append=ENOSPC@2+").ok());
  EXPECT_EQ(Code(), 0);
  EXPECT_EQ(Code(), ENOSPC);
  EXPECT_EQ(Code(), ENOSPC);
}

TEST_F(FaultTest, FailsEveryPass) {
  ASSERT_TRUE(Fault::Arm("journal.append=EROFS@*").ok());
  EXPECT_EQ(Code(), EROFS);
  EXPECT_EQ(Code(), EROFS);
}

TEST_F(FaultTest, SeveralPointsAndActionsAreIndependent) {
  ASSERT_TRUE(Fault::Arm("journal.append=EIO@1,journal.append=ENOSPC@2,index.flush=EDQUOT@1").ok());
  EXPECT_EQ(Code(), EIO);
  EXPECT_EQ(Fault::Pass("index.flush").code(), EDQUOT);
  EXPECT_EQ(Code(), ENOSPC);
  EXPECT_EQ(Fault::Pass("index.flush").code(), 0);
}

TEST_F(FaultTest, ErrorNamesThePoint) {
  ASSERT_TRUE(Fault::Arm("journal.append=EIO@1").ok());
  EXPECT_NE(Fault::Pass("journal.append").ToString().find("journal.append"), std::string::npos);
}

TEST_F(FaultTest, BadSpecIsRefusedAndLeavesWhatWasArmed) {
  ASSERT_TRUE(Fault::Arm("journal.append=EIO@*").ok());
  for (const char* bad :
       {"journal.append", "journal.append=EIO", "journal.append=EFOO@1", "journal.append=EIO@0", "journal.append=EIO@x",
        "journal.append=EIO@1-", "no.such=EIO@1", "=EIO@1", ",", "journal.append=EIO@", "journal.append@1=EIO"}) {
    const Status status = Fault::Arm(bad);
    EXPECT_EQ(status.code(), EINVAL) << bad;
    EXPECT_FALSE(status.context().empty()) << bad;
  }
  EXPECT_EQ(Code(), EIO);
}

TEST_F(FaultTest, ShortLowersATransferButNeverToNothing) {
  ASSERT_TRUE(Fault::Arm("file.write=short@1+").ok());
  size_t bytes = 100;
  EXPECT_TRUE(Fault::PassTransfer("file.write", &bytes).ok());
  EXPECT_EQ(bytes, 50u);
  bytes = 1;
  EXPECT_TRUE(Fault::PassTransfer("file.write", &bytes).ok());
  EXPECT_EQ(bytes, 1u);
}

TEST_F(FaultTest, PausedThreadGoesWhenReleased) {
  ASSERT_TRUE(Fault::Arm("hydrate.block=pause@1").ok());
  std::atomic<bool> through{false};
  std::thread thread([&] {
    EXPECT_TRUE(Fault::Pass("hydrate.block").ok());
    through = true;
  });
  Fault::AwaitPasses("hydrate.block", 1);
  EXPECT_FALSE(through);
  Fault::Release("hydrate.block");
  thread.join();
  EXPECT_TRUE(through);
}

TEST_F(FaultTest, ReleaseBeforeThePauseIsNotLost) {
  ASSERT_TRUE(Fault::Arm("hydrate.block=pause@1").ok());
  Fault::Release("hydrate.block");
  EXPECT_TRUE(Fault::Pass("hydrate.block").ok());
}

TEST_F(FaultTest, ArmingAnewLetsPausedThreadsGo) {
  ASSERT_TRUE(Fault::Arm("hydrate.block=pause@1").ok());
  std::thread thread([] { EXPECT_TRUE(Fault::Pass("hydrate.block").ok()); });
  Fault::AwaitPasses("hydrate.block", 1);
  ASSERT_TRUE(Fault::Arm("").ok());
  thread.join();
}

TEST_F(FaultTest, NamesAreUnique) {
  const auto names = Fault::Names();
  EXPECT_EQ(std::set<std::string_view>(names.begin(), names.end()).size(), names.size());
}

TEST_F(FaultTest, EnvironmentIsArmed) {
  setenv("DKFS_FAULTS", "journal.append=EIO@1", 1);
  EXPECT_TRUE(Fault::ArmFromEnvironment().ok());
  EXPECT_EQ(Code(), EIO);
  setenv("DKFS_FAULTS", "rubbish", 1);
  EXPECT_NE(Fault::ArmFromEnvironment().ToString().find("DKFS_FAULTS"), std::string::npos);
  unsetenv("DKFS_FAULTS");
  EXPECT_TRUE(Fault::ArmFromEnvironment().ok());
}

TEST_F(FaultDeathTest, KillEndsTheProcessAtOnce) {
  EXPECT_EXIT(
      {
        if (Fault::Arm("journal.append=kill@2").ok() && Code() == 0) Code();
        _exit(0);
      },
      testing::KilledBySignal(SIGKILL), "");
}

}  // namespace
}  // namespace dkfs
