// CpuLatency: asks the kernel, while requests come one after another, not to let idle CPUs sleep deeply.
//
// A request puts two threads to sleep and wakes them, and waking a CPU that sleeps can take longer than all that is
// done for the request; in a virtual machine, where going idle means leaving for the host, by far. The kernel takes
// such wishes through a file and forgets them when it is closed, so also when dkfs is killed; the smallest wish on the
// machine counts. Source: Documentation/power/pm_qos_interface.rst and drivers/cpuidle/governors/haltpoll.c of Linux.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "store/base/mutex.h"
#include "store/base/status.h"
#include "store/base/unique_fd.h"

namespace dkfs {

struct CpuLatencyOptions {
  enum class Use { kAuto, kOff, kAsk };  // kAuto: 0 us in a guest whose idle CPUs wait with haltpoll, else not at all
  Use use = Use::kAuto;
  uint32_t us = 0;  // microseconds that waking a CPU may take; 0: idle CPUs do not sleep, they poll
};

struct CpuLatencyStatus {
  bool used = false;
  std::string reason;  // why, or why not
  uint32_t us = 0;     // what is asked for while requests come
  bool held = false;   // it is being asked for
  std::chrono::nanoseconds held_time{0};
};

// Thread-safe.
class CpuLatency {
 public:
  struct Paths {
    std::string device = "/dev/cpu_dma_latency";
    std::string idle_driver = "/sys/devices/system/cpu/cpuidle/current_driver";
  };
  static constexpr std::chrono::milliseconds kInterval{100};  // between looks
  static constexpr uint64_t kBusyRequests = 100;              // of an interval, from which on the wish is held

  // Nothing is asked for yet. kAsk: the error of opening the device; kAuto never fails.
  static Result<std::unique_ptr<CpuLatency>> Create(const CpuLatencyOptions& options, const Paths& paths);
  ~CpuLatency() { Stop(); }
  CpuLatency(const CpuLatency&) = delete;
  CpuLatency& operator=(const CpuLatency&) = delete;

  // Begins to look at `requests`, which says in any thread how many there have been. Once at most; no thread if not
  // used.
  void Start(std::function<uint64_t()> requests);
  // Nothing is asked for afterwards.
  void Stop() EXCLUDES(mutex_);
  CpuLatencyStatus status() const EXCLUDES(mutex_);

 private:
  CpuLatency(std::string device, CpuLatencyStatus status) : device_(std::move(device)), status_(std::move(status)) {}
  void Run() EXCLUDES(mutex_);
  void SetHeld(bool held) REQUIRES(mutex_);

  const std::string device_;
  std::function<uint64_t()> requests_;
  mutable Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  CpuLatencyStatus status_ GUARDED_BY(mutex_);
  UniqueFd wish_ GUARDED_BY(mutex_);  // open while held
  std::chrono::steady_clock::time_point since_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace dkfs
