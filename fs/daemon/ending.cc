#include "fs/daemon/ending.h"

#include <signal.h>

#include <system_error>

#include "fs/daemon/mount_point.h"
#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr std::chrono::milliseconds kRetry{50}, kSameRequest{100}, kSoonEnded{2000};

sigset_t EndingSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) sigaddset(&set, signal);  // USR2: our own, to stop the watcher
  return set;
}

}  // namespace

Ending::~Ending() {
  {
    MutexLock lock(mutex_);
    stopping_ = ended_ = true;
    changed_.SignalAll();
  }
  if (watcher_.joinable()) {
    pthread_kill(watcher_.native_handle(), SIGUSR2);
    watcher_.join();
  }
  if (remover_.joinable()) remover_.join();
}

void Ending::Start() {
  sigset_t set = EndingSignals();
  pthread_sigmask(SIG_SETMASK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  watcher_ = std::thread([this] { WatchSignals(); });
}

void Ending::WatchSignals() {
  sigset_t set = EndingSignals();
  while (true) {
    int signal = 0;
    sigwait(&set, &signal);
    bool start = false, hurry = false, repeated = false;
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      if (signal == SIGUSR2) continue;
      const auto now = std::chrono::steady_clock::now();
      repeated = signals_ > 0 && now - first_signal_ < kSameRequest;
      if (!repeated && signals_++ == 0) first_signal_ = now;
      start = mounted_ && !ended_ && !remover_.joinable();
      hurry = !repeated && signals_ > 1;
      changed_.SignalAll();
    }
    const char* count = hurry ? "again: finishing at once" : repeated ? "repeated" : "first";
    Log(LogLevel::kInfo, "signal", {{"signal", signal}, {"count", count}});
    if (start) StartRemover();
    if (hurry) ExitSession();
  }
}

void Ending::StartRemover() {
  try {
    remover_ = std::thread([this] { TakeMountAway(); });
  } catch (const std::system_error&) {  // no thread to be had: the next signal is heard after it
    TakeMountAway();
  }
}

void Ending::Mounted(std::function<void()> exit_session) {
  bool start = false;
  {
    MutexLock lock(mutex_);
    mounted_ = true;
    exit_session_ = std::move(exit_session);
    start = signals_ > 0;
  }
  if (start) pthread_kill(watcher_.native_handle(), SIGTERM);  // it came too early; the watcher starts the removal
}

void Ending::SessionEnded() {
  MutexLock lock(mutex_);
  ended_ = true;
  changed_.SignalAll();
}

Status Ending::UnmountNow() {
  {
    MutexLock lock(mutex_);
    if (ended_) return Status::Ok();
  }
  return Unmount(dir_, store_);
}

bool Ending::requested() const {
  MutexLock lock(mutex_);
  return signals_ > 0;
}

bool Ending::hurried() const {
  MutexLock lock(mutex_);
  return signals_ > 1;
}

bool Ending::WaitEnded(std::chrono::milliseconds limit) {
  auto deadline = std::chrono::steady_clock::now() + limit;
  MutexLock lock(mutex_);
  while (!ended_) {
    auto left = deadline - std::chrono::steady_clock::now();
    if (left.count() <= 0) return false;
    changed_.WaitFor(mutex_, left);
  }
  return true;
}

void Ending::TakeMountAway() {
  Status status = Unmount(dir_, store_);
  for (auto waited = kRetry; status.code() == EBUSY && waited < patience_.grace && !hurried(); waited += kRetry) {
    if (WaitEnded(kRetry)) return;
    status = Unmount(dir_, store_);
  }
  if (status.ok()) {
    if (WaitEnded(kSoonEnded)) return;
    Log(LogLevel::kWarn, "mount_elsewhere",
        {{"dir", dir_},
         {"hint",
          "unmounted, but another mount namespace has a copy (grep dkfs /proc/*/mountinfo): it is served until "
          "that goes; a second signal ends it at once"}});
    if (patience_.linger.count() > 0 && !WaitEnded(patience_.linger)) ExitSession();
    return;
  }
  if (status.code() == EBUSY) {
    Log(LogLevel::kWarn, "mount_busy",
        {{"dir", dir_},
         {"hint", "detached: it is served until the last user closes; a second signal ends it at once"}});
  }
  status = Detach(dir_, store_);
  if (!status.ok() && status.code() != EINVAL) {  // EINVAL: somebody else has unmounted it
    Log(LogLevel::kError, "detach_failed",
        {{"error", status.ToString()}, {"hint", "umount " + dir_ + " until nothing is mounted there"}});
  }
  if (patience_.linger.count() > 0 && !WaitEnded(patience_.linger)) ExitSession();
}

void Ending::ExitSession() {
  std::function<void()> exit_session;
  {
    MutexLock lock(mutex_);
    exit_session = exit_session_;
  }
  if (exit_session) exit_session();
}

}  // namespace dkfs
