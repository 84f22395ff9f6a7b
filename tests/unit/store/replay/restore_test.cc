#include "store/replay/restore.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "store/base/fault.h"
#include "store/base/hash.h"
#include "store/replay/restore_sink.h"
#include "tests/support/temp_dir.h"

namespace dkfs::test {
namespace {

namespace fs = std::filesystem;
constexpr size_t kBytes = size_t{1} << kMinBlockShift;

class RestoreTest : public testing::Test {
 protected:
  void SetUp() override {
    StoreOptions options;
    options.background = false;
    options.segment_bytes = 1 << 20;
    Result<std::unique_ptr<Store>> opened = Store::Open(dir_ / "store", options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = std::move(opened).value();
    Inode(kRootFile, S_IFDIR | 0750, 2);
  }
  void Append() {
    Result<Seq> seq = store_->Append(record_);
    ASSERT_TRUE(seq.ok()) << seq.status().ToString();
    last_ = *seq;
    record_.Clear();
  }
  InodeState State(uint32_t mode, uint32_t nlink, uint64_t size = 0) {
    InodeState state;
    state.mode = mode;
    state.nlink = nlink;
    state.size = size;
    state.uid = geteuid();
    state.gid = getegid();
    state.block_shift = kMinBlockShift;
    state.atime = {1'000'000'001, 11};
    state.mtime = {1'000'000'002, 22};
    return state;
  }
  void Inode(FileId file, uint32_t mode, uint32_t nlink, uint64_t size = 0) {
    record_.Inode(file, State(mode, nlink, size));
    Append();
  }
  FileId Make(FileId parent, const std::string& name, uint32_t mode, uint32_t nlink = 1, uint64_t size = 0) {
    const FileId file = store_->NewFile();
    record_.Name(parent, store_->NewEntry(), name, file, IFTODT(mode));
    Inode(file, mode, nlink, size);
    return file;
  }
  void Write(FileId file, uint64_t block, const std::string& text) {
    std::string bytes = text + std::string(kBytes - text.size(), '\0');
    const BlockVersion version{BlockKind::kBaseline, 0, static_cast<uint32_t>(text.size()), Hash64(AsBytes(bytes)),
                               Seq{}};
    const Bytes payload = AsBytes(text);
    record_.Blocks(file, LayoutId{1}, kMinBlockShift, block, std::span(&version, 1), std::span(&payload, 1));
    Append();
  }
  Status Restore(const std::string& out, RestoreOptions options = {}, Seq at = kLatest) {
    options.on_problem = [this](const std::string& line) { problems_.push_back(line); };
    return RestoreTree(*store_, at == kLatest ? last_ : at, out, options, &result_);
  }
  static struct stat Stat(const std::string& path) {
    struct stat stat {};
    EXPECT_EQ(lstat(path.c_str(), &stat), 0) << path;
    return stat;
  }

  TempDir dir_;
  std::unique_ptr<Store> store_;
  RecordBuilder record_;
  Seq last_;
  RestoreResult result_;
  std::vector<std::string> problems_;
};

TEST_F(RestoreTest, EveryKindOfInodeComesBack) {
  const FileId sub = Make(kRootFile, "sub", S_IFDIR | 0711, 2);
  const FileId file = Make(sub, "file", S_IFREG | 04750, 2, 2 * kBytes + 5);
  Write(file, 0, "begin");
  Write(file, 2, "tail!");
  record_.Name(kRootFile, store_->NewEntry(), "again", file, DT_REG);
  record_.Xattr(file, "user.color", "blue");
  Append();
  const FileId link = store_->NewFile();
  InodeState state = State(S_IFLNK | 0777, 1, 9);
  state.symlink_target = "../outside";
  record_.Name(sub, store_->NewEntry(), "link", link, DT_LNK);
  record_.Inode(link, state);
  Append();
  Make(sub, "pipe", S_IFIFO | 0622);
  Make(sub, "socket", S_IFSOCK | 0700);

  const std::string out = dir_ / "out";
  ASSERT_TRUE(Restore(out).ok()) << testing::PrintToString(problems_);
  EXPECT_EQ(ContentOf(out + "/sub/file"), "begin" + std::string(2 * kBytes - 5, '\0') + "tail!");
  const struct stat stat = Stat(out + "/sub/file");
  EXPECT_EQ(stat.st_mode, static_cast<mode_t>(S_IFREG | 04750));
  EXPECT_EQ(stat.st_nlink, 2u);
  EXPECT_EQ(stat.st_ino, Stat(out + "/again").st_ino);
  EXPECT_EQ(stat.st_mtim.tv_sec, 1'000'000'002);
  EXPECT_EQ(stat.st_mtim.tv_nsec, 22);
  char value[16];
  const ssize_t size = getxattr((out + "/again").c_str(), "user.color", value, sizeof value);
  if (size >= 0 || errno != ENOTSUP) {
    EXPECT_EQ(std::string(value, size > 0 ? static_cast<size_t>(size) : 0), "blue");
  }
  EXPECT_EQ(fs::read_symlink(out + "/sub/link"), "../outside");
  EXPECT_EQ(Stat(out + "/sub/link").st_mtim.tv_nsec, 22);
  EXPECT_TRUE(S_ISFIFO(Stat(out + "/sub/pipe").st_mode));
  EXPECT_TRUE(S_ISSOCK(Stat(out + "/sub/socket").st_mode));
  EXPECT_EQ(Stat(out + "/sub").st_mode, static_cast<mode_t>(S_IFDIR | 0711));
  EXPECT_EQ(Stat(out + "/sub").st_mtim.tv_sec, 1'000'000'002);
  EXPECT_EQ(Stat(out).st_mode, static_cast<mode_t>(S_IFDIR | 0750));
}

TEST_F(RestoreTest, HolesStayHoles) {
  const FileId file = Make(kRootFile, "sparse", S_IFREG | 0600, 1, uint64_t{1} << 30);
  Write(file, 9, "x");
  const std::string out = dir_ / "out";
  ASSERT_TRUE(Restore(out).ok());
  const struct stat stat = Stat(out + "/sparse");
  EXPECT_EQ(stat.st_size, 1 << 30);
  EXPECT_LT(stat.st_blocks * 512, 1 << 20);
}

TEST_F(RestoreTest, AMomentIsRestoredAndPathsAlone) {
  const FileId dir = Make(kRootFile, "dir", S_IFDIR | 0700, 2);
  const FileId one = Make(dir, "one", S_IFREG | 0600, 1, 3);
  Write(one, 0, "old");
  const Seq then = last_;
  Write(one, 0, "new");
  Make(dir, "two", S_IFREG | 0600);
  ASSERT_TRUE(Restore(dir_ / "then", {}, then).ok());
  EXPECT_EQ(ContentOf(dir_ / "then/dir/one"), "old");
  EXPECT_FALSE(fs::exists(dir_ / "then/dir/two"));
  RestoreOptions options;
  options.paths = {"/dir/./one"};
  ASSERT_TRUE(Restore(dir_ / "part", options).ok());
  EXPECT_EQ(ContentOf(dir_ / "part/dir/one"), "new");
  EXPECT_FALSE(fs::exists(dir_ / "part/dir/two"));
  options.paths = {"dir/three"};
  EXPECT_EQ(Restore(dir_ / "none", options).code(), ENOENT);
  options.paths = {"dir/../../etc"};
  EXPECT_EQ(Restore(dir_ / "evil", options).code(), EINVAL);
}

TEST_F(RestoreTest, TheOutputMustBeNewOrEmptyAndOutsideTheStore) {
  fs::create_directory(dir_ / "full");
  PutFile(dir_ / "full/x", "");
  EXPECT_EQ(Restore(dir_ / "full").code(), ENOTEMPTY);
  EXPECT_EQ(ContentOf(dir_ / "full/x"), "");
  EXPECT_EQ(Restore(dir_ / "store/out").code(), EINVAL);
  EXPECT_EQ(Restore(dir_ / "store/aside").code(), EINVAL);
  EXPECT_EQ(Restore(dir_ / "full/x").code(), ENOTDIR);
}

TEST_F(RestoreTest, DamageNamesFileAndOffsetAndTheRestIsWritten) {
  const FileId file = Make(kRootFile, "file", S_IFREG | 0600, 1, 3 * kBytes);
  Write(file, 0, "first");
  Write(file, 2, "third");
  const BlockVersion wrong{BlockKind::kBaseline, 0, 3, 12345, Seq{}};
  const Bytes payload = AsBytes("bad");
  record_.Blocks(file, LayoutId{1}, kMinBlockShift, 1, std::span(&wrong, 1), std::span(&payload, 1));
  Append();
  Make(kRootFile, "other", S_IFREG | 0600);

  EXPECT_TRUE(Restore(dir_ / "stops").IsCorruption());
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_NE(problems_[0].find("file"), std::string::npos);
  EXPECT_NE(problems_[0].find("offset 4096"), std::string::npos) << problems_[0];
  EXPECT_NE(problems_[0].find("seq"), std::string::npos);

  RestoreOptions options;
  options.keep_going = true;
  EXPECT_TRUE(Restore(dir_ / "goes-on", options).IsCorruption());
  const std::string content = ContentOf(dir_ / "goes-on/file");
  EXPECT_EQ(content.substr(0, 5), "first");
  EXPECT_EQ(content.substr(kBytes, 3), std::string(3, '\0'));
  EXPECT_EQ(content.substr(2 * kBytes, 5), "third");
  EXPECT_TRUE(fs::exists(dir_ / "goes-on/other"));
  EXPECT_EQ(result_.problems, 1u);
}

TEST_F(RestoreTest, MuchDataAndManyFilesComeBackInWhateverOrderThreadsRun) {
  std::map<std::string, std::string> want;
  for (int d = 0; d < 20; ++d) {
    const std::string dir_name = "d" + std::to_string(d);
    const FileId dir = Make(kRootFile, dir_name, S_IFDIR | 0700, 2);
    for (int f = 0; f < 10; ++f) {
      const std::string name = "f" + std::to_string(f);
      const uint64_t blocks = static_cast<uint64_t>(f) * 40;  // more than the queue between the threads holds, in all
      const FileId file = Make(dir, name, S_IFREG | 0600, 1, blocks * kBytes);
      std::string& content = want[dir_name + "/" + name];
      content.resize(blocks * kBytes);
      for (uint64_t block = 0; block < blocks; block += 2) {
        const std::string text = name + " block " + std::to_string(block);
        Write(file, block, text);
        content.replace(block * kBytes, text.size(), text);
      }
    }
  }
  ASSERT_TRUE(Restore(dir_ / "out").ok());
  EXPECT_EQ(result_.files, 220u);
  for (const auto& [path, content] : want) EXPECT_TRUE(ContentOf(dir_ / ("out/" + path)) == content) << path;
}

TEST_F(RestoreTest, WhatCannotBeMadeIsOneProblemAndTheRestIsWritten) {
  const FileId dir = Make(kRootFile, "dir", S_IFDIR | 0700, 2);
  Make(dir, "inside", S_IFREG | 0600);
  const FileId file = Make(kRootFile, "file", S_IFREG | 0600, 1, kBytes);
  Write(file, 0, "content");
  Make(kRootFile, "other", S_IFREG | 0600);
  RestoreOptions options;
  options.keep_going = true;
  ASSERT_TRUE(Fault::Arm("file.mkdir=EDQUOT@2,file.write=EIO@*").ok());  // the first makes the output
  EXPECT_EQ(Restore(dir_ / "out", options).code(), EDQUOT);
  ASSERT_TRUE(Fault::Arm("").ok());
  ASSERT_EQ(problems_.size(), 2u);
  EXPECT_NE(problems_[0].find("dir as of"), std::string::npos) << problems_[0];
  EXPECT_NE(problems_[1].find("file as of"), std::string::npos) << problems_[1];
  EXPECT_TRUE(fs::exists(dir_ / "out/other"));
  EXPECT_EQ(result_.files, 3u) << "a directory that could not be made counts once, with all below it";
}

TEST_F(RestoreTest, WhereAttributesCannotBeSetModeAndTimesAre) {
  const FileId file = Make(kRootFile, "file", S_IFREG | 0640);
  record_.Xattr(file, "nobody.knows", "what");
  record_.Xattr(kRootFile, "nobody.knows", "what");
  Append();
  const FileId acl = Make(kRootFile, "acl", S_IFREG | 0675);
  record_.Xattr(acl, "system.posix_acl_access", "no ACL");
  Append();
  RestoreOptions options;
  options.keep_going = true;
  EXPECT_FALSE(Restore(dir_ / "out", options).ok());
  EXPECT_EQ(problems_.size(), 3u);
  EXPECT_EQ(Stat(dir_ / "out").st_mode & 07777, 0750u);
  EXPECT_EQ(Stat(dir_ / "out/file").st_mode & 07777, 0640u);
  EXPECT_EQ(Stat(dir_ / "out/acl").st_mode & 07777, 0605u) << "without its ACL the group gets nothing";
  for (const char* path : {"out/file", "out/acl"}) EXPECT_EQ(Stat(dir_ / path).st_mtim.tv_nsec, 22) << path;
}

// What another user made set-uid must not become so for whoever restores it.
TEST_F(RestoreTest, WithoutRootSetIdBitsOfOthersAreLeftOut) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  store_.reset();  // its threads: what follows forks
  constexpr uid_t kSomebody = 4711;
  ASSERT_TRUE(fs::create_directory(dir_ / "out"));
  ASSERT_EQ(0, chown((dir_ / "out").c_str(), kSomebody, kSomebody));
  const UniqueFd out(open((dir_ / "out").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto restored = [&](uid_t uid, gid_t gid) {
    if (setresgid(kSomebody, kSomebody, kSomebody) != 0 || setresuid(kSomebody, kSomebody, kSomebody) != 0) _exit(1);
    const RestoreSink sink;
    const std::string name = std::to_string(uid) + "-" + std::to_string(gid);
    Result<UniqueFd> file = sink.MakeFile(out.get(), name, 0);
    if (!file.ok()) _exit(2);
    InodeState state = State(S_IFREG | 06755, 1);
    state.uid = uid;
    state.gid = gid;
    _exit(sink.Dress(file->get(), out.get(), name, state, {}).ok() ? 0 : 3);
  };
  EXPECT_EXIT(restored(0, kSomebody), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(restored(kSomebody, 0), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(restored(kSomebody, kSomebody), testing::ExitedWithCode(0), "");
  EXPECT_EQ(0755U, Stat(dir_ / "out/0-4711").st_mode & 07777);
  EXPECT_EQ(0755U, Stat(dir_ / "out/4711-0").st_mode & 07777);
  EXPECT_EQ(06755U, Stat(dir_ / "out/4711-4711").st_mode & 07777);
}

TEST_F(RestoreTest, TreesMayHaveAnyDepth) {
  constexpr int kLevels = 5000;
  FileId at = kRootFile;
  for (int i = 0; i < kLevels; ++i) {
    const FileId below = store_->NewFile();
    record_.Name(at, store_->NewEntry(), "d", below, DT_DIR);
    record_.Inode(below, State(S_IFDIR | 0750, 3));
    at = below;
  }
  Append();
  const FileId file = Make(at, "file", S_IFREG | 0640, 2, 4);
  Write(file, 0, "deep");
  record_.Name(kRootFile, store_->NewEntry(), "link", file, DT_REG);  // listed behind "d", so it is the link
  Append();
  const std::string out = dir_ / "out";
  ASSERT_TRUE(Restore(out).ok()) << testing::PrintToString(problems_);
  EXPECT_EQ(result_.files, kLevels + 2u);
  EXPECT_EQ(ContentOf(out + "/link"), "deep");
  EXPECT_EQ(Stat(out + "/link").st_nlink, 2u);
  std::string path = out;
  for (int i = 0; i < 500; ++i) {
    path += "/d";
    ASSERT_EQ(Stat(path).st_mode, static_cast<mode_t>(S_IFDIR | 0750)) << i;
    ASSERT_EQ(Stat(path).st_mtim.tv_nsec, 22) << i;
  }
  EXPECT_EQ(std::system(("rm -rf '" + out + "'").c_str()), 0);  // too deep for TempDir
}

TEST_F(RestoreTest, ADirectoryWithTwoNamesIsDamage) {
  const FileId dir = Make(kRootFile, "dir", S_IFDIR | 0700, 2);
  record_.Name(dir, store_->NewEntry(), "one", dir, DT_DIR);
  record_.Name(dir, store_->NewEntry(), "two", dir, DT_DIR);
  record_.Name(dir, store_->NewEntry(), "three", kRootFile, DT_DIR);
  Append();
  Make(dir, "file", S_IFREG | 0600);
  RestoreOptions options;
  options.keep_going = true;
  EXPECT_EQ(Restore(dir_ / "out", options).code(), EUCLEAN);
  ASSERT_EQ(problems_.size(), 3u);
  EXPECT_NE(problems_[0].find("dir/one as of"), std::string::npos) << problems_[0];
  EXPECT_TRUE(fs::exists(dir_ / "out/dir/file"));
  EXPECT_FALSE(fs::exists(dir_ / "out/dir/one"));
}

TEST_F(RestoreTest, ALinkInTheTreeIsNeverFollowed) {
  fs::create_directory(dir_ / "outside");
  const FileId link = store_->NewFile();
  InodeState state = State(S_IFLNK | 0777, 1);
  state.symlink_target = dir_ / "outside";
  state.size = state.symlink_target.size();
  record_.Name(kRootFile, store_->NewEntry(), "a", link, DT_LNK);
  record_.Inode(link, state);
  Append();
  // A second entry of the same name, as only a damaged or forged index could have it.
  const FileId dir = Make(kRootFile, "a", S_IFDIR | 0700, 2);
  Make(dir, "planted", S_IFREG | 0600);
  RestoreOptions options;
  options.keep_going = true;
  Restore(dir_ / "out", options).Ignore("what matters is where nothing was written");
  EXPECT_TRUE(fs::is_empty(dir_ / "outside"));
}

}  // namespace
}  // namespace dkfs::test
