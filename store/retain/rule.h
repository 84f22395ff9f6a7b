// Rule: what the moments from the horizon on still need. Pure with respect to the store; asks the index only.
//
// A row (version, inode, name, xattr) at Seq s is needed when a kept moment m >= horizon has it in force. Rows of one
// key are in force from their Seq until the next one, so: s > horizon, or it is the row in force at the horizon itself
// (for a block: and no range covers it up to there, and its file has not ended). Beside that a block version is needed
// when it is in force at a pin of its file. Tombstones and ranges at or below the horizon are needed while they hide
// something older that the index keeps (T2). The answers can only change with the horizon: whatever is recorded later
// has a higher Seq, except contents captured late (adoption), which are older than everything they can be hidden by;
// therefore ranges of files that are being adopted stay.
//
// Not thread-safe; caches what it learnt about files, so make a new one for each pass.
#pragma once

#include <functional>
#include <unordered_map>

#include "store/base/status.h"
#include "store/format/item.h"
#include "store/index/index.h"
#include "store/retain/pins.h"

namespace dkfs::retain {

class Rule {
 public:
  // `goes` tells of a block entry that the pass under way removes it if it is not needed: T2 need not wait for it.
  using Goes = std::function<bool(const BlockEntry&)>;
  Rule(Index* index, Seq horizon, const Pins* pins, Goes goes)
      : index_(index), horizon_(horizon), pins_(pins), goes_(std::move(goes)) {}

  Seq horizon() const { return horizon_; }
  Result<bool> NeedsBlock(const keys::BlockKey& key);
  // For every item but blocks, voids and moments. False also for what the index does not hold (any more).
  Result<bool> Needs(const Item& item);
  // Puts the removal of the item's rows into *batch. REQUIRES: !Needs(item).
  Status Drop(const Item& item, KvBatch* batch);

 private:
  struct Life {
    bool ended = false;     // at the horizon, or it never was
    bool adopting = false;  // contents may still be captured late
  };
  Result<Life> LifeOf(FileId file);
  Result<bool> InForce(const keys::BlockKey& key, Seq at);
  Result<bool> NeedsRow(Family family, const std::string& prefix, Seq seq, bool tombstone);
  Result<bool> NeedsName(const NameItem& name, Seq seq);
  Result<bool> OwnsNameRow(const NameItem& name, Seq seq);
  Result<bool> NeedsRange(const RangeItem& range, Seq seq);
  Result<bool> IsCoveredLater(const RangeItem& range, Seq seq);
  Result<bool> HidesBlocks(const RangeItem& range, Seq seq);
  Status DropRange(const RangeItem& range, Seq seq, KvBatch* batch);
  Status DropName(const NameItem& name, Seq seq, KvBatch* batch);

  Index* const index_;
  const Seq horizon_;
  const Pins* const pins_;
  const Goes goes_;
  std::unordered_map<FileId, Life> lives_;
};

}  // namespace dkfs::retain
