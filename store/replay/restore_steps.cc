#include "store/replay/restore_steps.h"

namespace dkfs {

bool RestoreQueue::Push(RestoreStep step) {
  MutexLock lock(mutex_);
  while (!abandoned_ && (steps_.size() >= kMaxSteps || data_ >= kMaxData)) changed_.Wait(mutex_);
  if (abandoned_) return false;
  if (step.owner != nullptr) ++data_;
  steps_.push_back(std::move(step));
  if (steps_.size() == 1) changed_.SignalAll();
  return true;
}

void RestoreQueue::Finish() {
  MutexLock lock(mutex_);
  finished_ = true;
  changed_.SignalAll();
}

void RestoreQueue::Abandon() {
  MutexLock lock(mutex_);
  abandoned_ = true;
  changed_.SignalAll();
}

std::deque<RestoreStep> RestoreQueue::TakeAll() {
  std::deque<RestoreStep> taken;
  MutexLock lock(mutex_);
  while (steps_.empty() && !finished_) changed_.Wait(mutex_);
  taken.swap(steps_);
  data_ = 0;
  changed_.SignalAll();
  return taken;
}

}  // namespace dkfs
