#include "fs/daemon/cpu_latency.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "store/base/log.h"

namespace dkfs {
namespace {

Result<UniqueFd> OpenDevice(const std::string& path) {
  UniqueFd device(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!device) return Status::FromErrno("opening " + path);
  return device;
}

std::string IdleDriver(const std::string& path) {
  std::string driver;
  std::ifstream(path) >> driver;
  return driver.empty() ? "none" : driver;
}

}  // namespace

Result<std::unique_ptr<CpuLatency>> CpuLatency::Create(const CpuLatencyOptions& options, const Paths& paths) {
  using Use = CpuLatencyOptions::Use;
  CpuLatencyStatus status;
  status.us = options.us;
  if (options.use == Use::kOff) {
    status.reason = "--cpu-latency off";
  } else if (std::string driver = IdleDriver(paths.idle_driver); options.use == Use::kAuto && driver != "haltpoll") {
    status.reason = "idle CPUs wait with " + driver + ", not haltpoll";
  } else if (auto device = OpenDevice(paths.device); device.ok()) {
    status.used = true;
    status.reason = options.use == Use::kAsk ? "--cpu-latency" : "idle CPUs wait with haltpoll";
  } else if (options.use == Use::kAsk) {
    return device.status();
  } else {
    status.reason = device.status().ToString();
  }
  return std::unique_ptr<CpuLatency>(new CpuLatency(paths.device, std::move(status)));
}

void CpuLatency::Start(std::function<uint64_t()> requests) {
  if (!status().used) return;
  requests_ = std::move(requests);
  thread_ = std::thread([this] { Run(); });
}

void CpuLatency::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

CpuLatencyStatus CpuLatency::status() const {
  MutexLock lock(mutex_);
  CpuLatencyStatus status = status_;
  if (status.held) status.held_time += std::chrono::steady_clock::now() - since_;
  return status;
}

void CpuLatency::Run() {
  uint64_t before = requests_();
  MutexLock lock(mutex_);
  while (!stopping_) {
    wake_.WaitFor(mutex_, kInterval);
    const uint64_t now = requests_();
    SetHeld(!stopping_ && status_.used && now - before >= kBusyRequests);
    before = now;
  }
}

void CpuLatency::SetHeld(bool held) {
  if (held == status_.held) return;
  if (held) {
    const auto us = static_cast<int32_t>(status_.us);
    auto device = OpenDevice(device_);
    if (!device.ok() || ::write(device->get(), &us, sizeof us) != sizeof us) {
      status_.used = false;
      status_.reason = (device.ok() ? Status::FromErrno("writing to " + device_) : device.status()).ToString();
      Log(LogLevel::kWarn, "cpu_latency_refused", {{"error", status_.reason}, {"hint", "requests are slower for it"}});
      return;
    }
    wish_ = std::move(device).value();
    since_ = std::chrono::steady_clock::now();
  } else {
    wish_.reset();
    status_.held_time += std::chrono::steady_clock::now() - since_;
  }
  status_.held = held;
}

}  // namespace dkfs
