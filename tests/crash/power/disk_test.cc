#include "tests/crash/power/disk.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "tests/support/temp_dir.h"

namespace dkfs::test {
namespace {

namespace fs = std::filesystem;

class DiskTest : public testing::Test {
 protected:
  void SetUp() override {
    Do({.op = IoOp::kBegin});
    Do({.op = IoOp::kBegun});
  }

  void Do(const IoEvent& event) { ASSERT_TRUE(disk_.Apply(++index_, 1, event).ok()); }
  void Create(uint64_t ino, std::string_view path) { Do({.op = IoOp::kCreate, .ino = ino, .path = path}); }
  void Write(uint64_t ino, uint64_t offset, std::string_view data) {
    Do({.op = IoOp::kWrite, .ino = ino, .offset = offset, .length = data.size(), .data = AsBytes(data)});
  }
  void Sync(uint64_t ino) {
    Do({.op = IoOp::kSyncBegun, .ino = ino, .offset = ++syncs_});
    Do({.op = IoOp::kSyncEnded, .offset = syncs_});
  }
  void SyncDir(std::string_view path) {
    Do({.op = IoOp::kSyncDirBegun, .offset = ++syncs_, .path = path});
    Do({.op = IoOp::kSyncEnded, .offset = syncs_});
  }

  // "path=content" of each file, "path" of each directory.
  std::set<std::string> Image(uint64_t variant) {
    const std::string path = dir_ / ("image" + std::to_string(++images_));
    EXPECT_TRUE(disk_.Build(variant, path).ok());
    std::set<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      const std::string name = fs::relative(entry.path(), path);
      found.insert(entry.is_directory() ? name : name + "=" + ContentOf(entry.path()));
    }
    fs::remove_all(path);
    return found;
  }

  // All that 300 variants show of one path.
  std::set<std::string> Seen(const std::string& path) {
    std::set<std::string> seen;
    for (uint64_t variant = 0; variant < 300; ++variant) {
      std::string shown = "<missing>";
      for (const std::string& entry : Image(variant)) {
        if (entry.starts_with(path + "=")) shown = entry.substr(path.size() + 1);
      }
      seen.insert(shown);
    }
    return seen;
  }

  TempDir dir_;
  Disk disk_;
  uint64_t index_ = 0, syncs_ = 0;
  int images_ = 0;
};

using Strings = std::set<std::string>;

TEST_F(DiskTest, ASyncedFileWithASyncedNameIsAlwaysThere) {
  Create(1, "f");
  Write(1, 0, "content");
  Sync(1);
  SyncDir("");
  EXPECT_EQ(Seen("f"), Strings{"content"});
}

TEST_F(DiskTest, AFilesSyncDoesNotKeepItsName) {
  Create(1, "f");
  Write(1, 0, "content");
  Sync(1);
  EXPECT_EQ(Image(kNothingUnsynced), Strings{});
  EXPECT_EQ(Seen("f"), (Strings{"<missing>", "content"}));
}

TEST_F(DiskTest, WhatCameAfterTheSyncBeganMayBeMissing) {
  Create(1, "f");
  SyncDir("");
  Write(1, 0, "one");
  Do({.op = IoOp::kSyncBegun, .ino = 1, .offset = 99});
  Write(1, 0, "two");
  EXPECT_TRUE(Seen("f").contains(""));
  Do({.op = IoOp::kSyncEnded, .offset = 99});
  const Strings seen = Seen("f");
  EXPECT_TRUE(seen.contains("one"));
  EXPECT_TRUE(seen.contains("two"));
  EXPECT_FALSE(seen.contains(""));
}

TEST_F(DiskTest, AnUnsyncedWriteMayBeTornWithOldBytesOrZerosBehind) {
  Create(1, "f");
  Write(1, 0, "aaaaaa");
  Sync(1);
  SyncDir("");
  Write(1, 0, "bbbbbbbb");
  const Strings seen = Seen("f");
  EXPECT_TRUE(seen.contains("aaaaaa"));
  EXPECT_TRUE(seen.contains("bbbbbbbb"));
  EXPECT_TRUE(seen.contains("bbbaaa"));
  EXPECT_TRUE(seen.contains(std::string("aaaaaa\0\0", 8)));
}

TEST_F(DiskTest, BlocksComeInAnyOrder) {
  Create(1, "f");
  Do({.op = IoOp::kAllocate, .ino = 1, .length = 2 * kPage});
  Sync(1);
  SyncDir("");
  const std::string block(kPage, 'x'), zeros(kPage, '\0');
  Write(1, 0, block);
  Write(1, kPage, block);
  const Strings seen = Seen("f");
  EXPECT_TRUE(seen.contains(zeros + block));
  EXPECT_TRUE(seen.contains(block + zeros));
}

TEST_F(DiskTest, ARenameIsAtomicAndKeepsItsOrder) {
  Create(1, "old");
  Create(2, "new");
  Write(1, 0, "1");
  Write(2, 0, "2");
  Sync(1);
  Sync(2);
  SyncDir("");
  Do({.op = IoOp::kRename, .path = "new", .to = "old"});
  Create(3, "third");
  Strings states;
  for (uint64_t variant = 0; variant < 100; ++variant) {
    std::string state;
    for (const std::string& entry : Image(variant)) state += entry + " ";
    states.insert(state);
  }
  EXPECT_EQ(states, (Strings{"new=2 old=1 ", "old=2 ", "old=2 third= "}));
}

TEST_F(DiskTest, ATruncationThatIsMissingBringsOldBytesBackAndOneThatIsThereDoesNot) {
  Create(1, "f");
  Write(1, 0, "abcdef");
  Sync(1);
  SyncDir("");
  Do({.op = IoOp::kTruncate, .ino = 1, .length = 2});
  Do({.op = IoOp::kTruncate, .ino = 1, .length = 4});
  EXPECT_EQ(Seen("f"), (Strings{"abcdef", "ab", std::string("ab\0\0", 4)}));
}

TEST_F(DiskTest, AProcessThatComesAfterAKillIsBelieved) {
  Create(1, "f");
  Write(1, 0, "never happened");
  Create(2, "gone");
  Do({.op = IoOp::kBegin});
  Do({.op = IoOp::kHasFile, .ino = 1, .length = 2, .path = "f"});
  Write(1, 0, "so");
  Do({.op = IoOp::kHasDir, .path = "d"});
  Do({.op = IoOp::kBegun});
  EXPECT_EQ(Image(kEverything), (Strings{"f=so", "d"}));
  Do({.op = IoOp::kMakeDir, .path = "d/e"});
  SyncDir("d");
  SyncDir("");
  EXPECT_EQ(Image(kNothingUnsynced), (Strings{"f=so", "d", "d/e"}));
}

}  // namespace
}  // namespace dkfs::test
