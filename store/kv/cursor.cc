#include "store/kv/rep.h"

namespace dkfs {

struct KvCursor::Rep {
  std::string upper_bound;
  rocksdb::Slice upper_slice;
  std::unique_ptr<rocksdb::Iterator> iterator;
};

KvCursor Kv::NewCursor(Family family, std::string_view upper_bound) const {
  auto rep = std::make_unique<KvCursor::Rep>();
  rep->upper_bound = upper_bound;
  rep->upper_slice = rep->upper_bound;
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  options.ignore_range_deletions = kIgnoreRangeDeletions;
  if (!upper_bound.empty()) options.iterate_upper_bound = &rep->upper_slice;
  rep->iterator.reset(rep_->db->NewIterator(options, rep_->Of(family)));
  return KvCursor(std::move(rep));
}

KvCursor Kv::NewVersionsCursor(Family family) const {
  auto rep = std::make_unique<KvCursor::Rep>();
  rocksdb::ReadOptions options;
  options.prefix_same_as_start = true;  // asks the bloom filters
  options.ignore_range_deletions = kIgnoreRangeDeletions;
  rep->iterator.reset(rep_->db->NewIterator(options, rep_->Of(family)));
  return KvCursor(std::move(rep));
}

KvCursor::KvCursor(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
KvCursor::~KvCursor() = default;
KvCursor::KvCursor(KvCursor&&) noexcept = default;
bool KvCursor::Valid() const { return rep_->iterator->Valid(); }
void KvCursor::Seek(std::string_view key) { rep_->iterator->Seek(ToSlice(key)); }
void KvCursor::SeekForPrev(std::string_view key) { rep_->iterator->SeekForPrev(ToSlice(key)); }
void KvCursor::SeekToFirst() { rep_->iterator->SeekToFirst(); }
void KvCursor::SeekToLast() { rep_->iterator->SeekToLast(); }
void KvCursor::Next() { rep_->iterator->Next(); }
void KvCursor::Prev() { rep_->iterator->Prev(); }
std::string_view KvCursor::key() const { return ToView(rep_->iterator->key()); }
std::string_view KvCursor::value() const { return ToView(rep_->iterator->value()); }
Status KvCursor::status() const { return FromRocks(rep_->iterator->status(), "scan"); }

}  // namespace dkfs
