#include "fs/daemon/options.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <fstream>
#include <map>

#include "fs/daemon/mount_words.h"
#include "tests/support/temp_dir.h"

namespace dkfs {
namespace {

using Args = std::vector<std::string>;

class OptionsTest : public testing::Test {
 protected:
  Result<Options> Parse(const Args& args) {
    return ParseOptions(
        args,
        [this](const char* name) {
          auto it = environment_.find(name);
          return it == environment_.end() ? nullptr : it->second.c_str();
        },
        &has_command_);
  }
  std::string Refusal(const Args& args) {
    auto options = Parse(args);
    EXPECT_FALSE(options.ok());
    return options.ok() ? "" : std::string(options.status().context());
  }
  std::string ConfigFile(const std::string& text) {
    std::ofstream(dir_ / "dkfs.conf") << text;
    return dir_ / "dkfs.conf";
  }
  const test::TempDir dir_;
  std::map<std::string, std::string> environment_;
  bool has_command_ = false;
};

TEST_F(OptionsTest, DefaultsAreThePromisedOnes) {
  auto options = Parse({"/data"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ("/data", options->dir);
  EXPECT_EQ("", options->store);
  EXPECT_EQ(Order::kCalls, options->order);
  EXPECT_EQ(24 * 3600, options->retain.count());
  EXPECT_EQ("127.0.0.1:9911", options->metrics_addr);
  EXPECT_FALSE(options->metrics_explicit);
  EXPECT_FALSE(options->foreground || options->debug || options->has_command);
}

TEST_F(OptionsTest, IoUringIsAutoOnOrOff) {
  EXPECT_EQ(IoUring::kAuto, Parse({"/data"})->io_uring);
  EXPECT_EQ(IoUring::kOn, Parse({"--io-uring", "on", "/data"})->io_uring);
  EXPECT_EQ(IoUring::kOff, Parse({"-o", "io-uring=off", "/data"})->io_uring);
  environment_["DKFS_IO_URING"] = "on";
  EXPECT_EQ(IoUring::kOn, Parse({"/data"})->io_uring);
  EXPECT_EQ("io-uring: 'yes' is none of auto, on, off", Refusal({"--io-uring", "yes", "/data"}));
}

TEST_F(OptionsTest, CpuLatencyIsAutoOffOrMicroseconds) {
  using Use = CpuLatencyOptions::Use;
  EXPECT_EQ(Use::kAuto, Parse({"/data"})->cpu_latency.use);
  EXPECT_EQ(0U, Parse({"/data"})->cpu_latency.us);
  EXPECT_EQ(Use::kOff, Parse({"--cpu-latency", "off", "/data"})->cpu_latency.use);
  EXPECT_EQ(Use::kAsk, Parse({"--cpu-latency", "0", "/data"})->cpu_latency.use);
  EXPECT_EQ(1'000'000U, Parse({"-o", "cpu-latency=1000000", "/data"})->cpu_latency.us);
  environment_["DKFS_CPU_LATENCY"] = "10";
  EXPECT_EQ(10U, Parse({"/data"})->cpu_latency.us);
  for (std::string bad : {"1000001", "-1", "1us", "yes", "99999999999", " 1"}) {
    EXPECT_EQ("cpu-latency: '" + bad + "' is none of auto, off, microseconds up to 1000000",
              Refusal({"--cpu-latency=" + bad, "/data"}));
  }
}

TEST_F(OptionsTest, FlagsAreRead) {
  auto options = Parse({"--store", "/s", "--order=fsync", "--retain", "7d", "--budget", "10G", "--metrics-addr", "off",
                        "-f", "-d", "/data"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ("/s", options->store);
  EXPECT_EQ(Order::kFsync, options->order);
  EXPECT_EQ(7 * 86400, options->retain.count());
  EXPECT_EQ(10ull << 30, options->budget_bytes);
  EXPECT_EQ("", options->metrics_addr);
  EXPECT_TRUE(options->foreground && options->debug);
}

TEST_F(OptionsTest, HotnessIsAutomaticAndDownloadsNothingByDefault) {
  auto options = Parse({"/data"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(HotnessMode::kAuto, options->hotness);
  EXPECT_EQ("", options->btf.file);
  EXPECT_EQ("", options->btf.mirror);
  EXPECT_EQ("/var/cache/dkfs/btf", options->btf.cache);
}

TEST_F(OptionsTest, HotnessAndItsTypesAreRead) {
  environment_ = {{"DKFS_HOTNESS", "off"}, {"DKFS_BTF_MIRROR", "https://example.org/btf"}};
  auto options = Parse({"--hotness", "bpf", "-o", "btf=/k.btf,btf-cache=/c", "/data"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ(HotnessMode::kBpf, options->hotness);
  EXPECT_EQ("/k.btf", options->btf.file);
  EXPECT_EQ("/c", options->btf.cache);
  EXPECT_EQ("https://example.org/btf", options->btf.mirror);
}

TEST_F(OptionsTest, LayoutsAdaptUnlessTheyAreFixed) {
  EXPECT_TRUE(Parse({"/data"})->adapt);
  environment_ = {{"DKFS_HINTS", "/etc/hints"}};
  auto options = Parse({"-o", "layouts=fixed", "/data"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_FALSE(options->adapt);
  EXPECT_EQ("/etc/hints", options->hints);
  EXPECT_NE("", Refusal({"--layouts", "sometimes", "/data"}));
  EXPECT_NE("", Refusal({"--hints", "relative", "/data"}));
}

TEST_F(OptionsTest, HydrationIsHotFirstAtABoundedRate) {
  EXPECT_TRUE(Parse({"/data"})->hot_first);
  EXPECT_EQ(64u << 20, Parse({"/data"})->hydrate_rate);
  auto options = Parse({"-o", "hydrate-order=file,hydrate-rate=1M", "/data"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_FALSE(options->hot_first);
  EXPECT_EQ(1u << 20, options->hydrate_rate);
  EXPECT_EQ(0u, Parse({"--hydrate-rate", "off", "/data"})->hydrate_rate);
  EXPECT_NE("", Refusal({"--hydrate-order", "cold", "/data"}));
  EXPECT_NE("", Refusal({"--hydrate-rate", "0", "/data"}));
  EXPECT_NE("", Refusal({"--hydrate-rate", "fast", "/data"}));
}

TEST_F(OptionsTest, TheProfilersTimesCanBeSet) {
  auto options = Parse({"--profiler-interval", "2s", "-o", "profiler-alpha=0.5,profiler-dwell=1m", "/data"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ(std::chrono::seconds(2), options->profiler.rate.interval);
  EXPECT_EQ(std::chrono::seconds(60), options->profiler.dwell);
  EXPECT_DOUBLE_EQ(0.5, options->profiler.rate.alpha);
  for (const char* alpha : {"0", "1.1", "-1", "nan", "x", "0.5x"}) {
    EXPECT_NE("", Refusal({"--profiler-alpha", alpha, "/data"})) << alpha;
  }
  EXPECT_NE("", Refusal({"--profiler-interval", "0s", "/data"}));
  EXPECT_NE("", Refusal({"--profiler-dwell", "100d", "/data"}));
}

TEST_F(OptionsTest, HotnessMistakesAreNamed) {
  EXPECT_NE("", Refusal({"--hotness", "warm", "/data"}));
  EXPECT_NE("", Refusal({"--btf", "relative", "/data"}));
  EXPECT_NE("", Refusal({"--btf-mirror", "ftp://example.org", "/data"}));
}

TEST_F(OptionsTest, DebugDoesNotImplyForeground) { EXPECT_FALSE(Parse({"-d", "/data"})->foreground); }

TEST_F(OptionsTest, FlagsWinOverEnvironmentOverFile) {
  std::string config = ConfigFile("store = /file\nretain = 1h\norder = fsync\n# comment\nmetrics-addr = 0.0.0.0:1\n");
  environment_ = {{"DKFS_STORE", "/env"}, {"DKFS_RETAIN", "2h"}, {"DKFS_CONFIG", config}};
  auto options = Parse({"--store", "/flag", "/data"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ("/flag", options->store);
  EXPECT_EQ(7200, options->retain.count());
  EXPECT_EQ(Order::kFsync, options->order);
  EXPECT_EQ("0.0.0.0:1", options->metrics_addr);
  EXPECT_TRUE(options->metrics_explicit);
}

TEST_F(OptionsTest, MountWordsSetTheSameThings) {
  auto options =
      Parse({"-o", "store=/s,order=fsync,ro,nosuid,defaults,_netdev,x-systemd.automount", "-o", "rw", "/data"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ("/s", options->store);
  EXPECT_EQ(Order::kFsync, options->order);
  EXPECT_EQ(static_cast<unsigned long>(MS_NOSUID), MountFlagsOf(options->mount_flags));
}

TEST_F(OptionsTest, CommandStandsBehindDashes) {
  auto options = Parse({"/data", "--", "postgres", "-D", "--help"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ((Args{"postgres", "-D", "--help"}), options->command);
  EXPECT_TRUE(has_command_);
}

TEST_F(OptionsTest, UsageErrorStillKnowsOfTheCommand) {
  EXPECT_FALSE(Parse({"--bad", "/data", "--", "true"}).ok());
  EXPECT_TRUE(has_command_);
}

TEST_F(OptionsTest, HelpAndVersionNeedNoDirectory) {
  EXPECT_EQ(Options::Action::kHelp, Parse({"--help"})->action);
  EXPECT_EQ(Options::Action::kVersion, Parse({"--version"})->action);
}

TEST_F(OptionsTest, EveryMistakeIsNamed) {
  EXPECT_NE("", Refusal({}));
  EXPECT_NE(std::string::npos, Refusal({"/a", "/b"}).find("/b"));
  EXPECT_NE(std::string::npos, Refusal({"--unknown", "/a"}).find("unknown"));
  EXPECT_NE(std::string::npos, Refusal({"--stor", "/s", "/a"}).find("stor"));
  EXPECT_NE(std::string::npos, Refusal({"--order", "none", "/a"}).find("none"));
  EXPECT_NE(std::string::npos, Refusal({"--retain", "soon", "/a"}).find("soon"));
  EXPECT_NE(std::string::npos, Refusal({"--budget", "lots", "/a"}).find("lots"));
  EXPECT_NE(std::string::npos, Refusal({"--budget", "1K", "/a"}).find("64M"));
  EXPECT_NE(std::string::npos, Refusal({"--metrics-addr", "nowhere", "/a"}).find("nowhere"));
  EXPECT_NE(std::string::npos, Refusal({"--metrics-addr", "h:99999", "/a"}).find("99999"));
  EXPECT_NE(std::string::npos, Refusal({"-o", "bogus", "/a"}).find("bogus"));
  EXPECT_NE(std::string::npos, Refusal({"-o", "store=/b", "--store", "/a", "/d"}).find("twice"));
  EXPECT_NE(std::string::npos, Refusal({"--config", "/does/not/exist", "/a"}).find("/does/not/exist"));
  EXPECT_NE(std::string::npos, Refusal({"--store=", "/a"}).find("store"));
  EXPECT_NE("", Refusal({"--store"}));
  EXPECT_NE("", Refusal({"/a", "--"}));
}

TEST_F(OptionsTest, MistakesInTheFileNameTheFile) {
  std::string config = ConfigFile("colour = red\n");
  EXPECT_NE(std::string::npos, Refusal({"--config", config, "/a"}).find(config));
  EXPECT_NE(std::string::npos, Refusal({"--config", ConfigFile("options = bogus\n"), "/a"}).find("bogus"));
}

TEST(MountHelperTest, ArgumentsBecomeOurs) {
  bool fake = true;
  auto args = ArgsOfMountHelper({"/var/store", "/data", "-n", "-o", "rw,order=fsync,noauto,nodev"}, &fake);
  ASSERT_TRUE(args.ok()) << args.status().ToString();
  EXPECT_EQ((Args{"--order", "fsync", "--store", "/var/store", "-o", "rw", "-o", "nodev", "/data"}), *args);
  EXPECT_FALSE(fake);
}

TEST(MountHelperTest, NoneMeansTheDefaultStore) {
  bool fake = false;
  EXPECT_EQ((Args{"/data"}), *ArgsOfMountHelper({"none", "/data", "-fv"}, &fake));
  EXPECT_TRUE(fake);
}

TEST(MountHelperTest, OnlySloppyForgivesUnknownWords) {
  bool fake = false;
  EXPECT_FALSE(ArgsOfMountHelper({"none", "/data", "-o", "bogus"}, &fake).ok());
  EXPECT_TRUE(ArgsOfMountHelper({"none", "/data", "-s", "-o", "bogus"}, &fake).ok());
}

TEST(MountHelperTest, RemountingTakesTheKernelsWordsAndFstabs) {
  auto asked =
      RemountOfMountHelper({"/var/store", "/data", "-o",
                            "rw,noatime,user_id=0,group_id=0,default_permissions,allow_other,retain=2h,remount,ro"});
  ASSERT_TRUE(asked.ok()) << asked.status().ToString();
  ASSERT_TRUE(asked->has_value());
  EXPECT_EQ("/data", (*asked)->dir);
  EXPECT_EQ((Args{"rw", "noatime", "ro"}), (*asked)->flags);
  EXPECT_FALSE(RemountOfMountHelper({"/var/store", "/data", "-o", "ro"})->has_value());
  EXPECT_FALSE(RemountOfMountHelper({"/var/store", "/data", "-o", "remount,bogus"}).ok());
}

TEST(MountHelperTest, MistakesAreRefused) {
  bool fake = false;
  for (const Args& args :
       {Args{}, {"none"}, {"none", "/a", "/b"}, {"relative", "/a"}, {"none", "/a", "--x"}, {"none", "/a", "-o"}}) {
    EXPECT_FALSE(ArgsOfMountHelper(args, &fake).ok());
  }
}

}  // namespace
}  // namespace dkfs
