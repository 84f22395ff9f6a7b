#include "fs/daemon/readiness.h"

#include <fcntl.h>
#include <unistd.h>

namespace dkfs {
namespace {

constexpr char kReady = 'R';  // otherwise: the exit code as one byte, then the message

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

Failure AwaitReadiness(UniqueFd pipe) {
  std::string text;
  char buffer[4096];
  ssize_t n;
  while ((n = ::read(pipe.get(), buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR)) {
    if (n > 0) text.append(buffer, static_cast<size_t>(n));
  }
  if (text.empty()) return {kExitOther, "the daemon died before the mount was ready"};
  if (text[0] == kReady) return Failure::None();
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
