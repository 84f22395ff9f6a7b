// HotnessSource: which source of hotness a mount has, from its beginning to its end.
//
// The daemon's own counters count from the first request, and are the source (where the mode allows it) until the
// probes are attached, which is tried in the background: a mount waits for neither, and without BPF nothing but the
// source changes. One log line says which it became and why. Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "fs/hotness/btf_source.h"
#include "fs/hotness/hotness.h"
#include "fs/hotness/request_counts.h"
#include "store/base/log.h"
#include "store/base/mutex.h"

namespace dkfs {

enum class HotnessMode { kAuto, kBpf, kFuse, kOff };

struct HotnessOptions {
  HotnessMode mode = HotnessMode::kAuto;
  BtfOptions btf;
  bool cache_absorbs = false;  // order=fsync
};

class HotnessSource {
 public:
  explicit HotnessSource(const HotnessOptions& options);
  ~HotnessSource();

  // For those who serve requests, and those who want all of them counted: it counts whoever the source is, unless off.
  // Lives as long as this. Never null.
  RequestCounts* requests() { return &requests_; }
  // `device`: "major:minor" of the mount, as in /proc/self/mountinfo. Call once, when mounted.
  void Start(const std::string& device);
  // Waits for what is being tried, and detaches.
  void Stop();

  // What the source has counted.
  Result<HotnessCounts> Read() const;
  HotnessStatus status() const;

 private:
  bool tries_probes() const { return options_.mode == HotnessMode::kAuto || options_.mode == HotnessMode::kBpf; }
  void Choose(uint32_t device);
  void Refuse(const Status& why);
  void Settle(std::shared_ptr<const Hotness> chosen, const std::string& reason, LogLevel level);
  std::shared_ptr<const Hotness> current() const;

  const HotnessOptions options_;
  RequestCounts requests_;
  std::atomic<bool> stop_{false};
  std::thread chooser_;
  mutable Mutex mutex_;
  std::shared_ptr<const Hotness> chosen_ GUARDED_BY(mutex_);  // null: off
  std::string reason_ GUARDED_BY(mutex_);
};

}  // namespace dkfs
