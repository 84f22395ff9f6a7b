// Every block version the index lists: is its payload there, and does it make the block that was recorded?
#include "store/verify/checker.h"

namespace dkfs::verify {

Status Checker::Versions() {
  KvCursor cursor = parts_.index->kv()->NewCursor(Family::kBlock);
  for (cursor.SeekToFirst(); cursor.Valid(); cursor.Next()) {
    ++result_.versions;
    keys::BlockKey key;
    BlockEntry entry;
    Status status = keys::Parse(AsBytes(cursor.key()), &key);
    if (status.ok()) status = values::Decode(AsBytes(cursor.value()), &entry);
    if (status.ok()) {
      DKFS_TRY(CheckVersion(key, entry));
    } else {
      Damage("index: block row: " + status.ToString());
    }
  }
  if (cursor.status().IsCorruption()) {
    Damage("index: " + cursor.status().ToString());
    return Status::Ok();
  }
  return cursor.status();
}

Status Checker::CheckVersion(const keys::BlockKey& key, const BlockEntry& entry) {
  const std::string what = "block " + std::to_string(key.block) + " of ";
  if (entry.version.stored_bytes > 0) {
    auto segment = segment_sizes_.find(entry.location.segment.value);
    const uint64_t end =
        entry.location.frame != 0 ? entry.location.frame : uint64_t{entry.location.offset} + entry.version.stored_bytes;
    if (segment == segment_sizes_.end() || end > segment->second) {
      const SegmentId id = entry.location.segment;
      const auto name = segment_names_.find(id.value);
      Damage(what + Name(key.file, key.seq) + ": its payload in segment " +
             (name != segment_names_.end() ? name->second : SegmentName(id, SegmentKind::kJournal)) +
             (segment == segment_sizes_.end() ? " is missing" : " is cut off"));
      return Status::Ok();
    }
  }
  if (options_.quick) return Status::Ok();
  DKFS_TRY_ASSIGN(std::vector<uint8_t> shifts, ShiftsOf(key.file, key.layout));
  Status status;
  for (uint8_t shift : shifts) {
    std::vector<std::byte> block(size_t{1} << shift);
    status = parts_.reconstructor->ExactVersion(key.file, key.layout, key.block, key.seq, block);
    if (status.ok()) return status;
  }
  Damage(what + Name(key.file, key.seq) + ": " + status.ToString());
  return Status::Ok();
}

// A block row does not say how large its block is: an inode of that layout does. A base of units can outlive its inode.
Result<std::vector<uint8_t>> Checker::ShiftsOf(FileId file, LayoutId layout) {
  if (file != shifts_of_) {
    shifts_of_ = file;
    shifts_.clear();
    const std::string prefix = keys::OfFile(file);
    KvCursor cursor = parts_.index->kv()->NewCursor(Family::kInode);
    for (cursor.Seek(prefix); cursor.Valid() && cursor.key().starts_with(prefix); cursor.Next()) {
      InodeState state;
      DKFS_TRY(DecodeInodeState(AsBytes(cursor.value()), &state));
      if (state.mode != 0) shifts_[state.layout.value] = state.block_shift;
    }
    DKFS_TRY(cursor.status());
  }
  auto found = shifts_.find(layout.value);
  if (found != shifts_.end()) return std::vector<uint8_t>{found->second};
  std::vector<uint8_t> all;
  for (uint8_t shift = kMinBlockShift; shift <= kMaxBlockShift; ++shift) all.push_back(shift);
  return all;
}

}  // namespace dkfs::verify
