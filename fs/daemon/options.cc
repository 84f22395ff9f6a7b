#include "fs/daemon/options.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <fstream>
#include <map>

#include "fs/daemon/mount_words.h"
#include "fs/daemon/units.h"

namespace dkfs {
namespace {

namespace po = boost::program_options;

using Settings = std::map<std::string, std::string>;

// One source of settings, strictly above or below another.
struct Layer {
  Settings settings;
  std::vector<std::string> flags;
};

constexpr uint32_t kMostCpuLatencyUs = 1'000'000;

Status Usage(std::string message) { return Status::Error(EINVAL, std::move(message)); }

po::options_description SettingOptions() {
  po::options_description options;
  for (std::string_view name : SettingNames()) {
    options.add_options()(std::string(name).c_str(), po::value<std::string>());
  }
  options.add_options()("options,o", po::value<std::vector<std::string>>()->composing());
  return options;
}

Status MakeLayer(const po::variables_map& map, Layer* layer) {
  MountWords words;
  for (std::string_view each : SettingNames()) {
    const std::string name(each);
    if (map.count(name) != 0) words.settings[name] = map[name].as<std::string>();
  }
  if (map.count("options") != 0) {
    for (const std::string& list : map["options"].as<std::vector<std::string>>()) {
      DKFS_TRY(AddMountWords(list, false, &words));
    }
  }
  layer->settings = std::move(words.settings);
  layer->flags = std::move(words.flags);
  return Status::Ok();
}

Status ParseFlags(const std::vector<std::string>& args, Options* options, Layer* layer) {
  po::options_description all = SettingOptions();
  all.add_options()("foreground,f", "")("debug,d", "")("help,h", "")("version,V", "");
  po::options_description hidden;
  hidden.add_options()("dir", po::value<std::vector<std::string>>());
  all.add(hidden);
  po::positional_options_description positional;
  positional.add("dir", -1);
  po::variables_map map;
  namespace style = po::command_line_style;
  try {
    po::store(po::command_line_parser(args)
                  .options(all)
                  .positional(positional)
                  .style(style::unix_style & ~style::allow_guessing)
                  .run(),
              map);
  } catch (const po::error& error) {  // Boost reports nothing but by exceptions
    return Usage(error.what());
  }
  if (map.count("help") != 0) options->action = Options::Action::kHelp;
  if (map.count("version") != 0) options->action = Options::Action::kVersion;
  options->foreground = map.count("foreground") != 0;
  options->debug = map.count("debug") != 0;
  if (map.count("dir") != 0) {
    auto dirs = map["dir"].as<std::vector<std::string>>();
    if (dirs.size() > 1) return Usage("more than one DIR: '" + dirs[1] + "' (a COMMAND stands behind --)");
    options->dir = dirs[0];
  }
  return MakeLayer(map, layer);
}

Status ParseEnvironment(const Environment& environment, Layer* layer) {
  MountWords words;
  for (std::string_view each : SettingNames()) {
    const std::string name(each);
    std::string variable = "DKFS_" + name;
    for (char& c : variable) c = c == '-' ? '_' : static_cast<char>(std::toupper(c));
    if (const char* value = environment(variable.c_str())) words.settings[name] = value;
  }
  if (const char* list = environment("DKFS_OPTIONS"))
    DKFS_TRY(AddMountWords(list, false, &words).Prefix("DKFS_OPTIONS"));
  layer->settings = std::move(words.settings);
  layer->flags = std::move(words.flags);
  return Status::Ok();
}

Status ParseFile(const std::string& path, Layer* layer) {
  std::ifstream file(path);
  if (!file || (file.peek(), file.bad())) return Usage("cannot read the configuration file " + path);
  po::variables_map map;
  try {
    po::store(po::parse_config_file(file, SettingOptions()), map);
  } catch (const po::error& error) {
    return Usage(path + ": " + error.what());
  }
  if (map.count("config") != 0) return Usage(path + ": a configuration file cannot name another");
  Status status = MakeLayer(map, layer);
  return status.ok() ? status : Usage(path + ": " + std::string(status.context()));
}

Status CheckAddress(const std::string& address) {
  size_t colon = address.rfind(':');
  std::string port = colon == std::string::npos ? "" : address.substr(colon + 1);
  bool digits = !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos;
  if (colon == 0 || !digits || std::stoi(port) > 65535) {
    return Usage("metrics-addr: '" + address + "' is not HOST:PORT or off");
  }
  return Status::Ok();
}

Status ApplyHotness(const std::string& name, const std::string& value, Options* options) {
  static const std::map<std::string, HotnessMode> kModes = {{"auto", HotnessMode::kAuto},
                                                            {"bpf", HotnessMode::kBpf},
                                                            {"fuse", HotnessMode::kFuse},
                                                            {"off", HotnessMode::kOff}};
  if (name == "hotness") {
    auto mode = kModes.find(value);
    if (mode == kModes.end()) return Usage("hotness: '" + value + "' is none of auto, bpf, fuse, off");
    options->hotness = mode->second;
  }
  if (name == "layouts") {
    if (value != "fixed" && value != "adaptive") return Usage("layouts: '" + value + "' is none of fixed, adaptive");
    options->adapt = value == "adaptive";
  }
  if (name == "hints") {
    if (!value.starts_with('/')) return Usage("hints: '" + value + "' is not an absolute path");
    options->hints = value;
  }
  if (name.starts_with("btf") && name != "btf-mirror" && !value.starts_with('/')) {
    return Usage(name + ": '" + value + "' is not an absolute path");
  }
  if (name == "btf") options->btf.file = value;
  if (name == "btf-cache") options->btf.cache = value;
  if (name == "btf-mirror") {
    if (!value.starts_with("http://") && !value.starts_with("https://")) {
      return Usage("btf-mirror: '" + value + "' is no http or https URL");
    }
    options->btf.mirror = value;
  }
  return Status::Ok();
}

Status ApplyProfiler(const std::string& name, const std::string& value, ProfilerOptions* options) {
  if (name == "profiler-alpha") {
    char* end = nullptr;
    options->rate.alpha = std::strtod(value.c_str(), &end);
    const bool in_range = options->rate.alpha > 0 && options->rate.alpha <= 1;
    if (*end != '\0' || !in_range) return Usage(name + ": '" + value + "' is not above 0 and at most 1");
    return Status::Ok();
  }
  const bool dwell = name == "profiler-dwell";
  if (!dwell && name != "profiler-interval") return Status::Ok();
  auto time = ParseDuration(value);
  if (!time.ok()) return Usage(name + ": " + std::string(time.status().context()));
  if (*time < std::chrono::seconds(1)) return Usage(name + ": at least 1s");
  if (*time > std::chrono::hours(24)) return Usage(name + ": at most 24h");
  if (dwell) {
    options->dwell = *time;
  } else {
    options->rate.interval = *time;
  }
  return Status::Ok();
}

Status ApplyCpuLatency(const std::string& value, CpuLatencyOptions* options) {
  using Use = CpuLatencyOptions::Use;
  options->use = value == "auto" ? Use::kAuto : value == "off" ? Use::kOff : Use::kAsk;
  if (options->use != Use::kAsk) return Status::Ok();
  const char* end = value.data() + value.size();
  auto [parsed, error] = std::from_chars(value.data(), end, options->us);
  const bool in_range = error == std::errc() && parsed == end && options->us <= kMostCpuLatencyUs;
  return in_range ? Status::Ok()
                  : Usage("cpu-latency: '" + value + "' is none of auto, off, microseconds up to 1000000");
}

Status Apply(const Settings& settings, Options* options) {
  for (const auto& [name, value] : settings) {
    if (value.empty()) return Usage(name + " needs a value");
    if (name == "store") options->store = value;
    if (name == "order") {
      if (value != "calls" && value != "fsync") return Usage("order: '" + value + "' is neither calls nor fsync");
      options->order = value == "calls" ? Order::kCalls : Order::kFsync;
    }
    if (name == "retain") {
      auto retain = ParseDuration(value);
      if (!retain.ok()) return Usage("retain: " + std::string(retain.status().context()));
      options->retain = *retain;
    }
    if (name == "budget") {
      auto budget = ParseSize(value);
      if (!budget.ok()) return Usage("budget: " + std::string(budget.status().context()));
      if (*budget < (64u << 20)) return Usage("budget: at least 64M");
      options->budget_bytes = *budget;
    }
    if (name == "metrics-addr") {
      options->metrics_explicit = true;
      options->metrics_addr = value == "off" ? "" : value;
      if (value != "off") DKFS_TRY(CheckAddress(value));
    }
    if (name == "io-uring") {
      static const std::map<std::string, IoUring> kUses = {
          {"auto", IoUring::kAuto}, {"on", IoUring::kOn}, {"off", IoUring::kOff}};
      auto use = kUses.find(value);
      if (use == kUses.end()) return Usage("io-uring: '" + value + "' is none of auto, on, off");
      options->io_uring = use->second;
    }
    if (name == "cpu-latency") DKFS_TRY(ApplyCpuLatency(value, &options->cpu_latency));
    if (name == "hydrate-order") {
      if (value != "hot" && value != "file") return Usage("hydrate-order: '" + value + "' is neither hot nor file");
      options->hot_first = value == "hot";
    }
    if (name == "hydrate-rate") {
      auto rate = value == "off" ? Result<uint64_t>(0) : ParseSize(value);
      if (!rate.ok()) return Usage("hydrate-rate: " + std::string(rate.status().context()));
      if (*rate == 0 && value != "off") return Usage("hydrate-rate: 0 is none; off means no limit");
      options->hydrate_rate = *rate;
    }
    DKFS_TRY(ApplyHotness(name, value, options));
    DKFS_TRY(ApplyProfiler(name, value, &options->profiler));
  }
  return Status::Ok();
}

Status Merge(const Environment& environment, Layer flags, Options* options) {
  Layer env, file;
  DKFS_TRY(ParseEnvironment(environment, &env));
  std::string config = flags.settings.contains("config") ? flags.settings["config"]
                       : env.settings.contains("config") ? env.settings["config"]
                                                         : "";
  if (!config.empty()) DKFS_TRY(ParseFile(config, &file));
  Settings settings = std::move(flags.settings);
  settings.merge(env.settings);  // keeps what is there
  settings.merge(file.settings);
  for (Layer* layer : {&file, &env, &flags}) {
    options->mount_flags.insert(options->mount_flags.end(), layer->flags.begin(), layer->flags.end());
  }
  return Apply(settings, options);
}

}  // namespace

Result<Options> ParseOptions(const std::vector<std::string>& args, const Environment& environment, bool* has_command) {
  Options options;
  auto split = std::find(args.begin(), args.end(), "--");
  *has_command = options.has_command = split != args.end();
  if (options.has_command) options.command.assign(split + 1, args.end());
  Layer flags;
  DKFS_TRY(ParseFlags({args.begin(), split}, &options, &flags));
  if (options.action != Options::Action::kMount) return options;
  if (options.dir.empty()) return Usage("DIR is missing (see dkfs --help)");
  if (options.has_command && options.command.empty()) return Usage("COMMAND is missing behind --");
  DKFS_TRY(Merge(environment, std::move(flags), &options));
  return options;
}

const char* HelpText() {
  return "usage: dkfs [OPTIONS] DIR [-- COMMAND [ARG...]]\n"
         "Mounts over DIR, records every change in a store, and restores what DIR has lost on first read.\n"
         "With COMMAND: runs it once the mount is ready, unmounts when it ends, exits with its status.\n\n"
         "  --store PATH              the store (default: a folder for DIR under /var/lib/dkfs)\n"
         "  --order calls|fsync       calls: every call survives a kill of dkfs (default); fsync: what was fsynced\n"
         "  --retain TIME             how long history is kept: 90s, 15m, 24h, 7d (default 24h)\n"
         "  --budget BYTES            most the store may take: 10G (default: half of what its disk has for it)\n"
         "  --metrics-addr ADDR|off   HOST:PORT for Prometheus (default 127.0.0.1:9911)\n"
         "  --hotness auto|bpf|fuse|off  who measures how files are written: the kernel, else dkfs (default auto)\n"
         "  --layouts adaptive|fixed  whether how finely a file is captured follows how it is written (default "
         "adaptive)\n"
         "  --hints FILE              lines PATTERN LAYOUT, for files that are to have a layout of their own\n"
         "  --profiler-interval TIME, --profiler-alpha N, --profiler-dwell TIME\n"
         "                            how often it looks, what the newest look weighs in a rate (0 to 1), how long a\n"
         "                            file keeps a layout (default 5s, 0.3, 60s)\n"
         "  --hydrate-order hot|file  what is restored first in the background: what was hot (default), or in file "
         "order\n"
         "  --hydrate-rate BYTES|off  how much of it in a second: 64M (default)\n"
         "  --io-uring auto|on|off    requests through memory shared with the kernel (default auto: where it is "
         "sound)\n"
         "  --cpu-latency auto|off|US  how long waking an idle CPU may take while requests come, in microseconds; 0: "
         "they\n"
         "                            poll (default auto: 0 in a guest with haltpoll, else not asked for)\n"
         "  --btf FILE                the kernel's types, when the kernel has none itself\n"
         "  --btf-cache PATH          a folder of RELEASE.btf (default /var/cache/dkfs/btf)\n"
         "  --btf-mirror URL          where to fetch them from into that folder (default: nowhere)\n"
         "  -o OPT,...                the same as in fstab: store=, order=, ...; ro, nosuid, nodev, noexec, noatime, "
         "...\n"
         "  --config FILE             NAME = VALUE lines with the names above\n"
         "  -f                        stay in the foreground, log to the terminal\n"
         "  -d                        add debug messages to the log\n"
         "  --help, --version\n\n"
         "Each NAME may also come from the environment as DKFS_NAME (DKFS_STORE, DKFS_METRICS_ADDR, DKFS_OPTIONS, "
         "...).\n"
         "Flags win over the environment, the environment over the file.\n"
         "Exit codes: 0 mounted, 2 usage, 3 environment, 4 store in use, 5 store damaged or unknown, 1 anything else;\n"
         "with COMMAND: its status, 128+N for signal N, 125 for a failure of dkfs.\n";
}

}  // namespace dkfs
