#include "fs/backing/backing.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/file.h"

namespace dkfs {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class BackingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "backing-XXXXXX";
    ASSERT_NE(::mkdtemp(path_.data()), nullptr);
    backing_ = std::make_unique<Backing>(UniqueFd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), path_);
  }
  void TearDown() override { file::RemoveTree(AT_FDCWD, path_).Ignore("left in the temporary directory"); }

  void Put(const std::string& path, std::string_view content) {
    Result<UniqueFd> fd = backing_->Open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    ASSERT_TRUE(fd.ok()) << fd.status().ToString();
    ASSERT_EQ(::pwrite(fd->get(), content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
  }

  std::string path_;
  std::unique_ptr<Backing> backing_;
};

TEST_F(BackingTest, MakesMovesAndRemovesEntries) {
  ASSERT_TRUE(backing_->MakeDir("a", 0755).ok());
  Put("a/f", "x");
  ASSERT_TRUE(backing_->Link("a/f", "g").ok());
  EXPECT_EQ(backing_->Stat("g")->st_nlink, 2u);
  ASSERT_TRUE(backing_->MakeSymlink("a/f", "s").ok());
  ASSERT_TRUE(backing_->MakeNode("p", S_IFIFO | 0600, 0).ok());
  EXPECT_THAT(*backing_->List(""), UnorderedElementsAre("a", "g", "s", "p"));
  ASSERT_TRUE(backing_->Rename("g", "a/h", 0).ok());
  EXPECT_EQ(backing_->Rename("a/h", "a/f", RENAME_NOREPLACE).code(), EEXIST);
  EXPECT_EQ(backing_->RemoveDir("a").code(), ENOTEMPTY);
  for (const char* name : {"a/f", "a/h", "s", "p"}) EXPECT_TRUE(backing_->Unlink(name).ok());
  EXPECT_TRUE(backing_->RemoveDir("a").ok());
  EXPECT_THAT(*backing_->List(""), IsEmpty());
  EXPECT_EQ(backing_->Stat("a").code(), ENOENT);
}

TEST_F(BackingTest, NeverFollowsALinkNorLeavesTheDirectory) {
  const std::string outside = path_ + "-outside";
  ASSERT_EQ(::mkdir(outside.c_str(), 0700), 0);
  ASSERT_TRUE(backing_->MakeSymlink(outside, "link").ok());
  EXPECT_EQ(backing_->Open("link", O_RDONLY).code(), ELOOP);
  EXPECT_EQ(backing_->Open("link/x", O_RDWR | O_CREAT, 0600).code(), ELOOP);
  EXPECT_FALSE(backing_->MakeDir("link/x", 0700).ok());
  EXPECT_EQ(backing_->Open("../" + outside.substr(outside.rfind('/') + 1), O_RDONLY).code(), EXDEV);
  EXPECT_FALSE(backing_->Unlink("../nothing").ok());
  InodeState state;
  state.mode = S_IFLNK | 0777;
  state.uid = ::getuid();
  state.gid = ::getgid();
  state.mtime = {1000, 5};
  const struct stat before = *file::Stat(AT_FDCWD, outside);
  EXPECT_TRUE(backing_->ApplyOwnerAndMode("link", state).ok());
  EXPECT_TRUE(backing_->ApplyTimes("link", state).ok());
  const struct stat after = *file::Stat(AT_FDCWD, outside);
  EXPECT_EQ(before.st_mode, after.st_mode);
  EXPECT_EQ(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
  EXPECT_EQ(backing_->Stat("link")->st_mtim.tv_sec, 1000);
  ASSERT_EQ(::rmdir(outside.c_str()), 0);
}

TEST_F(BackingTest, WalksPathsLongerThanPathMax) {
  std::string deep;
  for (int i = 0; i < 40; ++i) {
    deep += (i ? "/" : "") + std::string(200, static_cast<char>('a' + i % 26));
    ASSERT_TRUE(backing_->MakeDir(deep, 0700).ok()) << i;
  }
  ASSERT_GT(deep.size(), size_t{PATH_MAX});
  Put(deep + "/f", "deep");
  EXPECT_EQ(backing_->Stat(deep + "/f")->st_size, 4);
  EXPECT_TRUE(backing_->Open(deep + "/f", O_RDWR).ok());
  EXPECT_THAT(*backing_->List(deep), UnorderedElementsAre("f"));
  ASSERT_TRUE(backing_->Rename(deep + "/f", "f", 0).ok());
  EXPECT_EQ(backing_->Stat("f")->st_size, 4);
}

TEST_F(BackingTest, PartialDirectoryIsHiddenAndRemovedOnlyWhenEmpty) {
  EXPECT_EQ(Backing::PartialPath(FileId{42}), ".dkfs-partial/00000000002a");
  ASSERT_TRUE(backing_->EnsurePartialDir().ok());
  ASSERT_TRUE(backing_->EnsurePartialDir().ok());
  Put(Backing::PartialPath(FileId{42}), "p");
  EXPECT_THAT(*backing_->List(""), IsEmpty());
  EXPECT_THAT(*backing_->List(std::string(kPartialDir)), UnorderedElementsAre("00000000002a"));
  ASSERT_TRUE(backing_->RemovePartialDirIfEmpty().ok());
  EXPECT_TRUE(backing_->Stat(std::string(kPartialDir)).ok());
  ASSERT_TRUE(backing_->Unlink(Backing::PartialPath(FileId{42})).ok());
  ASSERT_TRUE(backing_->RemovePartialDirIfEmpty().ok());
  ASSERT_TRUE(backing_->RemovePartialDirIfEmpty().ok());
  EXPECT_EQ(backing_->Stat(std::string(kPartialDir)).code(), ENOENT);
}

TEST_F(BackingTest, PartialDirectoryIsOursAlone) {
  const std::string partial(kPartialDir);
  Put(partial, "");
  EXPECT_EQ(backing_->EnsurePartialDir().code(), ENOTDIR);
  ASSERT_TRUE(backing_->Unlink(partial).ok());
  ASSERT_TRUE(backing_->MakeSymlink("/tmp", partial).ok());
  EXPECT_EQ(backing_->EnsurePartialDir().code(), ENOTDIR);
  ASSERT_TRUE(backing_->Unlink(partial).ok());
  ASSERT_TRUE(backing_->MakeDir(partial, 0700).ok());
  ASSERT_EQ(::chmod((path_ + "/" + partial).c_str(), 0777), 0);
  EXPECT_TRUE(backing_->EnsurePartialDir().ok());
  EXPECT_EQ(backing_->Stat(partial)->st_mode & 07777, 0700u);
  if (::geteuid() != 0) return;
  ASSERT_EQ(::chown((path_ + "/" + partial).c_str(), 4711, 4711), 0);
  EXPECT_EQ(backing_->EnsurePartialDir().code(), EPERM);
  EXPECT_TRUE(backing_->Stat(partial).ok());
}

TEST_F(BackingTest, AttributesAreApplied) {
  Put("f", "x");
  InodeState state = Backing::StateOf(*backing_->Stat("f"));
  state.mode = S_IFREG | 0741;
  state.atime = {7, 1};
  state.mtime = {-5, 999999999};
  ASSERT_TRUE(backing_->ApplyOwnerAndMode("f", state).ok());
  ASSERT_TRUE(backing_->ApplyTimes("f", state).ok());
  const InodeState now = Backing::StateOf(*backing_->Stat("f"));
  EXPECT_EQ(now.mode, state.mode);
  EXPECT_EQ(now.atime, state.atime);
  EXPECT_EQ(now.mtime, state.mtime);
  state.mtime = {9, 9};
  ASSERT_TRUE(backing_->ApplyTimesFd(backing_->Open("f", O_RDWR)->get(), state).ok());
  EXPECT_EQ(Backing::FingerprintOf(*backing_->Stat("f")).mtime, state.mtime);
  if (::geteuid() != 0) GTEST_SKIP() << "changing owners needs root";
  state.uid = 12;
  state.gid = 34;
  state.mode = S_IFREG | 06755;
  ASSERT_TRUE(backing_->ApplyOwnerAndMode("f", state).ok());
  EXPECT_EQ(backing_->Stat("f")->st_uid, 12u);
  EXPECT_EQ(backing_->Stat("f")->st_mode, S_IFREG | 06755u);
}

TEST_F(BackingTest, ExtendedAttributesWithoutOurs) {
  Put("f", "x");
  Status set = backing_->SetXattr("f", "user.a", std::string(2000, 'v'));
  if (set.code() == EOPNOTSUPP) GTEST_SKIP() << "no user attributes on this file system";
  ASSERT_TRUE(set.ok()) << set.ToString();
  ASSERT_TRUE(backing_->SetXattr("f", "user.empty", "").ok());
  EXPECT_THAT(*backing_->ListXattrs("f"),
              UnorderedElementsAre(std::pair<std::string, std::string>("user.a", std::string(2000, 'v')),
                                   std::pair<std::string, std::string>("user.empty", "")));
  ASSERT_TRUE(backing_->RemoveXattr("f", "user.a").ok());
  EXPECT_EQ(backing_->RemoveXattr("f", "user.a").code(), ENODATA);
  EXPECT_EQ(backing_->ReadIdentity(), std::nullopt);
  ASSERT_TRUE(backing_->WriteIdentity("U:12:34").ok());
  EXPECT_EQ(backing_->ReadIdentity(), "U:12:34");
  EXPECT_EQ(backing_->OwnIdentity("U"), "U:" + std::to_string(backing_->Stat("")->st_ino));
  EXPECT_THAT(*backing_->ListXattrs(""), IsEmpty());
}

TEST_F(BackingTest, TmpfileGetsItsName) {
  Result<UniqueFd> fd = backing_->OpenTmpfile("");
  if (fd.code() == EOPNOTSUPP) GTEST_SKIP() << "no O_TMPFILE on this file system";
  ASSERT_TRUE(fd.ok()) << fd.status().ToString();
  ASSERT_TRUE(backing_->LinkFd(fd->get(), "t").ok());
  EXPECT_EQ(backing_->Stat("t")->st_nlink, 1u);
}

}  // namespace
}  // namespace dkfs
