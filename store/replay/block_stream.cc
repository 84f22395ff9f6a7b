// Reading a file from end to end: the index is asked for a window of versions at a time, and payloads that stand one
// after another, as sequential writes and packing leave them, are read with one call, or given out where they were
// decompressed. Each block is checked against its version where it lies (R1); nothing is copied or cleared before.
#include <algorithm>

#include "store/base/hash.h"
#include "store/replay/range_set.h"
#include "store/replay/reconstruct.h"

namespace dkfs {
namespace {

constexpr size_t kWindow = 512;         // blocks asked of the index at once
constexpr size_t kMostChained = 16384;  // or versions of them
constexpr size_t kExpected = 64;        // blocks whose chains are asked of the disk at once

struct Found {
  uint64_t block;
  Seq seq;
  BlockEntry entry;
  std::vector<BlockEntry> chain;  // of a delta, as far as it was found: newest first
};

bool IsBaseline(const Found& f) { return f.entry.version.kind == BlockKind::kBaseline; }

}  // namespace

class BlockStream {
 public:
  using Each = std::function<bool(const BlockRun&)>;
  BlockStream(Reconstructor* from, FileId file, const InodeState& state, Seq at, const Each& each)
      : from_(from),
        file_(file),
        state_(state),
        at_(at),
        each_(each),
        block_bytes_(size_t{1} << state.block_shift),
        run_blocks_(std::max<size_t>(1, Reconstructor::kRunBytes >> state.block_shift)) {}

  Status Run(uint64_t first, uint64_t end) {
    DKFS_TRY(ranges_.Load(from_->index_, file_, state_.layout, at_));
    next_ = first;
    while (more_ && next_ < end) {
      bool full = false;
      DKFS_TRY(LoadWindow(next_, end, &full));
      DKFS_TRY(EmitWindow());
      if (!full) break;
    }
    DKFS_TRY(Gap(end));
    FlushHole();
    return Status::Ok();
  }

 private:
  Status LoadWindow(uint64_t first, uint64_t end, bool* full) {
    window_.clear();
    expected_end_ = 0;
    size_t chained = 0;
    Seq wanted;
    Status walked = from_->index_->BlockVersions(
        file_, state_.layout, first, end, at_, [&](uint64_t block, Seq seq, const BlockEntry& entry) {
          const bool newest = window_.empty() || window_.back().block != block;
          if (newest && (window_.size() == kWindow || chained >= kMostChained)) {
            *full = true;
            return Walk::kStop;
          }
          if (newest) window_.push_back({block, seq, entry, {}});
          if (newest ? entry.version.kind != BlockKind::kDelta : seq < wanted) return Walk::kNextThing;
          if (!newest && seq > wanted) return Walk::kOlder;
          std::vector<BlockEntry>& chain = window_.back().chain;
          chain.push_back(entry);
          ++chained;
          wanted = entry.version.base_seq;
          const bool done = entry.version.kind != BlockKind::kDelta || !wanted;
          return done || chain.size() == Reconstructor::kMaxChain ? Walk::kNextThing : Walk::kOlder;
        });
    return walked.IsNotFound() ? Status::Ok() : walked;
  }

  Status EmitWindow() {
    for (size_t i = 0; more_ && i < window_.size();) {
      const Found& found = window_[i];
      DKFS_TRY(Gap(found.block));
      if (!more_) break;
      DKFS_TRY_ASSIGN(bool zeros, IsZeros(found));
      size_t count = 1;
      if (zeros) {
        AddHole(found.block, 1);
      } else {
        DKFS_TRY_ASSIGN(count, CountTogether(i));
        FlushHole();
        EmitData(i, count);
      }
      next_ = found.block + count;
      i += count;
    }
    return Status::Ok();
  }

  Result<bool> IsZeros(const Found& found) const {
    if (found.entry.version.kind == BlockKind::kHole) return true;
    DKFS_TRY_ASSIGN(Seq range, ranges_.Covering(found.block, found.seq));
    return range > found.seq;
  }

  // How many versions from `i` on are of consecutive blocks with data.
  Result<size_t> CountTogether(size_t i) const {
    size_t count = 1;
    while (i + count < window_.size() && window_[i + count].block == window_[i].block + count) {
      DKFS_TRY_ASSIGN(bool zeros, IsZeros(window_[i + count]));
      if (zeros) break;
      ++count;
    }
    return count;
  }

  void EmitData(size_t i, size_t count) {
    for (size_t end = i + count; more_ && i < end;) {
      Expect(i, end);
      const size_t together = Gather(i, end);
      for (size_t k = 0; more_ && k < together; ++k) EmitBlock(window_[i + k], k * block_bytes_);
      i += together;
    }
    FlushRun();
  }

  // Block `found`, whose bytes should stand at `at` of what was gathered.
  void EmitBlock(const Found& found, size_t at) {
    if (gathered_ok_ && Hash64(gathered_.bytes.subspan(at, block_bytes_)) == found.entry.version.checksum) {
      return AddToRun(found.block, gathered_.bytes.data() + at, gathered_.owner);
    }
    const MutableBytes block = gathered_place_.empty() ? Room(1) : gathered_place_.subspan(at, block_bytes_);
    Status status = Make(found, block);
    if (status.ok()) return AddToRun(found.block, block.data(), buffer_);
    FlushRun();
    if (more_) Give({found.block, 1, false, std::move(status), {}, {}});
  }

  // Asks the disk for what the next blocks are made of, up to `end`, unless that was done. What follows its predecessor
  // is read together with it.
  void Expect(size_t i, size_t end) {
    if (i < expected_end_) return;
    expected_end_ = std::min(end, i + kExpected);
    std::vector<SegmentReader::Payload> payloads;
    for (; i < expected_end_; ++i) {
      const Found& found = window_[i];
      Reconstructor::AddPayloads(found.chain, &payloads);
      const bool alone = found.chain.empty() && (i == 0 || !Follows(window_[i - 1], found));
      if (alone) payloads.push_back({found.entry.location, found.entry.version.stored_bytes});
    }
    if (payloads.size() > 1) from_->reader_->Expect(std::move(payloads));
  }

  Status Make(const Found& found, MutableBytes block) {
    const Reconstructor::Place place{file_, state_.layout, state_.block_shift, found.block};
    if (!found.chain.empty() && from_->PatchChain(place, found.chain, 0, block).ok() &&
        Hash64(block) == found.entry.version.checksum) {
      return Status::Ok();
    }
    return from_->Version(place, found.seq, 0, block);  // the long way, which also tells what is wrong
  }

  // Gets the baselines from window_[i] on that stand side by side, up to `end`; whatever went wrong shows when they are
  // checked. At least one version.
  size_t Gather(size_t i, size_t end) {
    const Location& first = window_[i].entry.location;
    size_t count = 1;
    while (i + count < end && Follows(window_[i + count - 1], window_[i + count])) ++count;
    gathered_ok_ = false;
    gathered_place_ = {};
    if (IsWhole(window_[i])) {
      while (!IsWhole(window_[i + count - 1])) --count;
      if (!from_->reader_->Share(first, count * block_bytes_, &gathered_).ok()) return count;
      gathered_ok_ = gathered_.owner != nullptr;
      if (gathered_ok_) return count;
    }
    gathered_place_ = Room(count);
    count = gathered_place_.size() / block_bytes_;
    gathered_ = {gathered_place_, buffer_};
    const BlockVersion& last = window_[i + count - 1].entry.version;
    if (!IsBaseline(window_[i]) || last.stored_bytes > block_bytes_) return count;
    const size_t stored = (count - 1) * block_bytes_ + last.stored_bytes;
    gathered_ok_ = from_->reader_->ReadToVerify(first, gathered_place_.first(stored)).ok();
    std::fill(gathered_place_.begin() + static_cast<ptrdiff_t>(stored), gathered_place_.end(), std::byte{0});
    return count;
  }

  bool IsWhole(const Found& f) const { return IsBaseline(f) && f.entry.version.stored_bytes == block_bytes_; }
  bool Follows(const Found& a, const Found& b) const {
    const Location &at = a.entry.location, &next = b.entry.location;
    return IsWhole(a) && IsBaseline(b) && at.segment == next.segment && at.frame == next.frame &&
           next.offset == at.offset + block_bytes_;
  }

  // A place for up to `blocks` blocks, behind the place given before if there is room.
  MutableBytes Room(size_t blocks) {
    if (buffer_ == nullptr || used_ == run_blocks_) {
      buffer_ = from_->buffers_.Take(run_blocks_ * block_bytes_);
      used_ = 0;
    }
    const size_t count = std::min(blocks, run_blocks_ - used_);
    const MutableBytes room{buffer_.get() + used_ * block_bytes_, count * block_bytes_};
    used_ += count;
    return room;
  }

  // Good blocks go out as one run while they follow one another in the file and in memory.
  void AddToRun(uint64_t block, const std::byte* data, const std::shared_ptr<const void>& owner) {
    const bool follows = run_.count > 0 && run_.first + run_.count == block && run_.owner == owner &&
                         run_.data.data() + run_.data.size() == data && run_.count < run_blocks_;
    if (!follows) {
      FlushRun();
      run_ = {block, 0, false, Status::Ok(), {data, size_t{0}}, owner};
    }
    ++run_.count;
    run_.data = {run_.data.data(), run_.data.size() + block_bytes_};
  }
  void FlushRun() {
    if (more_ && run_.count > 0) Give(run_);
    run_ = {};
  }

  // Blocks from next_ up to `end` that have no version.
  Status Gap(uint64_t end) {
    while (more_ && next_ < end) {
      uint64_t uncaptured = end;
      if (IsUncaptured(state_, next_)) {
        DKFS_TRY_ASSIGN(uncaptured, ranges_.FirstUncovered(next_, end));
        if (!IsUncaptured(state_, uncaptured)) uncaptured = end;
      }
      if (uncaptured > next_) AddHole(next_, uncaptured - next_);
      next_ = uncaptured;
      if (next_ == end) break;
      FlushHole();
      if (more_) Give({next_, 1, false, Status::Error(ENODATA), {}, {}});
      ++next_;
    }
    return Status::Ok();
  }

  void AddHole(uint64_t first, uint64_t count) {
    if (hole_.count == 0) hole_.first = first;
    hole_.count += count;
  }
  void FlushHole() {
    if (more_ && hole_.count > 0) Give({hole_.first, hole_.count, true, Status::Ok(), {}, {}});
    hole_.count = 0;
  }
  void Give(const BlockRun& run) { more_ = each_(run); }

  Reconstructor* const from_;
  const FileId file_;
  const InodeState& state_;
  const Seq at_;
  const Each& each_;
  const size_t block_bytes_;
  const size_t run_blocks_;
  RangeSet ranges_;
  std::vector<Found> window_;
  size_t expected_end_ = 0;  // of the window
  BufferPool::Buffer buffer_;
  size_t used_ = 0;  // blocks of it
  SegmentReader::Shared gathered_;
  MutableBytes gathered_place_;  // the same where it may be written to
  bool gathered_ok_ = false;
  uint64_t next_ = 0;
  bool more_ = true;
  BlockRun hole_, run_;
};

Status Reconstructor::Blocks(FileId file, const InodeState& state, uint64_t first, uint64_t end, Seq at,
                             const std::function<bool(const BlockRun&)>& each) {
  return BlockStream(this, file, state, at, each).Run(first, end);
}

Result<uint64_t> Reconstructor::NextData(FileId file, const InodeState& state, uint64_t from, Seq at) {
  const uint64_t end = (state.size + (uint64_t{1} << state.block_shift) - 1) >> state.block_shift;
  RangeSet ranges;
  DKFS_TRY(ranges.Load(index_, file, state.layout, at));
  uint64_t next = from;  // every block before it is a hole
  uint64_t found = end;
  Status status;
  // The first uncaptured block of a gap [next, stop), or `stop`.
  auto gap = [&](uint64_t stop) -> Result<uint64_t> {
    if (next >= stop || !IsUncaptured(state, next)) return stop;
    DKFS_TRY_ASSIGN(uint64_t open, ranges.FirstUncovered(next, stop));
    return open < stop && IsUncaptured(state, open) ? open : stop;
  };
  auto each = [&](uint64_t block, Seq seq, const BlockEntry& entry) {
    Result<uint64_t> open = gap(block);
    Result<Seq> range = ranges.Covering(block, seq);
    status = !open.ok() ? open.status() : range.status();
    if (!status.ok()) return false;
    const bool data = entry.version.kind != BlockKind::kHole && *range <= seq;
    if (*open < block || data) {
      found = *open < block ? *open : block;
      return false;
    }
    next = block + 1;
    return true;
  };
  if (from < end) {
    Status walked = index_->Blocks(file, state.layout, from, end, at, each);
    if (!walked.IsNotFound()) DKFS_TRY(walked);
    DKFS_TRY(status);
  }
  if (found >= end) {
    DKFS_TRY_ASSIGN(found, gap(end));
  }
  return found < end ? Result<uint64_t>(found) : Result<uint64_t>(Status::Error(ENXIO));
}

}  // namespace dkfs
