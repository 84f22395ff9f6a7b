#include "fs/daemon/command_runner.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "fs/daemon/mount_point.h"
#include "fs/daemon/readiness.h"

namespace dkfs {
namespace {

constexpr int kNotFound = 127, kNotExecutable = 126, kSignalBase = 128;
// Faults of our own, what nobody can hold, and what the terminal does to a job that is in the background.
constexpr int kNotHeld[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGABRT, SIGTRAP,
                            SIGSYS,  SIGKILL, SIGSTOP, SIGTTIN, SIGTTOU};

sigset_t HeldSignals() {
  sigset_t set;
  sigfillset(&set);
  for (int signal : kNotHeld) sigdelset(&set, signal);
  return set;
}

int ExitStatusOf(int wait_status) {
  return WIFSIGNALED(wait_status) ? kSignalBase + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

bool Ended(int wait_status) { return WIFEXITED(wait_status) || WIFSIGNALED(wait_status); }

}  // namespace

CommandRunner::CommandRunner(pid_t daemon, std::string dir, std::string store, std::vector<std::string> command,
                             std::string cwd)
    : daemon_(daemon),
      dir_(std::move(dir)),
      store_(std::move(store)),
      command_(std::move(command)),
      cwd_(std::move(cwd)) {}

void CommandRunner::HoldSignals() {
  sigset_t set = HeldSignals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGCHLD, SIG_DFL);  // of children whose end the caller left ignored we would never hear
}

int CommandRunner::Run() {
  int failed = StartCommand();
  if (failed != 0) return FinishDaemon(failed);
  sigset_t set = HeldSignals();
  while (!child_ended_) {
    siginfo_t info{};
    int signal = sigwaitinfo(&set, &info);
    if (signal == SIGCHLD) Reap();
    bool own = info.si_code == SI_USER && info.si_pid == ::getpid();  // SIGPIPE
    if (signal > 0 && signal != SIGCHLD && !own) PassOn(signal, info.si_code == SI_KERNEL);
  }
  if (!daemon_lost_) return FinishDaemon(ExitStatusOf(child_status_));
  Detach(dir_, store_).Ignore("what the dead daemon left; perhaps nothing");
  return kExitWithCommand;
}

// COMMAND reports a failed exec through a pipe that a successful one closes.
int CommandRunner::StartCommand() {
  UniqueFd read_end, write_end;
  if (!MakePipe(&read_end, &write_end).ok()) return kExitWithCommand;
  child_ = ::fork();
  if (child_ < 0) {
    std::fprintf(stderr, "dkfs: starting %s: %s\n", command_[0].c_str(), std::strerror(errno));
    return kExitWithCommand;
  }
  if (child_ == 0) Become(write_end.get());
  write_end.reset();
  int code = 0;
  ssize_t n;
  while ((n = ::read(read_end.get(), &code, sizeof code)) < 0 && errno == EINTR) {
  }
  if (n != sizeof code) return 0;
  ::waitpid(child_, nullptr, 0);
  std::fprintf(stderr, "dkfs: cannot run %s: %s\n", command_[0].c_str(), std::strerror(code));
  return code == ENOENT ? kNotFound : kNotExecutable;
}

// What the caller ignores stays ignored (nohup).
void CommandRunner::Become(int report_fd) const {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::chdir(cwd_.c_str()) == 0) {
    std::vector<char*> argv;
    for (const std::string& word : command_) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
  }
  int code = errno;
  if (::write(report_fd, &code, sizeof code) != sizeof code) _exit(kExitWithCommand);
  _exit(kNotFound);
}

// A signal made by the terminal has reached COMMAND too, since it is in our process group; but a terminal that is gone
// tells only the leader of the session, which may be us.
void CommandRunner::PassOn(int signal, bool from_kernel) {
  if (!from_kernel || signal == SIGHUP) ::kill(child_, signal);
  if (signal == SIGTSTP) ::raise(SIGSTOP);  // so that the shell sees the job stopped; CONT comes back here
}

void CommandRunner::Reap() {
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid == child_ && Ended(status)) {
      child_ended_ = finishing_ = true;
      child_status_ = status;
    } else if (pid == daemon_ && Ended(status)) {
      daemon_ended_ = true;
      daemon_status_ = status;
      if (!finishing_) DaemonDied(status);
    }
  }
}

void CommandRunner::DaemonDied(int status) {
  daemon_lost_ = true;
  std::fprintf(stderr, "dkfs: the daemon of %s %s %d; ending %s\n", dir_.c_str(),
               WIFSIGNALED(status) ? "was killed by signal" : "exited with status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), command_[0].c_str());
  ::kill(child_, SIGTERM);
  ::kill(child_, SIGCONT);
}

// Asks the daemon to unmount and waits until it has closed the store; further signals are its (a second one hurries
// it).
int CommandRunner::FinishDaemon(int status) {
  finishing_ = true;
  if (!daemon_ended_) ::kill(daemon_, SIGTERM);
  sigset_t set = HeldSignals();
  while (!daemon_ended_) {
    siginfo_t info{};
    int signal = sigwaitinfo(&set, &info);
    if (signal == SIGCHLD) Reap();
    if (signal == SIGTERM || signal == SIGINT || signal == SIGQUIT) ::kill(daemon_, SIGTERM);
  }
  if (WIFEXITED(daemon_status_) && WEXITSTATUS(daemon_status_) == kExitOk) return status;
  std::fprintf(stderr, "dkfs: the daemon of %s did not end well (status %d)\n", dir_.c_str(),
               ExitStatusOf(daemon_status_));
  return kExitWithCommand;
}

}  // namespace dkfs
