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
      waiters_.push_back({seq, std::move(done), nullptr});
      if (leading_) return;
      leading_ = true;
    }
  }
  if (!error.ok()) return done(error);  // NOLINT(bugprone-use-after-move): moved only without an error
  Lead(kBarrierRounds);
}

Status GroupCommit::Sync(Seq seq) {
  if (seq <= synced()) return Status::Ok();
  thread_local auto sleeper = std::make_shared<Sleeper>();
  bool leads = false;
  {
    MutexLock lock(mutex_);
    if (!error_.ok()) return error_;
    leads = !leading_;
    leading_ = true;
    sleeper->state = Sleeper::kWaits;
    waiters_.push_back({seq, nullptr, sleeper});
  }
  if (!leads) {
    sleeper->state.wait(Sleeper::kWaits);
    leads = sleeper->state == Sleeper::kLeads;
  }
  if (leads) Lead(1);
  if (seq <= synced()) return Status::Ok();
  MutexLock lock(mutex_);
  return error_;
}

// The waiter has a callback and no sleeper, so nobody hands it the leadership.
Status GroupCommit::Follow(Seq seq) {
  if (seq <= synced()) return Status::Ok();
  auto sleeper = std::make_shared<Sleeper>();
  {
    MutexLock lock(mutex_);
    if (!error_.ok()) return error_;
    waiters_.push_back({seq, [sleeper](const Status&) { sleeper->Wake(Sleeper::kAnswered); }, nullptr});
    if (!leading_) {
      leading_ = handed_ = true;
      committer_cv_.Signal();
    }
  }
  sleeper->state.wait(Sleeper::kWaits);
  if (seq <= synced()) return Status::Ok();
  MutexLock lock(mutex_);
  return error_;
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
}

void GroupCommit::Answer(Waiter* w, const Status& status) {
  if (w->sleeper != nullptr) {
    w->sleeper->Wake(Sleeper::kAnswered);
  } else {
    w->done(status);
  }
}

void GroupCommit::Lead(int rounds) {
  for (;; --rounds) {
    const Result<Seq> flushed = flush_();
    Take(flushed);
    const Seq covered = synced();
    for (Waiter& w : batch_) Answer(&w, w.seq <= covered ? Status::Ok() : flushed.status());
    on_group_(static_cast<int>(batch_.size()));
    batch_.clear();
    std::shared_ptr<Sleeper> next;
    {
      MutexLock lock(mutex_);
      if (waiters_.empty()) {
        leading_ = false;
        return;
      }
      if (rounds > 1) continue;
      for (const Waiter& w : waiters_) {
        if (w.sleeper == nullptr) continue;
        next = w.sleeper;
        break;
      }
      if (next == nullptr) {
        handed_ = true;
        committer_cv_.Signal();
        return;
      }
    }
    return next->Wake(Sleeper::kLeads);
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
