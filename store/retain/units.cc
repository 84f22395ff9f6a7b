#include "store/retain/units.h"

#include <algorithm>

#include "store/codec/codec.h"

namespace dkfs::retain {
namespace {

constexpr uint64_t kSlack = 128 << 10;                       // content may have moved so far between the two files
constexpr uint64_t kUnitBytes = kMaxUnitBytes - 2 * kSlack;  // so the region fits into kMaxUnitBytes too
constexpr size_t kMinBlocks = 2;

// Taken when smaller than 60 % of the plain bytes, both as they would lie in a frame.
bool IsWorthIt(size_t unit, size_t plain) { return unit * 10 < plain * 6; }

}  // namespace

// Which file it replaced and when; base_file 0 when none. In the rename's own record the Seq is the record's.
Status Units::FindReplaced(FileId file, FileId* base_file, Seq* at) {
  std::string key, value;
  const std::string prefix = keys::OfFile(file);
  Status found = context_.index->kv()->SeekPrefix(Family::kInode, keys::Inode(file, kLatest), prefix, &key, &value);
  if (found.IsNotFound()) return Status::Ok();
  DKFS_TRY(found);
  keys::InodeKey row;
  InodeState state;
  DKFS_TRY(keys::Parse(AsBytes(key), &row));
  DKFS_TRY(DecodeInodeState(AsBytes(value), &state));
  *base_file = state.replaced;
  *at = state.replaced_at ? state.replaced_at : row.seq;
  return Status::Ok();
}

Result<std::optional<Units::Base>> Units::FindBase(FileId file) {
  Base base;
  Seq replaced_at;
  DKFS_TRY(FindReplaced(file, &base.file, &replaced_at));
  if (!base.file || replaced_at.value <= 1) return std::optional<Base>();
  base.at = Seq{replaced_at.value - 1};
  if (base.at < horizon_) return std::optional<Base>();  // U1
  Result<InodeState> before = context_.index->Inode(base.file, base.at);
  if (before.status().IsNotFound()) return std::optional<Base>();
  if (!before.ok()) return before.status();
  // Contents captured late would change what the base is.
  if (before->content != ContentState::kStored || before->size == 0) return std::optional<Base>();
  if (const auto found = becoming_.find(base.file); found != becoming_.end() && found->second <= base.at) {
    return std::optional<Base>();  // U3
  }
  base.layout = before->layout;
  base.shift = before->block_shift;
  base.size = before->size;
  return std::optional<Base>(base);
}

// U2. The versions of a file that is its own base (drift) are newer than the base moment.
bool Units::MayBecomeUnit(const keys::BlockKey& key, const Base& base) const {
  if (key.file == base.file && key.seq <= base.at) return false;
  for (Seq pin : pins_->Of(key.file)) {
    if (key.seq <= pin) return false;
  }
  for (auto it = made_.lower_bound({key.file, key.seq}); it != made_.end() && it->file == key.file; ++it) return false;
  return true;
}

Status Units::Offer(const Baseline& baseline) {
  if (baseline.key.file != known_) {
    DKFS_TRY(Close());
    known_ = baseline.key.file;
    DKFS_TRY_ASSIGN(base_, FindBase(known_));
  }
  if (!base_ || !MayBecomeUnit(baseline.key, *base_)) {
    DKFS_TRY(Close());
    return plain_(baseline);
  }
  const bool joins = !run_.empty() && run_.front().key.layout == baseline.key.layout &&
                     run_.front().shift == baseline.shift && run_.back().key.block + 1 == baseline.key.block &&
                     ((run_.size() + 1) << baseline.shift) <= kUnitBytes;
  if (!joins) DKFS_TRY(Close());
  run_.push_back(baseline);
  return Status::Ok();
}

Status Units::Close() {
  if (run_.size() >= kMinBlocks) {
    Result<bool> made = TryUnit();
    if (!made.ok() && !made.status().IsCorruption()) return made.status();
    if (made.ok() && *made) {
      run_.clear();
      return Status::Ok();
    }
  }
  std::vector<Baseline> run;
  run.swap(run_);
  for (const Baseline& one : run) DKFS_TRY(plain_(one));
  return Status::Ok();
}

Result<bool> Units::TryUnit() {
  std::vector<std::byte> unit;
  DKFS_TRY(ReadUnit(&unit));
  Region region;
  DKFS_TRY_ASSIGN(bool usable, ReadRegion(run_.front().key.block << run_.front().shift, &region));
  if (!usable) return false;
  std::string payload;
  DKFS_TRY_ASSIGN(bool smaller, Encode(unit, region, &payload));
  if (!smaller) return false;
  DKFS_TRY(Write(payload, static_cast<uint8_t>(region.depth + 1)));
  return true;
}

Status Units::ReadUnit(std::vector<std::byte>* bytes) {
  const size_t block_bytes = size_t{1} << run_.front().shift;
  bytes->resize(run_.size() * block_bytes);
  for (size_t i = 0; i < run_.size(); ++i) {
    const Baseline& one = run_[i];
    InodeState state;
    state.layout = one.key.layout;
    state.block_shift = one.shift;
    DKFS_TRY(context_.reconstructor->Block(one.key.file, state, one.key.block, one.key.seq,
                                           MutableBytes(*bytes).subspan(i * block_bytes, block_bytes)));
  }
  return Status::Ok();
}

// The base around the same offset. False when the base ends before it or its units are too deep.
Result<bool> Units::ReadRegion(uint64_t first, Region* out) {
  const uint64_t block_bytes = uint64_t{1} << base_->shift;
  const uint64_t wanted = first > kSlack ? first - kSlack : 0;
  out->first = RoundDown(wanted, block_bytes);
  if (out->first >= base_->size) return false;
  const uint64_t end = std::min(RoundUp(base_->size, block_bytes), out->first + kMaxUnitBytes);
  out->bytes.resize(end - out->first);
  InodeState state;
  state.layout = base_->layout;
  state.block_shift = base_->shift;
  for (uint64_t at = out->first; at < end; at += block_bytes) {
    const uint64_t block = at >> base_->shift;
    MutableBytes part = MutableBytes(out->bytes).subspan(at - out->first, block_bytes);
    Reconstructor::Newest newest;
    DKFS_TRY(context_.reconstructor->Block(base_->file, state, block, base_->at, part, &newest));
    if (newest.hole) continue;
    DKFS_TRY_ASSIGN(uint8_t depth, DepthOf({base_->file, base_->layout, block, newest.seq}));
    out->depth = std::max(out->depth, depth);
  }
  return out->depth + 1 < kMaxUnitDepth;
}

// How many units lie below the version: that of the unit its chain stands on, or 0.
Result<uint8_t> Units::DepthOf(const keys::BlockKey& key) {
  uint8_t depth = 0;
  Seq wanted = key.seq;
  DKFS_TRY(context_.index->BlockChain(key.file, key.layout, key.block, key.seq, [&](Seq seq, const BlockEntry& entry) {
    if (seq > wanted) return true;
    if (entry.version.kind == BlockKind::kUnit) depth = std::max<uint8_t>(1, entry.version.chain_length);
    if (entry.version.kind != BlockKind::kDelta || !entry.version.base_seq) return false;
    wanted = entry.version.base_seq;
    return true;
  }));
  return depth;
}

Result<bool> Units::Encode(Bytes unit, const Region& region, std::string* payload) {
  UnitHeader header;
  header.base_file = base_->file;
  header.base_layout = base_->layout;
  header.base_shift = base_->shift;
  header.base_seq = base_->at;
  header.base_first = region.first;
  header.base_bytes = static_cast<uint32_t>(region.bytes.size());
  header.first = run_.front().key.block << run_.front().shift;
  header.bytes = static_cast<uint32_t>(unit.size());
  EncodeUnitHeader(header, payload);
  std::string delta, plain, small;
  DKFS_TRY(codec::RsyncDelta(region.bytes, unit, &delta));
  payload->append(delta);
  DKFS_TRY(codec::Compress(unit, context_.compression_level, &plain));
  DKFS_TRY(codec::Compress(AsBytes(*payload), context_.compression_level, &small));
  return IsWorthIt(small.size(), plain.size());
}

Status Units::Write(const std::string& payload, uint8_t depth) {
  for (const Baseline& one : run_) {
    BlockVersion version = one.entry.version;
    version.kind = BlockKind::kUnit;
    version.chain_length = depth;
    if (&one == &run_.front()) {
      DKFS_TRY(writer_->AddBlock(one.key, one.shift, version, AsBytes(payload)));
    } else {
      DKFS_TRY(writer_->AddReference(one.key, one.shift, version, writer_->unit()));
    }
    const auto [place, inserted] = becoming_.emplace(one.key.file, one.key.seq);
    if (!inserted) place->second = std::min(place->second, one.key.seq);
  }
  made_.insert({base_->file, base_->at});
  return Status::Ok();
}

}  // namespace dkfs::retain
