#include "fs/daemon/upkeep.h"

#include <malloc.h>

#include <chrono>

#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr std::chrono::seconds kInterval{2};
constexpr uint64_t kCloseRounds = 15;  // opening again takes as long as the rest of a small read
constexpr uint64_t kFingerprintRounds = 15;
constexpr uint64_t kTrimRounds = 15;
constexpr size_t kFreeKept = 16 << 20;  // used again soon; a page given back has to be cleared anew

// What was freed stays in the process, strewn between what is in use: after some tens of thousands of files came and
// went, nearly half of its memory (G10).
void GiveBackFreeMemory() {
  if (mallinfo2().fordblks > kFreeKept) malloc_trim(0);
}

}  // namespace

Upkeep::Upkeep(FileSystem* file_system, Hydrator* hydrator, LogFile* log)
    : file_system_(file_system), hydrator_(hydrator), log_(log), thread_([this] { Run(); }) {}

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
  if (rounds_ % kCloseRounds == 0) file_system_->CloseIdle();
  if (rounds_ % kFingerprintRounds == 0) {
    hydrator_->WriteTimesAndFingerprints().Ignore("facts that are lost are checked at the next mount");
  }
  if (rounds_ % kTrimRounds == 0) GiveBackFreeMemory();
  if (log_ != nullptr) {
    Status rotated = log_->RotateIfLarge();
    if (!rotated.ok()) Log(LogLevel::kWarn, "log_rotation", {{"error", rotated.ToString()}, {"hint", "free its disk"}});
  }
}

}  // namespace dkfs
