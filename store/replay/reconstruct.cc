#include "store/replay/reconstruct.h"

#include <algorithm>
#include <array>

#include "store/base/hash.h"
#include "store/codec/codec.h"
#include "store/replay/range_set.h"
#include "store/replay/unit.h"

namespace dkfs {
namespace {

constexpr int kAttempts = 3;  // R3: how often a moved payload is looked up again

void Zero(MutableBytes out) { std::memset(out.data(), 0, out.size()); }

Status Missing(Seq seq) { return Status::Corruption("version of seq " + std::to_string(seq.value) + " is missing"); }

}  // namespace

uint64_t ZeroChecksum(uint8_t block_shift) {
  static const auto table = [] {
    std::array<uint64_t, kMaxBlockShift + 1> sums{};
    for (uint8_t shift = kMinBlockShift; shift <= kMaxBlockShift; ++shift) {
      sums[shift] = HashZeroPadded({}, size_t{1} << shift);
    }
    return sums;
  }();
  return block_shift <= kMaxBlockShift ? table[block_shift] : 0;
}

std::string DescribePlace(FileId file, LayoutId layout, uint64_t block, Seq seq) {
  return "file " + std::to_string(file.value) + " block " + std::to_string(block) + " (layout " +
         std::to_string(layout.value) + ") as of seq " + std::to_string(seq.value);
}

Status Reconstructor::Judge(const Place& place, const InodeState& state, Seq at, Seq seq, const BlockEntry* entry,
                            Newest* newest) {
  *newest = Newest{Seq{}, ZeroChecksum(place.shift), true};
  DKFS_TRY_ASSIGN(Seq range, index_->CoveringRange(place.file, place.layout, place.block, seq, at));
  if (range > seq) return Status::Ok();
  if (entry == nullptr) return IsUncaptured(state, place.block) ? Status::Error(ENODATA) : Status::Ok();
  if (entry->version.kind != BlockKind::kHole) *newest = Newest{seq, entry->version.checksum, false};
  return Status::Ok();
}

Status Reconstructor::InForce(const Place& place, const InodeState& state, Seq at, Newest* newest) {
  Seq seq;
  BlockEntry entry;
  Status found = index_->NewestBlock(place.file, place.layout, place.block, at, &seq, &entry);
  if (found.IsNotFound()) return Judge(place, state, at, Seq{}, nullptr, newest);
  DKFS_TRY(std::move(found));
  return Judge(place, state, at, seq, &entry, newest);
}

Status Reconstructor::Block(FileId file, const InodeState& state, uint64_t block, Seq at, MutableBytes out,
                            Newest* newest) {
  const Place place{file, state.layout, state.block_shift, block};
  if (out.size() != size_t{1} << state.block_shift) return Status::Error(EINVAL, "reconstruct: wrong buffer size");
  Newest local;
  if (newest == nullptr) newest = &local;
  Seq seq;
  std::vector<BlockEntry> chain;
  const Status chained = Chain(place, at, &seq, &chain);
  if (chain.empty() && !chained.IsNotFound()) return chained;
  DKFS_TRY(Judge(place, state, at, seq, chain.empty() ? nullptr : &chain.front(), newest));
  if (newest->hole) {
    Zero(out);
    return Status::Ok();
  }
  if (chained.ok() && DecodeChain(place, chain, 0, out).ok() && Hash64(out) == newest->checksum) return Status::Ok();
  return Version(place, newest->seq, 0, out);  // the long way, which also tells what is wrong
}

Status Reconstructor::Describe(FileId file, const InodeState& state, uint64_t block, Seq at, Newest* newest) {
  return InForce({file, state.layout, state.block_shift, block}, state, at, newest);
}

Result<bool> Reconstructor::Explains(FileId file, const InodeState& state, uint64_t block, Seq at, uint64_t checksum) {
  if (checksum == ZeroChecksum(state.block_shift)) return true;
  bool explained = false;
  DKFS_TRY(index_->BlockChain(file, state.layout, block, at, [&](Seq, const BlockEntry& entry) {
    explained = entry.version.checksum == checksum;
    return !explained;
  }));
  return explained;
}

Status Reconstructor::ExactVersion(FileId file, LayoutId layout, uint64_t block, Seq seq, MutableBytes out) {
  uint8_t shift = kMinBlockShift;
  while (size_t{1} << shift < out.size()) ++shift;
  return Version({file, layout, shift, block}, seq, 0, out);
}

Status Reconstructor::Version(const Place& place, Seq seq, int depth, MutableBytes out) {
  Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uint64_t checksum = 0;
    status = DecodeVersion(place, seq, depth, out, &checksum);
    if (status.ok() && Hash64(out) == checksum) return Status::Ok();
    if (status.ok()) status = Status::Corruption("checksum mismatch");
    if (!status.IsCorruption()) break;
  }
  Zero(out);
  return status.Prefix(DescribePlace(place.file, place.layout, place.block, seq));
}

Status Reconstructor::DecodeVersion(const Place& place, Seq seq, int depth, MutableBytes out, uint64_t* checksum) {
  Seq found;
  std::vector<BlockEntry> chain;
  const Status chained = Chain(place, seq, &found, &chain);
  if (chained.IsNotFound() || (!chain.empty() && found != seq)) return Missing(seq);
  DKFS_TRY(chained);
  *checksum = chain.front().version.checksum;
  return DecodeChain(place, chain, depth, out);
}

void Reconstructor::AddPayloads(const std::vector<BlockEntry>& chain, std::vector<SegmentReader::Payload>* payloads) {
  for (const BlockEntry& entry : chain) {
    if (entry.version.kind != BlockKind::kHole) payloads->push_back({entry.location, entry.version.stored_bytes});
  }
}

Status Reconstructor::DecodeChain(const Place& place, const std::vector<BlockEntry>& chain, int depth,
                                  MutableBytes out) {
  if (chain.size() > 1) {
    std::vector<SegmentReader::Payload> payloads;
    AddPayloads(chain, &payloads);
    reader_->Expect(std::move(payloads));
  }
  return PatchChain(place, chain, depth, out);
}

Status Reconstructor::PatchChain(const Place& place, const std::vector<BlockEntry>& chain, int depth,
                                 MutableBytes out) {
  auto next = chain.rbegin();
  if (next->version.kind == BlockKind::kDelta) {
    Zero(out);
  } else {
    DKFS_TRY(Bottom(place, *next, depth, out));
    ++next;
  }
  std::vector<std::byte> ranges;
  for (; next != chain.rend(); ++next) {
    ranges.resize(next->version.stored_bytes);
    DKFS_TRY(reader_->ReadToVerify(next->location, ranges));
    DKFS_TRY(codec::PatchRanges(ranges, out));
  }
  return Status::Ok();
}

Status Reconstructor::Chain(const Place& place, Seq at, Seq* seq, std::vector<BlockEntry>* chain) {
  Seq wanted;
  bool done = false;
  Status damage;
  const auto each = [&](Seq version, const BlockEntry& entry) {
    if (chain->empty()) *seq = wanted = version;
    if (version > wanted) return true;
    if (version < wanted || chain->size() == kMaxChain) return false;
    chain->push_back(entry);
    if (entry.version.kind == BlockKind::kDelta) wanted = entry.version.base_seq;
    done = entry.version.kind != BlockKind::kDelta || !wanted;
    if (!done && wanted >= version) damage = Status::Corruption("a delta stands on a later version");
    return !done && damage.ok();
  };
  DKFS_TRY(index_->BlockChain(place.file, place.layout, place.block, at, each));
  DKFS_TRY(damage);
  if (done) return Status::Ok();
  if (chain->empty()) return Status::Error(ENOENT);
  if (chain->size() == kMaxChain) return Status::Corruption("chain of deltas too long");
  return Missing(wanted);
}

// What a chain stands on: a baseline, a hole or a unit.
Status Reconstructor::Bottom(const Place& place, const BlockEntry& entry, int depth, MutableBytes out) {
  const BlockVersion& version = entry.version;
  switch (version.kind) {
    case BlockKind::kHole:
      Zero(out);
      return Status::Ok();
    case BlockKind::kBaseline:
      if (version.stored_bytes > out.size()) return Status::Corruption("baseline larger than its block");
      Zero(out.subspan(version.stored_bytes));
      return reader_->ReadToVerify(entry.location, out.first(version.stored_bytes));
    case BlockKind::kUnit:
      return Unit(place, entry, depth, out);
    default:
      return Status::Corruption("unknown kind of version");
  }
}

Status Reconstructor::Unit(const Place& place, const BlockEntry& entry, int depth, MutableBytes out) {
  if (depth >= kMaxUnitDepth) return Status::Corruption("units stand on units too deep");
  UnitCache::Ref unit = units_.Find(entry.location);
  if (unit == nullptr) {
    DKFS_TRY_ASSIGN(unit, DecodeWhole(entry, depth));
    units_.Insert(entry.location, unit);
  }
  const uint64_t first = place.block << place.shift;
  if (first < unit->first || first >= unit->first + unit->bytes.size())
    return Status::Corruption("block is not in its unit");
  Bytes mine = Bytes(unit->bytes).subspan(first - unit->first);
  mine = mine.first(std::min(mine.size(), out.size()));
  Zero(out);
  std::memcpy(out.data(), mine.data(), mine.size());
  return Status::Ok();
}

Result<UnitCache::Ref> Reconstructor::DecodeWhole(const BlockEntry& entry, int depth) {
  if (entry.version.stored_bytes > kMaxRecordBytes) return Status::Corruption("unit larger than a record");
  std::vector<std::byte> payload(entry.version.stored_bytes);
  DKFS_TRY(reader_->ReadToVerify(entry.location, payload));
  UnitHeader header;
  Bytes delta;
  DKFS_TRY(DecodeUnit(payload, &header, &delta));
  std::vector<std::byte> base(header.base_bytes);
  DKFS_TRY(Region(header.base_file, header.base_layout, header.base_shift, header.base_first, header.base_seq,
                  depth + 1, base));
  auto unit = std::make_shared<DecodedUnit>(DecodedUnit{header.first, std::vector<std::byte>(header.bytes)});
  DKFS_TRY(codec::RsyncPatch(base, delta, unit->bytes));
  return UnitCache::Ref(std::move(unit));
}

// Bytes of another file as of `at`, from a block's beginning on.
Status Reconstructor::Region(FileId file, LayoutId layout, uint8_t shift, uint64_t first_byte, Seq at, int depth,
                             MutableBytes out) {
  const size_t block_bytes = size_t{1} << shift;
  std::vector<std::byte> block(block_bytes);
  InodeState state;
  for (size_t done = 0; done < out.size(); done += block_bytes) {
    const Place place{file, layout, shift, (first_byte + done) >> shift};
    Newest newest;
    DKFS_TRY(InForce(place, state, at, &newest));
    MutableBytes part = out.subspan(done, std::min(block_bytes, out.size() - done));
    if (newest.hole) {
      Zero(part);
      continue;
    }
    DKFS_TRY(Version(place, newest.seq, depth, block));
    std::memcpy(part.data(), block.data(), part.size());
  }
  return Status::Ok();
}

}  // namespace dkfs
