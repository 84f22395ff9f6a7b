// Store::Impl: the parts of an open store and how they hang together. Locks: maintain_mutex_, above all
// others of the store, and error_mutex_, a leaf.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "store/base/mutex.h"
#include "store/index_open.h"
#include "store/journal/journal.h"
#include "store/replay/reconstruct.h"
#include "store/retain/retainer.h"
#include "store/store.h"
#include "store/store_dir.h"
#include "store/store_parts.h"
#include "store/worker.h"

namespace dkfs {

class Store::Impl {
 public:
  Impl(StoreDir store, const StoreOptions& given) : dir(std::move(store)), options(given) {}
  ~Impl();

  Status OpenForWriting();
  // `distrust` not Ok: why the index is made again from the segments, aside.
  Status OpenForReading(const Status& distrust = Status::Ok());
  void StartWorkers();
  void StopWorkers();

  std::string JournalPath() const { return dir.path() + "/journal"; }
  bool writable() const { return journal != nullptr; }
  Status Writable() const;
  Seq Last() const { return journal ? journal->appended() : read_only_last; }
  // The concrete Seq that `at` stands for, so that several questions see one moment.
  Seq Resolve(Seq at) const { return at == kLatest ? Last() : at; }
  Result<Appended> Append(RecordBuilder::Rep& record);  // takes its items
  Status Flush();
  Result<bool> Maintain() EXCLUDES(maintain_mutex_);
  Status NoteSealed() EXCLUDES(maintain_mutex_);
  Seq Oldest() const;                           // 0: nothing was dropped yet
  std::optional<TimeSpec> FirstMoment() const;  // when that was; as long as nothing was dropped, the store's beginning
  uint64_t PackBytes() const;
  uint64_t DefaultBudget() const;
  uint64_t ShareOfBudget(uint64_t part, uint64_t least) const;
  // What status().error answers. Damage stays; the result of background work is replaced by that of its next round, so
  // that ENOSPC ends when space returns.
  enum class Work { kDamage, kApply, kFlush, kMaintain };
  void Note(Work work, const Status& status) EXCLUDES(error_mutex_);
  Status error() const EXCLUDES(error_mutex_);

  StoreDir dir;
  StoreOptions options;
  std::atomic<uint64_t> budget_bytes{0};
  std::atomic<int64_t> retain_seconds{0};

  OpenedIndex opened;  // before the journal: it outlives the callbacks that feed it
  Index* index = nullptr;
  std::unique_ptr<Journal> journal;  // null when read-only
  std::unique_ptr<SegmentReader> reader;
  std::unique_ptr<Reconstructor> reconstructor;
  std::unique_ptr<Retainer> retainer;  // null when read-only
  Seq read_only_last;
  Seq opened_at;  // the last Seq found at open
  bool fresh = false;
  std::optional<StoreDir::CleanMark> clean;

  Parts parts;

  std::atomic<uint64_t> next_file{0}, next_entry{0};
  std::atomic<uint64_t> unflushed_bytes{0};  // journal bytes since the last flush of the index

 private:
  Status FinishOpen();
  Status CheckSegments() EXCLUDES(maintain_mutex_);
  Status WriteSegmentRows() REQUIRES(maintain_mutex_);
  Worker::Delay IndexRound();
  Worker::Delay SyncRound();
  Worker::Delay FlushRound();
  Status Choke();
  Worker::Delay MaintainRound();
  void WakeIndexer();
  // For the journal: retention is behind, gets something done, and has been told to hurry.
  bool Behind() EXCLUDES(behind_mutex_);

  Mutex maintain_mutex_;  // one round of retention at a time; segment rows come and go in it
  std::set<SegmentId> noted_ GUARDED_BY(maintain_mutex_);  // sealed journal segments that have a row in the index

  mutable Mutex error_mutex_;
  std::array<Status, 4> errors_ GUARDED_BY(error_mutex_);  // by Work
  Mutex behind_mutex_;
  bool maintaining_ GUARDED_BY(behind_mutex_) = false;      // the workers run, and what they use is there
  uint64_t behind_done_ GUARDED_BY(behind_mutex_) = 0;      // what retention had done when it was last seen to
  uint64_t behind_since_ns_ GUARDED_BY(behind_mutex_) = 0;  //   get something done; 0: not behind
  std::atomic<bool> index_failed_{false};                   // for good: what it has not flushed stays in memory
  std::atomic<bool> choked_{false};                         // and that has been told
  std::atomic<bool> maintain_failed_{false};                // the last round of retention: it may begin again and again
  std::atomic<bool> indexer_idle_{false};
  std::atomic<bool> indexer_hurried_{false};
  uint64_t idle_since_ns_ = 0, tried_again_ns_ = 0;  // of FlushRound's thread
  Seq idle_seq_;
  std::unique_ptr<Worker> indexer_, syncer_, flusher_, maintainer_;
};

}  // namespace dkfs
