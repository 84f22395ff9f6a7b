// RangeSet: the ranges of one file at a moment, in memory, for a pass over many blocks.
#pragma once

#include <memory>

#include "store/base/status.h"
#include "store/format/ids.h"
#include "store/format/inode_state.h"
#include "store/index/index.h"

namespace dkfs {

class RangeSet {
 public:
  // Loads the ranges of `layout` at or before `at`.
  Status Load(Index* index, FileId file, LayoutId layout, Seq at);
  // Seq of the newest range after `after` that covers the block; 0 when none does.
  Result<Seq> Covering(uint64_t block, Seq after) const;
  // First block of [block, end) that no range covers; `end` when there is none.
  Result<uint64_t> FirstUncovered(uint64_t block, uint64_t end) const;

 private:
  Index* index_ = nullptr;
  FileId file_;
  LayoutId layout_;
  Seq at_;
  std::shared_ptr<const RangeMap> map_;  // where it ends the index is asked, block by block
};

// True for a block that, without a version, is still only in the backing file (first mount).
inline bool IsUncaptured(const InodeState& state, uint64_t block) {
  return state.content == ContentState::kAdopting &&
         block < (state.adopted_size + (uint64_t{1} << state.block_shift) - 1) >> state.block_shift;
}

}  // namespace dkfs
