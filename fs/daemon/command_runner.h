// CommandRunner: `dkfs DIR -- COMMAND`. The front process, which may be PID 1 of a container: it has one thread, runs
// the daemon and the COMMAND as children, passes signals on, reaps whatever is left to it, and exits with COMMAND's
// status.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "fs/daemon/failure.h"

namespace dkfs {

class CommandRunner {
 public:
  // `cwd`: where COMMAND starts, looked up anew through the mount.
  CommandRunner(pid_t daemon, std::string dir, std::string store, std::vector<std::string> command, std::string cwd);

  // Blocks the signals that are passed on. To be called before the daemon is forked, so that none is lost.
  static void HoldSignals();
  // Runs COMMAND (the mount is ready) until it and then the daemon have ended. Returns the exit status.
  int Run();

 private:
  int StartCommand();  // 0, or the exit status for a COMMAND that cannot be run
  [[noreturn]] void Become(int report_fd) const;
  void PassOn(int signal, bool from_kernel);
  void Reap();
  void DaemonDied(int status);
  int FinishDaemon(int status);

  const pid_t daemon_;
  const std::string dir_, store_;
  const std::vector<std::string> command_;
  const std::string cwd_;
  pid_t child_ = -1;
  bool child_ended_ = false, daemon_ended_ = false, daemon_lost_ = false, finishing_ = false;
  int child_status_ = 0, daemon_status_ = 0;
};

}  // namespace dkfs
