#include "store/retain/blocks.h"

#include <algorithm>
#include <tuple>

#include "store/base/fault.h"
#include "store/base/hash.h"
#include "store/base/log.h"

namespace dkfs::retain {
namespace {

constexpr size_t kMaxTable = 512 * 1024;
constexpr size_t kMaxUnitsKnown = 64 * 1024;

InodeState StateFor(LayoutId layout, uint8_t shift) {
  InodeState state;
  state.layout = layout;
  state.block_shift = shift;
  return state;
}

size_t WithoutTrailingZeros(Bytes data) {
  size_t n = data.size();
  while (n > 0 && data[n - 1] == std::byte{0}) --n;
  return n;
}

}  // namespace

Blocks::Blocks(const Context& context, Rule* rule, const Pins* pins, Sources* sources, PackWriter* writer)
    : context_(context),
      rule_(rule),
      sources_(sources),
      writer_(writer),
      units_(context, rule->horizon(), pins, writer, [this](const Baseline& one) { return Copy(one); }) {}

bool Blocks::Before(const Noted& a, const Noted& b) {
  return std::tie(a.file, a.layout, a.block, a.seq) < std::tie(b.file, b.layout, b.block, b.seq);
}

Status Blocks::Note(const keys::BlockKey& key, uint8_t shift) {
  table_.push_back({key.file, key.block, key.seq, static_cast<uint32_t>(key.layout.value), shift});
  return table_.size() < kMaxTable ? Status::Ok() : Flush();
}

Status Blocks::Flush() {
  std::sort(table_.begin(), table_.end(), Before);
  table_.erase(std::unique(table_.begin(), table_.end()), table_.end());
  cursor_.emplace(context_.index->kv()->NewCursor(Family::kBlock));
  for (size_t begin = 0, end = 0; begin < table_.size(); begin = end) {
    const Noted& first = table_[begin];
    if (begin == 0 || table_[begin - 1].file != first.file) DKFS_TRY(PackAs(first.file));
    while (end < table_.size() && table_[end].file == first.file && table_[end].layout == first.layout &&
           table_[end].block == first.block) {
      ++end;
    }
    DKFS_TRY(context_.CheckStop());
    DKFS_TRY(Block(std::span(table_).subspan(begin, end - begin)));
  }
  DKFS_TRY(units_.Close());
  DKFS_TRY(writer_->SetPacking({context_.compression_level, false}));
  table_.clear();
  cursor_.reset();
  return Status::Ok();
}

Status Blocks::PackAs(FileId file) {
  DKFS_TRY(units_.Close());  // they are of the file before
  Result<InodeState> state = context_.index->Inode(file, kLatest);
  if (!state.ok() && !state.status().IsNotFound()) return state.status();
  const CapturePolicy policy = state.ok() ? state->policy : CapturePolicy();
  const bool usual = policy.compression == CapturePolicy().compression;
  return writer_->SetPacking({usual ? context_.compression_level : policy.compression, policy.long_frames});
}

Result<Blocks::Found> Blocks::Row(const keys::BlockKey& key) {
  Found row{key, {}, false};
  Result<std::string> value =
      context_.index->kv()->Get(Family::kBlock, keys::Block(key.file, key.layout, key.block, key.seq));
  if (value.status().IsNotFound()) return row;
  if (!value.ok()) return value.status();
  DKFS_TRY(values::Decode(AsBytes(*value), &row.entry));
  row.found = true;
  return row;
}

// The version that came after this one.
Result<Blocks::Found> Blocks::NextNewer(const keys::BlockKey& key) {
  const std::string own = keys::Block(key.file, key.layout, key.block, key.seq);
  Found newer;
  cursor_->SeekForPrev(own);
  if (cursor_->Valid() && cursor_->key() == own) cursor_->Prev();
  if (!cursor_->Valid()) {
    DKFS_TRY(cursor_->status());
    return newer;
  }
  DKFS_TRY(keys::Parse(AsBytes(cursor_->key()), &newer.key));
  if (newer.key.file != key.file || newer.key.layout != key.layout || newer.key.block != key.block) return newer;
  return Row(newer.key);
}

Status Blocks::Block(std::span<const Noted> versions) {
  carried_delta_ = Seq{};
  for (size_t i = versions.size(); i-- > 0;) {
    const Noted& noted = versions[i];
    const keys::BlockKey key{noted.file, LayoutId{noted.layout}, noted.block, noted.seq};
    DKFS_TRY_ASSIGN(Found row, Row(key));
    if (!row.found || !sources_->Contains(row.entry.location.segment)) continue;  // voided, or carried over before
    DKFS_TRY(One(key, noted.shift, row.entry, versions));
  }
  return Status::Ok();
}

Status Blocks::One(const keys::BlockKey& key, uint8_t shift, const BlockEntry& entry, std::span<const Noted> versions) {
  DKFS_TRY_ASSIGN(bool needed, rule_->NeedsBlock(key));
  if (!needed) {
    DKFS_TRY_ASSIGN(bool rests, RestsOn(key, shift, versions));
    if (!rests) {
      ++counts_.dropped;
      return Status::Ok();
    }
  }
  ++counts_.carried;
  const Baseline version{key, shift, entry};
  switch (entry.version.kind) {
    case BlockKind::kDelta:
      return CarryDelta(version);
    case BlockKind::kUnit:
      return CarryUnit(version);
    case BlockKind::kBaseline:
      if (versions.size() == 1) return units_.Offer(version);
      break;
    default:
      break;
  }
  return Copy(version);
}

// True when a kept delta cannot do without this version, which itself is not needed.
Result<bool> Blocks::RestsOn(const keys::BlockKey& key, uint8_t shift, std::span<const Noted> versions) {
  DKFS_TRY_ASSIGN(Found newer, NextNewer(key));
  if (!newer.found || newer.entry.version.kind != BlockKind::kDelta || newer.entry.version.base_seq != key.seq)
    return false;
  if (carried_delta_ == newer.key.seq) return true;
  const bool here =
      std::any_of(versions.begin(), versions.end(), [&](const Noted& n) { return n.seq == newer.key.seq; });
  if (here && sources_->Contains(newer.entry.location.segment)) return false;  // folded or left out just now
  DKFS_TRY_ASSIGN(bool folded, Fold(newer.key, shift));
  return !folded;
}

Status Blocks::CarryDelta(const Baseline& version) {
  const Seq base = version.entry.version.base_seq;
  bool stands = !base;
  if (!stands) {
    const keys::BlockKey below{version.key.file, version.key.layout, version.key.block, base};
    DKFS_TRY_ASSIGN(Found row, Row(below));
    if (row.found) {
      DKFS_TRY_ASSIGN(stands, rule_->NeedsBlock(below));
    }
  }
  if (!stands) {
    DKFS_TRY_ASSIGN(bool folded, Fold(version.key, version.shift));
    if (folded) return Status::Ok();
  }
  carried_delta_ = version.key.seq;
  return Copy(version);
}

Status Blocks::CarryUnit(const Baseline& version) {
  const Location& at = version.entry.location;
  const std::pair<uint64_t, uint64_t> place{at.segment.value, uint64_t{at.frame} << 32 | at.offset};
  if (const auto known = units_carried_.find(place); known != units_carried_.end()) {
    return writer_->AddReference(version.key, version.shift, version.entry.version, known->second);
  }
  payload_.resize(version.entry.version.stored_bytes);
  Status read =
      context_.reader->Read(version.entry.location, {reinterpret_cast<std::byte*>(payload_.data()), payload_.size()});
  UnitHeader header;
  Bytes delta;
  if (read.ok()) read = DecodeUnit(AsBytes(payload_), &header, &delta);
  if (!read.ok() && !read.IsCorruption()) return read;
  if (read.ok() && header.base_seq < rule_->horizon()) {
    DKFS_TRY_ASSIGN(bool folded, Fold(version.key, version.shift));
    if (folded) return Status::Ok();
    read = Status::Corruption("unit cannot be read");
  }
  if (!read.ok()) {
    Damaged(version.entry.location, read);
    return Status::Ok();
  }
  units_.Keep(header);
  DKFS_TRY(writer_->AddBlock(version.key, version.shift, version.entry.version, AsBytes(payload_)));
  if (units_carried_.size() >= kMaxUnitsKnown) units_carried_.clear();
  units_carried_[place] = writer_->unit();
  return Status::Ok();
}

Status Blocks::Copy(const Baseline& version) {
  const BlockVersion& v = version.entry.version;
  payload_.resize(v.stored_bytes);
  if (v.stored_bytes > 0) {
    Status read =
        context_.reader->Read(version.entry.location, {reinterpret_cast<std::byte*>(payload_.data()), payload_.size()});
    const size_t block_bytes = size_t{1} << version.shift;
    if (read.ok() && v.kind == BlockKind::kBaseline &&
        (payload_.size() > block_bytes || HashZeroPadded(AsBytes(payload_), block_bytes) != v.checksum)) {
      read =
          Status::Corruption(DescribePlace(version.key.file, version.key.layout, version.key.block, version.key.seq));
    }
    if (!read.ok() && !read.IsCorruption()) return read;
    if (!read.ok()) {
      Damaged(version.entry.location, read);
      return Status::Ok();
    }
  }
  return writer_->AddBlock(version.key, version.shift, v, AsBytes(payload_));
}

Result<bool> Blocks::Fold(const keys::BlockKey& key, uint8_t shift) {
  DKFS_TRY(Fault::Pass("retain.fold"));
  block_.resize(size_t{1} << shift);
  Reconstructor::Newest newest;
  Status read =
      context_.reconstructor->Block(key.file, StateFor(key.layout, shift), key.block, key.seq, block_, &newest);
  if (read.IsCorruption()) {
    Log(LogLevel::kError, "fold_damaged",
        {{"error", read.ToString()}, {"hint", "run dkfs-replay verify on the store"}});
    return false;
  }
  DKFS_TRY(read);
  const size_t bytes = WithoutTrailingZeros(block_);
  BlockVersion version;
  version.kind = bytes == 0 ? BlockKind::kHole : BlockKind::kBaseline;
  version.checksum = newest.checksum;
  ++counts_.folded;
  DKFS_TRY(writer_->AddBlock(key, shift, version, Bytes(block_).first(bytes)));
  return true;
}

void Blocks::Damaged(const Location& where, const Status& why) {
  const bool first = sources_->damaged.insert(where.segment).second;
  if (!first) return;
  Log(LogLevel::kError, "pack_damaged",
      {{"segment", where.segment.value},
       {"error", why.ToString()},
       {"hint", "the segment is kept; run dkfs-replay verify on the store"}});
}

}  // namespace dkfs::retain
