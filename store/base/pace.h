// Pace: background work gives way while others wait for the CPUs.
//
// Niceness does not see to that: it counts for nothing between sessions (sched_autogroup) and between containers, where
// even an idle thread's group gets its full share. So the thread compares how long it ran with how long it waited for a
// CPU (/proc/thread-self/schedstat, proc(5)); where it waits, others work, and it rests 24 times as long as it ran: a
// twenty-fifth of a CPU is left to it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>

namespace dkfs {

class Pace {
 public:
  struct CpuTimes {
    uint64_t ran_ns = 0, waited_ns = 0;  // of the calling thread, since it began
  };
  using Probe = std::function<std::optional<CpuTimes>()>;  // nullopt: this kernel does not tell; no rest then
  using Sleep = std::function<void(uint64_t ns)>;

  // `hurry` is asked before a rest: true lets the work go on at full speed. Probe and sleep are given by tests.
  explicit Pace(std::function<bool()> hurry, Probe probe = ProbeThread, Sleep sleep = SleepFor);

  // To be called often, in one thread at a time; nearly always it only reads a clock. A rest is at most kMaxRestNs
  // long, and ends soon after *stop becomes true.
  void Rest(const std::atomic<bool>& stop);

  static constexpr uint64_t kMaxRestNs = 500'000'000;
  static std::optional<CpuTimes> ProbeThread();
  static void SleepFor(uint64_t ns);

 private:
  const std::function<bool()> hurry_;
  const Probe probe_;
  const Sleep sleep_;
  uint64_t next_look_ns_ = 0;
  std::optional<CpuTimes> before_;
};

}  // namespace dkfs
