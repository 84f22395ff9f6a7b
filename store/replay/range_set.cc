#include "store/replay/range_set.h"

namespace dkfs {

Status RangeSet::Load(Index* index, FileId file, LayoutId layout, Seq at) {
  index_ = index;
  file_ = file;
  layout_ = layout;
  at_ = at;
  DKFS_TRY_ASSIGN(map_, index->Ranges(file, layout, at));
  return Status::Ok();
}

Result<Seq> RangeSet::Covering(uint64_t block, Seq after) const {
  if (const std::optional<Seq> newest = map_->NewestAfter(block, after)) return *newest;
  return index_->CoveringRange(file_, layout_, block, after, at_);
}

Result<uint64_t> RangeSet::FirstUncovered(uint64_t block, uint64_t end) const {
  while ((block = map_->FirstUncovered(block, end)) < end && map_->rest()) {
    DKFS_TRY_ASSIGN(const Seq covering, Covering(block, Seq{}));
    if (!covering) break;
    ++block;
  }
  return block;
}

}  // namespace dkfs
