#include "store/replay/range_set.h"

#include "store/format/keys.h"

namespace dkfs {
namespace {
constexpr size_t kMaxRows = 4096;
}

Status RangeSet::Load(Index* index, FileId file, LayoutId layout, Seq at) {
  index_ = index;
  file_ = file;
  layout_ = layout;
  at_ = at;
  rows_.clear();
  complete_ = true;
  DKFS_TRY(at == kLatest ? index->ApplyAll() : index->ApplyThrough(at));
  const std::string prefix = keys::OfFile(file);
  KvCursor cursor = index->kv()->NewCursor(Family::kRange);
  for (cursor.Seek(keys::Range(file, at, 0)); cursor.Valid() && cursor.key().starts_with(prefix); cursor.Next()) {
    keys::RangeKey key;
    RangeItem item;
    DKFS_TRY(keys::Parse(AsBytes(cursor.key()), &key));
    DKFS_TRY(values::Decode(AsBytes(cursor.value()), &item));
    if (item.layout != layout) continue;
    if (rows_.size() == kMaxRows) {
      complete_ = false;
      rows_.clear();
      return Status::Ok();
    }
    rows_.push_back({key.seq, item.first, item.end});
  }
  return cursor.status();
}

Result<Seq> RangeSet::Covering(uint64_t block, Seq after) const {
  if (!complete_) return index_->CoveringRange(file_, layout_, block, after, at_);
  for (const Row& row : rows_) {
    if (row.seq <= after) break;
    if (row.first <= block && block < row.end) return row.seq;
  }
  return Seq{};
}

Result<uint64_t> RangeSet::FirstUncovered(uint64_t block, uint64_t end) const {
  while (block < end) {
    if (!complete_) {
      DKFS_TRY_ASSIGN(Seq seq, Covering(block, Seq{}));
      if (!seq) return block;
      ++block;
      continue;
    }
    uint64_t next = block;
    for (const Row& row : rows_) {
      if (row.first <= next && next < row.end) next = row.end;
    }
    if (next == block) return block;
    block = next;
  }
  return end;
}

}  // namespace dkfs
