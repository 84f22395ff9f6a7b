#include "fs/daemon/upkeep.h"

#include <chrono>

#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr std::chrono::milliseconds kInterval{500};  // half of what docs/guarantees.md allows for sync(2)
constexpr uint64_t kFingerprintRounds = 60;
constexpr uint64_t kRotateRounds = 20;

}  // namespace

Upkeep::Upkeep(Store* store, Hydrator* hydrator, LogFile* log)
    : store_(store), hydrator_(hydrator), log_(log), thread_([this] { Run(); }) {}

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
  StoreStatus status = store_->GetStatus();
  if (status.error.ok() && status.appended > status.synced) {
    store_->Sync().Ignore("sticky in the store: status shows it, and fsync answers it");
  }
  if (rounds_ % kFingerprintRounds == 0) {
    hydrator_->WriteTimesAndFingerprints().Ignore("facts that are lost are checked at the next mount");
  }
  if (log_ != nullptr && rounds_ % kRotateRounds == 0) {
    Status rotated = log_->RotateIfLarge();
    if (!rotated.ok()) Log(LogLevel::kWarn, "log_rotation", {{"error", rotated.ToString()}, {"hint", "free its disk"}});
  }
}

}  // namespace dkfs
