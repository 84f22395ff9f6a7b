// What each trampoline passes on and answers.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/protocol/fake_kernel.h"
#include "tests/protocol/stub_file_system.h"

namespace dkfs {
namespace {

using namespace std::string_literals;

class RequestsTest : public testing::Test {
 protected:
  void SetUp() override {
    ResetWorld();
    kernel_ = std::make_unique<FakeKernel>(file_system_.get(), SessionOptions{});
    kernel_->Init();
  }
  uint64_t Create(const std::string& name) {
    Answer answer = kernel_->Call(FUSE_CREATE, 1, Raw(fuse_create_in{0, S_IFREG | 0644, 022, 0}) + Name(name));
    EXPECT_EQ(0, answer.error);
    return answer.As<fuse_entry_out>().nodeid;
  }
  Answer Write(uint64_t node, const std::string& data, uint64_t offset, uint32_t write_flags = 0, uint32_t flags = 0) {
    auto size = static_cast<uint32_t>(data.size());
    return kernel_->Call(FUSE_WRITE, node, Raw(fuse_write_in{0, offset, size, write_flags, 0, flags, 0}) + data);
  }
  Answer Read(uint64_t node, uint32_t size, uint64_t offset) {
    return kernel_->Call(FUSE_READ, node, Raw(fuse_read_in{0, offset, size, 0, 0, 0, 0}));
  }
  Answer GetXattr(uint64_t node, const std::string& name, uint32_t size) {
    return kernel_->Call(FUSE_GETXATTR, node, Raw(fuse_getxattr_in{size, 0}) + Name(name));
  }

  std::unique_ptr<FileSystem> file_system_ = MakeStubFileSystem();
  std::unique_ptr<FakeKernel> kernel_;
};

TEST_F(RequestsTest, MissingNameIsCachedForEver) {
  Answer answer = kernel_->Call(FUSE_LOOKUP, 1, Name("nothing"));
  EXPECT_EQ(0, answer.error);
  EXPECT_EQ(0u, answer.As<fuse_entry_out>().nodeid);
  EXPECT_GT(answer.As<fuse_entry_out>().entry_valid, 100'000'000u);
}

TEST_F(RequestsTest, EntriesAndAttributesAreCachedForEver) {
  uint64_t node = Create("a");
  auto entry = kernel_->Call(FUSE_LOOKUP, 1, Name("a")).As<fuse_entry_out>();
  EXPECT_EQ(node, entry.nodeid);
  EXPECT_EQ(0u, entry.generation);
  EXPECT_EQ(node, entry.attr.ino);
  EXPECT_GT(entry.entry_valid, 100'000'000u);
  EXPECT_GT(entry.attr_valid, 100'000'000u);
  EXPECT_GT(kernel_->Call(FUSE_GETATTR, node, Raw(fuse_getattr_in{})).As<fuse_attr_out>().attr_valid, 100'000'000u);
}

TEST_F(RequestsTest, CreateKeepsTheCacheAndNeedsNoFlush) {
  Answer created = kernel_->Call(FUSE_CREATE, 1, Raw(fuse_create_in{0, S_IFREG | 0644, 0, 0}) + Name("b"));
  EXPECT_EQ(uint32_t{FOPEN_KEEP_CACHE | FOPEN_NOFLUSH}, created.As<fuse_open_out>(sizeof(fuse_entry_out)).open_flags);
}

TEST_F(RequestsTest, CallerIsPassedOn) {
  kernel_->SetCaller(1000, 1001);
  Create("a");
  EXPECT_EQ(1000u, World().last_caller.uid);
  EXPECT_EQ(1001u, World().last_caller.gid);
  EXPECT_EQ(022u, World().last_caller.umask);
  EXPECT_NE(0u, World().last_caller.request);
}

TEST_F(RequestsTest, WrittenBytesAreReadBack) {
  uint64_t node = Create("a");
  EXPECT_EQ(5u, Write(node, "hello", 0).As<fuse_write_out>().size);
  EXPECT_EQ("ello", Read(node, 100, 1).payload);
  EXPECT_EQ("", Read(node, 100, 5).payload);
}

TEST_F(RequestsTest, LargestWriteArrivesWholeAndPageAligned) {
  uint64_t node = Create("a");
  std::string data(1 << 20, 'x');
  EXPECT_EQ(data.size(), Write(node, data, 0).As<fuse_write_out>().size);
  EXPECT_EQ(0u, World().last_data % 4096);
  EXPECT_EQ(data, Read(node, 1 << 20, 0).payload);
}

TEST_F(RequestsTest, OffsetOfAnAppendIsTheKernels) {
  uint64_t node = Create("a");
  Write(node, "abc", 7, 0, O_APPEND | O_WRONLY);
  EXPECT_FALSE(World().last_append);
  EXPECT_EQ(10u, World().nodes[node].content.size());
}

TEST_F(RequestsTest, WriteFlagsArePassedOn) {
  uint64_t node = Create("a");
  Write(node, "abc", 0, FUSE_WRITE_KILL_SUIDGID);
  EXPECT_TRUE(World().last_kill);
  EXPECT_FALSE(World().last_from_cache);
  Write(node, "abc", 0, FUSE_WRITE_CACHE);
  EXPECT_FALSE(World().last_kill);
  EXPECT_TRUE(World().last_from_cache);
}

TEST_F(RequestsTest, KernelIsToldWhenAWriteTakesSetIdBitsAway) {
  uint64_t node = Create("a");
  Write(node, "abc", 0, FUSE_WRITE_KILL_SUIDGID);
  EXPECT_EQ(0, kernel_->notifications());
  World().nodes[node].state.mode |= S_ISUID;
  Write(node, "abc", 0);
  EXPECT_EQ(0, kernel_->notifications());
  Write(node, "abc", 0, FUSE_WRITE_KILL_SUIDGID);
  EXPECT_EQ(1, kernel_->notifications());
}

TEST_F(RequestsTest, SetAttrCarriesExactlyWhatWasAsked) {
  uint64_t node = Create("a");
  fuse_setattr_in in{};
  in.valid = FATTR_SIZE | FATTR_MTIME | FATTR_KILL_SUIDGID;
  in.size = 100;
  in.mtime = uint64_t(-5);
  in.mtimensec = 7;
  EXPECT_EQ(100u, kernel_->Call(FUSE_SETATTR, node, Raw(in)).As<fuse_attr_out>().attr.size);
  const SetAttrRequest& request = World().last_setattr;
  EXPECT_EQ(100u, request.size.value_or(0));
  EXPECT_EQ((TimeSpec{-5, 7}), request.mtime.value_or(TimeSpec{}));
  EXPECT_TRUE(request.kill_suidgid);
  EXPECT_FALSE(request.mode || request.uid || request.gid || request.atime || request.ctime || request.atime_now);
}

TEST_F(RequestsTest, XattrSizesFollowTheProtocol) {
  uint64_t node = Create("a");
  EXPECT_EQ(0,
            kernel_->Call(FUSE_SETXATTR, node, Raw(fuse_setxattr_in{5, 0, 0, 0}) + Name("user.k") + "va\0ue"s).error);
  EXPECT_EQ(5u, GetXattr(node, "user.k", 0).As<fuse_getxattr_out>().size);
  EXPECT_EQ("va\0ue"s, GetXattr(node, "user.k", 5).payload);
  EXPECT_EQ("va\0ue"s, GetXattr(node, "user.k", 500).payload);
  EXPECT_EQ(ERANGE, GetXattr(node, "user.k", 4).error);
  EXPECT_EQ(ENODATA, GetXattr(node, "user.none", 0).error);
}

TEST_F(RequestsTest, XattrListsFollowTheProtocol) {
  uint64_t node = Create("a");
  auto list = [&](uint32_t size) { return kernel_->Call(FUSE_LISTXATTR, node, Raw(fuse_getxattr_in{size, 0})); };
  EXPECT_EQ(0u, list(0).As<fuse_getxattr_out>().size);
  World().nodes[node].xattrs = {{"user.a", "1"}, {"user.bc", ""}};
  EXPECT_EQ(15u, list(0).As<fuse_getxattr_out>().size);
  EXPECT_EQ("user.a\0user.bc\0"s, list(15).payload);
  EXPECT_EQ(ERANGE, list(14).error);
}

TEST_F(RequestsTest, AclFlagIsPassedOn) {
  uint64_t node = Create("a");
  kernel_->Call(FUSE_SETXATTR, node,
                Raw(fuse_setxattr_in{1, 0, FUSE_SETXATTR_ACL_KILL_SGID, 0}) + Name("user.k") + "v");
  EXPECT_TRUE(World().last_acl_kill);
}

TEST_F(RequestsTest, XattrsOfAKernelWithoutTheAclFlagAreTaken) {
  uint64_t node = Create("a");
  kernel_ = std::make_unique<FakeKernel>(file_system_.get(), SessionOptions{});
  kernel_->Init(~uint64_t{FUSE_SETXATTR_EXT});
  const std::string old_body = Raw(fuse_setxattr_in{1, 0, 0, 0}).substr(0, FUSE_COMPAT_SETXATTR_IN_SIZE);
  for (const char* name : {"user.a", "user.with_a_long_name"}) {
    EXPECT_EQ(0, kernel_->Call(FUSE_SETXATTR, node, old_body + Name(name) + "v").error);
    EXPECT_EQ("v", GetXattr(node, name, 5).payload);
    EXPECT_FALSE(World().last_acl_kill);  // the bit is set in the name's first byte, where the flags would be
  }
  EXPECT_EQ(EIO, kernel_->Call(FUSE_SETXATTR, node, old_body.substr(1)).error);
}

TEST_F(RequestsTest, ForgetNeverUnderflows) {
  uint64_t node = Create("a");
  kernel_->Send(FUSE_FORGET, node, Raw(fuse_forget_in{1000}));
  kernel_->Send(FUSE_FORGET, 123456, Raw(fuse_forget_in{1}));
  kernel_->Send(FUSE_BATCH_FORGET, 0,
                Raw(fuse_batch_forget_in{2, 0}) + Raw(fuse_forget_one{node, 5}) + Raw(fuse_forget_one{77, 1}));
  EXPECT_EQ(0, kernel_->Call(FUSE_GETATTR, 1, Raw(fuse_getattr_in{})).error);
}

TEST_F(RequestsTest, RenameFlagsArePassedOn) {
  Create("a");
  Create("b");
  std::string names = Name("a") + Name("b");
  EXPECT_EQ(EEXIST, kernel_->Call(FUSE_RENAME2, 1, Raw(fuse_rename2_in{1, 1, 0}) + names).error);
  EXPECT_EQ(0, kernel_->Call(FUSE_RENAME, 1, Raw(fuse_rename_in{1}) + names).error);
  EXPECT_EQ(0u, kernel_->Call(FUSE_LOOKUP, 1, Name("a")).As<fuse_entry_out>().nodeid);
}

TEST_F(RequestsTest, SymlinkTargetIsReadBack) {
  Answer answer = kernel_->Call(FUSE_SYMLINK, 1, Name("link") + Name("../target"));
  EXPECT_EQ("../target", kernel_->Call(FUSE_READLINK, answer.As<fuse_entry_out>().nodeid, "").payload);
}

TEST_F(RequestsTest, TmpfileIsCreatedAndOpened) {
  Answer answer = kernel_->Call(FUSE_TMPFILE, 1, Raw(fuse_create_in{O_RDWR, S_IFREG | 0600, 0, 0}) + Name(""));
  EXPECT_EQ(0, answer.error);
  EXPECT_NE(0u, answer.As<fuse_entry_out>().nodeid);
  EXPECT_EQ(sizeof(fuse_entry_out) + sizeof(fuse_open_out), answer.payload.size());
}

TEST_F(RequestsTest, SeekAndCopyAnswer) {
  uint64_t from = Create("a"), to = Create("b");
  Write(from, "0123456789", 0);
  EXPECT_EQ(6u, kernel_->Call(FUSE_LSEEK, from, Raw(fuse_lseek_in{0, 5, 3, 0})).As<fuse_lseek_out>().offset);
  fuse_copy_file_range_in copy{0, 2, to, 0, 0, 4, 0};
  EXPECT_EQ(4u, kernel_->Call(FUSE_COPY_FILE_RANGE, from, Raw(copy)).As<fuse_write_out>().size);
  EXPECT_EQ("2345", Read(to, 10, 0).payload);
  copy.flags = 1;
  EXPECT_EQ(EINVAL, kernel_->Call(FUSE_COPY_FILE_RANGE, from, Raw(copy)).error);
}

TEST_F(RequestsTest, HolesAreNotToldByKernelsThatCallPagesCleanTooEarly) {
  uint64_t file = Create("a");
  kernel_ = std::make_unique<FakeKernel>(file_system_.get(), SessionOptions{});
  kernel_->Init(~uint64_t{0}, 43);
  EXPECT_EQ(ENOSYS, kernel_->Call(FUSE_LSEEK, file, Raw(fuse_lseek_in{0, 5, 3, 0})).error);
}

TEST_F(RequestsTest, EveryHoleIsHandedOverBeforeItIsTold) {
  const uint64_t file = Create("a");
  std::vector<uint64_t> handed;
  SessionOptions options;
  options.hand_over = [&](FileId, uint64_t offset, uint64_t) {
    handed.push_back(offset);
    return true;
  };
  kernel_ = std::make_unique<FakeKernel>(file_system_.get(), options);
  kernel_->Init();
  const auto seek = [&](uint32_t whence) {
    return kernel_->Call(FUSE_LSEEK, file, Raw(fuse_lseek_in{0, 2, whence, 0})).As<fuse_lseek_out>().offset;
  };
  for (const auto& [at, end] : {std::pair(4u, 6u), {8u, 12u}, {9u, 12u}}) {
    World().sought.push_back({.at = at, .hole = at, .hole_end = end, .size = 99});
  }
  EXPECT_EQ(9u, seek(SEEK_HOLE));
  EXPECT_EQ(handed, (std::vector<uint64_t>{4, 8}));
  // For ever another one: it is not known, so it is data.
  for (uint32_t whence : {SEEK_HOLE, SEEK_DATA}) {
    World().sought.clear();
    for (uint64_t at = 4; at < 90; at += 2) {
      World().sought.push_back({.at = at, .hole = at, .hole_end = at + 1, .size = 99});
    }
    EXPECT_EQ(whence == SEEK_HOLE ? 99u : 2u, seek(whence));
  }
  World().sought.clear();
}

TEST_F(RequestsTest, ListingGoesOnFromItsCookies) {
  for (int i = 0; i < 100; ++i) Create("name" + std::to_string(1000 + i));
  std::vector<std::string> names;
  uint64_t cookie = 0;
  while (true) {
    std::string part = kernel_->Call(FUSE_READDIR, 1, Raw(fuse_read_in{0, cookie, 512, 0, 0, 0, 0})).payload;
    if (part.empty()) break;
    ASSERT_LE(part.size(), 512u);
    for (size_t at = 0; at < part.size();) {
      fuse_dirent entry;
      std::memcpy(&entry, part.data() + at, FUSE_NAME_OFFSET);
      names.push_back(part.substr(at + FUSE_NAME_OFFSET, entry.namelen));
      cookie = entry.off;
      at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry.namelen);
    }
  }
  ASSERT_EQ(102u, names.size());
  EXPECT_EQ(".", names[0]);
  EXPECT_EQ("..", names[1]);
  EXPECT_EQ("name1099", names[101]);
}

TEST_F(RequestsTest, ReaddirplusCountsOneLookupForEachEntryButDots) {
  uint64_t node = Create("a");
  std::string part = kernel_->Call(FUSE_READDIRPLUS, 1, Raw(fuse_read_in{0, 0, 4096, 0, 0, 0, 0})).payload;
  EXPECT_EQ(2u, World().nodes[node].lookups);
  EXPECT_EQ(0u, World().nodes[1].lookups);
  fuse_direntplus dot;
  std::memcpy(&dot, part.data(), FUSE_NAME_OFFSET_DIRENTPLUS);
  EXPECT_EQ(0u, dot.entry_out.nodeid);
}

TEST_F(RequestsTest, EntryTooLargeForTheBufferIsNotCounted) {
  uint64_t node = Create("a");
  std::string part = kernel_->Call(FUSE_READDIRPLUS, 1, Raw(fuse_read_in{0, 2, 100, 0, 0, 0, 0})).payload;
  EXPECT_EQ("", part);
  EXPECT_EQ(1u, World().nodes[node].lookups);
}

TEST_F(RequestsTest, StatFsAnswers) {
  EXPECT_EQ(255u, kernel_->Call(FUSE_STATFS, 1, "").As<fuse_statfs_out>().st.namelen);
}

}  // namespace
}  // namespace dkfs
