#include "store/base/status.h"

#include <gtest/gtest.h>

#include <string>

namespace dkfs {
namespace {

TEST(StatusTest, SaysWhatWasBeingDone) {
  EXPECT_EQ(Status::Ok().ToString(), "ok");
  EXPECT_EQ(Status::Error(ENOENT, "open a").ToString(), "open a: No such file or directory");
  EXPECT_EQ(Status::Error(ENOENT, "open a").Prefix("mount").ToString(), "mount: open a: No such file or directory");
  EXPECT_EQ(Status::Corruption("segment 3").ToString(), "segment 3: damaged");
}

TEST(StatusTest, PrefixKeepsTheCode) {
  EXPECT_EQ(Status::Error(ENOSPC).Prefix("x").code(), ENOSPC);
  EXPECT_TRUE(Status::Ok().Prefix("x").ok());
  EXPECT_TRUE(Status::Corruption("y").Prefix("x").IsCorruption());
}

TEST(StatusTest, FromErrnoTakesTheErrno) {
  errno = EACCES;
  EXPECT_EQ(Status::FromErrno("x").code(), EACCES);
  errno = 0;
  EXPECT_EQ(Status::FromErrno("x").code(), EIO) << "a failure without an errno is still a failure";
}

Result<int> Half(int n) {
  if (n % 2 != 0) return Status::Error(EDOM);
  return n / 2;
}

Status Quarter(int n, int* out) {
  DKFS_TRY_ASSIGN(const int half, Half(n));
  DKFS_TRY_ASSIGN(*out, Half(half));
  return Status::Ok();
}

TEST(ResultTest, TryAssignUnwrapsOrLeaves) {
  int out = 0;
  EXPECT_TRUE(Quarter(8, &out).ok());
  EXPECT_EQ(out, 2);
  EXPECT_EQ(Quarter(6, &out).code(), EDOM);
  EXPECT_EQ(Quarter(7, &out).code(), EDOM);
}

TEST(CheckDeathTest, FailedCheckNamesConditionAndPlace) { EXPECT_DEATH(DKFS_CHECK(1 == 2), "1 == 2.*status_test.cc"); }

}  // namespace
}  // namespace dkfs
