#include <fcntl.h>
#include <gmock/gmock.h>

#include "store/base/fault.h"
#include "store/base/file.h"
#include "tests/support/temp_dir.h"

namespace dkfs {
namespace {

class ReplaceDurablyTest : public testing::Test {
 protected:
  ReplaceDurablyTest() { test::PutFile(dir_ / "f", "old"); }
  ~ReplaceDurablyTest() override { EXPECT_TRUE(Fault::Arm("").ok()); }
  std::vector<std::string> Names() const { return file::ListDir(dir_.fd(), ".").value(); }
  test::TempDir dir_;
};

TEST_F(ReplaceDurablyTest, ReplacesAndLeavesNothingElse) {
  ASSERT_TRUE(file::ReplaceDurably(dir_.fd(), "f", "new").ok());
  EXPECT_EQ(test::ContentOf(dir_ / "f"), "new");
  EXPECT_THAT(Names(), testing::ElementsAre("f"));
}

TEST_F(ReplaceDurablyTest, CreatesWhatIsMissingAlsoBelowAPath) {
  ASSERT_TRUE(file::MakeDir(dir_.fd(), "d").ok());
  ASSERT_TRUE(file::ReplaceDurably(AT_FDCWD, dir_ / "d/g", "x").ok());
  ASSERT_TRUE(file::ReplaceDurably(dir_.fd(), "d/h", "y").ok());
  EXPECT_EQ(test::ContentOf(dir_ / "d/g"), "x");
  EXPECT_EQ(test::ContentOf(dir_ / "d/h"), "y");
}

TEST_F(ReplaceDurablyTest, SyncsTheFileBeforeAndTheDirectoryAfterTheRename) {
  for (const char* point : {"file.open", "file.write", "file.sync", "file.rename"}) {
    ASSERT_TRUE(Fault::Arm(std::string(point) + "=EIO@1").ok());
    EXPECT_EQ(file::ReplaceDurably(dir_.fd(), "f", "new").code(), EIO) << point;
    EXPECT_EQ(test::ContentOf(dir_ / "f"), "old") << point;
    EXPECT_THAT(Names(), testing::ElementsAre("f")) << point;
  }
  ASSERT_TRUE(Fault::Arm("file.syncdir=EIO@1").ok());
  EXPECT_EQ(file::ReplaceDurably(dir_.fd(), "f", "new").code(), EIO) << "a name that may not last is not a success";
  EXPECT_EQ(test::ContentOf(dir_ / "f"), "new");
}

TEST_F(ReplaceDurablyTest, WhatACrashLeftIsOverwritten) {
  test::PutFile(dir_ / "f.tmp", "a longer leftover of an earlier crash");
  ASSERT_TRUE(file::ReplaceDurably(dir_.fd(), "f", "new").ok());
  EXPECT_EQ(test::ContentOf(dir_ / "f"), "new");
}

TEST_F(ReplaceDurablyTest, DoesNotWriteThroughALinkInItsPlace) {
  test::PutFile(dir_ / "victim", "v");
  ASSERT_EQ(symlink("victim", (dir_ / "f.tmp").c_str()), 0);
  EXPECT_EQ(file::ReplaceDurably(dir_.fd(), "f", "new").code(), EUCLEAN);
  EXPECT_EQ(test::ContentOf(dir_ / "victim"), "v");
}

}  // namespace
}  // namespace dkfs
