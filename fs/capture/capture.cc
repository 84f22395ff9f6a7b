#include "fs/capture/capture.h"

#include <algorithm>
#include <atomic>

#include "store/base/clock.h"
#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/hash.h"
#include "store/codec/codec.h"
#include "store/format/record.h"

namespace dkfs {

namespace {

constexpr uint64_t kMostNs = 1'000'000;  // more is waiting, for a CPU or for room
constexpr uint64_t kVersionBytes = 100;  // of a version beside its payload, in index and packs: docs/profiler.md
constexpr uint8_t kNoChain = UINT8_MAX;  // more deltas than any policy allows

// A delta must save at least a quarter of the block to be worth a longer chain.
constexpr size_t DeltaLimit(size_t block_size) { return block_size / 4 * 3; }

Bytes TrimTrailingZeros(Bytes data) {
  size_t n = data.size();
  while (n >= 8 && LoadLe<uint64_t>(data.data() + n - 8) == 0) n -= 8;
  while (n > 0 && data[n - 1] == std::byte{0}) --n;
  return data.first(n);
}

}  // namespace

struct Capture::Scratch {
  RecordBuilder record;
  std::vector<BlockVersion> versions;
  std::vector<Bytes> payload;  // adjacent spans are joined
  std::vector<ChainCache::Entry> chain;
  std::string arena;     // deltas and composed blocks; reserved before use, so spans into it stay valid
  std::string before;    // the pre-image of one block
  uint64_t similar = 0;  // bytes of baselines that only end a chain, beyond what one of its deltas takes
  void Begin(size_t arena_bytes) {
    similar = 0;
    record.Clear();
    versions.clear();
    payload.clear();
    chain.clear();
    arena.clear();
    arena.reserve(arena_bytes);
  }
  // A place of `n` bytes in the arena. REQUIRES: within what Begin reserved.
  MutableBytes Take(size_t n) {
    DKFS_CHECK(arena.size() + n <= arena.capacity());
    const size_t at = arena.size();
    arena.resize(at + n);
    return {reinterpret_cast<std::byte*>(arena.data()) + at, n};
  }
  void AddPayload(Bytes bytes) {
    if (bytes.empty()) return;
    if (!payload.empty() && payload.back().data() + payload.back().size() == bytes.data()) {
      payload.back() = {payload.back().data(), payload.back().size() + bytes.size()};
    } else {
      payload.push_back(bytes);
    }
  }
  void AddBaseline(uint64_t epoch, uint64_t block, Bytes bytes, size_t block_size, uint8_t chain_length = 0) {
    BlockVersion version;
    version.kind = BlockKind::kBaseline;
    version.stored_bytes = static_cast<uint32_t>(bytes.size());
    version.checksum = HashZeroPadded(bytes, block_size);
    versions.push_back(version);
    AddPayload(bytes);
    chain.push_back({.epoch = epoch, .block = block, .seq = {}, .checksum = version.checksum, .length = chain_length});
  }
  // The baseline of `stored` bytes that was added last only ends this chain. In packs a block's versions lie side by
  // side, so that compression finds it in what is before it, but for what a delta would hold.
  void NoteEndOfChain(const ChainCache::Entry& ended, uint64_t stored) {
    const uint64_t delta = ended.delta_bytes / std::max<uint64_t>(ended.length, 1);
    similar += stored - std::min(stored, delta);
  }
};

Capture::Scratch& Capture::ThreadScratch() {
  thread_local Scratch scratch;
  return scratch;
}

uint64_t Capture::NextEpoch() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

uint64_t Capture::Epoch(Inode& inode) {
  if (inode.capture_epoch == 0) inode.capture_epoch = NextEpoch();
  return inode.capture_epoch;
}

Status Capture::ReadBacking(Inode& inode, uint64_t block, size_t block_size, MutableBytes out) {
  DKFS_TRY_ASSIGN(const size_t n, file::ReadAt(inode.backing.get(), out, block * block_size, "backing file"));
  std::fill(out.begin() + static_cast<ptrdiff_t>(n), out.end(), std::byte{0});
  return Status::Ok();
}

// Adds the version of `block` that results from writing `data`, a part of the request that lies inside the block at
// `in_block`. Without a remembered predecessor that is a baseline.
Status Capture::AddBlock(Inode& inode, const InodeState& after, uint64_t block, uint64_t in_block, Bytes data,
                         Scratch* scratch) {
  const size_t block_size = size_t{1} << after.block_shift;
  const uint64_t epoch = Epoch(inode);
  ChainCache::Entry before;
  const bool known = delta_ && after.policy.delta && chains_.Find(epoch, block, &before);
  const bool remembered = known && before.length < after.policy.fold_interval && before.delta_bytes < block_size;
  const uint64_t block_start = block * block_size;
  const uint64_t old_end = inode.state.size > block_start ? inode.state.size - block_start : 0;
  const bool whole = in_block == 0 && (data.size() == block_size || data.size() >= old_end);
  if (whole && !remembered) {
    scratch->AddBaseline(epoch, block, data, block_size);
    if (known) scratch->NoteEndOfChain(before, data.size());
    return Status::Ok();
  }

  scratch->before.resize(block_size);
  MutableBytes pre{reinterpret_cast<std::byte*>(scratch->before.data()), block_size};
  Bytes now = data;
  const Status pre_status = ReadBacking(inode, block, block_size, pre);
  if (!whole && !pre_status.ok()) return pre_status;  // a whole write only loses its delta
  if (!whole || data.size() < block_size) {
    MutableBytes composed = scratch->Take(block_size);
    std::copy(pre.begin(), pre.end(), composed.begin());
    if (whole) std::fill(composed.begin(), composed.end(), std::byte{0});
    std::copy(data.begin(), data.end(), composed.begin() + static_cast<ptrdiff_t>(in_block));
    now = composed;
  }
  if (remembered && pre_status.ok() && Hash64(pre) == before.checksum) {
    const size_t at = scratch->arena.size();
    if (codec::DiffRanges(pre, now, DeltaLimit(block_size), &scratch->arena)) {
      BlockVersion version;
      version.kind = BlockKind::kDelta;
      version.chain_length = static_cast<uint8_t>(before.length + 1);
      version.stored_bytes = static_cast<uint32_t>(scratch->arena.size() - at);
      version.checksum = Hash64(now);
      version.base_seq = before.seq;
      scratch->versions.push_back(version);
      scratch->AddPayload(AsBytes(scratch->arena).subspan(at));
      scratch->chain.push_back({.epoch = epoch,
                                .block = block,
                                .seq = {},
                                .checksum = version.checksum,
                                .delta_bytes = before.delta_bytes + version.stored_bytes,
                                .length = version.chain_length});
      return Status::Ok();
    }
  }
  const Bytes baseline = data.size() == block_size ? data : TrimTrailingZeros(now);
  scratch->AddBaseline(epoch, block, baseline, block_size);
  if (known && !remembered) scratch->NoteEndOfChain(before, baseline.size());
  return Status::Ok();
}

Result<Seq> Capture::AppendContent(Inode& inode, const CapturePolicy& policy, RecordBuilder* record) {
  record->SetCompressible(policy.compression > 0 && inode.compress_gate.Try());
  DKFS_TRY_ASSIGN(const Seq seq, store_->Append(*record));
  const RecordBuilder::Shrunk shrunk = record->shrunk();
  if (shrunk != RecordBuilder::Shrunk::kUntried) inode.compress_gate.Note(shrunk == RecordBuilder::Shrunk::kYes);
  return seq;
}

Result<Seq> Capture::Append(Inode& inode, uint64_t first_block, const InodeState& after, Scratch* scratch) {
  if (!scratch->versions.empty()) {
    scratch->record.Blocks(inode.id, after.layout, after.block_shift, first_block, scratch->versions, scratch->payload);
  }
  scratch->record.Inode(inode.id, after);
  DKFS_TRY(Fault::Pass("capture.append"));
  DKFS_TRY_ASSIGN(const Seq seq, AppendContent(inode, after.policy, &scratch->record));
  for (ChainCache::Entry& entry : scratch->chain) {
    entry.seq = seq;
    chains_.Put(entry);
  }
  return seq;
}

Result<Seq> Capture::Write(Inode& inode, uint64_t offset, Bytes data, const InodeState& after, uint64_t request) {
  if (inode.costs.writes % CaptureCosts::kTimedWrites != 0) return WriteBlocks(inode, offset, data, after, request);
  const uint64_t begin = MonotonicNs();
  Result<Seq> seq = WriteBlocks(inode, offset, data, after, request);
  const uint64_t took = std::min(MonotonicNs() - begin, kMostNs);
  inode.costs.ns += took * CaptureCosts::kTimedWrites;
  return seq;
}

void Capture::Charge(CaptureCosts* costs, uint64_t offset, uint64_t bytes, const InodeState& after,
                     const Scratch& scratch) {
  ++costs->writes;
  costs->written += bytes;
  costs->last_offset = offset;
  costs->recorded += kRecordHeaderBytes + scratch.record.bytes() - scratch.similar;
  costs->rows += kVersionBytes * (scratch.versions.size() + 1);
  costs->versions += scratch.versions.size();
  for (size_t i = 0; i < scratch.versions.size(); ++i) {
    const bool delta = scratch.versions[i].kind == BlockKind::kDelta;
    costs->hydration +=
        delta ? (uint64_t{1} << after.block_shift) + scratch.chain[i].delta_bytes : scratch.versions[i].stored_bytes;
  }
}

Result<Seq> Capture::WriteBlocks(Inode& inode, uint64_t offset, Bytes data, const InodeState& after, uint64_t request) {
  const size_t block_size = size_t{1} << after.block_shift;
  const uint64_t first = offset / block_size;
  const uint64_t last = (offset + data.size() - 1) / block_size;
  Scratch& scratch = ThreadScratch();
  const bool stream = IsStream(data);
  // Each block may need its composed bytes and its delta.
  scratch.Begin(stream ? 4 * block_size : (last - first + 1) * block_size * 2);
  scratch.record.SetRequest(request);
  for (uint64_t block = first; block <= last; ++block) {
    const uint64_t block_start = block * block_size;
    const uint64_t from = std::max(offset, block_start);
    const uint64_t to = std::min(offset + data.size(), block_start + block_size);
    const Bytes part = data.subspan(from - offset, to - from);
    if (stream && part.size() == block_size) {
      // Its pre-image is not in the page cache when the next write comes: that one begins a chain.
      scratch.AddBaseline(Epoch(inode), block, part, block_size, kNoChain);
    } else {
      DKFS_TRY(AddBlock(inode, after, block, from - block_start, part, &scratch));
    }
  }
  DKFS_TRY_ASSIGN(const Seq seq, Append(inode, first, after, &scratch));
  Charge(&inode.costs, offset, data.size(), after, scratch);
  return seq;
}

Status Capture::AddZeroed(Inode& inode, const InodeState& after, uint64_t block, size_t from, size_t to,
                          Scratch* scratch) {
  const size_t block_size = size_t{1} << after.block_shift;
  MutableBytes bytes = scratch->Take(block_size);
  DKFS_TRY(ReadBacking(inode, block, block_size, bytes));
  if (IsAllZero(bytes.subspan(from, to - from))) return Status::Ok();
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(from), bytes.begin() + static_cast<ptrdiff_t>(to), std::byte{0});
  scratch->versions.clear();
  scratch->payload.clear();
  scratch->AddBaseline(Epoch(inode), block, TrimTrailingZeros(bytes), block_size);
  scratch->record.Blocks(inode.id, after.layout, after.block_shift, block, scratch->versions, scratch->payload);
  scratch->versions.clear();
  return Status::Ok();
}

Result<Seq> Capture::Resize(Inode& inode, const InodeState& after, uint64_t request) {
  Scratch& scratch = ThreadScratch();
  const size_t block_size = size_t{1} << after.block_shift;
  scratch.Begin(block_size);
  scratch.record.SetRequest(request);
  if (after.size < inode.state.size) {
    scratch.record.SetUrgent();
    inode.capture_epoch = NextEpoch();
    const size_t in_block = after.size % block_size;
    if (in_block != 0) DKFS_TRY(AddZeroed(inode, after, after.size / block_size, in_block, block_size, &scratch));
    scratch.record.Range(inode.id, after.layout, (after.size + block_size - 1) / block_size, kEndOfFile);
  }
  return Append(inode, 0, after, &scratch);
}

Result<Seq> Capture::Zero(Inode& inode, uint64_t offset, uint64_t length, const InodeState& after, uint64_t request) {
  Scratch& scratch = ThreadScratch();
  const size_t block_size = size_t{1} << after.block_shift;
  scratch.Begin(2 * block_size);
  scratch.record.SetRequest(request);
  inode.capture_epoch = NextEpoch();
  const uint64_t end = offset + length;
  const uint64_t first_whole = (offset + block_size - 1) / block_size;
  const uint64_t end_whole = end / block_size;
  if (first_whole > end_whole) {  // inside one block
    DKFS_TRY(AddZeroed(inode, after, offset / block_size, offset % block_size, end % block_size, &scratch));
  } else {
    if (offset % block_size != 0) {
      DKFS_TRY(AddZeroed(inode, after, offset / block_size, offset % block_size, block_size, &scratch));
    }
    if (end % block_size != 0) DKFS_TRY(AddZeroed(inode, after, end_whole, 0, end % block_size, &scratch));
    if (first_whole < end_whole) scratch.record.Range(inode.id, after.layout, first_whole, end_whole);
  }
  return Append(inode, 0, after, &scratch);
}

Result<Seq> Capture::Relayout(Inode& inode, const InodeState& after) {
  DKFS_CHECK(after.layout > inode.state.layout && after.size == inode.state.size && after.size <= kMaxRelayout);
  Scratch& scratch = ThreadScratch();
  const size_t old_size = size_t{1} << inode.state.block_shift, new_size = size_t{1} << after.block_shift;
  const size_t bytes = RoundUp(after.size, std::max(old_size, new_size));
  scratch.Begin(bytes);
  const MutableBytes content = scratch.Take(bytes);
  // From the store, where checksums are looked at: what the backing file may have lost is not made the truth.
  for (size_t at = 0; at < after.size; at += old_size) {
    DKFS_TRY(store_->ReadBlock(inode.id, inode.state, at / old_size, kLatest, content.subspan(at, old_size)));
  }
  inode.capture_epoch = NextEpoch();
  for (size_t at = 0; at < after.size; at += new_size) {
    scratch.AddBaseline(Epoch(inode), at / new_size, TrimTrailingZeros(content.subspan(at, new_size)), new_size);
  }
  // Of the old layout nothing is in force any more: without the range its versions would be kept for ever.
  scratch.record.Range(inode.id, inode.state.layout, 0, kEndOfFile);
  return Append(inode, 0, after, &scratch);
}

Status Capture::Secure(Inode& inode, uint64_t first, uint64_t count) {
  const InodeState state = inode.state;
  const size_t block_size = size_t{1} << state.block_shift;
  const uint64_t adopted_end = (state.adopted_size + block_size - 1) / block_size;
  const uint64_t end = std::min(count > kEndOfFile - first ? kEndOfFile : first + count, adopted_end);
  const uint64_t batch = std::max<uint64_t>(1, (1 << 20) / block_size);
  for (uint64_t at = first; at < end;) {
    Result<uint64_t> data = store_->NextData(inode.id, state, at);
    if (data.code() == ENXIO || (data.ok() && *data >= end)) break;
    DKFS_TRY_ASSIGN(at, std::move(data));
    Scratch& scratch = ThreadScratch();
    const uint64_t begin = at, stop = std::min(at + batch, end);
    at = stop;
    scratch.Begin((stop - begin) * block_size);
    for (uint64_t block = begin; block < stop; ++block) {
      Store::Newest newest;
      const Status described = store_->DescribeBlock(inode.id, state, block, kLatest, &newest);
      if (!described.ok() && described.code() != ENODATA) return described;
      // Beyond what stood there the content was lost before it was captured: it stays uncaptured, an error.
      if (described.ok() || !inode.Believes(block)) continue;
      MutableBytes bytes = scratch.Take(block_size);
      DKFS_TRY(ReadBacking(inode, block, block_size, bytes));
      scratch.versions.clear();
      scratch.payload.clear();
      const Bytes content = TrimTrailingZeros(bytes);
      scratch.AddBaseline(Epoch(inode), block, content, block_size);
      if (content.empty()) scratch.versions.back().kind = BlockKind::kHole;  // so that it becomes one when restored
      // True since the file was adopted: nothing of this file is older, so the first Seq stands for that moment.
      scratch.record.Blocks(inode.id, state.layout, state.block_shift, block, scratch.versions, scratch.payload,
                            Seq{1});
    }
    if (scratch.record.empty()) continue;
    DKFS_TRY(Fault::Pass("adopt.capture"));
    DKFS_TRY_ASSIGN(const Seq seq, AppendContent(inode, state.policy, &scratch.record));
    inode.adopted_seq = seq.value;
  }
  return Status::Ok();
}

Result<bool> Capture::SecureSome(Inode& inode, uint64_t* next) {
  const InodeState state = inode.state;
  if (state.content != ContentState::kAdopting) return false;
  const uint64_t batch = std::max<uint64_t>(1, (uint64_t{1} << 20) >> state.block_shift);
  const uint64_t end = (state.adopted_size + (uint64_t{1} << state.block_shift) - 1) >> state.block_shift;
  Result<uint64_t> data = store_->NextData(inode.id, state, *next);
  if (!data.ok() && data.code() != ENXIO) return data.status();
  *next = data.ok() ? *data : end;
  DKFS_TRY(Secure(inode, *next, batch));
  *next += batch;
  return *next < end;
}

Result<Seq> Capture::Conclude(Inode& inode, InodeState* after) {
  *after = inode.state;
  after->content = ContentState::kStored;
  after->adopted_size = after->rdev = 0;
  RecordBuilder record;
  record.Inode(inode.id, *after);
  DKFS_TRY_ASSIGN(const Seq seq, store_->Append(record));
  inode.adopted_seq = seq.value;
  return seq;
}

Status Capture::Void(Inode& inode, Seq seq) {
  inode.capture_epoch = NextEpoch();
  RecordBuilder record;
  record.Void(seq);
  return store_->Append(record).status();
}

}  // namespace dkfs
