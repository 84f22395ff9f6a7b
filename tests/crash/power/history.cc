#include "tests/crash/power/history.h"

#include <atomic>
#include <thread>

#include "store/base/fault.h"
#include "store/base/io_trace.h"

namespace dkfs::test {
namespace {

std::atomic<int64_t> the_ticks{0};

class Life {
 public:
  Life(const HistoryOptions& options, HistoryResult* result)
      : options_(options), result_(result), driver_(options.seed), random_(options.seed + 1) {
    result->background = background_ = random_.OneIn(2);
    segment_bytes_ = uint64_t{64 << 10} << random_.Below(2);
    retain_ =
        random_.OneIn(2) ? std::chrono::seconds(24 * 3600 * 365) : std::chrono::seconds(100 + random_.Below(3000));
  }

  Status Run() {
    DKFS_TRY(Open());
    DKFS_TRY(Fault::Arm(options_.faults));
    Trace::OpBegun(0, 1);
    driver_.Begin();
    Status lived = Steps();
    if (lived.ok()) lived = Shut();
    store_.reset();
    result_->moments = driver_.TakeMoments();
    return lived;
  }

 private:
  using Act = Status (Life::*)();

  Status Open() {
    StoreOptions options;
    options.background = background_;
    options.segment_bytes = segment_bytes_;
    options.retain = retain_;
    options.budget_bytes = uint64_t{1} << 50;
    options.clock = StepClock();
    DKFS_TRY_ASSIGN(store_, Store::Open(options_.store, options));
    driver_.Use(store_.get());
    stop_ = false;
    if (background_) syncer_ = std::thread([this] { SyncAlong(); });
    return Status::Ok();
  }

  // Beside the appends, as applications do.
  void SyncAlong() {
    while (!stop_) {
      const Seq seq = store_->GetStatus().appended;
      if (store_->Sync(seq).ok()) Trace::Text("synced " + std::to_string(seq.value));
      std::this_thread::yield();
    }
  }

  Status Steps() {
    for (int i = 0; i < options_.steps; ++i) {
      const Seq before = driver_.last();
      Trace::OpBegun(0, before.value + 1);
      driver_.Step();
      if (driver_.last() != before) Trace::OpEnded(0, driver_.last().value, 0);
      DKFS_TRY(Perhaps(&Life::Sync, 6));
      DKFS_TRY(Perhaps(&Life::Flush, 20));
      DKFS_TRY(Perhaps(&Life::Maintain, 30));
      DKFS_TRY(Perhaps(&Life::MarkAndUnmark, 60));
      DKFS_TRY(Perhaps(&Life::Reopen, 50));
    }
    return Status::Ok();
  }

  Status Perhaps(Act act, uint64_t one_in) { return random_.OneIn(one_in) ? (this->*act)() : Status::Ok(); }

  Status Sync() {
    const Seq seq = driver_.last();
    DKFS_TRY(store_->Sync(seq));
    Trace::Text("synced " + std::to_string(seq.value));
    ++result_->syncs;
    return Status::Ok();
  }

  Status Flush() {
    ++result_->flushes;
    return store_->FlushIndex();
  }

  Status Maintain() {
    for (bool more = true; more;) {
      DKFS_TRY_ASSIGN(more, store_->Maintain());
    }
    Trace::Text("oldest " + std::to_string(store_->GetStatus().oldest.value));
    return Status::Ok();
  }

  Status MarkAndUnmark() {
    ++result_->marks;
    Trace::Text("marking");
    DKFS_TRY(store_->MarkClean("identity"));
    if (random_.OneIn(2)) DKFS_TRY(Reopen());
    DKFS_TRY(store_->RemoveCleanMark());
    Trace::Text("unmarked");
    return Status::Ok();
  }

  // In order, or as a kill of the process leaves it.
  Status Reopen() {
    ++result_->reopens;
    DKFS_TRY(Shut());
    return Open();
  }

  Status Shut() {
    stop_ = true;
    if (syncer_.joinable()) syncer_.join();
    const StoreStatus status = store_->GetStatus();
    result_->packed += status.packed_segments;
    result_->deleted += status.deleted_segments;
    result_->rolls += status.record_bytes / segment_bytes_;
    const Seq seq = driver_.last();
    if (random_.OneIn(3)) DKFS_TRY(store_->Sync(seq));  // else what is not synced is found by the next open
    if (random_.OneIn(2)) {
      DKFS_TRY(store_->Close());
      Trace::Text("synced " + std::to_string(seq.value));
    }
    store_.reset();
    Trace::Text("oldest " + std::to_string(status.oldest.value));
    return Status::Ok();
  }

  const HistoryOptions& options_;
  HistoryResult* const result_;
  Driver driver_;
  Random random_;
  bool background_ = false;
  uint64_t segment_bytes_ = 0;
  std::chrono::seconds retain_{0};
  std::atomic<bool> stop_{false};
  std::unique_ptr<Store> store_;  // outlives the thread
  std::thread syncer_;
};

}  // namespace

Clock StepClock() {
  Clock clock;
  clock.wall = [] { return TimeSpec{1'000'000 + ++the_ticks, 0}; };
  clock.monotonic_ns = [] { return static_cast<uint64_t>(the_ticks.load()) * 1'000'000'000; };
  return clock;
}

Status RunHistory(const HistoryOptions& options, HistoryResult* result) {
  if (!options.trace.empty()) DKFS_TRY(Trace::Open(options.trace));
  const Status lived = Life(options, result).Run();
  IoTrace::Close();
  Trace::Close();
  DKFS_TRY(Fault::Arm(""));
  return lived;
}

}  // namespace dkfs::test
