// The Retainer's insides: what Step does in which order.
#pragma once

#include <map>
#include <optional>

#include "store/retain/ages.h"
#include "store/retain/context.h"
#include "store/retain/packs.h"
#include "store/retain/pass.h"
#include "store/retain/pins.h"
#include "store/retain/retainer.h"
#include "store/retain/sources.h"

namespace dkfs {

class Retainer::Impl {
 public:
  Impl(std::string journal_path, Uuid store, Index* index, Journal* journal, SegmentReader* reader,
       Reconstructor* reconstructor, const RetainOptions& options);
  Status Load();
  void Tick() EXCLUDES(mutex_);
  Result<bool> Step() EXCLUDES(mutex_);
  void Stop() { stop_ = true; }
  void SetLimits(std::chrono::seconds retain, uint64_t budget_bytes) EXCLUDES(mutex_);
  bool Behind() const EXCLUDES(mutex_);
  RetainStats stats() const EXCLUDES(mutex_);

 private:
  // A pack that stands in the directory but whose publication failed: taken up again by the next Step.
  struct Unfinished {
    retain::Sources sources;
    retain::PassResult pass;
  };
  Status CleanUp();  // T3, after a crash
  Status Redo(SegmentId pack, const std::map<SegmentId, SegmentInfo>& on_disk);
  Result<bool> Work();
  Result<bool> FollowTime() EXCLUDES(mutex_);  // the horizon, by age
  Result<bool> PackJournal() EXCLUDES(mutex_);
  Result<bool> PackPacks(bool over_budget) EXCLUDES(mutex_);
  uint64_t BesidePacks() const;  // what journal and index take on disk
  bool IsQuiet() EXCLUDES(mutex_);
  Result<bool> SpendHistory() EXCLUDES(mutex_);  // the horizon, by budget
  bool SpaceComes();
  Status Raise(Seq horizon) EXCLUDES(mutex_);
  Status Run(std::vector<SegmentInfo> sources) EXCLUDES(mutex_);
  Status Finish() EXCLUDES(mutex_);
  bool OverBudget() EXCLUDES(mutex_);
  Seq Limit() EXCLUDES(mutex_);  // the horizon never passes this
  void Note(KvBatch* batch) REQUIRES(mutex_);
  bool MayHold(const std::vector<SegmentInfo>& sources, Seq seq) const;
  void PublishStats() EXCLUDES(mutex_);

  bool Hurried() const EXCLUDES(mutex_);  // no time to rest

  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> steps_{0};
  Pace pace_;
  retain::Context context_;
  uint64_t pack_source_bytes_;
  const uint64_t all_source_bytes_;
  retain::Packs packs_;
  retain::Pins pins_;
  std::optional<Unfinished> unfinished_;
  Seq horizon_;
  uint64_t dropped_since_compaction_ = 0;
  std::optional<uint64_t> asked_ns_;  // when the index was asked for space that SpendHistory has not seen come
  bool compaction_asked_ = false;     // by a compaction, not only of the tables below the horizon

  mutable Mutex mutex_;
  std::chrono::seconds retain_ GUARDED_BY(mutex_);
  uint64_t budget_ GUARDED_BY(mutex_);
  retain::Ages ages_ GUARDED_BY(mutex_);
  RetainStats stats_ GUARDED_BY(mutex_);
  uint64_t all_spent_bytes_ GUARDED_BY(mutex_) =
      0;  // over budget: what the store took when last no history was left; else 0
};

}  // namespace dkfs
