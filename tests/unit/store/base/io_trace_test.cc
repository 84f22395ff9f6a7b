#include "store/base/io_trace.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

#include "store/base/fault.h"
#include "store/base/file.h"
#include "tests/support/temp_dir.h"

namespace dkfs::test {
namespace {

class IoTraceTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(file::MakeDir(AT_FDCWD, root_).ok());
    ASSERT_TRUE(Trace::Open(dir_ / "trace").ok());
  }
  void TearDown() override {
    IoTrace::Close();
    Trace::Close();
    EXPECT_TRUE(Fault::Arm("").ok());
  }

  UniqueFd Make(const std::string& name) {
    Result<UniqueFd> fd = file::Open(AT_FDCWD, root_ + "/" + name, O_RDWR | O_CREAT | O_TRUNC);
    EXPECT_TRUE(fd.ok());
    return std::move(fd).value();
  }

  // "op path to offset+length", of what came after kBegun when `changes_only`.
  std::vector<std::string> Events(bool changes_only = true) {
    Result<TraceReader> reader = TraceReader::Open(dir_ / "trace");
    std::vector<std::string> events;
    for (TraceReader::Event event; reader->Next(&event);) {
      IoEvent io;
      EXPECT_TRUE(IoEvent::Decode(event.payload, &io).ok());
      std::string text = std::to_string(static_cast<int>(io.op));
      if (!io.path.empty() && io.op != IoOp::kBegin) text += " " + std::string(io.path);
      if (!io.to.empty()) text += " -> " + std::string(io.to);
      if (io.length != 0) text += " " + std::to_string(io.offset) + "+" + std::to_string(io.length);
      if (!io.data.empty()) text += " " + std::string(AsString(io.data));
      events.push_back(text);
      if (changes_only && io.op == IoOp::kBegun) events.clear();
    }
    return events;
  }

  TempDir dir_;
  const std::string root_ = dir_ / "store";
};

using Strings = std::vector<std::string>;

TEST_F(IoTraceTest, WhatStandsIsDescribedOnce) {
  ASSERT_TRUE(file::MakeDir(AT_FDCWD, root_ + "/d").ok());
  PutFile(root_ + "/d/f", "content");
  PutFile(root_ + "/zeros", std::string(100, '\0'));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(IoTrace::Begin(dir_ / "./store").ok());
  EXPECT_EQ(Events(false), (Strings{"1", "2 d", "3 d/f 0+7", "6 0+7 content", "3 zeros 0+100", "4"}));
}

TEST_F(IoTraceTest, ChangesOfFilesAndNamesAreTraced) {
  ASSERT_TRUE(IoTrace::Begin(root_).ok());
  const UniqueFd fd = Make("a");
  ASSERT_TRUE(file::Allocate(fd.get(), 9000, "a").ok());
  ASSERT_TRUE(file::WriteAt(fd.get(), AsBytes("hello"), 7, "a").ok());
  ASSERT_TRUE(file::WriteAt(fd.get(), AsBytes(std::string(50, '\0')), 20, "a").ok());
  ASSERT_TRUE(file::Truncate(fd.get(), 8, "a").ok());
  ASSERT_TRUE(file::Datasync(fd.get(), "a").ok());
  const UniqueFd dir(open(root_.c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_TRUE(file::Rename(dir.get(), "a", "b").ok());
  ASSERT_TRUE(file::SyncDir(dir.get(), ".").ok());
  Make("b");
  ASSERT_TRUE(file::Unlink(dir.get(), "b").ok());
  ASSERT_TRUE(file::MakeDirs(root_ + "/x/y").ok());
  ASSERT_TRUE(file::RemoveTree(dir.get(), "x").ok());
  EXPECT_EQ(Events(),
            (Strings{"5 a",  "8 0+9000", "6 7+5 hello", "6 20+50", "7 0+8",  "14",   "17", "9 a -> b", "15",  "17", "7",
                     "10 b", "11 x",     "15",          "17",      "11 x/y", "15 x", "17", "12 x/y",   "12 x"}));
}

TEST_F(IoTraceTest, OtherFilesAreNot) {
  ASSERT_TRUE(IoTrace::Begin(root_).ok());
  ASSERT_TRUE(file::ReplaceDurably(AT_FDCWD, dir_ / "elsewhere", "content").ok());
  ASSERT_TRUE(file::ReplaceDurably(AT_FDCWD, dir_ / "storefront", "content").ok());
  EXPECT_EQ(Events(), Strings{});
}

TEST_F(IoTraceTest, WhatFailsIsNot) {
  ASSERT_TRUE(IoTrace::Begin(root_).ok());
  const UniqueFd fd = Make("a");
  ASSERT_TRUE(Fault::Arm("file.write=ENOSPC@1,file.datasync=EIO@1,file.unlink=EIO@1").ok());
  EXPECT_EQ(file::WriteAt(fd.get(), AsBytes("hello"), 0, "a").code(), ENOSPC);
  EXPECT_EQ(file::Datasync(fd.get(), "a").code(), EIO);
  EXPECT_EQ(file::Unlink(AT_FDCWD, root_ + "/a").code(), EIO);
  EXPECT_EQ(file::Unlink(AT_FDCWD, root_ + "/missing").code(), ENOENT);
  EXPECT_EQ(Events(), Strings{"5 a"});
}

TEST_F(IoTraceTest, ASkippedSyncAnswersSuccessAndLeavesNoEvent) {
  ASSERT_TRUE(IoTrace::Begin(root_).ok());
  const UniqueFd fd = Make("a");
  ASSERT_TRUE(Fault::Arm("file.sync=skip@1,file.syncdir=skip@*").ok());
  EXPECT_TRUE(file::Sync(fd.get(), "a").ok());
  EXPECT_TRUE(file::SyncDir(AT_FDCWD, root_).ok());
  EXPECT_EQ(Events(), Strings{"5 a"});
  EXPECT_TRUE(file::Sync(fd.get(), "a").ok());
  EXPECT_EQ(Events(), (Strings{"5 a", "14", "17"}));
}

TEST_F(IoTraceTest, GarbageIsNoEvent) {
  IoEvent event;
  EXPECT_TRUE(IoEvent::Decode({}, &event).IsCorruption());
  std::string head;
  IoEvent{.op = IoOp::kRename, .path = "from", .to = "to"}.AppendHead(&head);
  EXPECT_TRUE(IoEvent::Decode(AsBytes(head), &event).ok());
  EXPECT_EQ(event.to, "to");
  for (size_t cut = 0; cut < head.size(); ++cut) {
    EXPECT_TRUE(IoEvent::Decode(AsBytes(head).first(cut), &event).IsCorruption());
  }
  head[0] = 99;
  EXPECT_TRUE(IoEvent::Decode(AsBytes(head), &event).IsCorruption());
}

}  // namespace
}  // namespace dkfs::test
