#include "fs/daemon/readiness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace dkfs {
namespace {

constexpr char kReady = 'R';  // otherwise: the exit code as one byte, then the message

sigset_t StarterSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) sigaddset(&set, signal);
  }
  return set;
}

// False at the end of what is said.
bool ReadMore(int pipe, std::string* text) {
  char buffer[4096];
  const ssize_t n = ::read(pipe, buffer, sizeof buffer);
  if (n > 0) text->append(buffer, static_cast<size_t>(n));
  return n > 0 || (n < 0 && errno == EINTR);
}

}  // namespace

void Readiness::Say(const std::string& text) {
  if (said_) return;
  said_ = true;
  if (!pipe_) return;
  ssize_t n;
  do {
    n = ::write(pipe_.get(), text.data(), text.size());  // at most PIPE_BUF: one piece
  } while (n < 0 && errno == EINTR);
  pipe_.reset();
}

void Readiness::Ready() { Say(std::string(1, kReady)); }

void Readiness::Failed(const Failure& failure) {
  Say(std::string(1, static_cast<char>(failure.exit_code)) + failure.message.substr(0, 4000));
}

bool Readiness::awaited() const {
  pollfd pipe{pipe_.get(), 0, 0};  // of a pipe that nobody can read an error is told; without one poll passes over it
  return ::poll(&pipe, 1, 0) <= 0 || (pipe.revents & POLLERR) == 0;
}

void HoldStarterSignals() {
  const sigset_t set = StarterSignals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
}

Failure AwaitReadiness(UniqueFd pipe, pid_t daemon) {
  const sigset_t set = StarterSignals();
  const UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC));
  std::string text;
  bool passed_on = false;
  for (bool more = true; more;) {
    pollfd fds[] = {{pipe.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0) continue;
    signalfd_siginfo info{};
    if ((fds[1].revents & POLLIN) != 0 && ::read(signals.get(), &info, sizeof info) == sizeof info) {
      passed_on = ::kill(daemon, static_cast<int>(info.ssi_signo)) == 0;
    }
    if (fds[0].revents != 0) more = ReadMore(pipe.get(), &text);
  }
  if (text.empty()) return {kExitOther, "the daemon died before the mount was ready"};
  if (text[0] == kReady) return passed_on ? Failure{kExitOther, "stopped by a signal"} : Failure::None();
  return {text[0], text.substr(1)};
}

Status MakePipe(UniqueFd* read_end, UniqueFd* write_end) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Status::FromErrno("making a pipe");
  read_end->reset(ends[0]);
  write_end->reset(ends[1]);
  return Status::Ok();
}

}  // namespace dkfs
