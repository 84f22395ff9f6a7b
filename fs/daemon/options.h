// What the daemon was asked to do: flags over DKFS_* environment over --config file.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fs/daemon/cpu_latency.h"
#include "fs/hotness/hotness_source.h"
#include "fs/profile/profiler.h"
#include "store/base/status.h"

namespace dkfs {

enum class Order { kCalls, kFsync };
enum class IoUring { kAuto, kOn, kOff };  // FUSE over io_uring

struct Options {
  enum class Action { kMount, kHelp, kVersion };
  Action action = Action::kMount;
  std::string dir;    // as given
  std::string store;  // as given; empty: the default for DIR
  Order order = Order::kCalls;
  std::chrono::seconds retain{24 * 3600};
  uint64_t budget_bytes = 0;                    // 0: derived by the store from its disk
  std::string metrics_addr = "127.0.0.1:9911";  // empty: off
  bool metrics_explicit = false;                // a taken address is then an error
  std::vector<std::string> mount_flags;         // words of mount(2), see mount_words.h
  HotnessMode hotness = HotnessMode::kAuto;
  BtfOptions btf;
  bool adapt = true;  // layouts are chosen by the profiler
  std::string hints;  // file of patterns and layouts; empty: none
  ProfilerOptions profiler;
  uint64_t hydrate_rate = 64 << 20;  // bytes a second in the background; 0: no limit
  bool hot_first = true;
  IoUring io_uring = IoUring::kAuto;
  CpuLatencyOptions cpu_latency;
  bool foreground = false;
  bool debug = false;
  bool has_command = false;
  std::vector<std::string> command;
};

using Environment = std::function<const char*(const char* name)>;

// Parses `args` (without argv[0]) of `dkfs`. EINVAL: a usage error whose context is the one line for the user. On error
// *has_command still says whether a COMMAND was given (it decides the exit code).
Result<Options> ParseOptions(const std::vector<std::string>& args, const Environment& environment, bool* has_command);
// What `mount.dkfs SPEC DIR -o remount,...` asks for; nullopt: it does not ask for remounting.
struct Remount {
  std::string dir;
  std::vector<std::string> flags;  // words of mount(2); dkfs's own settings stay as they are
  bool fake = false;
};
Result<std::optional<Remount>> RemountOfMountHelper(const std::vector<std::string>& args);
// Turns the arguments of `mount.dkfs SPEC DIR [-sfnv] [-o OPT,...]` into those of dkfs; *fake for -f.
Result<std::vector<std::string>> ArgsOfMountHelper(const std::vector<std::string>& args, bool* fake);

// The command line in its normal form: `binary --store STORE` and then the user's other arguments, DIR made absolute.
// The arguments must have been parsed without error. Normalising twice changes nothing.
std::vector<std::string> NormalCommandLine(const std::string& binary, const std::string& store, const std::string& dir,
                                           const std::vector<std::string>& args);
const char* HelpText();

}  // namespace dkfs
