#include "fs/hotness/hotness_source.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "fs/hotness/probes.h"

namespace dkfs {
namespace {

HotnessOptions With(HotnessMode mode) {
  HotnessOptions options;
  options.mode = mode;
  options.btf.file = "/dev/null";  // no types: BPF cannot be had, whatever the kernel allows
  return options;
}

// Until the chooser has said its word.
HotnessStatus Settled(const HotnessSource& source) {
  for (int i = 0; i < 60'000; ++i) {
    HotnessStatus status = source.status();
    if (status.reason != "the probes are being attached") return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ADD_FAILURE() << "never settled";
  return {};
}

TEST(HotnessSourceTest, OffCountsNothing) {
  HotnessSource source(With(HotnessMode::kOff));
  source.Start("0:1");
  source.requests()->OnWrite(FileId(5), 0, 4096, false);
  EXPECT_EQ("off", source.status().source);
  EXPECT_TRUE((*source.Read()).files.empty());
}

TEST(HotnessSourceTest, FuseCountsFromTheFirstRequest) {
  HotnessSource source(With(HotnessMode::kFuse));
  source.requests()->OnWrite(FileId(5), 0, 4096, false);
  source.Start("0:1");
  EXPECT_EQ("fuse", source.status().source);
  ASSERT_EQ(1u, (*source.Read()).files.size());
}

TEST(HotnessSourceTest, AutoFallsBackAndSaysWhy) {
  HotnessSource source(With(HotnessMode::kAuto));
  source.requests()->OnWrite(FileId(5), 0, 4096, false);
  source.Start("0:1");
  const HotnessStatus status = Settled(source);
  EXPECT_EQ("fuse", status.source);
  EXPECT_NE(std::string::npos, status.reason.find("/dev/null")) << status.reason;
  EXPECT_EQ(1u, status.totals.writes) << "what came before is kept";
  // The chooser reads the counts once more, for the log: what is written meanwhile is dropped.
  for (int i = 0; i < 1000 && source.status().totals.writes == 1; ++i) {
    source.requests()->OnWrite(FileId(5), 0, 4096, false);
  }
  EXPECT_EQ(2u, source.status().totals.writes);
}

TEST(HotnessSourceTest, BpfAloneDoesNotFallBack) {
  HotnessSource source(With(HotnessMode::kBpf));
  source.Start("0:1");
  const HotnessStatus status = Settled(source);
  EXPECT_EQ("off", status.source);
  EXPECT_NE(std::string::npos, status.reason.find("no probes")) << status.reason;
}

TEST(HotnessSourceTest, WithoutADeviceNumberThereAreNoProbes) {
  HotnessOptions options = With(HotnessMode::kAuto);
  options.btf.file.clear();
  HotnessSource source(options);
  source.Start("");
  EXPECT_EQ("fuse", Settled(source).source);
}

TEST(HotnessSourceTest, StopWhileChoosingEnds) {
  for (int i = 0; i < 5; ++i) {
    HotnessOptions options = With(HotnessMode::kAuto);
    options.btf.file.clear();
    HotnessSource source(options);
    source.Start("0:1");
    source.Stop();
    EXPECT_EQ("off", source.status().source);
  }
}

TEST(ProbesTest, AreChosenByTryingAndSayWhatWasRefused) {
  auto probes = Probes::Attach({/*device=*/0xfffff, /*cache_absorbs=*/true, ""});
  if (!probes.ok()) {
    EXPECT_NE("", probes.status().context());
    GTEST_SKIP() << "no probes here: " << probes.status().ToString();
  }
  const HotnessStatus status = (*probes)->status();
  ASSERT_EQ(3u, status.probes.size());
  EXPECT_NE("", status.probes[0].attach);
  for (const ProbeStatus& probe : status.probes) {
    std::printf("%s: %s (%s)\n", probe.probe.c_str(), probe.attach.c_str(), probe.reason.c_str());
    EXPECT_NE("", probe.reason);
  }
  EXPECT_EQ(0u, status.totals.events) << "no mount has this number";
  ASSERT_TRUE((*probes)->Read().ok());
  EXPECT_TRUE((*(*probes)->Read()).files.empty());
}

TEST(ProbesTest, AFileWithTheKernelsTypesWillDo) {
  const std::string kernel = "/sys/kernel/btf/vmlinux";
  if (!CheckBtf(kernel).ok() || !Probes::Attach({0xfffff, false, ""}).ok()) GTEST_SKIP() << "no probes here";
  auto probes = Probes::Attach({0xfffff, false, kernel});
  ASSERT_TRUE(probes.ok()) << probes.status().ToString();
  EXPECT_EQ(kernel, (*probes)->status().btf);
}

}  // namespace
}  // namespace dkfs
