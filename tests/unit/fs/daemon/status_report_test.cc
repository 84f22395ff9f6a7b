#include "fs/daemon/status_report.h"

#include <gtest/gtest.h>

namespace dkfs {
namespace {

DaemonReport Healthy() {
  DaemonReport report;
  report.places = {"/data", "/store"};
  report.store.captured = report.store.appended = Seq((uint64_t{1} << 63) + 1);
  report.store.store_bytes = 3ull << 30;
  report.store.oldest_time = {1'700'000'000, 250'000'000};
  report.hydration.done = true;
  report.protection_known = true;
  return report;
}

TEST(StatusReportTest, NumbersKeepAll64Bits) {
  auto status = nlohmann::json::parse(StatusReport(Healthy()).dump());
  EXPECT_EQ((uint64_t{1} << 63) + 1, status["seq"]["captured"].get<uint64_t>());
}

TEST(StatusReportTest, TimesAreRfc3339) {
  EXPECT_EQ("2023-11-14T22:13:20.250Z", StatusReport(Healthy())["retention"]["oldest_time"]);
}

TEST(StatusReportTest, TransportIsNamedWithItsReason) {
  DaemonReport report = Healthy();
  report.transport = {true, "32 places", 7};
  auto status = StatusReport(report);
  EXPECT_EQ("io_uring", status["transport"]["kind"]);
  EXPECT_EQ(7, status["transport"]["ring_requests"]);
  EXPECT_NE(std::string::npos, StatusText(status).find("transport   io_uring (32 places)"));
}

TEST(StatusReportTest, WhatIsAskedOfIdleCpusIsNamedWithItsReason) {
  DaemonReport report = Healthy();
  report.cpu_latency = {true, "--cpu-latency", 10, true, std::chrono::milliseconds(1500)};
  auto status = StatusReport(report);
  EXPECT_EQ(10, status["cpu_latency"]["us"]);
  EXPECT_EQ(1.5, status["cpu_latency"]["held_seconds"]);
  EXPECT_NE(std::string::npos, StatusText(status).find("cpu latency 10 us now (--cpu-latency)"));
  report.cpu_latency.held = false;
  EXPECT_NE(std::string::npos, StatusText(StatusReport(report)).find("cpu latency 10 us when busy (--cpu-latency)"));
  report.cpu_latency.used = false;
  status = StatusReport(report);
  EXPECT_TRUE(status["cpu_latency"]["us"].is_null());
  EXPECT_NE(std::string::npos, StatusText(status).find("cpu latency not asked for (--cpu-latency)"));
}

TEST(StatusReportTest, WorstStateIsShown) {
  DaemonReport report = Healthy();
  EXPECT_EQ("healthy", StatusReport(report)["state"]);
  report.hydration.done = false;
  EXPECT_EQ("hydrating", StatusReport(report)["state"]);
  report.adopting = true;
  EXPECT_EQ("adopting", StatusReport(report)["state"]);
  report.hydration.blocks_damaged = 1;
  EXPECT_EQ("degraded", StatusReport(report)["state"]);
  report = Healthy();
  report.store.error = Status::Error(EIO, "journal");
  EXPECT_EQ("degraded", StatusReport(report)["state"]);
}

TEST(StatusReportTest, ProtectedShareCountsWhatWaits) {
  DaemonReport report = Healthy();
  EXPECT_EQ(1.0, StatusReport(report)["protected"]["share"]);
  report.total_bytes = 400;
  report.unprotected_bytes = 100;
  EXPECT_EQ(0.75, StatusReport(report)["protected"]["share"]);
  report.unprotected_bytes = 1000;
  EXPECT_EQ(0.0, StatusReport(report)["protected"]["share"]);
}

TEST(StatusReportTest, NothingIsProtectedBeforeItIsCounted) {
  DaemonReport report = Healthy();
  report.protection_known = false;
  EXPECT_EQ(0.0, StatusReport(report)["protected"]["share"]);
  EXPECT_TRUE(StatusReport(report)["protected"]["bytes_waiting"].is_null());
}

TEST(StatusReportTest, TextSaysTheSame) {
  DaemonReport report = Healthy();
  report.hydration = {};
  report.hydration.bytes_total = 10 << 20;
  report.hydration.bytes_done = 5 << 20;
  report.hydration.estimate = std::chrono::seconds(65);
  std::string text = StatusText(StatusReport(report));
  EXPECT_NE(std::string::npos, text.find("state       hydrating\n")) << text;
  EXPECT_NE(std::string::npos, text.find("5.0 MiB of 10.0 MiB, about 1m 5s left")) << text;
  EXPECT_NE(std::string::npos, text.find("error       none\n")) << text;
}

TEST(StatusReportTest, StrangeStatusIsShownAsFarAsItGoes) {
  for (const char* text : {"{}", R"({"state":7,"seq":[],"protected":null,"store":"x","hydration":{"done":"maybe"}})"}) {
    EXPECT_NE("", StatusText(nlohmann::json::parse(text)));
  }
}

}  // namespace
}  // namespace dkfs
