// Retainer: keeps the store within its retention window and byte budget, in the background.
//
//   pack    sealed segments become one pack: what no retained moment needs is left out, the rest is compressed (zstd),
//           identical content stands once, files that replaced others by rename are librsync deltas (units)
//   fold    a kept delta whose base is not needed for itself becomes a baseline under the same key and Seq
//   gc      segments whose place a pack took are deleted after the index that points to the pack is durable
//
// Invariants
//   T1  A version leaves the index only in the pass that rewrites the segment holding it; so what the index lists can
//   be
//       read, and what the segments hold and the index does not is garbage nobody depends on.
//   T2  A tombstone (or a range) goes only when the index holds nothing older that it hides.
//   T3  A source is deleted only after a synced index flush that holds all its repointings. A pack without its segment
//   row
//       in the durable index is garbage of a crash and is removed at open; a source of an indexed pack likewise.
//   T4  No version goes while a kept one needs it (a chain's base, a unit's base).
//   T5  The horizon (oldest restorable moment) is durable before anything below it is dropped. Retention ages by
//   monotonic
//       time; across a restart by wall time, at most one hour.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "store/base/clock.h"
#include "store/base/mutex.h"
#include "store/base/status.h"
#include "store/index/index.h"
#include "store/journal/journal.h"
#include "store/replay/reconstruct.h"

namespace dkfs {

struct RetainOptions {
  std::chrono::seconds retain{24 * 3600};
  uint64_t budget_bytes = 0;               // journal, packs and index together; 0: none
  uint64_t pack_source_bytes = 256 << 20;  // journal bytes taken into one pack at most
  int compression_level = 3;
  bool yields = false;  // rests while others wait for the CPUs, unless the budget is nearly used up (store/base/pace.h)
  Clock clock;
};

struct RetainStats {
  Seq horizon;  // the oldest moment that can be restored
  uint64_t pack_bytes = 0, packed_segments = 0, deleted_segments = 0, folded = 0, dropped = 0;
  uint64_t steps = 0;        // rises while a Step gets on
  bool over_budget = false;  // even without history the live data does not fit
};

// REQUIRES: the index is loaded and the journal open (its tail replayed) before Load, and Load done before the others.
// Thread-safety: Step and Load run in one thread at a time (the caller's); the others in any.
class Retainer {
 public:
  Retainer(std::string journal_path, Uuid store, Index* index, Journal* journal, SegmentReader* reader,
           Reconstructor* reconstructor, const RetainOptions& options);
  ~Retainer();
  Status Load();        // horizon and ages from the index; removes what a crash left behind (T3)
  void Tick();          // notes the age of the newest Seq; to be called about every 10 s, cheap
  Result<bool> Step();  // one unit of work (one pack at most); false: nothing to do now
  void Stop();          // makes a Step under way return soon, and every later one at once, with false
  void SetLimits(std::chrono::seconds retain, uint64_t budget_bytes);
  // Three quarters of the budget are used, and a Step can still free some: whoever writes should be slowed down until
  // it has.
  bool Behind() const;
  RetainStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dkfs
