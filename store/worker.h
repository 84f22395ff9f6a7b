// Worker: one background thread that does its round again and again, each round saying how long to wait for the next.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "store/base/mutex.h"

namespace dkfs {

class Worker {
 public:
  using Delay = std::chrono::milliseconds;
  using Round = std::function<Delay()>;
  enum class Priority {
    kNormal,
    kBulk,  // interrupts nobody when it wakes
    kIdle,  // its work may always wait
  };
  // The first round begins `first` after Start.
  Worker(std::string name, Round round, Priority priority = Priority::kNormal, Delay first = Delay(0));
  ~Worker() { Stop(); }
  void Start();
  void Stop() EXCLUDES(mutex_);   // waits for the round under way; no round comes after
  void Nudge() EXCLUDES(mutex_);  // the next round begins now
  void SetIdle(bool idle);  // REQUIRES: begun as kIdle; whether that still holds; any thread, any time after Start

 private:
  void Loop() EXCLUDES(mutex_);
  bool Wait(Delay delay) EXCLUDES(mutex_);  // false: stopped

  const std::string name_;
  const Round round_;
  const Priority priority_;
  const Delay first_;
  std::atomic<bool> idle_;
  std::atomic<pid_t> tid_{0};
  Mutex mutex_;
  CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  bool nudged_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dkfs
