#include "fs/daemon/upkeep.h"

#include <chrono>

#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr std::chrono::seconds kInterval{10};
constexpr uint64_t kFingerprintRounds = 3;

}  // namespace

Upkeep::Upkeep(Hydrator* hydrator, LogFile* log) : hydrator_(hydrator), log_(log), thread_([this] { Run(); }) {}

Upkeep::~Upkeep() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  thread_.join();
}

void Upkeep::Run() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    wake_.WaitFor(mutex_, kInterval);
    if (stopping_) return;
    mutex_.unlock();
    Round();
    mutex_.lock();
  }
}

void Upkeep::Round() {
  ++rounds_;
  if (rounds_ % kFingerprintRounds == 0) {
    hydrator_->WriteTimesAndFingerprints().Ignore("facts that are lost are checked at the next mount");
  }
  if (log_ != nullptr) {
    Status rotated = log_->RotateIfLarge();
    if (!rotated.ok()) Log(LogLevel::kWarn, "log_rotation", {{"error", rotated.ToString()}, {"hint", "free its disk"}});
  }
}

}  // namespace dkfs
