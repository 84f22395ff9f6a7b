#include <gmock/gmock.h>
#include <unistd.h>

#include "store/base/fault.h"
#include "store/base/file.h"
#include "tests/support/temp_dir.h"

namespace dkfs {
namespace {

class RemoveTreeTest : public testing::Test {
 protected:
  ~RemoveTreeTest() override { EXPECT_TRUE(Fault::Arm("").ok()); }
  std::vector<std::string> Names() const { return file::ListDir(dir_.fd(), ".").value(); }
  test::TempDir dir_;
};

TEST_F(RemoveTreeTest, RemovesEverythingBelow) {
  ASSERT_TRUE(file::MakeDirs(dir_ / "t/a/b/c").ok());
  test::PutFile(dir_ / "t/f", "x");
  test::PutFile(dir_ / "t/a/b/g", "y");
  test::PutFile(dir_ / "other", "z");
  ASSERT_TRUE(file::RemoveTree(dir_.fd(), "t").ok());
  EXPECT_THAT(Names(), testing::ElementsAre("other"));
}

TEST_F(RemoveTreeTest, WhatIsNotThereIsRemoved) { EXPECT_TRUE(file::RemoveTree(dir_.fd(), "nothing").ok()); }

TEST_F(RemoveTreeTest, ASingleFileIsATree) {
  test::PutFile(dir_ / "f", "x");
  ASSERT_TRUE(file::RemoveTree(dir_.fd(), "f").ok());
  EXPECT_THAT(Names(), testing::IsEmpty());
}

TEST_F(RemoveTreeTest, DoesNotFollowLinks) {
  ASSERT_TRUE(file::MakeDirs(dir_ / "t").ok());
  ASSERT_TRUE(file::MakeDirs(dir_ / "kept").ok());
  test::PutFile(dir_ / "kept/f", "x");
  ASSERT_EQ(symlink("../kept", (dir_ / "t/link").c_str()), 0);
  ASSERT_EQ(symlink("kept", (dir_ / "root_link").c_str()), 0);
  ASSERT_TRUE(file::RemoveTree(dir_.fd(), "t").ok());
  ASSERT_TRUE(file::RemoveTree(dir_.fd(), "root_link").ok());
  EXPECT_THAT(Names(), testing::ElementsAre("kept"));
  EXPECT_EQ(test::ContentOf(dir_ / "kept/f"), "x");
}

TEST_F(RemoveTreeTest, StopsAtTheFirstErrorAndNamesIt) {
  ASSERT_TRUE(file::MakeDirs(dir_ / "t").ok());
  test::PutFile(dir_ / "t/f", "x");
  ASSERT_TRUE(Fault::Arm("file.unlink=EROFS@1").ok());
  const Status status = file::RemoveTree(dir_.fd(), "t");
  EXPECT_EQ(status.code(), EROFS);
  EXPECT_THAT(status.ToString(), testing::HasSubstr("unlink f"));
  EXPECT_EQ(test::ContentOf(dir_ / "t/f"), "x");
}

}  // namespace
}  // namespace dkfs
