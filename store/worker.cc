#include "store/worker.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace dkfs {
namespace {

// linux/ioprio.h is not in every libc's reach: class 3 (idle) in the top bits, "who" 1 is a thread.
constexpr int kIoprioWhoProcess = 1;
constexpr int kIoprioIdle = 3 << 13, kIoprioOfNice = 0;

void SetPriority(pid_t thread, bool idle) {
  // Best effort: without it the work competes a little more, or waits a little longer.
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(thread), idle ? 19 : 0);
  (void)syscall(SYS_ioprio_set, kIoprioWhoProcess, thread, idle ? kIoprioIdle : kIoprioOfNice);
}

}  // namespace

Worker::Worker(std::string name, Round round, bool idle_priority)
    : name_(std::move(name)), round_(std::move(round)), idle_(idle_priority) {}

void Worker::Start() {
  // Signals belong to the program's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Loop(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Worker::Stop() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Worker::Nudge() {
  MutexLock lock(mutex_);
  nudged_ = true;
  changed_.SignalAll();
}

void Worker::SetIdle(bool idle) {
  if (idle_.exchange(idle) != idle && tid_ != 0) SetPriority(tid_, idle);
}

void Worker::Loop() {
  pthread_setname_np(pthread_self(), name_.c_str());
  tid_ = gettid();
  if (idle_) SetPriority(tid_, true);
  for (;;) {
    const auto until = std::chrono::steady_clock::now() + round_();
    MutexLock lock(mutex_);
    while (!stop_ && !nudged_) {
      const auto left = until - std::chrono::steady_clock::now();
      if (left <= left.zero() || !changed_.WaitFor(mutex_, left)) break;
    }
    if (stop_) return;
    nudged_ = false;
  }
}

}  // namespace dkfs
