#include "store/base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <limits.h>

#include "store/base/fault.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace dkfs {
namespace {

using test::ContentOf;
using test::PutFile;

class FileTest : public testing::Test {
 protected:
  ~FileTest() override { EXPECT_TRUE(Fault::Arm("").ok()); }
  UniqueFd Make(const std::string& name, const std::string& content = "") {
    Result<UniqueFd> fd = file::Open(dir_.fd(), name, O_RDWR | O_CREAT);
    EXPECT_TRUE(fd.ok()) << fd.status().ToString();
    EXPECT_TRUE(file::WriteAt(fd->get(), AsBytes(content), 0, name).ok());
    return std::move(fd).value();
  }
  test::TempDir dir_;
};

MutableBytes Room(std::string* text) { return {reinterpret_cast<std::byte*>(text->data()), text->size()}; }

TEST_F(FileTest, OpenSetsCloseOnExecAndNamesWhatFailed) {
  const UniqueFd fd = Make("a");
  EXPECT_NE(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  const Result<UniqueFd> missing = file::Open(dir_.fd(), "nothing", O_RDONLY);
  EXPECT_EQ(missing.code(), ENOENT);
  EXPECT_EQ(missing.status().context(), "open nothing");
}

TEST_F(FileTest, ReadsWhatWasWritten) {
  const UniqueFd fd = Make("a", "0123456789");
  std::string out(4, '\0');
  ASSERT_TRUE(file::ReadExactAt(fd.get(), Room(&out), 3, "a").ok());
  EXPECT_EQ(out, "3456");
}

TEST_F(FileTest, ReadAtEndsWithTheFileAndReadExactCallsThatDamage) {
  const UniqueFd fd = Make("a", "0123");
  std::string out(10, 'x');
  const Result<size_t> n = file::ReadAt(fd.get(), Room(&out), 2, "a");
  ASSERT_TRUE(n.ok());
  EXPECT_EQ(*n, 2u);
  const Status exact = file::ReadExactAt(fd.get(), Room(&out), 2, "a");
  EXPECT_TRUE(exact.IsCorruption());
  EXPECT_THAT(std::string(exact.context()), testing::HasSubstr("ends at 4, not 12"));
}

TEST_F(FileTest, VectorsOfAnyShapeAreWrittenInOrder) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> texts(random.Below(2 * IOV_MAX) + 1);
    std::vector<struct iovec> parts;
    std::string all;
    for (std::string& text : texts) {
      text = random.Text(random.Below(20));
      parts.push_back({text.data(), text.size()});
      all += text;
    }
    const UniqueFd fd = Make("v" + std::to_string(round));
    ASSERT_TRUE(Fault::Arm(round % 2 != 0 ? "file.write=short@1+" : "").ok());
    ASSERT_TRUE(file::WriteVectorAt(fd.get(), parts.data(), static_cast<int>(parts.size()), 7, "v").ok())
        << "seed " << seed;
    ASSERT_TRUE(Fault::Arm("").ok());
    ASSERT_EQ(ContentOf(dir_ / ("v" + std::to_string(round))).substr(all.empty() ? 0 : 7), all) << "seed " << seed;
  }
}

TEST_F(FileTest, AStreamIsWrittenLikeAnythingElse) {
  const UniqueFd fd = Make("a", std::string(300'000, 'o'));
  const std::string stream = test::Random(test::TestSeed()).Text(200'001);
  ASSERT_TRUE(Fault::Arm("file.write=short@1").ok());
  ASSERT_TRUE(file::WriteStreamAt(fd.get(), AsBytes(stream), 4099, "a").ok());
  ASSERT_TRUE(file::WriteStreamAt(fd.get(), {}, 1, "a").ok());
  EXPECT_TRUE(file::Sync(fd.get(), "a").ok());
  EXPECT_EQ(ContentOf(dir_ / "a"), std::string(4099, 'o') + stream + std::string(300'000 - 4099 - stream.size(), 'o'));
  ASSERT_TRUE(Fault::Arm("file.write=ENOSPC@1").ok());
  EXPECT_EQ(file::WriteStreamAt(fd.get(), AsBytes(stream), 0, "a").code(), ENOSPC);
}

TEST_F(FileTest, WritingNothingTouchesNothing) {
  const UniqueFd fd = Make("a");
  ASSERT_TRUE(Fault::Arm("file.write=EIO@*").ok());
  EXPECT_TRUE(file::WriteAt(fd.get(), {}, 5, "a").ok());
}

TEST_F(FileTest, ShortTransfersAreCompleted) {
  const UniqueFd fd = Make("a");
  ASSERT_TRUE(Fault::Arm("file.write=short@1+,file.read=short@1+").ok());
  ASSERT_TRUE(file::WriteAt(fd.get(), AsBytes("0123456789"), 0, "a").ok());
  EXPECT_GT(Fault::Passes("file.write"), 2u);
  std::string out(10, '\0');
  ASSERT_TRUE(file::ReadExactAt(fd.get(), Room(&out), 0, "a").ok());
  EXPECT_EQ(out, "0123456789");
}

TEST_F(FileTest, ShortThenErrorTearsAWrite) {
  const UniqueFd fd = Make("a");
  ASSERT_TRUE(Fault::Arm("file.write=short@1,file.write=ENOSPC@2").ok());
  EXPECT_EQ(file::WriteAt(fd.get(), AsBytes("0123456789"), 0, "a").code(), ENOSPC);
  EXPECT_EQ(ContentOf(dir_ / "a"), "01234");
}

TEST_F(FileTest, EveryCallHasAFaultPointAndNamesItsObject) {
  const UniqueFd fd = Make("a", "x");
  const auto fails = [](const char* point, auto call) {
    ASSERT_TRUE(Fault::Arm(std::string(point) + "=EIO@1").ok());
    const Status status = call();
    EXPECT_EQ(status.code(), EIO) << point;
    EXPECT_THAT(status.ToString(), testing::HasSubstr(" a")) << point;
    EXPECT_EQ(Fault::Passes(point), 1u) << point;
  };
  std::string out(1, '\0');
  fails("file.open", [&] { return file::Open(dir_.fd(), "a", O_RDONLY).status(); });
  fails("file.read", [&] { return file::ReadAt(fd.get(), Room(&out), 0, "a").status(); });
  fails("file.write", [&] { return file::WriteAt(fd.get(), AsBytes("y"), 0, "a"); });
  fails("file.datasync", [&] { return file::Datasync(fd.get(), "a"); });
  fails("file.sync", [&] { return file::Sync(fd.get(), "a"); });
  fails("file.syncfs", [&] { return file::SyncFs(fd.get(), "a"); });
  fails("file.truncate", [&] { return file::Truncate(fd.get(), 9, "a"); });
  fails("file.allocate", [&] { return file::Allocate(fd.get(), 9, "a"); });
  fails("file.rename", [&] { return file::Rename(dir_.fd(), "a", "b"); });
  fails("file.unlink", [&] { return file::Unlink(dir_.fd(), "a"); });
  fails("file.mkdir", [&] { return file::MakeDir(dir_.fd(), "a"); });
  fails("file.stat", [&] { return file::Stat(dir_.fd(), "a").status(); });
  fails("file.stat", [&] { return file::StatFd(fd.get(), "a").status(); });
  EXPECT_EQ(ContentOf(dir_ / "a"), "x") << "a call that failed at its point did nothing";
}

TEST_F(FileTest, TruncateAndAllocateSetTheSize) {
  const UniqueFd fd = Make("a", "0123456789");
  ASSERT_TRUE(file::Truncate(fd.get(), 4, "a").ok());
  EXPECT_EQ(ContentOf(dir_ / "a"), "0123");
  ASSERT_TRUE(file::Allocate(fd.get(), 8192, "a").ok());
  const Result<struct stat> st = file::StatFd(fd.get(), "a");
  ASSERT_TRUE(st.ok());
  EXPECT_EQ(st->st_size, 8192);
  EXPECT_GE(st->st_blocks * 512, 8192);
}

TEST_F(FileTest, SyncsSucceedOnRealFiles) {
  const UniqueFd fd = Make("a", "x");
  EXPECT_TRUE(file::Datasync(fd.get(), "a").ok());
  EXPECT_TRUE(file::Sync(fd.get(), "a").ok());
  EXPECT_TRUE(file::SyncDir(dir_.fd(), ".").ok());
  EXPECT_EQ(file::SyncDir(dir_.fd(), "a").code(), ENOTDIR);
}

TEST_F(FileTest, MakeDirsMakesAllAndAcceptsWhatIsThere) {
  EXPECT_TRUE(file::MakeDirs(dir_ / "x/y/z").ok());
  EXPECT_TRUE(file::MakeDirs(dir_ / "x/y/z").ok());
  EXPECT_TRUE(file::MakeDirs(dir_ / "x/y/z/").ok());
  PutFile(dir_ / "f", "");
  EXPECT_EQ(file::MakeDirs(dir_ / "f").code(), ENOTDIR);
  EXPECT_EQ(file::MakeDirs(dir_ / "f/g").code(), ENOTDIR);
}

TEST_F(FileTest, ListDirGivesNamesWithoutDots) {
  PutFile(dir_ / "b", "");
  PutFile(dir_ / ".hidden", "");
  ASSERT_TRUE(file::MakeDir(dir_.fd(), "c").ok());
  const auto names = file::ListDir(dir_.fd(), ".");
  ASSERT_TRUE(names.ok());
  EXPECT_THAT(*names, testing::UnorderedElementsAre("b", ".hidden", "c"));
  EXPECT_EQ(file::ListDir(dir_.fd(), "b").code(), ENOTDIR);
}

TEST_F(FileTest, ReadAllReadsFilesOfAnySize) {
  test::Random random(1);
  for (size_t size : {0, 1, 4095, 4096, 4097, 8192, 100000}) {
    const std::string text = random.Text(size);
    PutFile(dir_ / "a", text);
    const Result<std::string> got = file::ReadAll(dir_.fd(), "a");
    ASSERT_TRUE(got.ok());
    EXPECT_EQ(*got, text) << size;
  }
}

// In a damaged store anything may stand where a file was, or where one is to be made.
TEST_F(FileTest, WhatIsNoFileIsCorruptionAndNeverWaits) {
  ASSERT_EQ(mkfifoat(dir_.fd(), "fifo", 0600), 0);
  ASSERT_EQ(mkfifoat(dir_.fd(), "file.tmp", 0600), 0);
  ASSERT_EQ(symlinkat("/dev/zero", dir_.fd(), "device"), 0);
  ASSERT_EQ(mkdirat(dir_.fd(), "directory", 0700), 0);
  for (const char* name : {"fifo", "device", "directory"}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(file::OpenRegular(dir_.fd(), name).code(), EUCLEAN);
    EXPECT_EQ(file::ReadAll(dir_.fd(), name).code(), EUCLEAN);
    EXPECT_EQ(file::Open(dir_.fd(), name, O_WRONLY | O_CREAT | O_TRUNC).code(), EUCLEAN);
    EXPECT_EQ(file::Open(dir_.fd(), name, O_RDWR | O_CREAT | O_TRUNC).code(), EUCLEAN);
  }
  EXPECT_EQ(file::ListDir(dir_.fd(), "fifo").code(), ENOTDIR);
  EXPECT_EQ(file::ReplaceDurably(dir_.fd(), "file", "text").code(), EUCLEAN);
}

}  // namespace
}  // namespace dkfs
