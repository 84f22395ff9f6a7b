// GroupCommit: one flush for everybody who waits for one.
//
// The thread that asks first, while nobody flushes, is the leader: it flushes, answers all whose Seq the flush covered,
// and goes on while others came meanwhile; no thread is woken for any of that. That is right for a Barrier's thread:
// with n threads taking requests one leads and the others go on, and when all of them wait the leader is done after one
// more flush. But a leader that never ends would keep a Sync from returning, so after its rounds (one for Sync) it
// hands what is left to a thread that waits in Sync, which has to wake anyway; where there is none, to the committer
// thread, which otherwise sleeps. The committer also leads for a thread that must not: one of idle priority, behind
// whose flush the barriers of applications would wait.
//
// Knows nothing of files. Thread-safety: every function may be called from any thread; `flush` and callbacks run with
// no lock held, `flush` in one thread at a time. Callbacks may call Barrier, but not Sync: they run in the leader.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "store/base/mutex.h"
#include "store/base/status.h"
#include "store/format/ids.h"

namespace dkfs {

class GroupCommit {
 public:
  using Done = std::function<void(Status)>;
  // Makes everything appended so far durable and says up to where that is. An error must be sticky.
  using Flush = std::function<Result<Seq>()>;
  using OnGroup = std::function<void(int group)>;  // after each flush: how many were answered

  GroupCommit(Seq synced, Flush flush, OnGroup on_group);
  ~GroupCommit();  // REQUIRES: no call under way; answers who is left

  void Barrier(Seq seq, Done done) EXCLUDES(mutex_);
  Status Sync(Seq seq) EXCLUDES(mutex_);
  Status Follow(Seq seq) EXCLUDES(mutex_);  // as Sync, but never leads: for threads of which nobody should have to wait
  void Raise(Seq synced) EXCLUDES(mutex_);  // the caller has synced that far by itself
  Seq synced() const { return Seq(synced_.load(std::memory_order_acquire)); }

 private:
  // A thread in Sync.
  struct Sleeper {
    static constexpr int kWaits = 0;
    static constexpr int kAnswered = 1;
    static constexpr int kLeads = 2;
    std::atomic<int> state = kWaits;
    void Wake(int to) {
      state = to;
      state.notify_one();
    }
  };
  struct Waiter {
    Seq seq;
    Done done;
    std::shared_ptr<Sleeper>
        sleeper;  // instead of `done`; outlives its thread's call, as whoever wakes it does it last
  };
  static void Answer(Waiter* waiter, const Status& status);
  void Lead(int rounds) EXCLUDES(mutex_);  // REQUIRES: leading_ was set by the caller
  void Take(const Result<Seq>& flushed) EXCLUDES(mutex_);
  void RunCommitter() EXCLUDES(mutex_);

  const Flush flush_;
  const OnGroup on_group_;
  std::atomic<uint64_t> synced_;
  Mutex mutex_;
  CondVar committer_cv_;
  std::vector<Waiter> waiters_ GUARDED_BY(mutex_);
  bool leading_ GUARDED_BY(mutex_) = false;
  bool handed_ GUARDED_BY(mutex_) = false;  // leadership, to the committer
  bool stop_ GUARDED_BY(mutex_) = false;
  Status error_ GUARDED_BY(mutex_);
  std::vector<Waiter> batch_;  // the leader's
  std::thread committer_;
};

}  // namespace dkfs
