// power_oracle: looks for losses of power that break a promise of the store; docs/testing.md.
//   power_oracle [--seeds N] [--seed N] [--points N]           some seeds; exit code 1 when something is wrong
//   power_oracle --campaign --points N --log FILE              goes on until N points are done in all, or for ever
//   power_oracle --seed N --trace FILE --cut K --variant V     one image again, as a violation says
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <map>

#include "store/base/file.h"
#include "store/base/log.h"
#include "tests/crash/power/campaign.h"

namespace dkfs::test {
namespace {

using Arguments = std::map<std::string, std::string>;

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const bool has_value = i + 1 < argc && !std::string_view(argv[i + 1]).starts_with("--");
    arguments[name] = has_value ? argv[++i] : "";
  }
  return arguments;
}

uint64_t Number(const Arguments& arguments, const std::string& name, uint64_t fallback) {
  const auto it = arguments.find(name);
  uint64_t value = fallback;
  if (it != arguments.end()) std::from_chars(it->second.data(), it->second.data() + it->second.size(), value);
  return value;
}

std::string Text(const Arguments& arguments, const std::string& name, const std::string& fallback) {
  const auto it = arguments.find(name);
  return it == arguments.end() ? fallback : it->second;
}

// A directory in memory, gone when the program ends.
class Scratch {
 public:
  Scratch() {
    const std::string memory = "/dev/shm";
    path_ = (::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path().string()) +
            "/dkfs-power-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~Scratch() {
    std::error_code unused;
    std::filesystem::remove_all(path_, unused);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The log of a campaign: a line for each seed that is done, synced, so that the next start goes on behind it.
class SeedLog {
 public:
  Status Open(const std::string& path) {
    Result<std::string> text = file::ReadAll(AT_FDCWD, path);
    if (!text.ok() && !text.status().IsNotFound()) return text.status();
    if (text.ok()) Read(*text);
    DKFS_TRY_ASSIGN(fd_, file::Open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND));
    return Status::Ok();
  }

  Status Add(uint64_t seed, const Tally& tally) {
    const std::string line = "seed " + std::to_string(seed) + " " + tally.Line() + "\n";
    if (::write(fd_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
      return Status::FromErrno("the seed log");
    next_ = seed + 1;
    points_ += tally.points;
    violations_ += tally.violations;
    return file::Sync(fd_.get(), "the seed log");
  }

  uint64_t next() const { return next_; }
  uint64_t points() const { return points_; }
  uint64_t violations() const { return violations_; }

 private:
  void Read(const std::string& text) {
    for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      unsigned long seed = 0, points = 0, images = 0, nested = 0, violations = 0;
      if (std::sscanf(text.c_str() + at, "seed %lu points %lu images %lu nested %lu violations %lu", &seed, &points,
                      &images, &nested, &violations) != 5)
        continue;
      next_ = seed + 1;
      points_ += points;
      violations_ += violations;
    }
  }

  UniqueFd fd_;
  uint64_t next_ = 1, points_ = 0, violations_ = 0;
};

int Fail(const Status& status) {
  std::printf("%s\n", status.ToString().c_str());
  return 1;
}

int Campaign(const Arguments& arguments, CampaignOptions options) {
  SeedLog log;
  if (Status opened = log.Open(Text(arguments, "--log", "power.log")); !opened.ok()) return Fail(opened);
  const uint64_t wanted = Number(arguments, "--points", UINT64_MAX);
  Tally all;
  while (log.points() < wanted) {
    Tally tally;
    const uint64_t seed = log.next();
    if (Status run = RunSeed(seed, options, &tally); !run.ok()) {
      ++tally.violations;
      options.report("seed " + std::to_string(seed) + ": " + run.ToString());
    }
    if (Status added = log.Add(seed, tally); !added.ok()) return Fail(added);
    all.Add(tally);
  }
  std::printf("this run: %s; all: points %lu violations %lu\n", all.Line().c_str(), log.points(), log.violations());
  return log.violations() == 0 ? 0 : 1;
}

int Seeds(const Arguments& arguments, CampaignOptions options) {
  options.points = static_cast<int>(Number(arguments, "--points", 60));
  const uint64_t first = Number(arguments, "--seed", 1), count = Number(arguments, "--seeds", 1);
  Tally all;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    if (Status run = RunSeed(seed, options, &all); !run.ok()) {
      ++all.violations;
      options.report("seed " + std::to_string(seed) + ": " + run.ToString());
    }
  }
  std::printf("%s%s\n", all.Line().c_str(), all.missing().empty() ? "" : ("; " + all.missing()).c_str());
  return all.violations == 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  const Arguments arguments = Parse(argc, argv);
  const Scratch scratch;
  SetLogFd(-1);
  CampaignOptions options;
  options.scratch = scratch.path();
  options.keep = Text(arguments, "--keep", std::filesystem::temp_directory_path());
  ::setenv("TMPDIR", scratch.path().c_str(), 1);  // where reading a store makes its copies
  options.steps = static_cast<int>(Number(arguments, "--steps", 150));
  options.report = [](const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  };
  if (arguments.contains("--campaign")) return Campaign(arguments, options);
  if (!arguments.contains("--cut")) return Seeds(arguments, options);
  SetLogFd(STDERR_FILENO);
  const Status again = Repeat(Number(arguments, "--seed", 1), Text(arguments, "--trace", ""),
                              Number(arguments, "--cut", 0), Number(arguments, "--variant", 0), options);
  return again.ok() ? 0 : Fail(again);
}

}  // namespace
}  // namespace dkfs::test

int main(int argc, char** argv) { return dkfs::test::Main(argc, argv); }
