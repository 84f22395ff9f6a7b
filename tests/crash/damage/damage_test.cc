// A corpus of broken stores. Each variant is tried in a process of its own, with a limit on time and memory; what must
// hold stands in trial.h. The short form takes a sample, the same each time unless DKFS_DAMAGE_SEED says otherwise;
// DKFS_TEST_ALL=1 all. To repeat one:
//   DKFS_DAMAGE='name' damage_test
// DKFS_DAMAGE_LOG=FILE gets a line for each variant, and those it names as passed are not tried again, so that a long
// run can be cut short. DKFS_DAMAGE_JOBS=N runs N at once.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "store/base/hash.h"
#include "tests/crash/damage/trial.h"
#include "tests/golden/golden.h"
#include "tests/golden/sample.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace dkfs::damage {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShortForm = 200;  // variants
constexpr unsigned kSeconds = 90;   // for one, on a loaded machine
constexpr rlim_t kAddressSpace = rlim_t{4} << 30;
constexpr long kResidentKiB = 400 << 10;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// What has found something before is always tried.
constexpr const char* kAlways[] = {"fifo FORMAT",
                                   "flip FORMAT 30.0",
                                   "device index/CURRENT",
                                   "fifo index/000051.sst",
                                   "flip index/000052.sst 96.3",
                                   "foreign index/000052.sst",
                                   "flip index/000101.sst 77.6",
                                   "huge FORMAT",
                                   "huge index/IDENTITY",
                                   "loop LOCK",
                                   "newer-record journal/0000000000000016.seg 75c0",
                                   "page journal/0000000000000016.seg 8308",
                                   "remove journal"};

// In memory where there is enough of it: what is synced here need not last.
std::string WorkPlace() {
  struct statvfs shm;
  const bool roomy = statvfs("/dev/shm", &shm) == 0 && shm.f_bavail * shm.f_frsize > (uint64_t{1} << 30) &&
                     access("/dev/shm", W_OK) == 0;
  std::string path = (roomy ? std::string("/dev/shm") : testing::TempDir()) + "/dkfs-damage-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) std::abort();
  return path;
}

struct Attempt {
  pid_t pid = 0;
  const Variant* variant = nullptr;
  std::string dir;
};

class DamageTest : public testing::Test {
 protected:
  // The parent never opens a store: threads of RocksDB would be missing in its children.
  void SetUp() override {
    corpus_.store = golden::UnpackGolden(golden::GoldenVersions().back(), work_);
    ASSERT_NE(corpus_.store, "");
    corpus_.other = work_ + "/other";
    fflush(nullptr);
    const pid_t pid = fork();
    if (pid == 0) Prepare();
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_EQ(status, 0);
    std::istringstream facts(test::ContentOf(work_ + "/facts"));
    facts >> oldest_.value >> corpus_.last.value >> corpus_.indexed.value;
    ASSERT_GT(corpus_.last, corpus_.indexed);
  }
  void TearDown() override { fs::remove_all(work_); }

  std::unique_ptr<Store> OpenWhole() const {
    StoreOptions options = golden::SampleStoreOptions();
    options.mode = StoreOptions::Mode::kReadOnly;
    Result<std::unique_ptr<Store>> store = Store::Open(corpus_.store, options);
    DKFS_CHECK(store.ok());
    return std::move(store).value();
  }

  [[noreturn]] void Prepare() const {
    golden::MakeSample(corpus_.other, {.seed = 99, .clean = false});
    Result<std::unique_ptr<Store>> copy = OpenWhole();
    const StoreStatus status = (*copy)->GetStatus();
    test::PutFile(work_ + "/facts", std::to_string(status.oldest.value) + " " + std::to_string(status.appended.value) +
                                        " " + std::to_string(status.flushed.value));
    _exit(0);
  }

  // What the whole store says, at some moments: the oldest, the newest, and others for each variant.
  std::map<Seq, golden::Tree> MomentsFor(const std::string& name) const {
    test::Random random(seed_ ^ Hash64(AsBytes(name)));
    std::set<Seq> chosen = {oldest_, corpus_.last};
    while (chosen.size() < (all_ ? 24u : 8u)) {
      chosen.insert(Seq{oldest_.value + random.Below(corpus_.last.value - oldest_.value)});
    }
    std::map<Seq, golden::Tree> moments;
    std::unique_ptr<Store> store = OpenWhole();
    for (Seq seq : chosen) moments[seq] = golden::ReadTree(*store, seq);
    return moments;
  }

  // In the child: the verdict goes to a file beside the store.
  void Child(const Variant& variant, const std::string& dir) {
    alarm(kSeconds);
    const struct rlimit limit = {kAddressSpace, kAddressSpace}, no_core = {0, 0};
    if (!kSanitized) setrlimit(RLIMIT_AS, &limit);
    setrlimit(RLIMIT_CORE, &no_core);
    if (std::getenv("DKFS_DAMAGE") == nullptr && freopen((dir + "/log").c_str(), "w", stderr) == nullptr) _exit(3);
    setenv("TMPDIR", (dir + "/tmp").c_str(), 1);
    const std::map<Seq, golden::Tree> moments = MomentsFor(variant.name);
    variant.apply(dir + "/store");
    const Outcome outcome = Try(variant, dir + "/store", dir + "/scratch", moments);
    std::string text = outcome.sort + "\n" + outcome.notes + "\n";
    for (const std::string& line : outcome.broken) text += line + "\n";
    test::PutFile(dir + "/verdict", text);
    fflush(nullptr);
    _exit(0);
  }

  Attempt Start(const Variant& variant) {
    Attempt run;
    run.variant = &variant;
    run.dir = work_ + "/" + std::to_string(++started_);
    for (const char* name : {"", "/scratch", "/tmp"}) fs::create_directory(run.dir + name);
    fs::copy(corpus_.store, run.dir + "/store", fs::copy_options::recursive);
    fflush(nullptr);
    run.pid = fork();
    if (run.pid == 0) {
      try {
        Child(variant, run.dir);
      } catch (const std::exception& error) {  // never back into the test: it would clean up under the others
        fprintf(stderr, "%s\n", error.what());
        _exit(4);
      }
    }
    return run;
  }

  void Finish(const Attempt& run, int status, const struct rusage& usage) {
    std::vector<std::string> lines;
    std::istringstream verdict(test::ContentOf(run.dir + "/verdict"));
    for (std::string line; std::getline(verdict, line);) lines.push_back(line);
    std::string broken;
    if (WIFSIGNALED(status)) {
      broken = WTERMSIG(status) == SIGALRM ? "it hangs" : "it dies of signal " + std::to_string(WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0 || lines.size() < 2) {
      broken = "it ends with " + std::to_string(WEXITSTATUS(status));
    } else if (!kSanitized && usage.ru_maxrss > kResidentKiB) {
      broken = "it takes " + std::to_string(usage.ru_maxrss) + " KiB";
    }
    for (size_t i = 2; i < lines.size(); ++i) broken += (broken.empty() ? "" : "\n    ") + lines[i];
    const std::string sort = lines.size() < 2 ? "failed" : lines[0];
    if (log_ != nullptr) {
      std::ofstream(log_, std::ios::app) << (broken.empty() ? "passed | " : "FAILED | ") << run.variant->name << " | "
                                         << sort << "\n";
    }
    ++sorts_[sort == "no effect" ? "no effect: " + run.variant->harmless : sort];
    if (std::getenv("DKFS_DAMAGE") != nullptr || std::getenv("DKFS_DAMAGE_LIST") != nullptr) {
      std::cout << run.variant->name << " | " << sort << " | " << (lines.size() > 1 ? lines[1] : "") << "\n";
    }
    if (!broken.empty()) {
      ADD_FAILURE() << "    " << broken << "\n  repeat: DKFS_DAMAGE='" << run.variant->name
                    << "' DKFS_DAMAGE_SEED=" << seed_ << " damage_test\n    " << (lines.size() > 1 ? lines[1] : "");
    }
    fs::remove_all(run.dir);
  }

  void TryAll(const std::vector<const Variant*>& variants) {
    const char* jobs = std::getenv("DKFS_DAMAGE_JOBS");
    const size_t width = std::max(1L, jobs != nullptr ? strtol(jobs, nullptr, 10) : sysconf(_SC_NPROCESSORS_ONLN));
    std::map<pid_t, Attempt> running;
    for (size_t next = 0; next < variants.size() || !running.empty();) {
      while (next < variants.size() && running.size() < width) {
        const Attempt run = Start(*variants[next++]);
        running[run.pid] = run;
      }
      int status = 0;
      struct rusage usage;
      const pid_t pid = wait4(-1, &status, 0, &usage);
      const auto it = running.find(pid);
      if (it == running.end()) continue;
      Finish(it->second, status, usage);
      running.erase(it);
    }
  }

  std::set<std::string> Passed() const {
    std::set<std::string> names;
    std::ifstream log(log_ != nullptr ? log_ : "");
    for (std::string line; std::getline(log, line);) {
      if (!line.starts_with("passed | ")) continue;
      const size_t from = std::string("passed | ").size();
      names.insert(line.substr(from, line.find(" | ", from) - from));
    }
    return names;
  }

  // A seeded sample in which every file and every kind of damage has its part.
  std::vector<const Variant*> Choose(const std::vector<Variant>& variants) const {
    std::vector<const Variant*> chosen;
    uint64_t weights = 0;
    for (const Variant& v : variants) weights += v.weight;
    test::Random random(seed_);
    for (const Variant& v : variants) {
      const bool always = std::find(std::begin(kAlways), std::end(kAlways), v.name) != std::end(kAlways);
      if (all_ || always || random.Below(weights) < v.weight * kShortForm) chosen.push_back(&v);
    }
    return chosen;
  }

  const bool all_ = std::getenv("DKFS_TEST_ALL") != nullptr && std::string(std::getenv("DKFS_TEST_ALL")) == "1";
  const uint64_t seed_ =
      std::getenv("DKFS_DAMAGE_SEED") != nullptr ? strtoull(std::getenv("DKFS_DAMAGE_SEED"), nullptr, 10) : 1;
  const char* const log_ = std::getenv("DKFS_DAMAGE_LOG");
  const std::string work_ = WorkPlace();
  Corpus corpus_;
  Seq oldest_;
  std::map<std::string, int> sorts_;
  int started_ = 0;
};

TEST_F(DamageTest, EveryBrokenStoreServesTheTruthOrSaysWhyNot) {
  const std::vector<Variant> variants = AllVariants(corpus_);
  std::vector<const Variant*> chosen;
  if (const char* only = std::getenv("DKFS_DAMAGE")) {
    for (const Variant& v : variants) {
      if (v.name.starts_with(only)) chosen.push_back(&v);
    }
  } else {
    chosen = Choose(variants);
  }
  ASSERT_GT(chosen.size(), 0u);
  const std::set<std::string> passed = Passed();
  std::erase_if(chosen, [&](const Variant* v) { return passed.contains(v->name); });
  TryAll(chosen);
  std::cout << chosen.size() << " of " << variants.size() << " variants\n";
  for (const auto& [sort, count] : sorts_) std::cout << "  " << count << " " << sort << "\n";
}

}  // namespace
}  // namespace dkfs::damage
