// dkfs: mounts over a directory, records every change, restores what was lost. See HelpText().
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>

#include "fs/daemon/command_runner.h"
#include "fs/daemon/daemon.h"
#include "fs/daemon/mount_flusher.h"
#include "fs/daemon/mount_point.h"
#include "fs/daemon/mount_warmer.h"
#include "fs/daemon/mount_words.h"
#include "fs/daemon/test_knobs.h"
#include "store/base/fault.h"
#include "store/base/log.h"
#include "store/base/standard_fds.h"
#include "store/base/trace.h"

namespace dkfs {
namespace {

int ReportFailure(const Failure& failure, bool has_command) {
  std::fprintf(stderr, "dkfs: %s\n", failure.message.c_str());
  return has_command ? kExitWithCommand : failure.exit_code;
}

Failure ResolvePlaces(const Options& options, Places* places) {
  auto dir = ResolveMountPoint(options.dir);
  if (!dir.ok()) return Failure::Environment(dir.status());
  places->dir = *dir;
  if (*dir == "/") return Failure::Usage("the root directory cannot be mounted over");
  Failure failure = ClearMountPoint(*dir);
  if (failure.failed()) return failure;
  auto store = ResolveStore(options.store.empty() ? DefaultStore(*dir) : options.store);
  if (!store.ok()) return Failure::Environment(store.status());
  places->store = *store;
  struct stat st;
  if (::stat(store->c_str(), &st) == 0 && !S_ISDIR(st.st_mode))
    return {kExitStoreBad, *store + " is not a store: it is not a directory"};
  auto overlap = Overlap(*dir, *store);
  if (!overlap.ok()) return Failure::Environment(overlap.status());
  if (*overlap) return Failure::Usage("the store " + *store + " and " + *dir + " must not lie in each other");
  return Failure::None();
}

// Runs this binary again under the normal form of its command line, unless it has it.
void NormaliseCommandLine(const Places& places, const std::vector<std::string>& args, char** argv) {
  char* self = ::realpath("/proc/self/exe", nullptr);
  if (self == nullptr) return;  // without /proc the mount fails later, with a better message
  std::vector<std::string> line = NormalCommandLine(self, places.store, places.dir, args);
  std::free(self);
  if (line[0] == argv[0] && argv[1] != nullptr && std::strcmp(argv[1], "--store") == 0) return;
  std::vector<char*> words;
  for (std::string& word : line) words.push_back(word.data());
  words.push_back(nullptr);
  ::execv(words[0], words.data());  // by its path, so that the process is also named dkfs
}

// What the caller happened to have open must not stay open for the life of the mount; it may even be a file on it.
void CloseInherited(int keep) {
  constexpr int kFirst = STDERR_FILENO + 1;
  if (keep > kFirst) ::close_range(kFirst, static_cast<unsigned>(keep - 1), 0);
  ::close_range(static_cast<unsigned>(std::max(keep + 1, kFirst)), ~0u, 0);
}

// malloc makes up to eight arenas for each CPU, and what is freed in one serves no other: memory grew to nearly twice
// of what was in use (G10). As many threads as there are CPUs run at a time.
void ShareArenas() { ::mallopt(M_ARENA_MAX, static_cast<int>(std::max(2u, std::thread::hardware_concurrency()))); }

int ServeHere(const Options& options, const Places& places, Readiness ready) {
  if (Status traced = Trace::OpenFromEnvironment(); !traced.ok())
    return ReportFailure(Failure::Usage(traced.ToString()), options.has_command);
  ShareArenas();
  ::umask(0);  // modes are the callers' business
  if (::chdir("/") != 0) return ReportFailure(Failure::Environment(Status::FromErrno("/")), options.has_command);
  Failure failure;
  {
    Daemon daemon(options, places);
    failure = daemon.Run(&ready);
  }
  WriteFaultPasses();
  if (failure.failed() && options.foreground && !options.has_command) return ReportFailure(failure, false);
  return failure.exit_code;
}

// The daemon's process: its own session, away from the terminal.
[[noreturn]] void BecomeDaemon(const Options& options, const Places& places, UniqueFd pipe) {
  ::setsid();
  CloseInherited(pipe.get());
  if (!options.foreground) {
    UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    for (int fd : {STDIN_FILENO, STDOUT_FILENO}) ::dup2(null.get(), fd);
  }
  int status = ServeHere(options, places, Readiness(std::move(pipe)));
  std::exit(status);
}

// So that whoever tries again at once finds the store free. Not for ever: the disk may hang.
void AwaitEnd(pid_t daemon) {
  for (int i = 0; i < 10'000 && ::waitpid(daemon, nullptr, WNOHANG) == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

int Detached(const Options& options, const Places& places) {
  UniqueFd read_end, write_end;
  Status piped = MakePipe(&read_end, &write_end);
  if (!piped.ok()) return ReportFailure(Failure::Environment(piped), options.has_command);
  std::string cwd = "/";
  if (char* here = ::getcwd(nullptr, 0)) {
    cwd = here;
    std::free(here);
  }
  HoldStarterSignals();
  if (options.has_command) CommandRunner::HoldSignals();
  std::fflush(nullptr);
  pid_t daemon = ::fork();
  if (daemon < 0)
    return ReportFailure(Failure::Environment(Status::FromErrno("starting the daemon")), options.has_command);
  if (daemon == 0) {
    read_end.reset();
    BecomeDaemon(options, places, std::move(write_end));
  }
  write_end.reset();
  Failure failure = AwaitReadiness(std::move(read_end), daemon);
  if (failure.failed()) {
    const int code = ReportFailure(failure, options.has_command);
    AwaitEnd(daemon);
    return code;
  }
  if (!options.has_command) return kExitOk;
  if (::chdir("/") != 0) return ReportFailure(Failure::Environment(Status::FromErrno("/")), true);
  return CommandRunner(daemon, places.dir, places.store, options.command, cwd).Run();
}

int RunRemount(const Remount& remount) {
  auto dir = ResolveMountPoint(remount.dir);
  if (!dir.ok()) return ReportFailure(Failure::Environment(dir.status()), false);
  if (remount.fake) return kExitOk;
  auto below = RestrictionsBelow(*dir);
  if (!below.ok()) return ReportFailure(Failure::Environment(below.status()), false);
  Failure failure = ChangeMountFlags(*dir, MountFlagsOf(remount.flags, *below));
  return failure.failed() ? ReportFailure(failure, false) : kExitOk;
}

int Main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], MountWarmer::kArgument) == 0) return MountWarmer::Main(argv[2]);
  if (argc == 3 && std::strcmp(argv[1], MountFlusher::kArgument) == 0) return MountFlusher::Main(argv[2]);
  std::vector<std::string> args(argv + 1, argv + argc);
  bool has_command = false, fake = false;
  std::string_view name = argv[0];
  if (name.substr(name.rfind('/') + 1) == "mount.dkfs") {
    auto remount = RemountOfMountHelper(args);
    if (!remount.ok()) return ReportFailure(Failure::Usage(std::string(remount.status().context())), false);
    if (*remount) return RunRemount(**remount);
    auto translated = ArgsOfMountHelper(args, &fake);
    if (!translated.ok()) return ReportFailure(Failure::Usage(std::string(translated.status().context())), false);
    args = std::move(translated).value();
  }
  auto options = ParseOptions(
      args, [](const char* variable) { return std::getenv(variable); }, &has_command);
  if (!options.ok()) return ReportFailure(Failure::Usage(std::string(options.status().context())), has_command);
  if (options->action != Options::Action::kMount) {
    if (options->action == Options::Action::kHelp) std::fputs(HelpText(), stdout);
    if (options->action == Options::Action::kVersion) std::printf("dkfs %s\n", DKFS_VERSION);
    return FlushStandardOutput()
               ? kExitOk
               : ReportFailure({kExitOther, Status::FromErrno("writing to standard output").ToString()}, false);
  }
  if (fake) return kExitOk;
  if (options->debug) SetLogLevel(LogLevel::kDebug);
  Status faults = Fault::ArmFromEnvironment();
  if (!faults.ok()) return ReportFailure(Failure::Usage("DKFS_FAULTS: " + faults.ToString()), has_command);
  Places places;
  Failure failure = ResolvePlaces(*options, &places);
  if (failure.failed()) return ReportFailure(failure, has_command);
  NormaliseCommandLine(places, args, argv);
  if (options->foreground && !has_command) {
    CloseInherited(-1);
    return ServeHere(*options, places, Readiness());
  }
  return Detached(*options, places);
}

}  // namespace
}  // namespace dkfs

int main(int argc, char** argv) {
  dkfs::FillStandardFds();
  return dkfs::Main(argc, argv);
}
