// The wish is there while requests come, holds the number that was asked for, and is gone afterwards.
#include "fs/daemon/cpu_latency.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>

#include "tests/support/temp_dir.h"

namespace dkfs::test {
namespace {

using Use = CpuLatencyOptions::Use;

class CpuLatencyTest : public ::testing::Test {
 protected:
  CpuLatencyTest() {
    PutFile(paths_.device, "");
    PutFile(paths_.idle_driver, "haltpoll\n");
  }

  Result<std::unique_ptr<CpuLatency>> Create(Use use, uint32_t us = 0) { return CpuLatency::Create({use, us}, paths_); }
  // The device is open in this process.
  bool IsOpen() const {
    const auto device = std::filesystem::canonical(paths_.device);
    for (const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      if (std::filesystem::read_symlink(fd.path(), gone) == device) return true;
    }
    return false;
  }
  template <typename Condition>
  static bool Comes(const Condition& condition) {
    for (int i = 0; i < 600 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return condition();
  }
  // While busy_, enough of them between any two looks.
  uint64_t Requests() { return busy_ ? count_ += CpuLatency::kBusyRequests : count_.load(); }

  TempDir dir_;
  CpuLatency::Paths paths_{dir_ / "device", dir_ / "driver"};
  std::atomic<bool> busy_{false};
  std::atomic<uint64_t> count_{0};
};

TEST_F(CpuLatencyTest, IsHeldWhileRequestsComeAndNoLonger) {
  auto made = Create(Use::kAsk, 7);
  ASSERT_TRUE(made.ok());
  CpuLatency& latency = **made;
  EXPECT_TRUE(latency.status().used);
  latency.Start([this] { return Requests(); });
  EXPECT_FALSE(latency.status().held);
  EXPECT_EQ("", ContentOf(paths_.device)) << "nothing is asked for at rest";
  busy_ = true;
  ASSERT_TRUE(Comes([&] { return latency.status().held; }));
  EXPECT_TRUE(IsOpen());
  const std::string asked = ContentOf(paths_.device);
  int32_t us = 0;
  ASSERT_EQ(sizeof us, asked.size());
  std::memcpy(&us, asked.data(), sizeof us);
  EXPECT_EQ(7, us);
  busy_ = false;
  ASSERT_TRUE(Comes([&] { return !latency.status().held; }));
  EXPECT_FALSE(IsOpen());
  const auto held_time = latency.status().held_time;
  EXPECT_GT(held_time.count(), 0);
  EXPECT_EQ(held_time, latency.status().held_time) << "it does not go on";
  busy_ = true;
  ASSERT_TRUE(Comes([&] { return latency.status().held; })) << "a second time";
  latency.Stop();
  EXPECT_FALSE(latency.status().held || IsOpen());
}

TEST_F(CpuLatencyTest, FewRequestsAreNotWorthIt) {
  auto made = Create(Use::kAuto);
  ASSERT_TRUE(made.ok());
  std::atomic<int> looks{0};
  (*made)->Start([&] { return ++looks * (CpuLatency::kBusyRequests - 1); });
  ASSERT_TRUE(Comes([&] { return looks > 4; }));
  EXPECT_FALSE((*made)->status().held);
  EXPECT_EQ(0, (*made)->status().held_time.count());
}

TEST_F(CpuLatencyTest, AutoIsForGuestsWithHaltpoll) {
  EXPECT_TRUE((*Create(Use::kAuto))->status().used);
  EXPECT_EQ("idle CPUs wait with haltpoll", (*Create(Use::kAuto))->status().reason);
  PutFile(paths_.idle_driver, "intel_idle\n");
  EXPECT_FALSE((*Create(Use::kAuto))->status().used);
  EXPECT_EQ("idle CPUs wait with intel_idle, not haltpoll", (*Create(Use::kAuto))->status().reason);
  EXPECT_TRUE((*Create(Use::kAsk))->status().used) << "who asks for it gets it anywhere";
  std::filesystem::remove(paths_.idle_driver);
  EXPECT_EQ("idle CPUs wait with none, not haltpoll", (*Create(Use::kAuto))->status().reason);
}

TEST_F(CpuLatencyTest, WithoutTheDeviceOnlyWhoAskedForItFails) {
  std::filesystem::remove(paths_.device);
  auto asked = Create(Use::kAsk);
  EXPECT_EQ(ENOENT, asked.code());
  EXPECT_NE(std::string::npos, asked.status().ToString().find(paths_.device));
  auto automatic = Create(Use::kAuto);
  ASSERT_TRUE(automatic.ok());
  EXPECT_FALSE((*automatic)->status().used);
  EXPECT_NE(std::string::npos, (*automatic)->status().reason.find(paths_.device));
  auto off = Create(Use::kOff);
  ASSERT_TRUE(off.ok());
  EXPECT_EQ("--cpu-latency off", (*off)->status().reason);
}

TEST_F(CpuLatencyTest, ADeviceThatGoesAwayIsNotAskedAgain) {
  auto made = Create(Use::kAsk);
  ASSERT_TRUE(made.ok());
  std::filesystem::remove(paths_.device);
  busy_ = true;
  (*made)->Start([this] { return Requests(); });
  ASSERT_TRUE(Comes([&] { return !(*made)->status().used; }));
  EXPECT_NE(std::string::npos, (*made)->status().reason.find(paths_.device));
  EXPECT_FALSE((*made)->status().held);
}

}  // namespace
}  // namespace dkfs::test
