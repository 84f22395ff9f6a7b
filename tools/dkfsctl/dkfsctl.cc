// dkfsctl: asks the daemon of a mounted directory, through the socket in its store. The store is found in the mount
// table; the mount itself is never touched, except by `sync`, which first makes the kernel hand over its dirty pages,
// and by `explain`, which asks for the number of a file.
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>

#include "fs/daemon/control_socket.h"
#include "fs/daemon/mount_point.h"
#include "fs/daemon/mountinfo.h"
#include "fs/daemon/profile_report.h"
#include "fs/daemon/status_report.h"
#include "fs/daemon/units.h"
#include "store/base/printable.h"
#include "store/base/standard_fds.h"

namespace dkfs {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kPatience{20};  // whoever watches a mount must hear of a daemon that hangs

enum Exit : int { kHealthy = 0, kFailed = 1, kNotMounted = 2, kUsage = 2 };

constexpr const char* kHelp =
    "usage: dkfsctl COMMAND DIR\n"
    "  status DIR [--json]          how the mount is; exit 0 healthy, 1 degraded, 2 not mounted\n"
    "  sync DIR                     returns when everything written so far survives a loss of power\n"
    "  unmount DIR                  ends the mount; returns when the store is closed\n"
    "  aside list DIR               what was moved aside because no kept version explains it\n"
    "  aside remove DIR TIME|all    deletes it\n"
    "  top DIR [--json]             files by how hot they are written, with their layouts; once without a terminal\n"
    "  explain FILE [--json]        why a file has its layout, and what others would cost\n"
    "  --help, --version\n";

int Complain(const std::string& message, int code = kFailed) {
  std::fprintf(stderr, "dkfsctl: %s\n", Printable(message).c_str());
  return code;
}

int ComplainOfOutput() { return Complain(Status::FromErrno("writing to standard output").ToString()); }

std::string ErrorOf(const json& answer) {
  auto error = answer.find("error");
  return error != answer.end() && error->is_string() ? error->get<std::string>() : "the daemon refused";
}

bool Succeeded(const json& answer) {
  auto ok = answer.find("ok");
  return ok != answer.end() && ok->is_boolean() && ok->get<bool>();
}

// A conversation with the daemon of one directory.
class Conversation {
 public:
  // Finds the store of `dir` and connects; otherwise prints why and returns the exit code.
  std::optional<int> Open(const std::string& dir) {
    auto resolved = ResolveMountPoint(dir);
    if (!resolved.ok()) return Complain(resolved.status().ToString(), kNotMounted);
    dir_ = *resolved;
    auto mounts = ReadMountInfo();
    if (!mounts.ok()) return Complain(mounts.status().ToString());
    auto mount = MountAt(*mounts, dir_);
    if (!mount || mount->type != kMountType) return Complain(dir_ + " is not mounted by dkfs", kNotMounted);
    auto socket = ConnectIn(mount->source, kPatience);
    if (socket.code() == EACCES) return Complain(socket.status().ToString() + " (dkfsctl needs to be root)");
    if (socket.code() == ETIMEDOUT) return Complain(socket.status().ToString());
    if (!socket.ok()) return Complain(socket.status().ToString() + " (has it been killed? mount again)", kNotMounted);
    store_ = mount->source;
    socket_ = std::move(socket).value();
    reader_.emplace(socket_.get());
    return std::nullopt;
  }

  Result<json> Ask(const json& request) {
    DKFS_TRY(WriteLine(socket_.get(), request));
    return Hear();
  }
  // What takes as long as it takes, once the daemon has shown that it answers.
  Result<json> AskPatiently(const json& request) {
    DKFS_TRY(Ask({{"command", "status"}}).status());
    DKFS_TRY(SetPatience(socket_.get(), {}));
    return Ask(request);
  }
  Result<json> Hear() {
    DKFS_TRY_ASSIGN(auto answer, reader_->Next());
    if (!answer) return Status::Error(ECONNRESET, "the daemon hung up");
    return std::move(*answer);
  }
  const std::string& dir() const { return dir_; }
  const std::string& store() const { return store_; }

 private:
  std::string dir_;
  std::string store_;
  UniqueFd socket_;
  std::optional<LineReader> reader_;
};

// Asks for something whose answer is only yes or no.
int AskPlainly(Conversation& daemon, const json& request) {
  auto answer = daemon.AskPatiently(request);
  if (!answer.ok()) return Complain(answer.status().ToString());
  return Succeeded(*answer) ? kHealthy : Complain(ErrorOf(*answer));
}

int ShowStatus(Conversation& daemon, bool as_json) {
  auto answer = daemon.Ask({{"command", "status"}});
  if (!answer.ok()) return Complain(answer.status().ToString());
  auto status = answer->find("status");
  if (!Succeeded(*answer) || status == answer->end() || !status->is_object()) return Complain(ErrorOf(*answer));
  std::string text = as_json ? status->dump(2, ' ', false, json::error_handler_t::replace) + "\n" : StatusText(*status);
  std::fputs(text.c_str(), stdout);
  auto state = status->find("state");
  return state != status->end() && *state == "degraded" ? kFailed : kHealthy;
}

// The part of a successful answer under `key`; otherwise complains.
std::optional<json> PartOf(Conversation& daemon, const json& request, const char* key) {
  auto answer = daemon.Ask(request);
  if (!answer.ok()) {
    Complain(answer.status().ToString());
    return std::nullopt;
  }
  auto part = answer->find(key);
  if (Succeeded(*answer) && part != answer->end()) return std::move(*part);
  Complain(ErrorOf(*answer));
  return std::nullopt;
}

void PrintJson(const json& object) {
  std::fputs((object.dump(2, ' ', false, json::error_handler_t::replace) + "\n").c_str(), stdout);
}

// A live view on a terminal, until the user ends it; elsewhere one sample.
int ShowTop(Conversation& daemon, bool as_json) {
  constexpr unsigned kSeconds = 2;
  const bool live = !as_json && ::isatty(STDOUT_FILENO) == 1;
  do {
    auto files = PartOf(daemon, {{"command", "top"}}, "files");
    if (!files) return kFailed;
    winsize size{};
    if (!live) {
      PrintJson(*files);
    } else {
      const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2 && size.ws_col > 0;
      std::fputs("\033[H\033[2J", stdout);
      std::fputs(TopText(*files, known ? size.ws_row : 24, known ? size.ws_col : 80).c_str(), stdout);
    }
    if (!FlushStandardOutput()) return kFailed;
  } while (live && ::sleep(kSeconds) == 0);
  return kHealthy;
}

// The mount point of dkfs that holds `file`, which is made absolute and real; empty when there is none.
Result<std::string> MountOf(std::string* file) {
  char real[PATH_MAX];
  if (::realpath(file->c_str(), real) == nullptr) return Status::FromErrno(*file);
  *file = real;
  DKFS_TRY_ASSIGN(const auto mounts, ReadMountInfo());
  for (std::string at = *file; at.size() > 1;) {
    at.resize(std::max<size_t>(at.rfind('/'), 1));
    auto mount = MountAt(mounts, at);
    if (mount) return mount->type == kMountType ? at : std::string();
  }
  return std::string();
}

int Explain(std::string file, bool as_json) {
  auto dir = MountOf(&file);
  if (!dir.ok()) return Complain(dir.status().ToString());
  if (dir->empty()) return Complain(file + " is not below a mount of dkfs", kNotMounted);
  struct stat st;
  if (::lstat(file.c_str(), &st) != 0) return Complain(Status::FromErrno(file).ToString());
  Conversation daemon;
  if (auto failed = daemon.Open(*dir)) return *failed;
  auto explained = PartOf(daemon, {{"command", "explain"}, {"file", st.st_ino}}, "file");
  if (!explained) return kFailed;
  if (as_json) PrintJson(*explained);
  if (!as_json) std::fputs(ExplainText(*explained).c_str(), stdout);
  return kHealthy;
}

int SyncMount(Conversation& daemon) {
  UniqueFd dir(::open(daemon.dir().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir || ::syncfs(dir.get()) != 0) return Complain(Status::FromErrno("syncing " + daemon.dir()).ToString());
  return AskPlainly(daemon, {{"command", "sync"}});
}

// The store is closed; whoever comes next also needs its lock, which the daemon lets go of with its last breath.
void AwaitLock(const std::string& store) {
  UniqueFd lock(::open((store + "/LOCK").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  for (int i = 0; lock && i < 1000 && ::flock(lock.get(), LOCK_SH | LOCK_NB) != 0; ++i) ::usleep(10'000);
}

int UnmountDir(Conversation& daemon) {
  int asked = AskPlainly(daemon, {{"command", "unmount"}});
  if (asked != kHealthy) return asked;
  auto closed = daemon.Hear();
  if (!closed.ok()) return Complain("the daemon ended before it said that the store is closed; mount again to check");
  AwaitLock(daemon.store());
  if (Succeeded(*closed)) return kHealthy;
  return Complain("unmounted; the store is closed, but the directory alone is not complete: " + ErrorOf(*closed));
}

void ShowAsideSet(const json& set) {
  const auto entries = set.at("entries").get<unsigned long long>();
  std::printf("%s  %llu entries  %s  %s\n", set.at("time").get<std::string>().c_str(), entries,
              FormatSize(set.at("bytes").get<uint64_t>()).c_str(),
              Printable(set.at("place").get<std::string>()).c_str());
  const json& paths = set.at("paths");
  for (const json& path : paths) std::printf("  %s\n", Printable(path.get<std::string>()).c_str());
  if (paths.size() < entries) std::printf("  and %llu more\n", entries - paths.size());
}

int ListAside(Conversation& daemon) {
  auto answer = daemon.AskPatiently({{"command", "aside-list"}});
  if (!answer.ok()) return Complain(answer.status().ToString());
  auto sets = answer->find("aside");
  if (!Succeeded(*answer) || sets == answer->end() || !sets->is_array()) return Complain(ErrorOf(*answer));
  for (const json& set : *sets) ShowAsideSet(set);
  const uint64_t left_out = answer->value("left_out", uint64_t{0});
  if (left_out > 0) std::printf("and %llu more\n", static_cast<unsigned long long>(left_out));
  return kHealthy;
}

int UsageError() {
  std::fputs(kHelp, stderr);
  return kUsage;
}

int Run(const std::vector<std::string>& args) {
  size_t n = args.size();
  std::string command = args.empty() ? "" : args[0];
  for (const std::string& arg : args) {
    if (arg == "--help" || arg == "-h") return std::fputs(kHelp, stdout) < 0 ? kFailed : kHealthy;
    if (arg.starts_with('-') && arg != "--json" && arg != "--version") {
      return Complain("there is no option " + arg + " (see dkfsctl --help; a directory of that name is ./" + arg + ")",
                      kUsage);
    }
  }
  if (command == "--version") return std::printf("dkfsctl %s\n", DKFS_VERSION) < 0 ? kFailed : kHealthy;
  bool aside = command == "aside" && n >= 3;
  bool shows = command == "status" || command == "top" || command == "explain";
  bool as_json = shows && n == 3 && (args[1] == "--json" || args[2] == "--json");
  bool plain = n == 2 && (shows || command == "sync" || command == "unmount");
  bool list = aside && n == 3 && args[1] == "list";
  bool remove = aside && n == 4 && args[1] == "remove" && !args[3].empty();  // an unset variable is not "all"
  if (!as_json && !plain && !list && !remove) return UsageError();
  std::string dir = aside ? args[2] : as_json && args[1] == "--json" ? args[2] : args[1];
  if (command == "explain") return Explain(dir, as_json);
  Conversation daemon;
  if (auto failed = daemon.Open(dir)) return *failed;
  if (command == "status") return ShowStatus(daemon, as_json);
  if (command == "top") return ShowTop(daemon, as_json);
  if (command == "sync") return SyncMount(daemon);
  if (command == "unmount") return UnmountDir(daemon);
  if (list) return ListAside(daemon);
  return AskPlainly(daemon, {{"command", "aside-remove"}, {"time", args[3] == "all" ? "" : args[3]}});
}

}  // namespace
}  // namespace dkfs

int main(int argc, char** argv) {
  dkfs::FillStandardFds();
  const int code = dkfs::Run({argv + 1, argv + argc});
  return dkfs::FlushStandardOutput() ? code : dkfs::ComplainOfOutput();
}
