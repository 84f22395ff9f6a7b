#include "store/retain/rule.h"

namespace dkfs::retain {
namespace {

constexpr size_t kMaxLives = 64 * 1024;
constexpr int kMaxRangesSeen = 64;    // looked at for one that covers another
constexpr int kMaxBlocksSeen = 4096;  // looked at for one that a range hides; beyond, the range stays

std::string AtSeq(const std::string& prefix, Seq seq) {
  std::string key = prefix;
  PutBe(&key, ~seq.value);
  return key;
}

bool IsTombstone(const InodeState& state) { return state.nlink == 0 && state.mode == 0; }

std::string EntryPrefix(const NameItem& name) {
  std::string prefix = keys::OfFile(name.parent);
  PutBe(&prefix, name.entry.value);
  return prefix;
}

struct Row {
  std::string key, value;
  bool found = false;
};

// The newest row under `prefix` at or before `at`.
Result<Row> NewestRow(const Kv& kv, Family family, const std::string& prefix, Seq at) {
  Row row;
  Status status = kv.SeekPrefix(family, AtSeq(prefix, at), prefix, &row.key, &row.value);
  if (!status.ok() && !status.IsNotFound()) return status;
  row.found = status.ok();
  return row;
}

bool IsGone(Family family, const std::string& value) {
  if (family == Family::kLink) return value.empty() || value[0] == 0;
  EntryValue entry;
  return values::Decode(AsBytes(value), &entry).ok() && !entry.child;
}

// Removes the row at `seq` of one key, and, when it was the oldest, a tombstone right above it: it hides nothing now.
Status DropRow(const Kv& kv, Family family, const std::string& prefix, Seq seq, Seq horizon, KvBatch* batch) {
  const std::string key = AtSeq(prefix, seq);
  batch->Delete(family, key);
  if (seq.value > 1) {
    DKFS_TRY_ASSIGN(Row older, NewestRow(kv, family, prefix, Seq{seq.value - 1}));
    if (older.found) return Status::Ok();
  }
  DKFS_TRY_ASSIGN(Row newest, NewestRow(kv, family, prefix, horizon));
  if (!newest.found || newest.key == key || !IsGone(family, newest.value)) return Status::Ok();
  const Seq ended{~LoadBe<uint64_t>(newest.key.data() + newest.key.size() - 8)};
  if (ended <= seq) return Status::Ok();
  DKFS_TRY_ASSIGN(Row below, NewestRow(kv, family, prefix, Seq{ended.value - 1}));
  if (below.found && below.key == key) batch->Delete(family, newest.key);
  return Status::Ok();
}

}  // namespace

Result<Rule::Life> Rule::LifeOf(FileId file) {
  if (const auto known = lives_.find(file); known != lives_.end()) return known->second;
  Life life;
  DKFS_TRY_ASSIGN(Row row, NewestRow(*index_->kv(), Family::kInode, keys::OfFile(file), horizon_));
  if (row.found) {
    InodeState state;
    DKFS_TRY(DecodeInodeState(AsBytes(row.value), &state));
    life.ended = IsTombstone(state);
    life.adopting = state.content == ContentState::kAdopting;
  } else {
    DKFS_TRY_ASSIGN(Row later, NewestRow(*index_->kv(), Family::kInode, keys::OfFile(file), kLatest));
    life.ended = !later.found;
  }
  if (lives_.size() >= kMaxLives) lives_.clear();
  lives_[file] = life;
  return life;
}

Result<bool> Rule::InForce(const keys::BlockKey& key, Seq at) {
  Seq newest;
  BlockEntry entry;
  Status found = index_->NewestBlock(key.file, key.layout, key.block, at, &newest, &entry);
  if (found.IsNotFound()) return false;
  DKFS_TRY(found);
  if (newest != key.seq) return false;
  DKFS_TRY_ASSIGN(Seq range, index_->CoveringRange(key.file, key.layout, key.block, key.seq, at));
  return !range;
}

Result<bool> Rule::NeedsBlock(const keys::BlockKey& key) {
  for (Seq pin : pins_->Of(key.file)) {
    if (pin < key.seq) continue;
    DKFS_TRY_ASSIGN(bool pinned, InForce(key, pin));
    if (pinned) return true;
  }
  DKFS_TRY_ASSIGN(Life life, LifeOf(key.file));
  if (life.ended) return false;
  if (key.seq > horizon_) return true;
  return InForce(key, horizon_);
}

Result<bool> Rule::NeedsRow(Family family, const std::string& prefix, Seq seq, bool tombstone) {
  const Kv& kv = *index_->kv();
  const std::string key = AtSeq(prefix, seq);
  Result<std::string> row = kv.Get(family, key);
  if (row.status().IsNotFound()) return false;
  if (!row.ok()) return row.status();
  if (seq > horizon_) return true;
  DKFS_TRY_ASSIGN(Row newest, NewestRow(kv, family, prefix, horizon_));
  if (!newest.found || newest.key != key) return false;
  if (!tombstone) return true;
  if (seq.value <= 1) return false;
  DKFS_TRY_ASSIGN(Row older, NewestRow(kv, family, prefix, Seq{seq.value - 1}));
  return older.found;
}

// A record may end an entry and begin another of the same name: then the name's row is the new one's.
Result<bool> Rule::OwnsNameRow(const NameItem& name, Seq seq) {
  Result<std::string> row = index_->kv()->Get(Family::kName, keys::Name(name.parent, name.name, seq));
  if (row.status().IsNotFound()) return false;
  if (!row.ok()) return row.status();
  NameValue value;
  DKFS_TRY(values::Decode(AsBytes(*row), &value));
  return value.child == name.child && (!name.child || value.entry == name.entry);
}

Result<bool> Rule::NeedsName(const NameItem& name, Seq seq) {
  DKFS_TRY_ASSIGN(bool entry, NeedsRow(Family::kEntry, EntryPrefix(name), seq, !name.child));
  if (entry) return true;
  DKFS_TRY_ASSIGN(bool owns, OwnsNameRow(name, seq));
  if (!owns) return false;
  return NeedsRow(Family::kName, keys::NamePrefix(name.parent, name.name), seq, !name.child);
}

Result<bool> Rule::Needs(const Item& item) {
  const Seq seq = item.as_of;
  if (const auto* inode = std::get_if<InodeItem>(&item.body)) {
    return NeedsRow(Family::kInode, keys::OfFile(inode->file), seq, IsTombstone(inode->state));
  }
  if (const auto* name = std::get_if<NameItem>(&item.body)) return NeedsName(*name, seq);
  if (const auto* xattr = std::get_if<XattrItem>(&item.body)) {
    DKFS_TRY_ASSIGN(Life life, LifeOf(xattr->file));
    if (life.ended) return false;
    return NeedsRow(Family::kXattr, keys::NamePrefix(xattr->file, xattr->name), seq, xattr->gone);
  }
  if (const auto* range = std::get_if<RangeItem>(&item.body)) return NeedsRange(*range, seq);
  return Status::Error(EINVAL, "retention rule: an item of another kind");
}

// The rows of the ranges of one record differ in n; the one with this content is meant.
Status Rule::DropRange(const RangeItem& range, Seq seq, KvBatch* batch) {
  KvCursor cursor = index_->kv()->NewCursor(Family::kRange, keys::Range(range.file, Seq{seq.value - 1}, 0));
  for (cursor.Seek(keys::Range(range.file, seq, 0)); cursor.Valid(); cursor.Next()) {
    RangeItem row;
    DKFS_TRY(values::Decode(AsBytes(cursor.value()), &row));
    if (row.layout == range.layout && row.first == range.first && row.end == range.end) {
      batch->Delete(Family::kRange, cursor.key());
      return Status::Ok();
    }
  }
  return cursor.status();
}

Result<bool> Rule::NeedsRange(const RangeItem& range, Seq seq) {
  if (seq > horizon_) return true;
  const bool pinned = !pins_->Of(range.file).empty();
  DKFS_TRY_ASSIGN(Life life, LifeOf(range.file));
  if (life.adopting) return true;
  if (life.ended && !pinned) return false;
  if (!pinned) {
    DKFS_TRY_ASSIGN(bool covered, IsCoveredLater(range, seq));
    if (covered) return false;
  }
  return HidesBlocks(range, seq);
}

Result<bool> Rule::IsCoveredLater(const RangeItem& range, Seq seq) {
  KvCursor cursor = index_->kv()->NewCursor(Family::kRange, keys::Range(range.file, seq, 0));
  cursor.Seek(keys::Range(range.file, horizon_, 0));
  for (int seen = 0; cursor.Valid() && seen < kMaxRangesSeen; cursor.Next(), ++seen) {
    RangeItem newer;
    DKFS_TRY(values::Decode(AsBytes(cursor.value()), &newer));
    if (newer.layout == range.layout && newer.first <= range.first && newer.end >= range.end) return true;
  }
  DKFS_TRY(cursor.status());
  return false;
}

Result<bool> Rule::HidesBlocks(const RangeItem& range, Seq seq) {
  if (range.end == 0) return false;
  KvCursor cursor =
      index_->kv()->NewCursor(Family::kBlock, keys::Block(range.file, range.layout, range.end - 1, Seq{}));
  cursor.Seek(keys::Block(range.file, range.layout, range.first, kLatest));
  for (int seen = 0; cursor.Valid(); cursor.Next()) {
    if (++seen > kMaxBlocksSeen) return true;
    keys::BlockKey key;
    DKFS_TRY(keys::Parse(AsBytes(cursor.key()), &key));
    if (key.seq >= seq) continue;
    BlockEntry entry;
    DKFS_TRY(values::Decode(AsBytes(cursor.value()), &entry));
    if (!goes_(entry)) return true;
    DKFS_TRY_ASSIGN(bool needed, NeedsBlock(key));
    if (needed) return true;
  }
  DKFS_TRY(cursor.status());
  return false;
}

Status Rule::DropName(const NameItem& name, Seq seq, KvBatch* batch) {
  const Kv& kv = *index_->kv();
  DKFS_TRY_ASSIGN(bool owns, OwnsNameRow(name, seq));
  if (owns) batch->Delete(Family::kName, keys::Name(name.parent, name.name, seq));
  DKFS_TRY(DropRow(kv, Family::kEntry, EntryPrefix(name), seq, horizon_, batch));
  if (!name.child) return Status::Ok();  // the link's tombstone goes with the link
  return DropRow(kv, Family::kLink, keys::OfFile(name.child) + EntryPrefix(name), seq, horizon_, batch);
}

Status Rule::Drop(const Item& item, KvBatch* batch) {
  const Seq seq = item.as_of;
  if (const auto* inode = std::get_if<InodeItem>(&item.body)) {
    batch->Delete(Family::kInode, keys::Inode(inode->file, seq));
  } else if (const auto* name = std::get_if<NameItem>(&item.body)) {
    return DropName(*name, seq, batch);
  } else if (const auto* xattr = std::get_if<XattrItem>(&item.body)) {
    batch->Delete(Family::kXattr, keys::Xattr(xattr->file, xattr->name, seq));
  } else if (const auto* range = std::get_if<RangeItem>(&item.body)) {
    return DropRange(*range, seq, batch);
  }
  return Status::Ok();
}

}  // namespace dkfs::retain
