// crash_oracle: the workload and the judge of the crash tests, as one program; see docs/testing.md.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>

#include "store/base/fault.h"
#include "store/base/hash.h"
#include "store/base/trace.h"
#include "tests/crash/oracle/execute.h"
#include "tests/crash/oracle/history.h"

namespace dkfs::oracle {
namespace {

constexpr char kUsage[] =
    "usage: crash_oracle COMMAND [--NAME VALUE]...\n"
    "each but points and setup: --stops-on-error 1 when failures last\n"
    "  points                            the names of all fault points\n"
    "  setup  --dir D --threads T        what the workload starts from\n"
    "  run    --dir D --trace F --seed S --threads T --ops N [--kill-pid P --kill-after OPS --kill-delay-ns NS]\n"
    "  check  --dir D --trace F --seed S --threads T --ops N --promise calls|synced|cached [--offset BYTES]\n"
    "         prints `ok` and the operations of each thread that are there, or what is wrong, and exits 1\n"
    "  show   --trace F --seed S --threads T --ops N   the operations of a run\n"
    "  sum    --dir D --threads T        one hash of everything that the tree holds, times included\n";

struct Arguments {
  std::map<std::string, std::string> values;

  std::string Text(const std::string& name) const {
    const auto it = values.find(name);
    if (it == values.end()) {
      std::fprintf(stderr, "crash_oracle: --%s is missing\n%s", name.c_str(), kUsage);
      std::exit(2);
    }
    return it->second;
  }
  uint64_t Number(const std::string& name, std::optional<uint64_t> otherwise = std::nullopt) const {
    return otherwise && !values.contains(name) ? *otherwise : std::strtoull(Text(name).c_str(), nullptr, 10);
  }
  Workload TheWorkload() const {
    return {Number("seed"), static_cast<uint32_t>(Number("threads")), Number("ops"), Number("stops-on-error", 0) != 0};
  }
};

int Fail(const Status& status) {
  std::fprintf(stderr, "crash_oracle: %s\n", status.ToString().c_str());
  return 2;
}

int PrintPoints() {
  for (std::string_view name : Fault::Names()) std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
  return 0;
}

int RunWorkload(const Arguments& args) {
  if (Status opened = Trace::Open(args.Text("trace")); !opened.ok()) return Fail(opened);
  Trace::Text("setup");
  const KillPlan kill{static_cast<int>(args.Number("kill-pid", 0)), args.Number("kill-after", 0),
                      args.Number("kill-delay-ns", 0)};
  const Exercised result = Run(args.TheWorkload(), args.Text("dir"), kill);
  std::printf("ended=%llu failed=%llu died=%d", static_cast<unsigned long long>(result.ended),
              static_cast<unsigned long long>(result.failed), result.died ? 1 : 0);
  for (size_t kind = 0; kind < result.passed.size(); ++kind) {
    const std::string_view name = NameOf(static_cast<Kind>(kind));
    std::printf(" %.*s=%llu", static_cast<int>(name.size()), name.data(),
                static_cast<unsigned long long>(result.passed[kind]));
  }
  std::printf("\n");
  return 0;
}

int Check(const Arguments& args) {
  const std::string promise = args.Text("promise");
  const auto history = History::Load(args.TheWorkload(), args.Text("trace"));
  if (!history.ok()) return Fail(history.status());
  const Verdict verdict = history->CheckTree(args.Text("dir"),
                                             promise == "calls"    ? Promise::kCalls
                                             : promise == "cached" ? Promise::kCached
                                                                   : Promise::kSynced,
                                             args.Number("offset", kWholeTrace));
  if (!verdict.ok) {
    std::printf("violation: %s\n", verdict.violation.c_str());
    return 1;
  }
  std::printf("ok");
  for (uint64_t at : verdict.at) std::printf(" %llu", static_cast<unsigned long long>(at));
  std::printf("\n");
  return 0;
}

int Show(const Arguments& args) {
  const auto history = History::Load(args.TheWorkload(), args.Text("trace"));
  if (!history.ok()) return Fail(history.status());
  std::fputs(history->Listing().c_str(), stdout);
  return 0;
}

int Sum(const Arguments& args) {
  const auto rows = ReadTree(args.Text("dir"), static_cast<uint32_t>(args.Number("threads")));
  if (!rows.ok()) return Fail(rows.status());
  Hasher hasher;
  for (const auto& [path, row] : *rows) {
    const std::string line = path + " " + Describe(row) + "\n";
    if (args.values.contains("verbose")) std::fputs(line.c_str(), stdout);
    hasher.Update(AsBytes(line));
  }
  std::printf("%016llx\n", static_cast<unsigned long long>(hasher.Finish()));
  return 0;
}

int Main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  Arguments args;
  for (int i = 2; i + 1 < argc; i += 2) {
    if (strncmp(argv[i], "--", 2) == 0) args.values[argv[i] + 2] = argv[i + 1];
  }
  if (command == "points") return PrintPoints();
  if (command == "run") return RunWorkload(args);
  if (command == "check") return Check(args);
  if (command == "sum") return Sum(args);
  if (command == "show") return Show(args);
  if (command == "setup") {
    const Status made = Setup(args.Text("dir"), static_cast<uint32_t>(args.Number("threads")));
    return made.ok() ? 0 : Fail(made);
  }
  std::fputs(kUsage, stderr);
  return 2;
}

}  // namespace
}  // namespace dkfs::oracle

int main(int argc, char** argv) { return dkfs::oracle::Main(argc, argv); }
