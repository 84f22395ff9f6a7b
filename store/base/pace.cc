#include "store/base/pace.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "store/base/clock.h"
#include "store/base/unique_fd.h"

namespace dkfs {
namespace {

constexpr uint64_t kLookEveryNs = 20'000'000;
constexpr uint64_t kNapNs = 20'000'000;
constexpr uint64_t kRestForEachRun = 24;
constexpr uint64_t kContendedPart = 4;  // waited for more than a quarter of the time it ran

}  // namespace

Pace::Pace(std::function<bool()> hurry, Probe probe, Sleep sleep)
    : hurry_(std::move(hurry)), probe_(std::move(probe)), sleep_(std::move(sleep)) {}

std::optional<Pace::CpuTimes> Pace::ProbeThread() {
  const UniqueFd fd(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
  char text[128];
  const ssize_t n = fd ? ::read(fd.get(), text, sizeof text - 1) : -1;
  if (n <= 0) return std::nullopt;
  text[n] = '\0';
  unsigned long long ran = 0, waited = 0;
  if (std::sscanf(text, "%llu %llu", &ran, &waited) != 2) return std::nullopt;
  return CpuTimes{ran, waited};
}

void Pace::SleepFor(uint64_t ns) { std::this_thread::sleep_for(std::chrono::nanoseconds(ns)); }

void Pace::Rest(const std::atomic<bool>& stop) {
  const uint64_t now = MonotonicNs();
  if (now < next_look_ns_) return;
  next_look_ns_ = now + kLookEveryNs;
  const std::optional<CpuTimes> times = probe_();
  const std::optional<CpuTimes> before = before_;
  before_ = times;
  // Less than before: another thread works now.
  if (!times || !before || times->ran_ns < before->ran_ns || times->waited_ns < before->waited_ns) return;
  const uint64_t ran = times->ran_ns - before->ran_ns;
  if (times->waited_ns - before->waited_ns <= ran / kContendedPart || hurry_()) return;
  for (uint64_t left = std::min(ran * kRestForEachRun, kMaxRestNs); left > 0 && !stop;) {
    const uint64_t nap = std::min(left, kNapNs);
    sleep_(nap);
    left -= nap;
  }
  before_ = probe_();  // waking up is a wait too
}

}  // namespace dkfs
