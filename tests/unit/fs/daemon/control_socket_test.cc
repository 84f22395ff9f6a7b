#include "fs/daemon/control_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>

namespace dkfs {
namespace {

using nlohmann::json;

class ControlSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "dkfs-control-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
};

TEST_F(ControlSocketTest, LinesGoBothWays) {
  auto listener = ListenIn(dir_);
  ASSERT_TRUE(listener.ok()) << listener.status().ToString();
  auto client = ConnectIn(dir_);
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  UniqueFd server(::accept(listener->get(), nullptr, nullptr));
  ASSERT_TRUE(WriteLine(client->get(), {{"command", "status"}, {"n", uint64_t{1} << 63}}).ok());
  ASSERT_TRUE(WriteLine(client->get(), {{"second", true}}).ok());
  LineReader reader(server.get());
  auto first = reader.Next();
  ASSERT_TRUE(first.ok() && first->has_value());
  EXPECT_EQ(uint64_t{1} << 63, (**first)["n"].get<uint64_t>());
  EXPECT_EQ(true, (**reader.Next())["second"]);
  client->reset();
  EXPECT_FALSE(reader.Next()->has_value());
}

TEST_F(ControlSocketTest, LongPathsWork) {
  std::string deep = dir_;
  for (int i = 0; i < 10; ++i) deep += "/" + std::string(50, 'd');
  std::filesystem::create_directories(deep);
  auto listener = ListenIn(deep);
  ASSERT_TRUE(listener.ok()) << listener.status().ToString();
  EXPECT_TRUE(ConnectIn(deep).ok());
}

TEST_F(ControlSocketTest, OnlyTheOwnerMayConnect) {
  auto listener = ListenIn(dir_);
  ASSERT_TRUE(listener.ok());
  struct stat st {};
  ASSERT_EQ(0, ::stat((dir_ + "/control.sock").c_str(), &st));
  EXPECT_EQ(0600u, st.st_mode & 07777);
}

TEST_F(ControlSocketTest, LeftoverIsReplaced) {
  { ASSERT_TRUE(ListenIn(dir_).ok()); }
  EXPECT_EQ(ECONNREFUSED, ConnectIn(dir_).code());
  auto again = ListenIn(dir_);
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_TRUE(ConnectIn(dir_).ok());
}

TEST_F(ControlSocketTest, NoSocketIsENOENT) { EXPECT_EQ(ENOENT, ConnectIn(dir_).code()); }

TEST_F(ControlSocketTest, NobodyWaitsForEverForADaemonThatHangs) {
  auto listener = ListenIn(dir_);
  ASSERT_TRUE(listener.ok()) << listener.status().ToString();
  constexpr std::chrono::milliseconds kShort{20};
  auto client = ConnectIn(dir_, kShort);
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  EXPECT_EQ(ETIMEDOUT, LineReader(client->get()).Next().code());
  std::vector<UniqueFd> waiting;  // until the kernel holds no more of them back
  Result<UniqueFd> next = ConnectIn(dir_, kShort);
  while (next.ok() && waiting.size() < 100) {
    waiting.push_back(std::move(next).value());
    next = ConnectIn(dir_, kShort);
  }
  EXPECT_EQ(ETIMEDOUT, next.code());
}

TEST_F(ControlSocketTest, WhatIsNotAnObjectIsRefused) {
  for (std::string line : {"garbage\n", "[1]\n", "\n", "{\"a\":\n"}) {
    int ends[2];
    ASSERT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    UniqueFd one(ends[0]), other(ends[1]);
    ASSERT_EQ(static_cast<ssize_t>(line.size()), ::send(one.get(), line.data(), line.size(), 0));
    EXPECT_EQ(EPROTO, LineReader(other.get()).Next().code()) << line;
  }
}

TEST_F(ControlSocketTest, BytesThatAreNotUtf8DoNotBreakALine) {
  int ends[2];
  ASSERT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  UniqueFd one(ends[0]), other(ends[1]);
  ASSERT_TRUE(WriteLine(one.get(), {{"path", "a\xFF\nb"}}).ok());
  EXPECT_TRUE(LineReader(other.get()).Next().ok());
}

}  // namespace
}  // namespace dkfs
