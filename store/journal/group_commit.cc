#include "store/journal/group_commit.h"

#include <algorithm>

namespace dkfs {
namespace {

constexpr int kBarrierRounds = 64;
constexpr size_t kUsualWaiters = 64;

}  // namespace

GroupCommit::GroupCommit(Seq synced, Flush flush, OnGroup on_group)
    : flush_(std::move(flush)), on_group_(std::move(on_group)), synced_(synced.value) {
  waiters_.reserve(kUsualWaiters);
  batch_.reserve(kUsualWaiters);
  committer_ = std::thread([this] { RunCommitter(); });
}

GroupCommit::~GroupCommit() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    committer_cv_.Signal();
  }
  committer_.join();
}

void GroupCommit::Barrier(Seq seq, Done done) {
  if (seq <= synced()) return done(Status::Ok());
  Status error;
  {
    MutexLock lock(mutex_);
    error = error_;
    if (error.ok()) {
      waiters_.push_back({seq, std::move(done)});
      if (leading_) return;
      leading_ = true;
    }
  }
  if (!error.ok()) return done(error);  // NOLINT(bugprone-use-after-move): moved only without an error
  Lead(kBarrierRounds);
}

Status GroupCommit::Sync(Seq seq) {
  mutex_.lock();
  while (synced() < seq && error_.ok()) {
    if (leading_) {
      ++sleepers_;
      sleepers_cv_.Wait(mutex_);
      --sleepers_;
      continue;
    }
    leading_ = true;
    mutex_.unlock();
    Lead(1);
    mutex_.lock();
  }
  Status result = synced() < seq ? error_ : Status::Ok();
  mutex_.unlock();
  return result;
}

void GroupCommit::Raise(Seq synced) {
  MutexLock lock(mutex_);
  synced_.store(std::max(synced.value, synced_.load()), std::memory_order_release);
}

// Notes how a flush ended and moves the waiters it settles to batch_.
void GroupCommit::Take(const Result<Seq>& flushed) {
  batch_.clear();
  MutexLock lock(mutex_);
  if (flushed.ok()) {
    synced_.store(std::max((*flushed).value, synced_.load()), std::memory_order_release);
  } else {
    error_ = flushed.status();
  }
  const Seq synced_now = synced();
  size_t kept = 0;
  for (Waiter& w : waiters_) {
    if (!flushed.ok() || w.seq <= synced_now) {
      batch_.push_back(std::move(w));
    } else {
      std::swap(waiters_[kept++], w);
    }
  }
  waiters_.resize(kept);
  if (sleepers_ > 0) sleepers_cv_.SignalAll();
}

void GroupCommit::Lead(int rounds) {
  for (;; --rounds) {
    const Result<Seq> flushed = flush_();
    Take(flushed);
    const Seq covered = synced();
    for (Waiter& w : batch_) w.done(w.seq <= covered ? Status::Ok() : flushed.status());
    on_group_(static_cast<int>(batch_.size()));
    batch_.clear();
    MutexLock lock(mutex_);
    if (waiters_.empty()) {
      leading_ = false;
      if (sleepers_ > 0) sleepers_cv_.SignalAll();
      return;
    }
    if (rounds <= 1) {
      handed_ = true;
      committer_cv_.Signal();
      return;
    }
  }
}

void GroupCommit::RunCommitter() {
  mutex_.lock();
  for (;;) {
    while (!handed_ && !stop_) committer_cv_.Wait(mutex_);
    if (!handed_) break;
    handed_ = false;
    mutex_.unlock();
    Lead(kBarrierRounds);
    mutex_.lock();
  }
  mutex_.unlock();
}

}  // namespace dkfs
