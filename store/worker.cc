#include "store/worker.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "store/base/scheduling.h"

namespace dkfs {

Worker::Worker(std::string name, Round round, Priority priority, Delay first)
    : name_(std::move(name)),
      round_(std::move(round)),
      priority_(priority),
      first_(first),
      idle_(priority == Priority::kIdle) {}

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
  if (idle_.exchange(idle) != idle && tid_ != 0) ScheduleWhenIdle(tid_, idle);
}

void Worker::Loop() {
  pthread_setname_np(pthread_self(), name_.c_str());
  tid_ = gettid();
  if (priority_ == Priority::kBulk) ScheduleInBulk();
  if (idle_) ScheduleWhenIdle(tid_, true);
  for (Delay delay = first_; Wait(delay);) delay = round_();
}

bool Worker::Wait(Delay delay) {
  const auto until = std::chrono::steady_clock::now() + delay;
  MutexLock lock(mutex_);
  while (!stop_ && !nudged_) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= left.zero() || !changed_.WaitFor(mutex_, left)) break;
  }
  nudged_ = false;
  return !stop_;
}

}  // namespace dkfs
