#include "fs/hotness/hotness_source.h"

#include <pthread.h>

#include <cstdio>
#include <system_error>

#include "fs/hotness/probes.h"
#include "store/base/log.h"

namespace dkfs {
namespace {

// As the kernel keeps a device number.
uint32_t KernelDevice(const std::string& device) {
  unsigned major = 0, minor = 0;
  if (std::sscanf(device.c_str(), "%u:%u", &major, &minor) != 2) return 0;
  return major << 20 | minor;
}

}  // namespace

HotnessSource::HotnessSource(const HotnessOptions& options) : options_(options) {
  requests_.SetCounting(options.mode != HotnessMode::kOff);
  MutexLock lock(mutex_);
  if (options.mode == HotnessMode::kAuto || options.mode == HotnessMode::kFuse)
    chosen_ = std::shared_ptr<const Hotness>(std::shared_ptr<void>(), &requests_);  // not owned
  reason_ = tries_probes() ? "the probes are being attached" : "asked for";
}

HotnessSource::~HotnessSource() { Stop(); }

void HotnessSource::Start(const std::string& device) {
  if (!tries_probes()) {
    Log(LogLevel::kInfo, "hotness", {{"source", status().source}, {"reason", "asked for"}});
    return;
  }
  try {
    chooser_ = std::thread([this, number = KernelDevice(device)] {
      pthread_setname_np(pthread_self(), "dkfs-hotness");
      Choose(number);
    });
  } catch (const std::system_error& error) {  // no thread to be had: the mount does without
    Refuse(Status::Error(error.code().value(), "starting a thread"));
  }
}

void HotnessSource::Stop() {
  stop_ = true;
  if (chooser_.joinable()) chooser_.join();
  requests_.SetCounting(false);
  MutexLock lock(mutex_);
  chosen_ = nullptr;
}

void HotnessSource::Refuse(const Status& why) {
  if (stop_) return;
  const std::string reason = "no probes: " + why.ToString();
  if (options_.mode == HotnessMode::kAuto) return Settle(current(), reason, LogLevel::kInfo);
  Settle(nullptr, reason, LogLevel::kWarn);
}

void HotnessSource::Choose(uint32_t device) {
  if (device == 0) return Refuse(Status::Error(ENODEV, "the mount's device number"));
  auto btf = FindBtf(options_.btf, BtfSystem::Here(), stop_);
  if (!btf.ok()) return Refuse(btf.status());
  auto probes = Probes::Attach({device, options_.cache_absorbs, *btf});
  if (!probes.ok()) return Refuse(probes.status());
  if (stop_) return;
  Settle(std::move(probes).value(), "the kernel takes the probes", LogLevel::kInfo);
}

void HotnessSource::Settle(std::shared_ptr<const Hotness> chosen, const std::string& reason, LogLevel level) {
  {
    MutexLock lock(mutex_);
    chosen_ = std::move(chosen);
    reason_ = reason;
  }
  HotnessStatus now = status();
  std::string probes;
  for (const ProbeStatus& probe : now.probes) {
    probes += (probes.empty() ? "" : " ") + probe.probe + "=" + (probe.attach.empty() ? "none" : probe.attach);
  }
  if (now.source == "bpf") {
    Log(level, "hotness", {{"source", now.source}, {"reason", reason}, {"btf", now.btf}, {"probes", probes}});
  } else {
    const char* hint = now.source == "fuse" ? "see docs/ebpf-guide.md; the daemon counts the requests that it serves"
                                            : "see docs/ebpf-guide.md; without --hotness bpf the daemon would count";
    Log(level, "hotness", {{"source", now.source}, {"reason", reason}, {"hint", hint}});
  }
}

std::shared_ptr<const Hotness> HotnessSource::current() const {
  MutexLock lock(mutex_);
  return chosen_;
}

Result<HotnessCounts> HotnessSource::Read() const {
  auto source = current();
  return source == nullptr ? Result<HotnessCounts>(HotnessCounts()) : source->Read();
}

HotnessStatus HotnessSource::status() const {
  auto source = current();
  HotnessStatus out = source == nullptr ? HotnessStatus() : source->status();
  MutexLock lock(mutex_);
  out.reason = reason_;
  return out;
}

}  // namespace dkfs
