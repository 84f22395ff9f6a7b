#include "store/replay/restore.h"

#include <unistd.h>

#include <iostream>

#include "store/store.h"
#include "tools/dkfs-replay/commands.h"
#include "tools/dkfs-replay/options.h"

namespace dkfs::tool {
namespace {

struct Request {
  std::string store, out, at;
  RestoreOptions options;
};

bool ParseRequest(const Arguments& arguments, Request* request) {
  po::options_description options("Options");
  options.add_options()("store", po::value(&request->store)->required()->value_name("STORE"), "the store's directory")(
      "to", po::value(&request->out)->required()->value_name("OUT"), "where to write; new or empty")(
      "at", po::value(&request->at)->default_value("latest")->value_name("WHEN"),
      "latest, seq:N, @UNIXSECONDS, 2026-01-31T14:03:07Z or '2026-01-31 14:03:07' (local time)")(
      "keep-going", po::bool_switch(&request->options.keep_going),
      "write what can be written although something is damaged");
  po::variables_map values;
  if (!Parse(arguments, options, "path",
             "dkfs-replay restore --store STORE --to OUT [--at WHEN] [--keep-going] [PATH...]", &values)) {
    return false;
  }
  if (values.count("path") != 0) request->options.paths = values["path"].as<std::vector<std::string>>();
  return true;
}

// Several lines a second at most, and only for a person.
class Progress {
 public:
  void Show(uint64_t files, uint64_t bytes) {
    const uint64_t now = MonotonicNs();
    if (!terminal_ || now - shown_ < 200'000'000) return;
    shown_ = now;
    std::cerr << "\r" << files << " files, " << (bytes >> 20) << " MiB" << std::flush;
  }
  void End() const {
    if (shown_ != 0) std::cerr << "\r\033[K";
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  uint64_t shown_ = 0;
};

int Finish(const Status& status, const Request& request, const RestoreResult& result) {
  if (status.ok()) {
    std::cout << "restored " << result.files << " files, " << result.bytes << " bytes to " << request.out << "\n";
    return kOk;
  }
  if (result.problems == 0) return Fail(status);
  const bool damaged = status.IsCorruption() || status.code() == ENODATA;
  Complain("restore incomplete: " + std::to_string(result.problems) + " problems, " + std::to_string(result.files) +
           " files written to " + request.out +
           (damaged && !request.options.keep_going ? "; --keep-going goes on past damage" : ""));
  if (damaged) return kDamaged;
  const int code = ExitCode(status.code());
  return code == kEnvironment ? code : static_cast<int>(kOther);
}

}  // namespace

int Restore(const Arguments& arguments) {
  Request request;
  if (!ParseRequest(arguments, &request)) return kOk;
  StoreOptions options;
  options.mode = StoreOptions::Mode::kReadOnly;
  Result<std::unique_ptr<Store>> store = Store::Open(request.store, options);
  if (!store.ok()) return Fail(store.status());
  const Status degraded = (*store)->GetStatus().error;
  if (!degraded.ok()) {
    Complain(degraded.ToString());
    if (!request.options.keep_going) {
      Complain("the store is damaged; --keep-going restores what is left");
      return kDamaged;
    }
  }
  Result<Seq> at = (*store)->ParseMoment(request.at);
  if (!at.ok()) return Fail(at.status());
  Progress progress;
  request.options.on_progress = [&](uint64_t files, uint64_t bytes) { progress.Show(files, bytes); };
  request.options.on_problem = Complain;
  RestoreResult result;
  const Status status = RestoreTree(**store, *at, request.out, request.options, &result);
  progress.End();
  const int code = Finish(status, request, result);
  return code == kOk && !degraded.ok() ? static_cast<int>(kDamaged) : code;
}

}  // namespace dkfs::tool
