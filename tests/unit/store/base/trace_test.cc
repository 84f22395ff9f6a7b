#include "store/base/trace.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "tests/support/temp_dir.h"

namespace dkfs::test {
namespace {

class TraceTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(Trace::Open(path_).ok()); }
  void TearDown() override { Trace::Close(); }

  std::vector<std::string> Texts() {
    Result<TraceReader> reader = TraceReader::Open(path_);
    EXPECT_TRUE(reader.ok());
    std::vector<std::string> texts;
    for (TraceReader::Event event; reader->Next(&event);) texts.emplace_back(AsString(event.payload));
    return texts;
  }

  TempDir dir_;
  std::string path_ = dir_ / "trace";
};

TEST_F(TraceTest, EventsComeBackInOrder) {
  Trace::OpBegun(7, 1ull << 40);
  Trace::Text("between");
  Trace::OpEnded(7, 1ull << 40, ENOSPC);
  Result<TraceReader> reader = TraceReader::Open(path_);
  ASSERT_TRUE(reader.ok());
  TraceReader::Event event;
  ASSERT_TRUE(reader->Next(&event));
  EXPECT_EQ(event.type, TraceType::kOpBegun);
  EXPECT_EQ(event.pid, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(event.offset, 0u);
  ASSERT_TRUE(reader->Next(&event));
  EXPECT_EQ(AsString(event.payload), "between");
  const uint64_t second = event.offset;
  ASSERT_TRUE(reader->Next(&event));
  ByteReader in(event.payload);
  EXPECT_EQ(in.Le<uint32_t>(), 7u);
  EXPECT_EQ(in.Le<uint64_t>(), 1ull << 40);
  EXPECT_EQ(in.Le<int32_t>(), ENOSPC);
  EXPECT_FALSE(reader->Next(&event));
  reader->Seek(second);
  ASSERT_TRUE(reader->Next(&event));
  EXPECT_EQ(AsString(event.payload), "between");
}

TEST_F(TraceTest, NothingIsWrittenWhileOff) {
  Trace::Text("on");
  Trace::Close();
  Trace::Text("off");
  EXPECT_EQ(Texts(), std::vector<std::string>{"on"});
}

TEST_F(TraceTest, ATornEventIsSteppedOver) {
  Trace::Text("whole");
  Trace::Text("torn, the last");
  const std::string all = ContentOf(path_);
  for (size_t cut = all.size() - 1; cut > kTraceHeaderBytes + 5; --cut) {
    PutFile(path_, all.substr(0, cut));
    EXPECT_EQ(Texts(), std::vector<std::string>{"whole"}) << cut;
    PutFile(path_, all.substr(0, cut) + all.substr(0, kTraceHeaderBytes + 5));
    EXPECT_EQ(Texts(), (std::vector<std::string>{"whole", "whole"})) << cut;
  }
}

TEST_F(TraceTest, ProcessesAndThreadsShareOne) {
  const pid_t child = fork();
  const auto write = [] {
    for (int i = 0; i < 500; ++i) Trace::Append(TraceType::kText, AsBytes("head"), AsBytes(std::string(i, 'x')));
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(write);
  for (std::thread& thread : threads) thread.join();
  if (child == 0) _exit(0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(Texts().size(), 3000u);
}

TEST_F(TraceTest, TheEnvironmentOpensIt) {
  Trace::Close();
  unsetenv("DKFS_TRACE");
  EXPECT_TRUE(Trace::OpenFromEnvironment().ok());
  EXPECT_FALSE(Trace::on());
  setenv("DKFS_TRACE", (dir_ / "missing/trace").c_str(), 1);
  EXPECT_EQ(Trace::OpenFromEnvironment().code(), ENOENT);
  setenv("DKFS_TRACE", path_.c_str(), 1);
  EXPECT_TRUE(Trace::OpenFromEnvironment().ok());
  EXPECT_TRUE(Trace::on());
  unsetenv("DKFS_TRACE");
}

}  // namespace
}  // namespace dkfs::test
